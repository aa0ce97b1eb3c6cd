// What the settings do from outside, and that docs/configuration.md tells the truth about them. config.md
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openConnection, request, requestText } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

const run = promisify(execFile);
const hasIpv6 = Object.values(networkInterfaces()).flat().some(({ address }) => address === '::1');

// The variables and flags that stand in backticks at the begin of a table's rows, and the list of those without effect.
async function documented() {
  const text = await readFile(fileURLToPath(new URL('../../docs/configuration.md', import.meta.url)), 'utf8');
  const [inEffect, without] = text.split('## Accepted, but without effect yet');
  const rows = [...inEffect.matchAll(/^\| (?:`([A-Z][A-Z_0-9]+)` ?|\| `(--[a-z-]+)` )\|/gm)];
  return {
    settings: rows.map(([, variable, flag]) => variable ?? flag).sort(),
    withoutEffect: [...new Set([...without.matchAll(/`([A-Z][A-Z_0-9]+)`/g)].map(([, name]) => name))].filter((name) => !/^(ERL_AFLAGS|RELEASE_NODE|LANG)$/.test(name)).sort(),
  };
}

const config = (binary, env) => run(binary, ['config', '--json'], { env });

suite('the documentation of the settings', async () => {
  const server = await startServer();
  const { binary } = server;
  await server.stop();

  test('lists the settings that there are, all of them and no other', async () => {
    const { settings } = JSON.parse((await config(binary, {})).stdout);
    assert.deepEqual((await documented()).settings, settings.map(({ variable, flag }) => variable ?? flag).sort());
  });

  test('lists what is accepted without effect, and the log names it in one line [C-014]', async (t) => {
    const { withoutEffect } = await documented();
    const special = {
      REGION_MAPPING: '{}', SLOT_MODE: 'auto', GEN_RPC_SOCKET_IP: '127.0.0.1', METRICS_PUSHER_EXTRA_LABELS: 'a=b',
      GEN_RPC_CERTFILE: 'c', GEN_RPC_KEYFILE: 'k', GEN_RPC_CACERTFILE: 'a',
    };
    // 1 is a text, an integer and a boolean.
    const env = Object.fromEntries(withoutEffect.map((name) => [name, special[name] ?? '1']));
    const one = await startServer({ env: { ...env, ERL_AFLAGS: 'x', RELEASE_NODE: 'x', LANG: 'C', CLUSTER_STRATEGIES: 'EPMD' } });
    t.after(() => one.stop());
    await until(() => one.log.includes('listening on port'), 'the lines of the start');
    const lines = one.log.split('\n').filter((line) => line.includes('without effect in this version'));
    assert.equal(lines.length, 1);
    assert.deepEqual(lines[0].split('without effect in this version: ')[1].split(', ').sort(), withoutEffect);
  });
});

suite('settings', { concurrency: true }, () => {
  test('the connection above MAX_CONNECTIONS waits until another one closes [C-017]', async (t) => {
    const server = await startServer({ env: { MAX_CONNECTIONS: 10 } });
    t.after(() => server.stop());
    const authorization = `Bearer ${server.token({}, { secret: server.metricsSecret })}`;
    const open = async () => {
      const connection = await openConnection(server);
      t.after(() => connection.close());
      return connection;
    };
    const ask = (connection, path) => {
      connection.write(requestText({ path, headers: { Host: server.host, Authorization: authorization } }));
      return connection.response();
    };
    const served = [];
    for (let i = 0; i < 10; ++i) {
      served.push(await open());
      assert.equal((await ask(served[i], '/healthcheck')).status, 200);
    }
    const waiting = await open();
    let isServed = false;
    const answer = ask(waiting, '/healthcheck').then((response) => {
      isServed = true;
      return response;
    });
    for (let i = 0; i < 10; ++i) assert.equal((await ask(served[i], '/healthcheck')).status, 200);
    assert.match((await ask(served[0], '/metrics')).body, /^phoenix_connections_active(\{.*\})? 10$/m);
    assert.ok(!isServed);
    served[9].close();
    assert.equal((await answer).status, 200);
  });

  test('every address of both families is listened on, or of one that is asked for [C-021]', { skip: !hasIpv6 && 'this machine has no IPv6' }, async (t) => {
    const start = async (env) => {
      const server = await startServer({ env, args: ['--listen', ''] });
      t.after(() => server.stop());
      return server;
    };
    const answers = async (server, host) => (await request({ host, port: server.port }, { path: '/healthcheck', headers: { Host: 'x' } })).status;
    const both = await start({});
    assert.equal(await answers(both, '127.0.0.1'), 200);
    assert.equal(await answers(both, '::1'), 200);
    const ipv4 = await start({ REALTIME_IP_VERSION: 'ipv4' });
    assert.equal(await answers(ipv4, '127.0.0.1'), 200);
    await assert.rejects(answers(ipv4, '::1'), /ECONNREFUSED/);
  });

  test('RLIMIT_NOFILE counts before the first connection is taken [C-030]', async (t) => {
    const server = await startServer({ env: { RLIMIT_NOFILE: 321 } });
    t.after(() => server.stop());
    assert.match(await readFile(`/proc/${server.pid}/limits`, 'utf8'), /^Max open files +321 /m);
  });

  test('tenants without users are looked for with RUN_JANITOR only [C-022]', async (t) => {
    const env = { METRICS_CLEANER_SCHEDULE_TIMER_IN_MS: 10 };
    const [without, janitor] = await Promise.all([{}, { RUN_JANITOR: 'true' }].map((more) => startServer({ env: { ...env, ...more } })));
    t.after(() => Promise.all([without, janitor].map((server) => server.stop())));
    const cleanings = async (server) => (await server.metrics()).value('realtime_metrics_cleanings_total');
    await until(async () => (await cleanings(janitor)) > 2, 'tenants to be looked for again and again');
    assert.equal(await cleanings(without), 0);
  });

  test('a drain ends by DRAIN_TIMEOUT_MS, also when clients do not go [C-028]', async (t) => {
    const server = await startServer({ env: { DRAIN_DELAY_MS: 100, DRAIN_TIMEOUT_MS: 1_000 } });
    t.after(() => server.stop());
    const client = await connect(server);
    client.socket?.pause?.();
    const held = await openConnection(server);
    held.write('GET /healthcheck HTTP/1.1\r\nHost: x\r\n');
    t.after(() => held.close());
    const begun = performance.now();
    server.signal('SIGTERM');
    await until(() => server.ended, 'the process to end');
    assert.equal(await server.exited, 0);
    assert.ok(performance.now() - begun < 5_000);
  });
});
