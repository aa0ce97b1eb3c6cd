// Text is UTF-8, and what is not is refused as soon as it can be known. RFC 6455 5.6 and 8.1, RFC 3629.
//
// Every text goes through in four ways: whole, in small pieces, a byte per fragment, and behind other text. So code
// points are split at each place where fragments and packets can split them.
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { converse, converseInEveryDelivery, got, put, TEXT } from './raw_client.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const character = (codePoint) => Buffer.from(String.fromCodePoint(codePoint));
const before = Buffer.from('κόσμε');

async function accepted(text) {
  await converseInEveryDelivery(server.port, { send: [put.text(text)], expect: [got.text(text)] });
  await converseInEveryDelivery(server.port, { send: put.fragments(TEXT, text, 1), expect: [got.text(text)] });
  const long = Buffer.concat([before, text, before]);
  await converse(server.port, { send: put.fragments(TEXT, long, 4), expect: [got.text(long)] });
}

async function refused(text) {
  const expect = [got.close(1007)];
  await converseInEveryDelivery(server.port, { send: [put.text(text), put.ping('late')], expect });
  await converseInEveryDelivery(server.port, { send: [...put.fragments(TEXT, text, 1), put.ping('late')], expect });
  await converse(server.port, { send: [put.text(Buffer.concat([before, text, before]))], expect });
}

const valid = {
  'Greek, Chinese and emoji': Buffer.from('κόσμε 你好 👩🏽‍🚀 ﷽'),
  'a byte order mark': hex('efbbbf'),
  'U+0000': hex('00'),
  'the first and the last character of one, two, three and four bytes':
    Buffer.concat([0x1, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff].map(character)),
  'the neighbours of the surrogates': Buffer.concat([0xd7ff, 0xe000].map(character)),
  'the replacement character': character(0xfffd),
  'combining marks without a letter': Buffer.from('\u0301\u0308'),
};
for (let plane = 0; plane <= 0x10; plane += 1) {
  valid[`the noncharacters of plane ${plane}`] = Buffer.concat([0xfffe, 0xffff].map((low) => character(plane * 0x10000 + low)));
}
valid['the noncharacters U+FDD0 to U+FDEF'] = Buffer.concat([0xfdd0, 0xfdef].map(character));
for (const [what, text] of Object.entries(valid)) test(`text with ${what} is accepted`, () => accepted(text));

const invalid = {
  'a lone continuation byte': ['80', 'bf', '80 bf', '80 bf 80', '80 bf 80 bf 80 bf'],
  'the start of a sequence without its rest':
    ['c3 20', 'df 20', 'e0 20', 'e0 a0 20', 'ef bf 20', 'f0 20', 'f0 90 20', 'f0 90 80 20', 'f4 8f bf 20'],
  'two starts in a row': ['c3 c3', 'e2 e2 82', 'f0 9f f0 9f'],
  'bytes that UTF-8 never uses': ['fe', 'ff', 'fe fe ff ff', 'c0', 'c1', 'f5', 'f8', 'fc'],
  'an overlong slash': ['c0 af', 'e0 80 af', 'f0 80 80 af', 'f8 80 80 80 af', 'fc 80 80 80 80 af'],
  'an overlong NUL': ['c0 80', 'e0 80 80', 'f0 80 80 80', 'f8 80 80 80 80', 'fc 80 80 80 80 80'],
  'the longest overlong sequences': ['c1 bf', 'e0 9f bf', 'f0 8f bf bf', 'f8 87 bf bf bf', 'fc 83 bf bf bf bf'],
  'a surrogate': ['ed a0 80', 'ed ad bf', 'ed ae 80', 'ed af bf', 'ed b0 80', 'ed be 80', 'ed bf bf'],
  'a pair of surrogates': ['ed a0 80 ed b0 80', 'ed ad bf ed bf bf', 'ed af bf ed b0 80', 'ed af bf ed bf bf'],
  'a code point above U+10FFFF': ['f4 90 80 80', 'f4 bf bf bf', 'f5 80 80 80', 'f7 bf bf bf'],
  'a sequence of five or six bytes': ['f8 88 80 80 80', 'fb bf bf bf bf', 'fc 84 80 80 80 80', 'fd bf bf bf bf bf'],
  'a good beginning and a bad end': ['ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64', '68 65 6c 6c 6f ff'],
};
for (const [what, texts] of Object.entries(invalid)) {
  test(`text with ${what} is refused with 1007`, async () => { for (const text of texts) await refused(hex(text)); });
}

test('text that ends in the midst of a character is refused with 1007', async () => {
  for (const text of ['c3', 'ce ba e1 bd', 'e2 82', 'f0', 'f0 9f', 'f0 9f 98', '24 c2']) await refused(hex(text));
});

test('bytes that are no UTF-8 are welcome in a binary message', async () => {
  const bytes = hex('ff fe c0 80 ed a0 80 f4 90 80 80');
  await converseInEveryDelivery(server.port, { send: [put.binary(bytes)], expect: [got.binary(bytes)] });
});

test('an invalid text does not spoil the answer to the valid one before it', () =>
  converseInEveryDelivery(server.port, { send: [put.text('good'), put.text(hex('ff'))], expect: [got.text('good'), got.close(1007)] }));

test('a control frame between two halves of a character does no harm', () =>
  converseInEveryDelivery(server.port, {
    send: [put.text(hex('f0 9f'), { fin: false }), put.ping(hex('98')), put.continuation(hex('98 80'))],
    expect: [got.pong(hex('98')), got.text(hex('f0 9f 98 80'))],
  }));

// The shortest texts that no rest can make valid.
const hopeless = ['80', 'c0', 'c1', 'f5', 'ff', 'c3 28', 'e0 9f', 'e2 28', 'ed a0', 'f0 8f', 'f4 90', 'e2 82 28', 'f0 90 28', 'f0 9f 98 28']
  .map(hex);

test('an invalid sequence is refused before the rest of its message was sent', async () => {
  for (const bad of hopeless) {
    const text = Buffer.concat([before, bad]);
    const open = { fin: false };
    const byteByByte = [...text].map((byte, i) => (i === 0 ? put.text : put.continuation)(Buffer.from([byte]), open));
    for (const send of [[put.text(text, open)], [put.text(before, open), put.continuation(bad, open)], byteByByte]) {
      await converse(server.port, { send, expect: [got.close(1007)] });
    }
  }
});

test('an invalid sequence is refused before the rest of its frame was sent', async () => {
  for (const bad of hopeless) {
    for (const length of [100, 10_000, 1_000_000]) {
      const bytes = put.text(Buffer.concat([before, bad, Buffer.alloc(length, 0x61)]));
      const cut = bytes.length - length;
      await converse(server.port, { send: [bytes.subarray(0, cut)], expect: [got.close(1007)] });
      await converse(server.port, { send: [bytes.subarray(0, cut - 1), bytes.subarray(cut - 1, cut)], expect: [got.close(1007)] });
    }
  }
});
