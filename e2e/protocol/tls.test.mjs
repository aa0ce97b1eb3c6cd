// The port that speaks TLS.

import assert from 'node:assert/strict';
import { createCipheriv, createHmac } from 'node:crypto';
import { copyFile, writeFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import { suite, test } from 'node:test';
import tls from 'node:tls';
import { requestText, upgradeHeaders } from '../harness/http.mjs';
import { assertFrame, bothVersions, connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { put, socketPath } from '../ws-conformance/raw_client.mjs';
import { connectByTls, makeCertificate, startTlsServer, temporaryDirectory, tlsFlags } from '../harness/tls.mjs';

const TOPIC = 'realtime:room';

// RT_TEST_KERNEL_TLS says that the kernel here has TLS. Then this is an emulated machine, which is slow.
const AT_ONCE = { concurrency: !process.env.RT_TEST_KERNEL_TLS };

// A TLS connection of its own; resolves when the handshake is done.
function handshake({ server, ca }, options = {}) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: server.tlsPort, servername: 'localhost', ca, ...options });
    socket.once('secureConnect', () => resolve(socket)).once('error', reject);
  });
}

const get = (path, headers = '') => `GET ${path} HTTP/1.1\r\nhost: dev\r\n${headers}\r\n`;

const ended = (socket) => new Promise((resolve) => socket.once('close', resolve).on('error', () => {}).resume());

// {status, body} of a request over an agent that keeps its connections.
function request(agent, url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    https.request(url, { agent, method, headers }, async (response) => {
      resolve({ status: response.statusCode, body: (await response.toArray()).join(''), reused: response.req.reusedSocket });
    }).on('error', reject).end(body);
  });
}

// All that a plain TCP client gets for these bytes.
function answerTo(port, bytes) {
  return new Promise((resolve) => {
    let text = '';
    net.connect(port, '127.0.0.1').on('data', (data) => (text += data.toString('latin1'))).on('error', () => {})
      .on('close', () => resolve(text)).end(bytes);
  });
}

