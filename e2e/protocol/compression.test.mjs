// Channels of sockets with compression and without: everybody hears the same. RFC 7692, protocol.md 1.7 and 5.
//
// A broadcast is compressed once, so those who take it compressed all get the very same frame; how a frame looks on the wire
// is seen by the raw client.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { V1, V2, assertFrame, bothVersions, connect, encodePush, encodeText, encodeUserBroadcast, isReplyTo } from '../harness/phoenix.mjs';
import { startServer } from '../harness/server.mjs';
import { COMPRESSED, RawClient, TEXT, deflate, got, put } from '../ws-conformance/raw_client.mjs';
import { seededRandom } from '../harness/random.mjs';

const THRESHOLD = 512;
const SMALL_HOST = 'small.rt.example.test';
const SQUEEZES = { threshold: 0 }; // a client of the ws library that compresses whatever it sends
const OFFER = 'permessage-deflate; client_max_window_bits';

let server;
before(async () => {
  server = await startServer({
    workers: 2,
    args: ['--compression'],
    otherTenants: { small: { columns: { max_payload_size_in_kb: 1 } } },
  });
});
after(async () => assert.equal(await server.stop(), 0));

let topics = 0;
const newTopic = () => `realtime:compression ${++topics}`;
const long = { text: 'long enough to be compressed '.repeat(200), list: Array.from({ length: 300 }, (_, n) => n * n) };

// A sender, and receivers of both versions, each with compression and without, on a topic of their own.
async function room(vsn, perMessageDeflate) {
  const topic = newTopic();
  const kinds = [V1, V2].flatMap((version) => [true, false].map((deflates) => [version, deflates]));
  const sender = await connect(server, { vsn, perMessageDeflate });
  const open = ([version, deflates]) => connect(server, { vsn: version, perMessageDeflate: deflates });
  const receivers = await Promise.all(kinds.map(open));
  assert.equal(sender.socket.extensions !== '', Boolean(perMessageDeflate));
  for (const [n, [, deflates]] of kinds.entries()) assert.equal(receivers[n].socket.extensions !== '', deflates);
  for (const client of [sender, ...receivers]) await client.join(topic);
  const [v1, v2] = [1, 2].map((version) => receivers.filter((client) => client.version === version));
  return { topic, sender, receivers, v1, v2 };
}

// A raw socket on the topic. `offer` null: without compression.
async function joinRaw(topic, { vsn = V2, offer = OFFER } = {}) {
  const { pathname, search } = new URL(server.socketUrl({ vsn }));
  const headers = offer === null ? {} : { 'Sec-WebSocket-Extensions': offer };
  const client = await RawClient.open(server.port, { path: pathname + search, headers });
  const version = vsn === V1 ? 1 : 2;
  client.say = (fields, send = put.text) => client.write(send(encodeText(version, { joinRef: '1', ref: '1', topic, payload: {}, ...fields })));
  await client.say({ event: 'phx_join', payload: { config: {} } });
  assert.match((await client.frame()).payload.toString(), /"status":"ok"/);
  return client;
}

