// Single frames: sizes, pings, and everything that a client may not send. RFC 6455 5.2, 5.5 and 5.6.
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { converse, converseInEveryDelivery, frame, got, put } from './raw_client.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const holds = (name, send, expect) => test(name, () => converseInEveryDelivery(server.port, { send, expect }));

for (const size of [0, 1, 125, 126, 127, 128, 65535, 65536]) {
  const text = 'a*'.repeat(size).slice(0, size);
  const bytes = Buffer.from(Array.from({ length: size }, (_, i) => (i * 151) & 0xff));
  holds(`a text message of ${size} bytes comes back as it was`, [put.text(text)], [got.text(text)]);
  holds(`a binary message of ${size} bytes comes back as it was`, [put.binary(bytes)], [got.binary(bytes)]);
}

// Pings and pongs.
const octets = Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xc3, 0x28, 0x00, 0xff]);
const tenPings = Array.from({ length: 10 }, (_, i) => `ping ${i}`);
for (const [what, payload] of [['without payload', ''], ['with text', 'Hello'], ['with bytes that are no UTF-8', octets],
  ['with 125 bytes', Buffer.alloc(125, 0xfe)]]) {
  holds(`a ping ${what} is answered by a pong that carries the same`, [put.ping(payload)], [got.pong(payload)]);
}
holds('ten pings in a row are answered one by one, in order', tenPings.map((one) => put.ping(one)), tenPings.map(got.pong));
holds('a ping of 126 bytes is refused', [put.ping(Buffer.alloc(126, 0xfe))], [got.close(1002)]);
holds('a pong of 126 bytes is refused', [put.pong(Buffer.alloc(126, 0xfe))], [got.close(1002)]);
for (const payload of ['', 'nobody asked']) {
  holds(`a pong of ${payload.length} bytes that nobody asked for is ignored`, [put.pong(payload)], []);
  holds(`a ping after such a pong of ${payload.length} bytes is answered`,
    [put.pong(payload), put.ping('still here')], [got.pong('still here')]);
}

// Reserved bits and opcodes.
for (let rsv = 1; rsv <= 7; rsv += 1) {
  const bits = rsv.toString(2).padStart(3, '0');
  for (const [kind, send] of Object.entries({ text: put.text, binary: put.binary, ping: put.ping, pong: put.pong })) {
    holds(`a ${kind} frame with the reserved bits ${bits} is refused`, [send('x', { rsv })], [got.close(1002)]);
  }
  holds(`a close frame with the reserved bits ${bits} is refused`, [put.close(1000, '', { rsv })], [got.close(1002)]);
  holds(`a good message before one with the reserved bits ${bits} is still answered, one after it is not`,
    [put.text('good'), put.text('bad', { rsv }), put.ping('late')], [got.text('good'), got.close(1002)]);
  holds(`a fragment with the reserved bits ${bits} is refused`,
    [put.text('a', { fin: false }), put.continuation('b', { rsv })], [got.close(1002)]);
}
for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  holds(`an empty frame with the unknown opcode ${opcode} is refused`, [frame(opcode)], [got.close(1002)]);
  holds(`a frame with payload and the unknown opcode ${opcode} is refused`, [frame(opcode, 'payload')], [got.close(1002)]);
  holds(`a good message before one with the unknown opcode ${opcode} is still answered, one after it is not`,
    [put.text('good'), frame(opcode, 'bad'), put.ping('late')], [got.text('good'), got.close(1002)]);
  holds(`a fragment with the unknown opcode ${opcode} is refused`, [frame(opcode, 'x', { fin: false })], [got.close(1002)]);
}

// Masks and lengths.
for (const [kind, send] of Object.entries({ text: put.text, binary: put.binary, ping: put.ping })) {
  holds(`a ${kind} frame without mask is refused`, [send('naked', { masked: false })], [got.close(1002)]);
}
holds('a close frame without mask is refused', [put.close(1000, '', { masked: false })], [got.close(1002)]);
holds('a fragment without mask is refused',
  [put.text('a', { fin: false }), put.continuation('b', { masked: false })], [got.close(1002)]);
holds('a length with the top bit of its 64 set is refused', [put.binary('x', { announced: 2n ** 63n })], [got.close(1002)]);
holds('a length of 64 set bits is refused', [put.binary('x', { announced: 2n ** 64n - 1n })], [got.close(1002)]);
holds('a ping with its length in the long form is refused', [put.ping('x', { lengthBits: 16 })], [got.close(1002)]);

// A client must not write lengths longer than it has to; we are lenient, as most servers are.
for (const lengthBits of [16, 64]) {
  for (const size of lengthBits === 16 ? [0, 5, 125] : [0, 125, 126, 65535]) {
    holds(`a message of ${size} bytes whose length takes ${lengthBits} bits is accepted`,
      [put.binary(Buffer.alloc(size, 3), { lengthBits })], [got.binary(Buffer.alloc(size, 3))]);
  }
}

// What a header already gives away is refused before any payload has come.
for (const [what, header] of Object.entries({
  'an unknown opcode': frame(3, '', { announced: 100 }),
  'a reserved bit': put.text('', { rsv: 4, announced: 100 }),
  'no mask': put.text('', { masked: false, announced: 100 }),
  'a ping longer than 125 bytes': put.ping('', { announced: 126 }),
  'a fragmented ping': put.ping('', { fin: false, announced: 100 }),
  'a continuation of nothing': put.continuation('', { announced: 100 }),
  'a length of 2^63': put.binary('', { announced: 2n ** 63n }),
})) {
  test(`a header that announces ${what} is refused at once`, () => converse(server.port, { send: [header], expect: [got.close(1002)] }));
}
