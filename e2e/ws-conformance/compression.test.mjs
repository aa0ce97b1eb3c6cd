// Compressed messages: what is read, what is sent, and what is refused. RFC 7692 6, 7.2 and 8.
//
// The client is ours, with zlib of Node: each message that the server compressed is inflated on its own. The long runs
// follow groups 12 and 13 of the Autobahn suite.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, suite, test } from 'node:test';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { WebSocket as WsSocket } from 'ws';
import { startServer } from '../harness/server.mjs';
import {
  BINARY,
  COMPRESSED,
  TEXT,
  closePayload,
  compressed,
  converse,
  converseInEveryDelivery,
  deflate,
  frame,
  got,
  plain,
  put,
  RawClient,
} from './raw_client.mjs';
import { seededRandom } from '../harness/random.mjs';

const server = await startServer({ debugEcho: true, args: ['--compression'] });
after(async () => assert.equal(await server.stop(), 0));

const KIB = 1024;
const MIB = 1024 * KIB;
const LIMIT = 64 * MIB;
const THRESHOLD = 512;
const HARMLESS = 256 * KIB;  // what inflates to no more is no bomb, however small it came
const BOMB_RATIO = 100;

const offer = (parameters = '') => ({ 'Sec-WebSocket-Extensions': `permessage-deflate${parameters}` });
const headers = offer();
const open = { fin: false };
const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const together = (client, frames) => client.write(Buffer.concat(frames));

const talk = (conversation) => converse(server.port, { headers, ...conversation });
const holds = (name, send, expect) => test(name, () => converseInEveryDelivery(server.port, { headers, send, expect }));

const textOf = (length) => 'Compression pays where words repeat. '.repeat(length / 37 + 1).slice(0, length);
const asText = (deflated, options) => put.text(deflated, { ...COMPRESSED, ...options });
const asBinary = (deflated, options) => put.binary(deflated, { ...COMPRESSED, ...options });

// The DEFLATE blocks of `payload` up to a flush, with its last bytes, so that more blocks may follow.
const blocks = (payload, options) => deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
// The same with the mark of a final block.
const finalBlocks = (payload, options) => deflateRawSync(payload, options);
const EMPTY_BLOCK = hex('00 0000 ffff');

suite('the reserved bits', () => {
  holds('of the first frame say whether a message is compressed, and both kinds may alternate',
    [put.text('one'), put.compressed.text('two'), put.compressed.binary('three'), put.binary('four'), put.compressed.text('five')],
    [got.text('one'), got.text('two'), got.binary('three'), got.binary('four'), got.text('five')]);

  for (const [kind, bytes] of Object.entries({
    'ping': put.ping('x', COMPRESSED),
    'empty ping': put.ping('', COMPRESSED),
    'pong': put.pong('x', COMPRESSED),
    'close frame': put.close(1000, '', COMPRESSED),
    'compressed ping': put.ping(deflate('x'), COMPRESSED),
    'compressed close frame': frame(8, deflate(closePayload(1000)), COMPRESSED),
    'continuation of nothing': put.continuation('x', COMPRESSED),
    'frame with the unknown opcode 3': frame(3, 'x', COMPRESSED),
    'frame with the unknown opcode 15': frame(15, 'x', COMPRESSED),
  })) {
    holds(`must not mark a ${kind} as compressed`, [bytes], [got.close(1002)]);
    holds(`must not mark a ${kind} as compressed, and what was good before is still answered`,
      [put.compressed.text('good'), bytes, put.ping('late')], [got.text('good'), got.close(1002)]);
  }

  const [first, second] = [deflate('in two frames').subarray(0, 5), deflate('in two frames').subarray(5)];
  for (const [place, fin] of [['the last', true], ['a middle', false]]) {
    holds(`must not mark ${place} frame of a compressed message`,
      [asText(first, open), put.continuation(second, { ...COMPRESSED, fin })], [got.close(1002)]);
    holds(`must not mark ${place} frame of a message that began uncompressed`,
      [put.text('plain', open), put.continuation(second, { ...COMPRESSED, fin })], [got.close(1002)]);
  }
  holds('must not mark a ping between the frames of a compressed message',
    [asText(first, open), put.ping('x', COMPRESSED)], [got.close(1002)]);

  for (const rsv of [1, 2, 3, 5, 6, 7]) {
    const bits = rsv.toString(2).padStart(3, '0');
    for (const [kind, bytes] of Object.entries({
      text: put.text(deflate('x'), { rsv }),
      binary: put.binary(deflate('x'), { rsv }),
      ping: put.ping('x', { rsv }),
      close: put.close(1000, '', { rsv }),
    })) {
      holds(`must not be ${bits} in a ${kind} frame`, [bytes], [got.close(1002)]);
    }
    holds(`must not be ${bits} in a continuation`, [asText(first, open), put.continuation(second, { rsv })], [got.close(1002)]);
  }

  for (const [what, bytes] of Object.entries({
    'a compressed ping': put.ping('', { ...COMPRESSED, announced: 100 }),
    'a compressed continuation of nothing': put.continuation('', { ...COMPRESSED, announced: 100 }),
    'RSV2 next to RSV1': put.text('', { rsv: 6, announced: 100 }),
  })) {
    test(`of a header that announces ${what} are refused before any payload has come`, () => talk({ send: [bytes], expect: [got.close(1002)] }));
  }
});

