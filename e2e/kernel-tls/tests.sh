#!/usr/bin/env bash
# What is run on the emulated machine: the tests of TLS, each way of sending. It is slow, so what is about time-outs
# stays out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export NO_COLOR=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run HOME=/run RT_TEST_KERNEL_TLS=1 RT_TEST_SEND
ulimit -n 16384

uname -srm
build/release/src/io/net/net_test --no-colors=true
for RT_TEST_SEND in uring sendmsg; do
  echo "--- sending with $RT_TEST_SEND"
  e2e/node_modules/.bin/node --test --test-reporter=spec --test-timeout=600000 \
    --test-name-pattern='^(a client that comes by TLS|the certificate|the kernel)$' e2e/protocol/tls.test.mjs
done
# Of all connections, and none of them is left.
grep '^TlsTxSw' /proc/net/tls_stat
grep -Eq '^TlsCurrTxSw\s+0$' /proc/net/tls_stat
