// The opening handshake: who gets in, and what the answer says. RFC 6455 4.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { acceptOf, got, httpExchange, put, RawClient, RawSocket, upgradeRequest } from './raw_client.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

async function ask(text, size) {
  const socket = await RawSocket.connect(server.port);
  try {
    return await httpExchange(socket, text, size);
  } finally {
    socket.destroy();
  }
}

const upgrade = (headers) => upgradeRequest('/debug/echo', headers);

test('the answer proves that the server read the key', async () => {
  assert.equal(acceptOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'the example of RFC 6455 1.3');
  for (const key of ['dGhlIHNhbXBsZSBub25jZQ==', 'AAAAAAAAAAAAAAAAAAAAAA==', '/+/+/+/+/+/+/+/+/+/+/w==']) {
    const { status, headers } = await ask(upgrade({ 'Sec-WebSocket-Key': key }));
    assert.equal(status, 101);
    assert.equal(headers['sec-websocket-accept'], acceptOf(key));
    assert.equal(headers.upgrade.toLowerCase(), 'websocket');
    assert.equal(headers.connection.toLowerCase(), 'upgrade');
  }
});

test('no extension and no subprotocol is chosen for a client that offers some', async () => {
  const { status, headers } = await ask(
    upgrade({ 'Sec-WebSocket-Extensions': 'x-unknown; a=1', 'Sec-WebSocket-Protocol': 'chat, superchat' }),
  );
  assert.equal(status, 101);
  assert.equal(headers['sec-websocket-extensions'], undefined);
  assert.equal(headers['sec-websocket-protocol'], undefined);
});

const welcome = {
  'header names in lower case': (text) => text.replace(/^[\w-]+(?=:)/gm, (name) => name.toLowerCase()),
  'header names in upper case': (text) => text.replace(/^[\w-]+(?=:)/gm, (name) => name.toUpperCase()),
  'an upgrade token in mixed case': (text) => text.replace('Upgrade: websocket', 'Upgrade: WebSocket'),
  'a connection header that lists several tokens': (text) => text.replace('Connection: Upgrade', 'Connection: keep-alive, upgrade'),
  'spaces and tabs around header values': (text) => text.replace('Version: 13', 'Version: \t 13 \t'),
  'no space after the colons': (text) => text.replaceAll(': ', ':'),
  'an origin from anywhere': (text) => text.replace('\r\n\r\n', '\r\nOrigin: https://elsewhere.example\r\n\r\n'),
};
for (const [what, change] of Object.entries(welcome)) {
  test(`a handshake with ${what} is accepted`, async () => {
    const text = change(upgrade());
    assert.notEqual(text, upgrade());
    assert.equal((await ask(text)).status, 101);
  });
}

const refused = {
  'version 8': { 'Sec-WebSocket-Version': '8' },
  'version 0': { 'Sec-WebSocket-Version': '0' },
  'version 12': { 'Sec-WebSocket-Version': '12' },
  'version 14': { 'Sec-WebSocket-Version': '14' },
  'version 013': { 'Sec-WebSocket-Version': '013' },
  'a version that is no number': { 'Sec-WebSocket-Version': 'x' },
  'no version': { 'Sec-WebSocket-Version': undefined },
  'no key': { 'Sec-WebSocket-Key': undefined },
  'an empty key': { 'Sec-WebSocket-Key': '' },
  'no upgrade header': { Upgrade: undefined },
  'an upgrade to something else': { Upgrade: 'h2c' },
  'no connection header': { Connection: undefined },
  'a connection header without upgrade': { Connection: 'keep-alive' },
};
for (const [what, headers] of Object.entries(refused)) {
  test(`a handshake with ${what} is refused with 400`, async () => {
    assert.equal((await ask(upgrade(headers))).status, 400);
  });
}

test('a handshake in HTTP/1.0 is refused with 400', async () => {
  assert.equal((await ask(upgrade().replace('HTTP/1.1', 'HTTP/1.0'))).status, 400);
});

test('a handshake that arrives byte by byte is accepted', async () => {
  assert.equal((await ask(upgrade(), 1)).status, 101);
});

test('frames in the same packet as the handshake are answered', async () => {
  const early = Buffer.concat([put.text('early'), put.ping('bird'), put.binary(Buffer.alloc(3000, 7))]);
  const client = await RawClient.open(server.port, { early });
  await client.expect(got.text('early'), got.pong('bird'), got.binary(Buffer.alloc(3000, 7)));
  client.destroy();
});

test('a frame that is cut by the end of the handshake packet is answered once its rest has come', async () => {
  const bytes = put.text('cut in two');
  for (const at of [1, 2, 5, 6, 9]) {
    const client = await RawClient.open(server.port, { early: bytes.subarray(0, at) });
    await client.write(bytes.subarray(at));
    await client.expect(got.text('cut in two'));
    client.destroy();
  }
});
