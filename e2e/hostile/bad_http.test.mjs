// Bytes that are no HTTP request. Each gets a 4xx and the end of its connection. http-api.md 1.1, protocol.md 1.3.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { httpExchange, RawSocket, upgradeRequest } from '../ws-conformance/raw_client.mjs';
import { seededRandom } from '../harness/random.mjs';
import { hostileTo } from './witness.mjs';

const server = await startServer({ env: { HTTP_HEADER_TIMEOUT_MS: 1500, HTTP_BODY_TIMEOUT_MS: 1500 } });
after(() => server.stop());
const hostile = hostileTo(server);

async function assertRefused(bytes, status) {
  const socket = await RawSocket.connect(server.port);
  const response = await httpExchange(socket, bytes);
  if (status) assert.equal(response.status, status);
  assert.ok(response.status >= 400 && response.status < 500, `got ${response.statusLine}`);
  await socket.rest();
  socket.destroy();
}

const get = (headers) => `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;
const post = (headers, body) => `POST /api/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;

const bad = {
  'the preface of HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  'a request of HTTP/0.9': ['GET /\r\n\r\n', 'GET / HTTP/0.9\r\n\r\n'],
  'an HTTP version that does not exist': ['GET / HTTP/9.9\r\n\r\n', 'GET / HTTP/1.\r\n\r\n', 'GET / HTTX/1.1\r\n\r\n'],
  'the hello of TLS': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  'an empty method or target': [' / HTTP/1.1\r\n\r\n', 'GET  HTTP/1.1\r\n\r\n', 'GET HTTP/1.1\r\n\r\n'],
  'spaces in the target': ['GET / / HTTP/1.1\r\n\r\n'],
  'lines that end without CR': ['GET / HTTP/1.1\nHost: 127.0.0.1\n\n', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\n\n'],
  'lines that end without LF': ['GET / HTTP/1.1\rHost: 127.0.0.1\r\r'],
  'a header without a colon': [get('no colon here\r\n'), get('\x01\r\n')],
  'a header without a name': [get(': value\r\n')],
  'a space before the colon': [get('X-Name : value\r\n')],
  'NUL bytes': ['\0\0\0\0\r\n\r\n', 'GET /\0 HTTP/1.1\r\n\r\n', 'GE\0T / HTTP/1.1\r\n\r\n', get('X-\0: value\r\n'), get('X-Name: \0\r\n')],
  'control characters in a header': [get('X-Name: \x7f\x01\r\n')],
  'a content length that is no length': ['abc', '-1', '1e3', '0x10', '99999999999999999999'].map(
    (length) => post(`Content-Length: ${length}\r\n`, '{}')),
  'two content lengths that differ': [post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}')],
  'a content length beside chunks': [post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
  'chunks of nonsense': ['zz\r\n{}\r\n0\r\n\r\n', '-1\r\n{}\r\n', 'ffffffffffffffffff\r\n{}\r\n', '2\r\n{}no line end', '\r\n\r\n'].map(
    (body) => post('Transfer-Encoding: chunked\r\n', body)),
};
for (const [what, requests] of Object.entries(bad)) {
  hostile(`${what}: a 4xx and the end of the connection`, { growthMiB: 4 }, async () => {
    for (const bytes of requests) {
      await assertRefused(bytes).catch((error) => assert.fail(`${JSON.stringify(bytes)}: ${error.message}`));
    }
  });
}

const tooLarge = {
  'a header value over 4096 bytes is refused with 431': [get(`X-Long: ${'x'.repeat(4097)}\r\n`), 431],
  'a host over 255 bytes is refused with 431': [`GET / HTTP/1.1\r\nHost: ${'h'.repeat(256)}\r\n\r\n`, 431],
  'more than a hundred headers are refused with 431': [get('X-Many: 1\r\n'.repeat(101)), 431],
  'more than 64 KiB of headers are refused with 431': [get(`X-Much: ${'x'.repeat(4000)}\r\n`.repeat(17)), 431],
  'a request line over 8000 bytes is refused with 414': [`GET /?${'q'.repeat(8000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 414],
  'a header line of a megabyte without an end is refused with 431': [`GET / HTTP/1.1\r\nX-Endless: ${'x'.repeat(1e6)}`, 431],
  'a request line of a megabyte without an end is refused with 414': [`GET /${'x'.repeat(1e6)}`, 414],
  'a method of a megabyte is refused': ['G'.repeat(1e6), undefined],
};
for (const [what, [bytes, status]] of Object.entries(tooLarge)) {
  hostile(what, { growthMiB: 4 }, () => assertRefused(bytes, status));
}

hostile('random bytes get a 4xx and the end of the connection', { growthMiB: 4 }, async (t) => {
  const random = seededRandom(t);
  for (let i = 0; i < 100; i += 1) {
    const bytes = Buffer.concat([random.bytes(1 + random.size(2000)), Buffer.from('\r\n\r\n')]);
    await assertRefused(bytes.toString('latin1')).catch((error) => assert.fail(`${bytes.toString('hex')}: ${error.message}`));
  }
});

hostile('good requests with a few bytes changed at random get a 4xx', { growthMiB: 8 }, async (t) => {
  const random = seededRandom(t);
  const good = upgradeRequest('/socket/websocket?vsn=2.0.0');
  const spoil = () => {
    const bytes = Buffer.from(good);
    for (let changes = random.below(4); changes >= 0; changes -= 1) bytes[random.below(bytes.length)] = random.below(256);
    return bytes.toString('latin1');
  };
  await Promise.all(Array.from({ length: 300 }, spoil).map(async (text) => {  // none of them carries a token
    const socket = await RawSocket.connect(server.port);
    const { status } = await httpExchange(socket, text).catch((error) => assert.fail(`${JSON.stringify(text)}: ${error.message}`));
    assert.ok(status >= 400 && status < 500, `${status} for ${JSON.stringify(text)}`);
    socket.destroy();
  }));
});