suite('a broadcast', () => {
  for (const [who, perMessageDeflate] of [['with compression', SQUEEZES], ['without compression', false]]) {
    bothVersions(`of a sender ${who} reaches receivers of all kinds`, async (vsn) => {
      const { topic, sender, receivers } = await room(vsn, perMessageDeflate);
      for (const payload of [{ n: 1 }, long, { n: 2 }, { ...long, more: 'x'.repeat(200_000) }]) {
        sender.broadcast(topic, 'hello', payload);
        for (const receiver of receivers) {
          const expected = { type: 'broadcast', event: 'hello', payload };
          assertFrame(await receiver.next(), { joinRef: null, ref: null, topic, event: 'broadcast', payload: expected });
        }
      }
      await sender.expectQuietAndJoined(topic);
    });

    bothVersions(`of a sender ${who} keeps its bytes`, async (vsn) => {
      const { topic, sender, receivers } = await room(vsn, perMessageDeflate);
      const payload = `{ "b":1.0,"a" : 1e2, "text":"\\u00e9é\\/", "long":"${'ΑΩ 👋 '.repeat(500)}" , "b": [ ] }`;
      sender.pushSource(topic, 'broadcast', payload);
      for (const receiver of receivers) {
        const { raw } = await receiver.next();
        assert.ok(raw.includes(payload), raw);
      }
    });

    test(`in binary frames of a sender ${who} arrives byte for byte`, async (t) => {
      const { topic, sender, v2, v1 } = await room(V2, perMessageDeflate);
      const json = `${JSON.stringify(long)} `;
      const bytes = Buffer.concat([seededRandom(t).bytes(3000), Buffer.alloc(70_000, 7)]);
      for (const [frame, expected] of [
        [encodeUserBroadcast({ topic, event: 'cursor', payload: json }), { kind: 4, userEvent: 'cursor', encoding: 1, payload: Buffer.from(json) }],
        [encodeUserBroadcast({ topic, event: 'cursor', encoding: 0, payload: bytes }), { kind: 4, encoding: 0, payload: bytes }],
        [encodePush({ joinRef: '1', ref: 'r', topic, event: 'broadcast', payload: bytes }), { kind: 2, payload: bytes }],
      ]) {
        sender.send(frame);
        for (const receiver of v2) assertFrame(await receiver.next(), expected);
      }
      for (const receiver of v1) {
        assertFrame(await receiver.next(), { topic, payload: { type: 'broadcast', event: 'cursor', payload: long } });
        await receiver.expectQuiet();
      }
    });
  }

  test('is the same frame for all who take it compressed, on all workers', async () => {
    for (const vsn of [V1, V2]) {
      const topic = newTopic();
      const sender = await joinRaw(topic, { vsn });
      const receivers = await Promise.all(Array.from({ length: 20 }, () => joinRaw(topic, { vsn })));
      const metrics = await server.metrics();
      for (const worker of ['0', '1']) assert.ok(metrics.value('realtime_worker_sessions', { worker }) > 0, `worker ${worker} is idle`);
      for (const payload of [long, { ...long, second: true }]) {
        await sender.say({ event: 'broadcast', payload });
        const frames = [];
        for (const receiver of receivers) frames.push(await receiver.frame());
        for (const { compressed, wire } of frames) {
          assert.ok(compressed);
          assert.ok(wire.equals(frames[0].wire));
        }
        assert.ok(frames[0].payload.includes(JSON.stringify(payload)));
      }
      for (const client of [sender, ...receivers]) client.destroy();
    }
  });

  bothVersions('comes compressed only to those who agreed to it, and only from the threshold on', async (vsn) => {
    const topic = newTopic();
    const sender = await joinRaw(topic, { offer: null });
    const kinds = [
      [OFFER, () => true],
      ['permessage-deflate; server_max_window_bits=10', (length) => length <= 1024],
      [null, () => false],
    ];
    const receivers = await Promise.all(kinds.map(([offer]) => joinRaw(topic, { vsn, offer })));
    for (const filler of [0, 100, 300, 500, 700, 1000, 50_000]) {
      await sender.say({ event: 'broadcast', payload: { filler: 'x'.repeat(filler) } });
      const seen = new Set();
      for (const [n, [offer, takes]] of kinds.entries()) {
        const { payload, compressed } = await receivers[n].frame();
        assert.equal(compressed, payload.length >= THRESHOLD && takes(payload.length), `${payload.length} bytes for ${offer}`);
        seen.add(payload.toString());
      }
      assert.equal(seen.size, 1, 'receivers got different frames');
    }
    for (const client of [sender, ...receivers]) client.destroy();
  });

  test('is compressed from the very byte of the threshold on', async () => {
    const topic = newTopic();
    const [sender, receiver] = [await joinRaw(topic), await joinRaw(topic)];
    const lengthOf = async (filler) => {
      await sender.say({ event: 'broadcast', payload: { filler: 'x'.repeat(filler) } });
      const { payload, compressed } = await receiver.frame();
      return { length: payload.length, compressed };
    };
    const { length: empty } = await lengthOf(0);
    for (const length of [THRESHOLD - 1, THRESHOLD, THRESHOLD + 1]) {
      assert.deepEqual(await lengthOf(length - empty), { length, compressed: length >= THRESHOLD });
    }
    for (const client of [sender, receiver]) client.destroy();
  });

  bothVersions('keeps its place among others, compressed or not', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn, SQUEEZES);
    const MESSAGES = 500;
    for (let n = 0; n < MESSAGES; n++) sender.broadcast(topic, 'count', { n, filler: 'x'.repeat(n % 3 === 0 ? 2000 : n % 50) });
    for (const receiver of receivers) {
      const seen = [];
      while (seen.length < MESSAGES) seen.push((await receiver.next()).payload.payload.n);
      assert.deepEqual(seen, Array.from({ length: MESSAGES }, (_, n) => n));
      await receiver.expectQuiet();
    }
  });

  bothVersions('counts at its full size towards the limit of the tenant', async (vsn) => {
    const client = await connect(server, { vsn, headers: { Host: SMALL_HOST }, perMessageDeflate: SQUEEZES });
    const topic = newTopic();
    await client.join(topic, { config: { broadcast: { ack: true } } });
    // {"d":"ddd..."} measures 17 and one for each d (protocol.md 5.5), and 1500 are allowed.
    for (const [size, status] of [[1500, 'ok'], [1501, 'error']]) {
      const response = status === 'ok' ? {} : 'payload_size_exceeded';
      assertFrame(await client.request(topic, 'broadcast', { d: 'd'.repeat(size - 17) }), { payload: { status, response } });
    }
  });
});

