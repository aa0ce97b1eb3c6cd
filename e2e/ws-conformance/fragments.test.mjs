// Messages in several frames, and control frames between them. RFC 6455 5.4.
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { BINARY, converse, converseInEveryDelivery, got, put, RawClient, TEXT } from './raw_client.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const holds = (name, send, expect) => test(name, () => converseInEveryDelivery(server.port, { send, expect }));
const open = { fin: false };
const nothingToContinue = [put.continuation('lost', open), put.text('Hello')];

holds('a text message in two fragments comes back as one', [put.text('frag', open), put.continuation('ments')], [got.text('fragments')]);
holds('a binary message in three fragments comes back as one',
  [put.binary('a', open), put.continuation('b', open), put.continuation('c')], [got.binary('abc')]);
holds('a message of empty fragments is an empty message',
  [put.text('', open), put.continuation('', open), put.continuation('')], [got.text('')]);
holds('empty fragments between full ones add nothing',
  [put.text('', open), put.continuation('middle', open), put.continuation('')], [got.text('middle')]);
holds('two fragmented messages in a row do not mix',
  [put.text('a', open), put.continuation('b'), put.binary('c', open), put.continuation('d')], [got.text('ab'), got.binary('cd')]);

// Control frames.
holds('a ping in two fragments is refused', [put.ping('frag', open), put.continuation('ment')], [got.close(1002)]);
holds('a pong in two fragments is refused', [put.pong('frag', open), put.continuation('ment')], [got.close(1002)]);
holds('a close frame in two fragments is refused', [put.close(1000, '', open), put.continuation('ment')], [got.close(1002)]);
holds('a ping between two fragments is answered before the message is complete',
  [put.text('frag', open), put.ping('now'), put.continuation('ments')], [got.pong('now'), got.text('fragments')]);
holds('pings between five fragments are answered one by one',
  [put.text('1', open), put.continuation('2', open), put.ping('a'), put.continuation('3', open), put.continuation('4', open),
    put.ping('b'), put.continuation('5')],
  [got.pong('a'), got.pong('b'), got.text('12345')]);
holds('a pong between two fragments is ignored', [put.text('a', open), put.pong('x'), put.continuation('b')], [got.text('ab')]);
holds('a fragmented ping between fragments is refused', [put.text('a', open), put.ping('x', open)], [got.close(1002)]);

test('a ping between two fragments is answered while the second one is still to come', async () => {
  const client = await RawClient.open(server.port);
  for (const round of ['one', 'two', 'three']) {
    await client.write(round === 'one' ? put.text(round, open) : put.continuation(round, open));
    await client.write(put.ping(round));
    await client.expect(got.pong(round));
  }
  await client.write(put.continuation('!'));
  await client.expect(got.text('onetwothree!'));
  client.destroy();
});

test('a ping in the midst of a long message that is still arriving waits for nothing but its own bytes', async () => {
  const client = await RawClient.open(server.port);
  const long = put.binary(Buffer.alloc(100_000, 1), open);
  const whole = Buffer.concat([long, put.ping('p')]);
  await client.write(whole.subarray(0, whole.length - 1));
  await client.write(whole.subarray(whole.length - 1));
  await client.expect(got.pong('p'));
  client.destroy();
});

// Wrong orders.
holds('a continuation of nothing is refused', [put.continuation('lost'), put.text('Hello')], [got.close(1002)]);
holds('an unfinished continuation of nothing is refused', nothingToContinue, [got.close(1002)]);
holds('a continuation after a whole message is refused',
  [put.text('whole'), put.continuation('more')], [got.text('whole'), got.close(1002)]);
holds('a continuation after a message in two fragments is refused',
  [put.text('frag', open), put.continuation('ments'), ...nothingToContinue], [got.text('fragments'), got.close(1002)]);
holds('a message that begins inside another one is refused', [put.text('a', open), put.text('b')], [got.close(1002)]);
holds('a binary message that begins inside a text message is refused', [put.text('a', open), put.binary('b')], [got.close(1002)]);
holds('a fragmented message that begins inside another one is refused', [put.text('a', open), put.text('b', open)], [got.close(1002)]);
holds('continuations and beginnings in turn are refused at the first',
  [put.continuation('a', open), put.text('b', open), put.continuation('c'), put.continuation('d')], [got.close(1002)]);

// A long message, cut evenly.
const long = Buffer.from('-=0123456789_'.repeat(6000).slice(0, 65536));
for (const size of [64, 256, 1000, 1024, 1300, 4096, 32768, 65535]) {
  for (const [kind, opcode] of [['text', TEXT], ['binary', BINARY]]) {
    test(`a ${kind} message of 65536 bytes in fragments of ${size} comes back as one frame`, () => converse(server.port, {
      send: put.fragments(opcode, long, size),
      expect: [kind === 'text' ? got.text(long) : got.binary(long)],
      deliver: (client, frames) => client.write(Buffer.concat(frames)),
    }));
  }
}