suite('a compressed message may be', () => {
  // The examples of RFC 7692 7.2.3.
  for (const [what, bytes] of Object.entries({
    'a block with fixed codes': 'f2 48 cd c9 c9 07 00',
    'a stored block': '00 05 00 fa ff 48 65 6c 6c 6f 00',
    'a final block with an empty one after it': 'f3 48 cd c9 c9 07 00 00',
    'two blocks, the first of one letter': 'f2 48 05 00 00 00 ff ff ca c9 c9 07 00',
  })) {
    holds(`the example of the RFC: ${what}`, [asText(hex(bytes))], [got.text('Hello')]);
    holds(`the example of the RFC, a byte per frame: ${what}`, put.fragments(TEXT, hex(bytes), 1, COMPRESSED), [got.text('Hello')]);
  }
  holds('the example of the RFC in two frames', [asText(hex('f2 48 cd'), open), put.continuation(hex('c9 c9 07 00'))], [got.text('Hello')]);

  holds('empty', [asText(hex('00')), asBinary(hex('00')), put.text('next')], [got.text(''), got.binary(''), got.text('next')]);
  holds('an empty block with fixed codes', [asText(hex('02 00'))], [got.text('')]);
  holds('an empty final block', [asText(hex('03 00 00'))], [got.text('')]);
  holds('many empty blocks', [asText(Buffer.concat([...Array(500).fill(EMPTY_BLOCK), hex('00')]))], [got.text('')]);

  const parts = ['alpha '.repeat(200), '', 'beta', 'gamma '.repeat(3000)];
  const whole = parts.join('');
  const joined = (make) => Buffer.concat([...parts.map((part) => make(Buffer.from(part))), hex('00')]);
  holds('several flushed pieces', [asText(joined(blocks))], [got.text(whole)]);
  holds('several pieces after a full flush', [asText(joined((part) => blocks(part, { finishFlush: constants.Z_FULL_FLUSH })))], [got.text(whole)]);
  holds('several stored blocks', [asText(joined((part) => blocks(part, { level: 0 })))], [got.text(whole)]);
  holds('several blocks that each say they were final', [asText(joined(finalBlocks))], [got.text(whole)]);
  holds('final, stored and other blocks in turn',
    [asText(Buffer.concat([blocks('a'), finalBlocks('b'), blocks('c', { level: 0 }), finalBlocks('d', { level: 0 }), deflate('e')]))],
    [got.text('abcde')]);
  holds('a final block and the rest in another frame',
    [asText(finalBlocks('first, '), open), put.ping('between'), put.continuation(deflate('second'))],
    [got.pong('between'), got.text('first, second')]);

  // Every way in which zlib can make one.
  const squares = Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * i) % 251));
  const mixed = Buffer.concat([Buffer.from(textOf(3000)), Buffer.alloc(5000, 'a'), squares]);
  const madeWith = (name, options) => test(name, async () => {
    const send = options.map((one) => asBinary(deflate(mixed, one)));
    await talk({ send, expect: send.map(() => got.binary(mixed)) });
  });
  const upTo = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  madeWith('made at each level', upTo(0, 9).map((level) => ({ level })));
  madeWith('made with each window', upTo(9, 15).map((windowBits) => ({ windowBits })));
  madeWith('made with little memory and with much', upTo(1, 9).map((memLevel) => ({ memLevel })));
  madeWith('made by each strategy', ['Z_FILTERED', 'Z_HUFFMAN_ONLY', 'Z_RLE', 'Z_FIXED'].map((name) => ({ strategy: constants[name] })));

  const noise = Buffer.from(Array.from({ length: 40_000 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 11) & 0xff));
  const farBack = Buffer.concat([noise.subarray(0, 32_000), noise.subarray(0, 32_000)]);
  test('one that refers back as far as DEFLATE can', () => talk({ send: [put.compressed.binary(farBack)], expect: [got.binary(farBack)] }));
  test('larger than what it stands for', () =>
    talk({ send: [asBinary(Buffer.concat([...Array(1000).fill(EMPTY_BLOCK), deflate('x')]))], expect: [got.binary('x')] }));
});

