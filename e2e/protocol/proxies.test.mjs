// Behind proxies: who a client is, as the log tells it, by X-Forwarded-For and by PROXY headers.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, suite, test } from 'node:test';
import tls from 'node:tls';
import { openConnection, request, requestText, upgradeHeaders } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { startTlsServer } from '../harness/tls.mjs';

let paths = 0;
const freshPath = () => `/api/ping/${++paths}`; // known to nobody else, so that its log line is found

// The client's address in the line of the request for `path`.
const clientOf = (server, path) =>
  until(() => new RegExp(` client=(\\S+) \\[info\\] GET ${path}\n`).exec(server.log)?.[1], `the line of ${path}`);

async function seenAs(server, headers) {
  const path = freshPath();
  await request(server, { path, headers });
  return clientOf(server, path);
}

suite('X-Forwarded-For', () => {
  let untrusting;
  let trusting;
  before(async () => {
    untrusting = await startServer({ args: ['--trusted-proxies', '10.0.0.0/8,::1'] });
    trusting = await startServer({ env: { TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8, 2001:db8::/32' } });
  });
  after(async () => {
    for (const server of [untrusting, trusting]) assert.equal(await server.stop(), 0);
  });

  test('of somebody who is not trusted changes nothing', async () => {
    for (const spoofed of ['203.0.113.5', '10.0.0.1', '::1', '203.0.113.5, 10.0.0.1', 'x'.repeat(4000)]) {
      assert.equal(await seenAs(untrusting, { 'X-Forwarded-For': spoofed }), '127.0.0.1');
    }
    assert.equal(await seenAs(untrusting, { Forwarded: 'for=203.0.113.5', 'X-Real-IP': '203.0.113.5' }), '127.0.0.1');
  });

  test('of trusted proxies tells the nearest address that is not one of them', async () => {
    assert.equal(await seenAs(trusting, {}), '127.0.0.1');
    assert.equal(await seenAs(trusting, { 'X-Forwarded-For': '203.0.113.5' }), '203.0.113.5');
    // What stands left of the client may be anything: the client wrote it.
    assert.equal(await seenAs(trusting, { 'X-Forwarded-For': '10.9.9.9, 203.0.113.5, 2001:db8::7, 10.0.0.1' }), '203.0.113.5');
    const twice = [['Host', 'dev'], ['X-Forwarded-For', '10.9.9.9, 203.0.113.6'], ['X-Forwarded-For', '10.0.0.1']];
    const path = freshPath();
    const connection = await openConnection(trusting);
    connection.write(requestText({ path, headers: twice }));
    await connection.response();
    connection.close();
    assert.equal(await clientOf(trusting, path), '203.0.113.6');
    assert.equal(await seenAs(trusting, { 'X-Forwarded-For': 'garbage, 10.0.0.1' }), '10.0.0.1');
  });

  test('is told with the refusal of a handshake too', async () => {
    await request(trusting, { path: '/socket/websocket', headers: upgradeHeaders({ 'X-Forwarded-For': '203.0.113.77' }) });
    await until(() => /error_code=MissingAPIKey client=203\.0\.113\.77 \[error\] MissingAPIKey: /.test(trusting.log), 'the refusal');
  });
});

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

function headerV2(command, family, rest) {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(rest.length);
  return Buffer.concat([SIGNATURE, Buffer.from([command, family]), length, rest]);
}

const V4 = Buffer.from([203, 0, 113, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb]);
const V6 = Buffer.concat([Buffer.from('20010db8000000000000000000000009', 'hex'), Buffer.alloc(16, 1), Buffer.from([0, 1, 0, 2])]);
const TLVS = Buffer.concat([Buffer.from([0xea, 0, 200]), Buffer.alloc(200, 'v')]);

suite('PROXY headers', () => {
  let server;
  before(async () => {
    server = await startServer({
      env: { TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8', HTTP_HEADER_TIMEOUT_MS: 300 },
      args: ['--proxy-protocol', '--log-level', 'info'],
    });
  });
  after(async () => assert.equal(await server.stop(), 0));

  // What the log says of a request behind these bytes, which are sent in pieces of `size`.
  async function seenBehind(header, { size = header.length, headers = {} } = {}) {
    const path = freshPath();
    const connection = await openConnection(server);
    const bytes = Buffer.concat([header, Buffer.from(requestText({ path, headers: { Host: 'dev', ...headers } }))]);
    for (let at = 0; at < bytes.length; at += size) {
      connection.write(bytes.subarray(at, at + size));
      await new Promise(setImmediate);
    }
    assert.equal((await connection.response()).status, 404);
    // And once only: what follows is HTTP.
    connection.write(requestText({ path: '/healthcheck', headers: { Host: 'dev' } }));
    assert.equal((await connection.response()).status, 200);
    connection.close();
    return clientOf(server, path);
  }

  test('of both versions tell the client, whole or byte by byte', async () => {
    for (const [header, client] of [
      [Buffer.from('PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n'), '203.0.113.7'],
      [Buffer.from('PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n'), '2001:db8::9'],
      [headerV2(0x21, 0x11, V4), '203.0.113.7'],
      [headerV2(0x21, 0x21, V6), '2001:db8::9'],
      [headerV2(0x21, 0x11, Buffer.concat([V4, TLVS])), '203.0.113.7'],
    ]) {
      assert.equal(await seenBehind(header), client);
      assert.equal(await seenBehind(header, { size: 1 }), client);
    }
  });

  test('that name nobody leave the address of the peer', async () => {
    for (const header of [Buffer.from('PROXY UNKNOWN\r\n'), headerV2(0x20, 0, Buffer.alloc(0)), headerV2(0x21, 0, TLVS)]) {
      assert.equal(await seenBehind(header), '127.0.0.1');
    }
  });

  test('go before X-Forwarded-For, which counts only where the address they name is trusted', async () => {
    const headers = { 'X-Forwarded-For': '203.0.113.50' };
    assert.equal(await seenBehind(headerV2(0x21, 0x11, V4), { headers }), '203.0.113.7');
    const proxy = Buffer.from('PROXY TCP4 10.0.0.3 198.51.100.1 1 2\r\n');
    assert.equal(await seenBehind(proxy, { headers }), '203.0.113.50');
  });

  test('are demanded of trusted proxies: without one, with a bad or an endless one, the connection ends and is counted', async () => {
    const bad = [
      requestText({ path: '/healthcheck', headers: { Host: 'dev' } }),
      '\x16\x03\x01\x02\x00\x01',
      'PROXY TCP4 203.0.113.7 198.51.100.1 99999 443\r\nGET / HTTP/1.1\r\n\r\n',
      `PROXY UNKNOWN ${'x'.repeat(100)}`,
      headerV2(0x21, 0x11, Buffer.concat([V4, Buffer.alloc(600)])),
      headerV2(0x31, 0x11, V4),
    ];
    for (const bytes of [...bad, 'PROXY TCP4 203.0.113.7', '']) {
      const connection = await openConnection(server);
      if (bytes.length > 0) connection.write(bytes);
      await connection.ended;
      assert.equal(connection.received.length, 0, 'no answer, for who knows what the other side speaks');
    }
    await until(() => /error_code=ProxyHeaderRefused client=127\.0\.0\.1 \[warning\] ProxyHeaderRefused: .*it did not arrive in time/.test(server.log), 'the line');
    assert.match(server.log, /\[warning\] ProxyHeaderRefused: .*PROXY_PROTOCOL.*: it does not begin with a PROXY header\n/);
    const connection = await openConnection(server);
    connection.write(headerV2(0x20, 0, Buffer.alloc(0)));
    const authorization = `Bearer ${server.token({}, { secret: server.metricsSecret })}`;
    connection.write(requestText({ path: '/metrics', headers: { Host: 'dev', authorization } }));
    const { body } = await connection.response();
    assert.equal(Number(/^realtime_proxy_headers_refused_total\S* (\d+)$/m.exec(body)[1]), bad.length + 2);
    connection.close();
  });
});

test('a PROXY header comes before TLS, and is demanded there too', async (t) => {
  const env = { TRUSTED_PROXIES: '127.0.0.1', PROXY_PROTOCOL: 'true', HTTP_HEADER_TIMEOUT_MS: 300 };
  const { server, ca } = await startTlsServer(t, { env });
  const connected = async (port) => {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  for (const size of [1, 1000]) {
    const raw = await connected(server.tlsPort);
    const header = headerV2(0x21, 0x11, V4);
    for (let at = 0; at < header.length; at += size) raw.write(header.subarray(at, at + size));
    const secure = tls.connect({ socket: raw, servername: 'localhost', ca });
    const path = freshPath();
    secure.write(requestText({ path, headers: { Host: 'dev', Connection: 'close' } }));
    assert.match((await secure.toArray()).join(''), /^HTTP\/1\.1 404 /);
    assert.equal(await clientOf(server, path), '203.0.113.7');
  }
  const without = tls.connect({ socket: await connected(server.tlsPort), servername: 'localhost', ca });
  await assert.rejects(once(without, 'secureConnect'));
  const silent = await connected(server.tlsPort);
  await once(silent.resume(), 'close');
  await until(() => server.log.match(/\[warning\] ProxyHeaderRefused: /g)?.length === 2, 'both to be refused');
});

test('who is not trusted speaks plain HTTP, and its PROXY header is no request', async (t) => {
  const server = await startServer({ env: { TRUSTED_PROXIES: '10.0.0.0/8', PROXY_PROTOCOL: 'true' } });
  t.after(() => server.stop());
  const client = await connect(server);
  await client.join('realtime:room');
  const connection = await openConnection(server);
  connection.write(`PROXY TCP4 203.0.113.7 198.51.100.1 1 2\r\n${requestText({ headers: { Host: 'dev' } })}`);
  assert.equal((await connection.response()).status, 400);
  await until(() => /client=127\.0\.0\.1 \[warning\] HttpClientError: Sent 400 response: /.test(server.log), 'the line');
  assert.ok(!server.log.includes('203.0.113.7'));
});
