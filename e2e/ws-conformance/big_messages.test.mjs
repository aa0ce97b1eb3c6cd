// Big messages, the limit, and a long random stream. RFC 6455 5.4 and 10.4, protocol.md 1.7.
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { BINARY, converse, frame, got, put, RawClient, TEXT } from './raw_client.mjs';
import { seededRandom } from '../harness/random.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const KIB = 1024;
const MIB = 1024 * KIB;
const LIMIT = 64 * MIB;
const together = (client, frames) => client.write(Buffer.concat(frames));

const binary = (size) => Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
// The first letter shifts the others, so that cuts at round numbers split characters.
const text = (size) => Buffer.from(`a${'καλημέ👋'.repeat(size / 16 - 1)}${'z'.repeat(15)}`);

for (const mib of [1, 16]) {
  for (const [kind, opcode, payload] of [['text', TEXT, text(mib * MIB)], ['binary', BINARY, binary(mib * MIB)]]) {
    const expect = [opcode === TEXT ? got.text(payload) : got.binary(payload)];
    for (const [how, size] of [['one frame', payload.length], ['fragments of 64 KiB', 64 * KIB], ['fragments of 4 KiB', 4 * KIB]]) {
      test(`a ${kind} message of ${mib} MiB in ${how} comes back as it was`, () =>
        converse(server.port, { send: put.fragments(opcode, payload, size), expect, deliver: together }));
    }
  }
  test(`a message of ${mib} MiB written in pieces of 4 KiB comes back as it was`, () =>
    converse(server.port, {
      send: [put.binary(binary(mib * MIB))],
      expect: [got.binary(binary(mib * MIB))],
      deliver: (client, [bytes]) => client.write(bytes, 4 * KIB),
    }));
}

test('a message of 64 MiB is accepted', () =>
  converse(server.port, { send: [put.binary(binary(LIMIT))], expect: [got.binary(binary(LIMIT))] }));

test('a message of 64 MiB in fragments of 1 MiB is accepted', () =>
  converse(server.port, { send: put.fragments(BINARY, binary(LIMIT), MIB), expect: [got.binary(binary(LIMIT))] }));

test('a frame that announces one byte more than 64 MiB is refused with 1009 before its payload has come', () =>
  converse(server.port, { send: [put.binary('', { announced: LIMIT + 1 })], expect: [got.close(1009)] }));

test('a fragment that would make a message one byte more than 64 MiB is refused with 1009 before its payload has come', () => {
  const begun = put.fragments(BINARY, binary(LIMIT), MIB).slice(0, -1);
  const send = [...begun, put.continuation(binary(MIB), { fin: false }), put.continuation('', { announced: 1 })];
  return converse(server.port, { send, expect: [got.close(1009)], deliver: together });
});

test('after a message of the largest size the next small one is answered too', () =>
  converse(server.port, {
    send: [put.binary(binary(LIMIT)), put.text('small')],
    expect: [got.binary(binary(LIMIT)), got.text('small')],
    deliver: together,
  }));

// Messages of all kinds and sizes, fragmented at random with control frames between, in one stream that is cut at random.
function randomStream(random, messages) {
  const frames = [];
  const expect = [];
  const sometimesPing = () => {
    if (!random.chance(0.2)) return;
    const payload = random.bytes(random.below(126));
    frames.push(random.chance(0.3) ? put.pong(payload) : put.ping(payload));
    if ((frames.at(-1)[0] & 0x0f) === 9) expect.push(got.pong(payload));
  };
  for (let i = 0; i < messages; i += 1) {
    const isText = random.chance(0.5);
    const payload = isText ? Buffer.from(random.text(random.size(30_000))) : random.bytes(random.size(100_000));
    const cuts = Array.from({ length: random.below(6) }, () => random.below(payload.length + 1)).sort((a, b) => a - b);
    const bounds = [0, ...cuts, payload.length];
    for (let part = 0; part + 1 < bounds.length; part += 1) {
      const opcode = part > 0 ? 0 : isText ? TEXT : BINARY;
      frames.push(frame(opcode, payload.subarray(bounds[part], bounds[part + 1]), { fin: part + 2 === bounds.length }));
      if (part + 2 === bounds.length) expect.push(isText ? got.text(payload) : got.binary(payload));
      sometimesPing();
    }
  }
  return { bytes: Buffer.concat(frames), expect };
}

test('a stream of messages that is cut at random places comes back the same', async (t) => {
  const random = seededRandom(t);
  for (let round = 0; round < 5; round += 1) {
    const { bytes, expect } = randomStream(random, 150);
    const client = await RawClient.open(server.port);
    const sending = (async () => {
      for (let at = 0; at < bytes.length;) {
        const size = random.size(50_000) + 1;
        await client.write(bytes.subarray(at, at + size));
        at += size;
      }
      await client.write(put.close(1000));
    })();
    await client.expect(...expect, got.close(1000));
    await sending;
    await client.expectEnd();
  }
});