suite('the frames of a compressed message', () => {
  const long = Buffer.from(textOf(5000));
  const deflated = deflate(long);

  for (const size of [1, 2, 3, 7, 16, deflated.length - 1]) {
    holds(`may have ${size} bytes`, put.fragments(TEXT, deflated, size, COMPRESSED), [compressed(got.text(long))]);
  }
  holds('may be empty',
    [asText('', open), put.continuation('', open), put.continuation(deflated.subarray(0, 9), open), put.continuation('', open),
      put.continuation(deflated.subarray(9), open), put.continuation('')],
    [got.text(long)]);
  holds('may have control frames between them, which are answered at once',
    [asText(deflated.subarray(0, 20), open), put.ping('a'), put.pong('nobody asked'), put.continuation(deflated.subarray(20, 40), open),
      put.ping('b'), put.continuation(deflated.subarray(40))],
    [got.pong('a'), got.pong('b'), got.text(long)]);
  holds('do not mix with those of the next message',
    [...put.fragments(TEXT, deflate('one'), 2, COMPRESSED), ...put.fragments(BINARY, Buffer.from('two'), 2),
      ...put.fragments(BINARY, deflate('three'), 2, COMPRESSED)],
    [got.text('one'), got.binary('two'), got.binary('three')]);
  holds('may be left unfinished by a close', [asText(deflated.subarray(0, 20), open), put.close(4000)], [got.close(4000)]);

  test('may be many, and a ping among them does not wait for the last one', async () => {
    const client = await RawClient.open(server.port, { headers });
    for (const [index, bytes] of put.fragments(TEXT, deflated, 10, COMPRESSED).slice(0, -1).entries()) {
      await client.write(Buffer.concat([bytes, put.ping(`${index}`)]));
      await client.expect(got.pong(`${index}`));
    }
    await client.write(put.fragments(TEXT, deflated, 10, COMPRESSED).at(-1));
    await client.expect(got.text(long));
    client.destroy();
  });
});

suite('no context is kept', () => {
  holds('so a message that refers to the one before it is refused with 1007',
    [asText(hex('f2 48 cd c9 c9 07 00')), asText(hex('f2 00 11 00 00'))], [got.text('Hello'), got.close(1007)]);

  test('so equal messages are answered by equal frames, whatever was between them', async () => {
    const client = await RawClient.open(server.port, { headers });
    const wires = [];
    for (const text of [textOf(2000), 'x'.repeat(9000), textOf(2000), textOf(700), textOf(2000)]) {
      await client.write(put.compressed.text(text));
      const { payload, wire } = await client.frame();
      assert.equal(payload.toString(), text);
      if (text === textOf(2000)) wires.push(wire.toString('hex'));
    }
    assert.deepEqual(wires, Array(3).fill(wires[0]));
    client.destroy();
  });

  test('so many connections that send at the same time do not mix', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.open(server.port, { headers })));
    const texts = clients.map((_, i) => `${i} `.repeat(1000 + i));
    const frames = texts.map((text) => put.fragments(TEXT, deflate(text), 8, COMPRESSED));
    for (let round = 0; frames.some((left) => round < left.length); round += 1) {
      await Promise.all(clients.map((client, i) => client.write(frames[i][round] ?? Buffer.alloc(0))));
    }
    for (const [i, client] of clients.entries()) {
      await client.expect(compressed(got.text(texts[i])));
      client.destroy();
    }
  });

  test('so a client that is closed for its bad data spoils nothing for another one', async () => {
    const good = await RawClient.open(server.port, { headers });
    for (const bad of [hex('07'), hex('f2 00 11 00 00'), deflate(Buffer.alloc(2 * MIB)), deflate(hex('ff'))]) {
      await good.write(asText(deflate(textOf(900)).subarray(0, 9), open));
      await talk({ send: [asText(bad)], expect: [got.close(1007, 1009)] });
      await good.write(put.continuation(deflate(textOf(900)).subarray(9)));
      await good.expect(compressed(got.text(textOf(900))));
    }
    good.destroy();
  });
});