suite('a compressed message on a channel socket', () => {
  bothVersions('joins, leaves and beats like any other', async (vsn) => {
    const topic = newTopic();
    const client = await connect(server, { vsn, perMessageDeflate: SQUEEZES });
    await client.heartbeat();
    const changes = Array.from({ length: 30 }, (_, n) => ({ event: '*', schema: 'public', table: `table_${n}` }));
    const { payload } = await client.join(topic, { config: { postgres_changes: changes } });
    assert.equal(payload.response.postgres_changes.length, changes.length);
    assertFrame(await client.request(topic, 'phx_leave'), { payload: { status: 'ok', response: {} } });
  });

  test('may be sent without waiting for the answer to the handshake, once compression is certain to be agreed on', async () => {
    const { pathname, search } = new URL(server.socketUrl());
    const early = put.compressed.text('[null,"1","phoenix","heartbeat",{}]');
    const client = await RawClient.open(server.port, { path: pathname + search, headers: { 'Sec-WebSocket-Extensions': OFFER }, early });
    assert.deepEqual(await client.json(), [null, '1', 'phoenix', 'phx_reply', { status: 'ok', response: {} }]);
    client.destroy();
  });

  test('may be cut into frames with pings between', async () => {
    const topic = newTopic();
    const [sender, receiver] = [await joinRaw(topic), await joinRaw(topic)];
    const text = encodeText(2, { joinRef: '1', ref: null, topic, event: 'broadcast', payload: long });
    for (const frame of put.fragments(TEXT, deflate(text), 50, COMPRESSED)) {
      await sender.write(Buffer.concat([frame, put.ping('p')]));
      await sender.expect(got.pong('p'));
    }
    assert.deepEqual((await receiver.json())[4], long);
    for (const client of [sender, receiver]) client.destroy();
  });

  // A heartbeat of exactly that many bytes, which shrinks to about three quarters: what repeats is too far away for DEFLATE.
  function heartbeatOf(bytes, random) {
    const fields = { joinRef: null, ref: '1', topic: 'phoenix', event: 'heartbeat' };
    const frame = (filler) => encodeText(2, { ...fields, payload: { filler } });
    return frame(random.bytes(60_000).toString('base64').repeat(bytes / 80_000 + 1).slice(0, bytes - frame('').length));
  }

  test('may inflate to five million bytes and not one more', async (t) => {
    const random = seededRandom(t);
    const client = await connect(server, { perMessageDeflate: SQUEEZES });
    client.send(heartbeatOf(5_000_000, random));
    await client.next(isReplyTo('1'));
    client.send(heartbeatOf(5_000_001, random));
    assert.deepEqual(await client.waitForClose(), { code: 1009, reason: '' });
  });

  test('that inflates out of all proportion closes the socket with 1009, and no other', async () => {
    const topic = newTopic();
    const [bomber, witness] = [await joinRaw(topic), await joinRaw(topic)];
    await bomber.say({ event: 'broadcast', payload: { d: 'd'.repeat(1_000_000) } }, put.compressed.text);
    await bomber.expect(got.close(1009));
    await bomber.expectEnd();
    await witness.say({ topic: 'phoenix', event: 'heartbeat', joinRef: null, ref: '2' }, put.compressed.text);
    assert.deepEqual(await witness.json(), [null, '2', 'phoenix', 'phx_reply', { status: 'ok', response: {} }]);
    witness.destroy();
  });

  test('that is no DEFLATE closes the socket with 1007', async () => {
    const client = await joinRaw(newTopic());
    await client.write(put.text(Buffer.from([0x06]), COMPRESSED));
    await client.expect(got.close(1007));
    await client.expectEnd();
  });

  test('that inflates to text which is not UTF-8 is dropped like an uncompressed one, and the next is heard', async () => {
    const client = await connect(server, { perMessageDeflate: SQUEEZES });
    client.socket.send(Buffer.from('[null,"x","phoenix","heartbeat",{"a":"\xff\xc0"}]', 'latin1'), { binary: false });
    await client.expectQuiet();
  });

  bothVersions('that is empty or malformed is dropped and the next is heard', async (vsn) => {
    const client = await connect(server, { vsn, perMessageDeflate: SQUEEZES });
    for (const text of ['', '{', '[]', 'hello']) {
      client.send(text);
      await client.expectQuiet();
    }
  });

  test('is refused with 1002 where the socket agreed to no compression', async () => {
    const client = await joinRaw(newTopic(), { offer: null });
    await client.say({ event: 'heartbeat' }, put.compressed.text);
    await client.expect(got.close(1002));
    await client.expectEnd();
  });
});