suite('a client that comes by TLS', AT_ONCE, () => {
  bothVersions('talks to one that does not, both ways', async (vsn, t) => {
    const node = await startTlsServer(t, { workers: 2 });
    const [secure, plain] = [await connectByTls(node, { vsn }), await connect(node.server, { vsn })];
    for (const client of [secure, plain]) await client.join(TOPIC);
    for (const [from, to] of [[secure, plain], [plain, secure]]) {
      for (let n = 0; n < 50; n += 1) from.broadcast(TOPIC, 'n', { n });
      for (let n = 0; n < 50; n += 1) assertFrame(await to.next(), { event: 'broadcast', payload: { type: 'broadcast', event: 'n', payload: { n } } });
    }
    await secure.close();
    assert.equal((await node.server.metrics()).value('realtime_tls_handshakes_total', { result: 'ok' }), 1);
  });

  test('sends and gets messages of many records', async (t) => {
    const node = await startTlsServer(t, { env: { TENANT_MAX_BYTES_PER_SECOND: 100_000_000 } });
    const [from, to] = [await connectByTls(node), await connectByTls(node)];
    for (const client of [from, to]) await client.join(TOPIC);
    const texts = [1, 16_384, 65_536, 1_000_000, 2_900_000].map((size) => 'x'.repeat(size));
    for (const text of texts) from.broadcast(TOPIC, 'big', { text });
    for (const text of texts) assert.equal((await to.next()).payload.payload.text, text);
  });

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    for (const kind of ['ec', 'rsa']) {
      test(`may speak ${version} to a server with a key of kind ${kind}`, async (t) => {
        const node = await startTlsServer(t, { certificate: { kind } });
        const socket = await handshake(node, { minVersion: version, maxVersion: version });
        assert.equal(socket.getProtocol(), version);
        socket.end('GET /healthcheck HTTP/1.1\r\nhost: dev\r\n\r\n');
        assert.match((await socket.toArray()).join(''), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s);
      });
    }
  }

  test('uses the HTTP API over one connection', async (t) => {
    const node = await startTlsServer(t);
    const agent = new https.Agent({ ca: node.ca, keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const client = await connectByTls(node);
    await client.join(TOPIC);
    for (let n = 0; n < 3; n += 1) {
      const body = JSON.stringify({ messages: [{ topic: 'room', event: 'n', payload: { n } }] });
      const headers = { apikey: node.server.token(), 'content-type': 'application/json' };
      const answer = await request(agent, `${node.origin}/api/broadcast`, { method: 'POST', headers, body });
      assert.deepEqual(answer, { status: 202, body: '', reused: n > 0 });
      assertFrame(await client.next(), { event: 'broadcast', payload: { type: 'broadcast', event: 'n', payload: { n } } });
    }
  });

  const saysAtOnce = async (node, text) => {
    const socket = await handshake(node);
    socket.end(text);  // its close_notify comes right behind
    return (await socket.toArray()).join('');
  };

  test('may end its side behind its last request and gets all answers', async (t) => {
    const node = await startTlsServer(t);
    const token = node.server.token({}, { secret: node.server.metricsSecret });
    const late = await saysAtOnce(node, get('/metrics', `authorization: Bearer ${token}\r\n`));  // answered from elsewhere
    assert.match(late, /^HTTP\/1\.1 200 OK\r\n.*# EOF\n$/s);
    const many = await saysAtOnce(node, get('/healthcheck').repeat(20));
    assert.equal(many.split('HTTP/1.1 200 OK').length - 1, 20);
    const mixed = await saysAtOnce(node, get('/healthcheck') + get('/metrics', `authorization: Bearer ${token}\r\n`));
    assert.match(mixed, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nokHTTP\/1\.1 200 OK\r\n.*# EOF\n$/s);
  });

  test('may end its side behind its last message, and all are delivered', async (t) => {
    const node = await startTlsServer(t);
    const member = await connect(node.server);
    await member.join(TOPIC);
    const client = await connectByTls(node);
    await client.join(TOPIC);
    const frames = Array.from({ length: 200 }, (_, n) => put.text(JSON.stringify(['1', `${n + 10}`, TOPIC, 'broadcast', { type: 'broadcast', event: 'n', payload: { n } }])));
    client.socket._socket.end(Buffer.concat(frames));
    for (let n = 0; n < frames.length; n += 1) assertFrame(await member.next(), { event: 'broadcast', payload: { type: 'broadcast', event: 'n', payload: { n } } });
  });

  test('resumes its session', async (t) => {
    const node = await startTlsServer(t);
    const first = await handshake(node);
    const session = new Promise((resolve) => first.once('session', resolve));
    first.resume();
    const second = await handshake(node, { session: await session });
    assert.equal(second.isSessionReused(), true);
    first.destroy();
    second.destroy();
  });

  test('agrees on HTTP/1.1 where it names protocols, and on nothing else', async (t) => {
    const node = await startTlsServer(t);
    const socket = await handshake(node, { ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(socket.alpnProtocol, 'http/1.1');
    socket.destroy();
    await assert.rejects(handshake(node, { ALPNProtocols: ['h2'] }), { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' });
  });

  test('is told that the node goes, and that the connection ends', async (t) => {
    const node = await startTlsServer(t);
    const client = await connectByTls(node);
    await client.join(TOPIC);
    node.server.signal('SIGTERM');
    assert.deepEqual(await client.waitForClose(), { code: 1012, reason: '' });
    assert.equal(await node.server.exited, 0);
  });

  test('who does not read is a slow consumer like everybody', async (t) => {
    const node = await startTlsServer(t, { env: { SEND_QUEUE_BYTES_MAX: 5_000_000, TENANT_MAX_BYTES_PER_SECOND: 100_000_000 } });
    const [speaker, deaf] = [await connect(node.server), await connectByTls(node)];
    for (const client of [speaker, deaf]) await client.join(TOPIC);
    deaf.socket.pause();
    const slow = async () => (await node.server.metrics()).value('realtime_slow_consumers_total', { cause: 'queue' });
    while ((await slow()) === 0) {
      speaker.broadcast(TOPIC, 'big', { text: 'x'.repeat(1_000_000) });
      await speaker.heartbeat();
    }
    deaf.socket.resume();
    assert.equal((await deaf.waitForClose()).code, 1013);
  });
});

suite('the certificate', AT_ONCE, () => {
  test('is read again on SIGHUP, for new connections, and open ones go on', async (t) => {
    const node = await startTlsServer(t, { certificate: { name: 'old' } });
    const client = await connectByTls(node);
    await client.join(TOPIC);
    const renewed = await makeCertificate(node.directory, { name: 'renewed' });
    await copyFile(renewed.certificate, node.files.certificate);
    await copyFile(renewed.key, node.files.key);
    node.server.signal('SIGHUP');
    const nameNow = async () => {
      const socket = await handshake(node, { ca: [node.ca, renewed.pem] });
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN;
    };
    await until(async () => (await nameNow()) === 'renewed', 'the new certificate');
    await client.heartbeat();
  });

  test('stays as it was where the new one cannot be used, and the log says why', async (t) => {
    const node = await startTlsServer(t);
    await writeFile(node.files.certificate, 'no certificate');
    node.server.signal('SIGHUP');
    await until(() => /the TLS certificate stays as it was: cannot use .*server\.pem/.test(node.server.log), 'the log line');
    (await handshake(node)).destroy();
  });

  test('that ends soon is warned of, and its end is a metric', async (t) => {
    const node = await startTlsServer(t, { certificate: { days: 3 } });
    await until(() => /\[warning\].*is valid until .*: renew it, then send SIGHUP/.test(node.server.log), 'the warning');
    const expires = (await node.server.metrics()).value('realtime_tls_certificate_expires_timestamp_seconds');
    assert.ok(Math.abs(expires - Date.now() / 1000 - 3 * 86_400) < 3_600, `it ends at ${expires}`);
  });

  const refused = (name, args, expected) =>
    test(`a server does not start with ${name}`, async (t) => {
      const directory = await temporaryDirectory(t);
      await assert.rejects(startServer({ args: await args(directory) }), expected);
    });
  refused('a missing file', (directory) => tlsFlags({ certificate: `${directory}/none.pem`, key: `${directory}/none.key` }),
    /cannot use .*none\.pem as the TLS certificate \(No such file or directory\): TLS_CERT_FILE has to be/);
  refused('the key of another certificate', async (directory) => {
    const [one, other] = [await makeCertificate(directory, { name: 'one' }), await makeCertificate(directory, { name: 'other' })];
    return tlsFlags({ certificate: one.certificate, key: other.key });
  }, /cannot use .*other\.key as the TLS key \(key values mismatch\): TLS_KEY_FILE has to be/);
  refused('a key that wants a passphrase', async (directory) => tlsFlags(await makeCertificate(directory, { passphrase: 'secret words' })),
    /cannot use .*server\.key as the TLS key .* without a passphrase/);
  refused('a port and no files', () => ['--tls-port', '0'], /TLS_PORT is set: TLS_CERT_FILE and TLS_KEY_FILE have to name/);
});

suite('the kernel', AT_ONCE, () => {
  const KINDS = [
    ['TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256'], ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384'], ['TLSv1.2', 'ECDHE-ECDSA-CHACHA20-POLY1305'],
    ['TLSv1.3', 'TLS_AES_128_GCM_SHA256'], ['TLSv1.3', 'TLS_AES_256_GCM_SHA384'], ['TLSv1.3', 'TLS_CHACHA20_POLY1305_SHA256'],
  ];
  const healthcheckByEach = async (node) => {
    for (const [version, ciphers] of KINDS) {
      const socket = await handshake(node, { minVersion: version, maxVersion: version, ciphers });
      socket.write(get('/healthcheck', 'connection: close\r\n'));
      assert.match((await socket.toArray()).join(''), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s, ciphers);
    }
  };
  const offloads = async ({ server }) => {
    const metrics = await server.metrics();
    return ['ok', 'error'].map((result) => metrics.value('realtime_tls_offloads_total', { result }));
  };

  test('encrypts what is sent where it can; the log and a metric say so', async (t) => {
    const node = await startTlsServer(t);
    const [, found] = await until(() => /\[info\] the kernel (encrypts|does not encrypt what is sent by TLS \(.+\), so the workers do: .*modprobe tls)/.exec(node.server.log), 'the log line');
    const encrypts = found === 'encrypts';
    if (process.env.RT_TEST_KERNEL_TLS) assert.ok(encrypts, node.server.log);
    await healthcheckByEach(node);
    assert.deepEqual(await offloads(node), [encrypts ? KINDS.length : 0, 0]);
  });

  test('is not asked to where TLS_OFFLOAD is off', async (t) => {
    const node = await startTlsServer(t, { env: { TLS_OFFLOAD: 'off' } });
    await healthcheckByEach(node);
    assert.deepEqual(await offloads(node), [0, 0]);
    assert.doesNotMatch(node.server.log, /the kernel/);
  });
});

suite('what is no TLS', AT_ONCE, () => {
  test('gets an answer that says so, where it is HTTP', async (t) => {
    const { server } = await startTlsServer(t);
    const answer = await answerTo(server.tlsPort, 'GET /healthcheck HTTP/1.1\r\nhost: dev\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 400 .*\r\n\r\nthis port speaks TLS: use https:\/\/ or wss:\/\/\n$/s);
  });

  test('ends its own connection and no other', async (t) => {
    const node = await startTlsServer(t);
    const client = await connectByTls(node);
    const hello = await clientHello(node);
    const bad = [Buffer.alloc(70_000, 0x16), Buffer.from('SSH-2.0-x\r\n'), Buffer.from([0x16, 3, 1, 0xff, 0xff]), Buffer.concat([hello, Buffer.alloc(40_000, 7)])];
    for (const [n, bytes] of bad.entries()) {
      await answerTo(node.server.tlsPort, bytes);
      const failures = (await node.server.metrics()).value('realtime_tls_handshakes_total', { result: 'error' });
      assert.equal(failures, n + 1);
    }
    await client.heartbeat();
  });

  test('is not waited for longer than headers are', async (t) => {
    const node = await startTlsServer(t, { env: { HTTP_HEADER_TIMEOUT_MS: 300 } });
    const hello = await clientHello(node);
    const halves = [Buffer.alloc(0), hello.subarray(0, 3), hello.subarray(0, hello.length / 2), hello];
    await Promise.all(halves.map(async (bytes) => {
      const socket = net.connect(node.server.tlsPort, '127.0.0.1');
      if (bytes.length > 0) socket.write(bytes);
      await ended(socket);
    }));
    const failures = async () => (await node.server.metrics()).value('realtime_tls_handshakes_total', { result: 'error' });
    await until(async () => (await failures()) === halves.length, 'each to be counted');
    await until(() => /\[warning\] TlsHandshakeFailed: .*: it was not complete in time\n/.test(node.server.log), 'the log line');
  });

  test('half a message of the protocol, then garbage, ends that connection only', async (t) => {
    const node = await startTlsServer(t);
    const relay = await Relay.start(node.server.tlsPort);
    t.after(() => relay.stop());
    const keys = [];
    const socket = tls.connect({ host: '127.0.0.1', port: relay.port, servername: 'localhost', ca: node.ca, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' });
    socket.on('keylog', (line) => keys.push(line.toString())).on('error', () => {});
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    socket.write(requestText({ path: socketPath(node.server), headers: { Host: 'dev', ...upgradeHeaders() } }));
    assert.match((await new Promise((resolve) => socket.once('data', resolve))).toString(), /^HTTP\/1\.1 101 /);

    const secret = /^CLIENT_TRAFFIC_SECRET_0 \S+ (\S+)/m.exec(keys.join(''))[1];
    relay.toServer(record(Buffer.from(secret, 'hex'), 1, 22, Buffer.from([24, 0, 0, 1])));  // a KeyUpdate but for its last byte
    relay.toServer(Buffer.alloc(64));
    await relay.ended;
    assert.equal((await fetch(`${node.server.url}/healthcheck`)).status, 200);
    const metrics = await node.server.metrics();
    assert.equal(metrics.value('realtime_tls_sessions_broken_total'), 1);
    assert.deepEqual(['ok', 'error'].map((result) => metrics.value('realtime_tls_handshakes_total', { result })), [1, 0]);
  });

  test('older versions and renegotiation are refused', async (t) => {
    const node = await startTlsServer(t);
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' };
    await assert.rejects(handshake(node, old), { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    await until(() => /client=127\.0\.0\.1 \[warning\] TlsHandshakeFailed: .*: unsupported protocol\n/.test(node.server.log), 'the log line');
    const socket = await handshake(node, { maxVersion: 'TLSv1.2' });
    await assert.rejects(new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.renegotiate({}, (error) => (error ? reject(error) : resolve()));
    }));
    socket.destroy();
  });
});

// What goes through it can be added to.
class Relay {
  static async start(port) {
    const relay = new Relay();
    relay.ended = new Promise((resolve) => {
      relay.listener = net.createServer((client) => {
        relay.server = net.connect(port, '127.0.0.1');
        client.pipe(relay.server).pipe(client);
        client.on('error', () => {});
        relay.server.on('error', () => {}).on('close', resolve);
      });
    });
    await new Promise((resolve) => relay.listener.listen(0, '127.0.0.1', resolve));
    relay.port = relay.listener.address().port;
    return relay;
  }

  toServer(bytes) {
    this.server.write(bytes);
  }

  stop() {
    this.server?.destroy();
    this.listener.close();
  }
}

// A record of TLS_AES_128_GCM_SHA256, the `number`-th that the client sends with this secret (RFC 8446 5.2, 5.3, 7.3).
function record(secret, number, type, content) {
  const expand = (label, size) => {
    const name = Buffer.from(`tls13 ${label}`);
    const info = Buffer.concat([Buffer.from([0, size, name.length]), name, Buffer.from([0, 1])]);
    return createHmac('sha256', secret).update(info).digest().subarray(0, size);
  };
  const nonce = expand('iv', 12);
  nonce[11] ^= number;
  const header = Buffer.from([23, 3, 3, 0, content.length + 17]);
  const cipher = createCipheriv('aes-128-gcm', expand('key', 16), nonce).setAAD(header);
  return Buffer.concat([header, cipher.update(Buffer.concat([content, Buffer.from([type])])), cipher.final(), cipher.getAuthTag()]);
}

// The first bytes of a true handshake.
function clientHello({ ca }) {
  return new Promise((resolve) => {
    const listener = net.createServer((peer) => peer.once('data', (bytes) => {
      peer.destroy();
      listener.close();
      resolve(bytes);
    }));
    listener.listen(0, '127.0.0.1', () => {
      tls.connect({ host: '127.0.0.1', port: listener.address().port, ca }).on('error', () => {});
    });
  });
}