suite('what comes back', () => {
  holds('is compressed from the threshold on',
    [THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 5000].map((length) => put.compressed.text(textOf(length))),
    [plain(got.text(textOf(THRESHOLD - 1))), ...[THRESHOLD, THRESHOLD + 1, 5000].map((length) => compressed(got.text(textOf(length))))]);
  holds('is compressed by its own size, not by that of the frame that brought it',
    [asText(Buffer.concat([...Array(200).fill(EMPTY_BLOCK), deflate('small')])), put.compressed.binary(Buffer.alloc(50_000))],
    [plain(got.text('small')), compressed(got.binary(Buffer.alloc(50_000)))]);
  holds('is not compressed where it is a pong or a close frame, though both be full',
    [put.ping('p'.repeat(125)), put.close(1000, 'r'.repeat(123))], [plain(got.pong('p'.repeat(125))), plain(got.close(1000))]);
  holds('is the same for a client that compresses nothing itself',
    [put.text(textOf(100)), put.text(textOf(5000))], [plain(got.text(textOf(100))), got.text(textOf(5000))]);

  test('is hardly longer than what was sent, even if that cannot be compressed', async (t) => {
    const random = seededRandom(t);
    const client = await RawClient.open(server.port, { headers });
    for (const length of [THRESHOLD, 5000, 100_000]) {
      const payload = random.bytes(length);
      await client.write(put.compressed.binary(payload));
      const { payload: echoed, wire } = await client.frame();
      assert.ok(echoed.equals(payload));
      assert.ok(wire.length <= length + length / 1000 + 10, `${length} bytes took ${wire.length}`);
    }
    client.destroy();
  });

  test('is compressed from another threshold on, and harder, where the server was told so', async () => {
    const lengths = {};
    for (const level of [1, 9]) {
      const env = { WEBSOCKET_COMPRESSION_THRESHOLD_BYTES: 100, WEBSOCKET_COMPRESSION_LEVEL: level };
      const told = await startServer({ debugEcho: true, args: ['--compression'], env });
      const client = await RawClient.open(told.port, { headers });
      await client.write(Buffer.concat([99, 100].map((length) => put.text(textOf(length)))));
      await client.expect(plain(got.text(textOf(99))), compressed(got.text(textOf(100))));
      const json = JSON.stringify(Array.from({ length: 2000 }, (_, i) => ({ id: i * 7919, name: `user ${i % 37}`, at: i * i })));
      await client.write(put.compressed.text(json));
      const { payload, wire } = await client.frame();
      assert.equal(payload.toString(), json);
      lengths[level] = wire.length;
      client.destroy();
      assert.equal(await told.stop(), 0);
    }
    assert.ok(lengths[9] < lengths[1], `level 9 took ${lengths[9]} bytes, level 1 ${lengths[1]}`);
  });
});

suite('text that was compressed', () => {
  const greek = Buffer.from('κόσμε 你好 👩🏽‍🚀 ﷽ '.repeat(40));
  holds('may be any Unicode', [put.compressed.text(greek)], [compressed(got.text(greek))]);
  holds('may be any Unicode, a byte per frame', put.fragments(TEXT, deflate(greek), 1, COMPRESSED), [got.text(greek)]);
  holds('may be split over blocks in the midst of a character',
    [asText(Buffer.concat([blocks(hex('f0 9f')), deflate(hex('98 80'))]))], [got.text(hex('f0 9f 98 80'))]);

  const before = Buffer.from('κόσμε');
  for (const bytes of ['80', 'ff', 'c0 80', 'c3 28', 'ed a0 80', 'f4 90 80 80', 'c3', 'e2 82', 'f0 9f 98']) {
    const bad = Buffer.concat([before, hex(bytes)]);
    holds(`is refused with 1007 where it inflates to ${bytes}, which is no UTF-8`, [put.compressed.text(bad), put.ping('late')], [got.close(1007)]);
    test(`is refused with 1007 where it inflates to ${bytes} in the midst of a long text`, async () => {
      const long = Buffer.concat([Buffer.from(textOf(20_000)), hex(bytes), Buffer.from(textOf(20_000))]);
      await talk({ send: put.fragments(TEXT, deflate(long), 64, COMPRESSED), expect: [got.close(1007)] });
    });
  }
  holds('does not spoil the answer to what came before it',
    [put.compressed.text('good'), put.compressed.text(hex('ff'))], [got.text('good'), got.close(1007)]);
  holds('is judged by what it inflates to, so the compressed bytes need not be UTF-8',
    [asText(deflate('Hello')), asText(blocks('Hello', { level: 0 }).subarray(0, -4))], [got.text('Hello'), got.text('Hello')]);
  holds('has to be UTF-8, but binary messages do not',
    [put.compressed.binary(hex('ff fe c0 80 ed a0 80'))], [got.binary(hex('ff fe c0 80 ed a0 80'))]);
});

suite('data that is no DEFLATE', () => {
  // After the examples that zlib tests itself with.
  for (const [what, bytes] of Object.entries({
    'an unknown block type': '06',
    'an unknown type in the second block': '00 0000 ffff 06',
    'a stored block whose two lengths disagree': '00 01 00 00 00 61',
    'too many length codes': 'fc 00 00',
    'impossible lengths of codes': '04 00 fe ff',
    'a length that repeats nothing': '04 00 24 49 00',
    'more lengths than there are codes': '04 00 24 e9 ff ff',
    'no code for the end of a block': '04 00 24 e9 ff 6d',
    'impossible codes for letters': '04 80 49 92 24 49 92 24 71 ff ff 93 11 00',
    'impossible codes for distances': '04 80 49 92 24 49 92 24 0f b4 ff ff c3 84',
    'an unknown distance': '02 7e ff ff',
    'a distance that reaches before the beginning': '0c c0 81 00 00 00 00 00 90 ff 6b 04 00',
    'a plain text': '48 65 6c 6c 6f 2c 20 57 6f 72 6c 64',
    'the header of zlib': '78 9c f2 48 cd c9 c9 07 00',
    'the header of gzip': '1f 8b 08 00 00 00 00 00 00 03 f2 48 cd c9 c9 07 00',
  })) {
    const bad = hex(bytes);
    const isBad = () => assert.throws(() => inflateRawSync(Buffer.concat([bad, hex('00 00 ff ff')]), { finishFlush: constants.Z_SYNC_FLUSH }));
    test(`such as ${what} is refused with 1007`, async () => {
      isBad();
      for (const send of [asText(bad), asBinary(bad)]) {
        await converseInEveryDelivery(server.port, { headers, send: [send, put.ping('late')], expect: [got.close(1007)] });
      }
      await talk({ send: put.fragments(BINARY, bad, 1, COMPRESSED), expect: [got.close(1007)] });
    });
  }

  holds('is refused with 1007 after a good beginning', [asBinary(Buffer.concat([blocks(textOf(5000)), hex('06')]))], [got.close(1007)]);
  holds('is refused with 1007 after a final block', [asBinary(Buffer.concat([finalBlocks('good'), hex('06')]))], [got.close(1007)]);
  holds('does not hide the answer to what came before it',
    [put.compressed.text('good'), asText(hex('06')), put.compressed.text('late')], [got.text('good'), got.close(1007)]);

  // The bytes that zlib finds in all DEFLATE streams of a message; `complete` says that the last block ends where it should.
  function verdict(payload) {
    const inflateAll = (bytes, finishFlush) => {
      const out = [];
      for (let at = 0; at < bytes.length;) {
        const { buffer, engine } = inflateRawSync(bytes.subarray(at), { finishFlush, info: true, maxOutputLength: LIMIT });
        out.push(buffer);
        at += engine.bytesWritten;
      }
      return Buffer.concat(out);
    };
    const attempt = (...args) => { try { return inflateAll(...args); } catch { return undefined; } };
    const lenient = attempt(Buffer.concat([payload, hex('00 00 ff ff')]), constants.Z_SYNC_FLUSH);
    const strict = attempt(Buffer.concat([payload, hex('00 00 ff ff 03 00')]), constants.Z_FINISH);
    return { bytes: lenient, complete: lenient !== undefined && strict !== undefined && strict.equals(lenient) };
  }

  test('because its end is missing is refused with 1007, wherever it was cut', async () => {
    const text = Buffer.from('To be cut, or not to be cut: '.repeat(4));
    for (const options of [{}, { level: 0 }, { strategy: constants.Z_FIXED }]) {
      const good = deflate(text, options);
      for (let length = 1; length < good.length; length += 1) {
        const cut = good.subarray(0, length);
        // Of stored blocks the four bytes that no message has may take the place of those that were cut off.
        if (options.level === 0 && verdict(cut).complete) continue;
        assert.ok(!verdict(cut).complete, `${cut.toString('hex')} is good`);
        await talk({ send: [asText(cut)], expect: [got.close(1007)] });
      }
    }
  });

  test('by random damage is echoed as zlib reads it, or closed with 1007', async (t) => {
    const random = seededRandom(t);
    const seen = { refused: 0, echoed: 0 };
    for (let round = 0; round < 200; round += 1) {
      const original = random.chance(0.5) ? random.bytes(random.size(300)) : Buffer.from(textOf(random.size(3000)));
      const options = random.pick([{}, { level: 0 }, { strategy: constants.Z_FIXED }, { strategy: constants.Z_HUFFMAN_ONLY }]);
      let damaged = Buffer.from(deflate(original, options));
      const damage = random.pick(['flip', 'cut', 'append', 'replace']);
      if (damage === 'flip') damaged[random.below(damaged.length)] ^= 1 << random.below(8);
      if (damage === 'cut') damaged = damaged.subarray(0, random.below(damaged.length) + 1);
      if (damage === 'append') damaged = Buffer.concat([damaged, random.bytes(1 + random.below(8))]);
      if (damage === 'replace') damaged = random.bytes(1 + random.below(40));

      const { bytes, complete } = verdict(damaged);
      if (bytes?.length > HARMLESS) continue;  // could be taken for a bomb
      const client = await RawClient.open(server.port, { headers });
      await client.write(asBinary(damaged));
      const answer = await client.frame();
      const what = `${damage} made ${damaged.toString('hex')}`;
      if (answer.opcode === BINARY) {
        assert.ok(bytes !== undefined, `was echoed as ${answer.payload.toString('hex')}, but zlib cannot read it: ${what}`);
        assert.ok(answer.payload.equals(bytes), `was echoed as something else: ${what}`);
        seen.echoed += 1;
      } else {
        assert.deepEqual([answer.opcode, answer.payload], [8, closePayload(1007)], what);
        assert.ok(!complete, `was refused though it is good: ${what}`);
        seen.refused += 1;
      }
      client.destroy();
    }
    assert.ok(seen.refused > 10 && seen.echoed > 10, JSON.stringify(seen));
  });
});

suite('the limit of a message', () => {
  // 64 MiB that shrink, but not to a hundredth: a number in each 256 bytes, zeros between.
  const large = Buffer.alloc(LIMIT);
  for (let at = 0; at < LIMIT; at += 256) large.writeUInt32LE(Math.imul(at + 1, 2654435761) >>> 0, at);
  const largeBlocks = blocks(large, { level: 1 });

  // The small window spares the server the compression of the answer.
  test('counts what it inflates to, and 64 MiB are accepted', () =>
    talk({
      headers: offer('; server_max_window_bits=8'),
      send: [asBinary(Buffer.concat([largeBlocks, hex('00')]))],
      expect: [plain(got.binary(large))],
    }));

  test('counts what it inflates to, and one byte more than 64 MiB is refused with 1009', async () => {
    const tooLarge = Buffer.concat([largeBlocks, deflate('x')]);
    assert.ok(LIMIT + 1 <= BOMB_RATIO * tooLarge.length, 'this is a bomb, too');
    const send = [...put.fragments(BINARY, tooLarge, 64 * KIB, COMPRESSED), put.ping('late')];
    await talk({ send, expect: [got.close(1009)], deliver: together });
  });

  test('holds for what is announced, before any payload has come', () =>
    talk({ send: [asBinary('', { announced: LIMIT + 1 })], expect: [got.close(1009)] }));

  const zeros = (length) => Buffer.alloc(length);
  // As many empty blocks as fit, or one more, so that it has at least that many bytes.
  const padded = (deflated, length, { over }) => {
    const count = (length - deflated.length) / EMPTY_BLOCK.length;
    return Buffer.concat([...Array(over ? Math.ceil(count) : Math.ceil(count) - 1).fill(EMPTY_BLOCK), deflated]);
  };

  holds('is out of the question for 256 KiB, however small they were', [put.compressed.binary(zeros(HARMLESS))], [got.binary(zeros(HARMLESS))]);
  holds('is not needed to refuse a bomb with 1009', [put.compressed.binary(zeros(HARMLESS + 1)), put.ping('late')], [got.close(1009)]);
  holds('is not needed to refuse a bomb of text with 1009', [put.compressed.text('a'.repeat(MIB))], [got.close(1009)]);
  holds('is not needed to refuse a bomb of many frames with 1009', put.fragments(BINARY, deflate(zeros(MIB)), 100, COMPRESSED), [got.close(1009)]);
  holds('is not needed to refuse a bomb of many final blocks with 1009',
    [asBinary(Buffer.concat([...Array(20).fill(finalBlocks(zeros(20 * KIB))), hex('00')]))], [got.close(1009)]);

  test('is not needed to refuse what inflates to more than a hundred times its bytes, and a hundred times is accepted', async () => {
    const bytes = zeros(MIB);
    const bound = Math.ceil(MIB / BOMB_RATIO);
    const [harmless, bomb] = [true, false].map((over) => padded(deflate(bytes), bound, { over }));
    assert.ok(bomb.length < bound && bound <= harmless.length && harmless.length - bomb.length === EMPTY_BLOCK.length);
    await talk({ send: [asBinary(harmless)], expect: [got.binary(bytes)] });
    await talk({ send: [asBinary(bomb)], expect: [got.close(1009)] });
  });

  test('is passed by a bomb of a quarter of a gigabyte, which is refused with 1009', () =>
    talk({ send: [asBinary(Buffer.concat([...Array(256).fill(blocks(zeros(MIB))), hex('00')]))], expect: [got.close(1009)] }));

  test('and the bombs before it leave the server able to compress', () =>
    talk({ send: [put.compressed.text(textOf(5000))], expect: [compressed(got.text(textOf(5000)))] }));
});

// Group 12 of the Autobahn suite: [bytes of the message, bytes of a frame; 0: all in one].
const volumes = [
  ...[16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072].map((size) => [size, 0]),
  ...[8192, 16_384, 32_768, 65_536, 131_072].map((size) => [size, 256]),
  ...[1024, 4096, 32_768].map((fragment) => [131_072, fragment]),
];
const CORPUS_BYTES = 300_000;

// Letters and digits only, so that it may be cut anywhere.
function jsonCorpus(random) {
  let json = '';
  while (json.length < CORPUS_BYTES) {
    const tags = Array.from({ length: random.below(4) }, () => random.pick(['new', 'open', 'urgent', 'private']));
    json += JSON.stringify({ id: random.below(1e9), user: `user-${random.below(500)}`, at: random.next(), tags, ok: random.chance(0.5) });
  }
  return Buffer.from(json);
}

// Like a picture: runs of almost equal bytes, and noise.
function binaryCorpus(random) {
  const bytes = Buffer.alloc(CORPUS_BYTES);
  for (let at = 0, level = 0; at < CORPUS_BYTES; at += 1) {
    if (random.chance(0.05)) level = random.below(256);
    bytes[at] = random.chance(0.3) ? level ^ random.below(4) : level;
  }
  return bytes;
}

async function echoMany(random, { opcode, corpus, count, size, fragment, parameters, takes = () => true }) {
  const messages = Array.from({ length: count }, () => {
    const from = random.below(corpus.length - size);
    return corpus.subarray(from, from + size);
  });
  const expected = (message) => {
    const echo = opcode === TEXT ? got.text(message) : got.binary(message);
    return size >= THRESHOLD && takes(size) ? compressed(echo) : plain(echo);
  };
  const send = messages.flatMap((message) => put.fragments(opcode, deflate(message, { level: 1 }), fragment || Infinity, COMPRESSED));
  await talk({ headers: offer(parameters), send, expect: messages.map(expected), deliver: together });
}

suite('many messages', () => {
  for (const [kind, opcode, makeCorpus] of [['JSON', TEXT, jsonCorpus], ['binary', BINARY, binaryCorpus]]) {
    test(`of ${kind} come back as they were, in every size and cut`, async (t) => {
      const random = seededRandom(t);
      const corpus = makeCorpus(random);
      for (const [size, fragment] of volumes) {
        const count = size > 16_384 ? 10 : 50;
        await t.test(`${count} of ${size} bytes${fragment ? ` in frames of ${fragment}` : ''}`, () =>
          echoMany(random, { opcode, corpus, count, size, fragment }));
      }
    });
  }

  // Group 13: what the client asks for, and the window that the server is then bound to.
  for (const [parameters, bits] of [
    ['', 15],
    ['; server_no_context_takeover', 15],
    ['; server_max_window_bits=9', 9],
    ['; server_max_window_bits=15', 15],
    ['; server_no_context_takeover; server_max_window_bits=9', 9],
    ['; server_no_context_takeover; server_max_window_bits=15', 15],
    ['; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate', 9],
    ['; client_no_context_takeover; client_max_window_bits=9; server_max_window_bits=12', 12],
  ]) {
    test(`come back as they were for a client that offers permessage-deflate${parameters}`, async (t) => {
      const random = seededRandom(t);
      const takes = (size) => bits === 15 || size <= 2 ** bits;
      const corpora = [[TEXT, jsonCorpus(random)], [BINARY, binaryCorpus(random)]];
      for (const [index, [size, fragment]] of volumes.entries()) {
        const [opcode, corpus] = corpora[index % 2];
        const count = size > 16_384 ? 2 : 8;
        await echoMany(random, { opcode, corpus, count, size, fragment, parameters, takes });
      }
    });
  }

  // All kinds and sizes, some compressed, cut into frames at random with control frames between, in one stream cut at random.
  function randomStream(random, corpus, count) {
    const frames = [];
    const expect = [];
    for (let i = 0; i < count; i += 1) {
      const isText = random.chance(0.5);
      const from = random.below(corpus.length / 2);
      const text = random.chance(0.5) ? Buffer.from(random.text(random.size(3000))) : corpus.subarray(from, from + random.size(60_000));
      const payload = isText ? text : random.chance(0.3) ? random.bytes(random.size(20_000)) : text;
      const level = random.below(10);
      const squeeze = random.chance(0.7);
      const bytes = squeeze ? deflate(payload, { level, windowBits: 9 + random.below(7) }) : payload;
      const size = Math.max(1, Math.ceil(bytes.length / (1 + random.below(6))));
      for (const part of put.fragments(isText ? TEXT : BINARY, bytes, size, squeeze ? COMPRESSED : {})) {
        if (random.chance(0.1)) {
          const data = random.bytes(random.below(126));
          frames.push(put.ping(data));
          expect.push(plain(got.pong(data)));
        }
        frames.push(part);
      }
      const echo = isText ? got.text(payload) : got.binary(payload);
      expect.push(payload.length < THRESHOLD ? plain(echo) : echo);
    }
    return { bytes: Buffer.concat(frames), expect };
  }

  test('of all kinds, in a stream that is cut at random places, come back the same', async (t) => {
    const random = seededRandom(t);
    const corpus = jsonCorpus(random);
    for (let round = 0; round < 3; round += 1) {
      const { bytes, expect } = randomStream(random, corpus, 150);
      const deliver = async (client) => {
        for (let at = 0; at < bytes.length;) {
          const size = random.size(50_000) + 1;
          await client.write(bytes.subarray(at, at + size));
          at += size;
        }
      };
      await talk({ send: [], expect, deliver });
    }
  });
});

suite('clients of others', () => {
  const url = `ws://127.0.0.1:${server.port}/debug/echo`;
  const noisy = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * i) % 256));
  const payloads = ['short', textOf(600), textOf(100_000), 'καλημέ👋'.repeat(500), noisy, Buffer.alloc(0), Buffer.alloc(200_000, 7)];

  for (const perMessageDeflate of [
    { threshold: 0 },
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    { threshold: 0, serverMaxWindowBits: 10, clientMaxWindowBits: 10 },
    true,
  ]) {
    test(`such as ws get what they sent, with ${JSON.stringify(perMessageDeflate)}`, async () => {
      const socket = new WsSocket(url, { perMessageDeflate });
      await once(socket, 'open');
      assert.ok(socket.extensions.startsWith('permessage-deflate'), socket.extensions);
      for (const payload of payloads) {
        socket.send(payload, { binary: typeof payload !== 'string' });
        const [echoed, isBinary] = await once(socket, 'message');
        assert.equal(isBinary, typeof payload !== 'string');
        assert.ok(echoed.equals(Buffer.from(payload)), `${payload.length} bytes`);
      }
      const total = payloads.reduce((sum, payload) => sum + Buffer.byteLength(payload), 0);
      assert.ok(socket._socket.bytesWritten < total / 5, 'the client compressed nothing');
      if (!perMessageDeflate.serverMaxWindowBits) assert.ok(socket._socket.bytesRead < total / 5, 'the server compressed nothing');
      socket.close();
      await once(socket, 'close');
    });
  }

  test('such as ws get many messages at once in their order', async () => {
    const socket = new WsSocket(url, { perMessageDeflate: { threshold: 0 } });
    await once(socket, 'open');
    const texts = Array.from({ length: 300 }, (_, i) => `${i} ${textOf(1 + ((i * 37) % 2000))}`);
    const echoed = [];
    const all = new Promise((resolve) => socket.on('message', (data) => { if (echoed.push(data.toString()) === texts.length) resolve(); }));
    for (const text of texts) socket.send(text);
    await Promise.race([all, once(socket, 'close')]);
    assert.deepEqual(echoed, texts);
    socket.close();
    await once(socket, 'close');
  });

  // Node has the WebSocket of browsers.
  test('such as Node itself get what they sent', async () => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    const next = (event) => new Promise((resolve) => socket.addEventListener(event, resolve, { once: true }));
    await next('open');
    assert.match(socket.extensions, /^permessage-deflate/);
    for (const payload of payloads) {
      socket.send(payload);
      const { data } = await next('message');
      assert.ok(Buffer.from(data).equals(Buffer.from(payload)), `${payload.length} bytes`);
    }
    socket.close();
    await next('close');
  });
});
