// What frames look like in both versions, which versions hear what of each other, and what is dropped.
// protocol.md 2

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
  V1,
  V2,
  assertError,
  assertFrame,
  bothVersions,
  connect,
  encodePush,
  encodeUserBroadcast,
  isReplyTo,
} from '../harness/phoenix.mjs';
import { startServer } from '../harness/server.mjs';

let server;
before(async () => (server = await startServer({ workers: 2 })));
after(async () => assert.equal(await server.stop(), 0));

suite('shape', () => {
  // One of each kind of text frame that the server sends.
  async function conversation(vsn) {
    const topic = `realtime:shape ${vsn}`;
    const client = await connect(server, { vsn });
    const frames = [
      await client.heartbeat(),
      await client.tryJoin('realtime:'),
      await client.tryJoin('room:1'),
      await client.join(topic, { config: { broadcast: { self: true, ack: true } } }),
    ];
    client.broadcast(topic, 'hello');
    client.push(topic, 'access_token', { access_token: 'wrong' });
    for (let n = 0; n < 4; n++) frames.push(await client.next());
    return frames;
  }

  test('each V1 frame has exactly topic, event, payload and ref, which is null unless it answers something [P-039]', async () => {
    for (const { raw } of await conversation(V1)) {
      const { event, ref, ...more } = JSON.parse(raw);
      assert.deepEqual(Object.keys(more).toSorted(), ['payload', 'topic'], raw);
      assert.equal(ref === null, event === 'broadcast' || event === 'system', raw);
    }
  });

  test('each V2 text frame is an array of five [P-040]', async () => {
    const frames = await conversation(V2);
    assert.deepEqual(new Set(frames.map((frame) => frame.event)), new Set(['phx_reply', 'broadcast', 'system', 'phx_close']));
    for (const { raw } of frames) assert.equal(JSON.parse(raw).length, 5, raw);
  });

  test('a V1 client need not send a join_ref [P-046]', async () => {
    const client = await connect(server, { vsn: V1 });
    client.send('{"topic":"realtime:without join_ref","event":"phx_join","payload":{"config":{}},"ref":"1"}');
    assertFrame(await client.next(), { ref: '1', payload: { status: 'ok', response: { postgres_changes: [] } } });
    client.send('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"2","more":1}');
    assertFrame(await client.next(), { ref: '2', topic: 'phoenix' });
  });

  test('a V1 client may send its JSON in binary frames', async () => {
    const client = await connect(server, { vsn: V1 });
    client.send(Buffer.from('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}'));
    assertFrame(await client.next(), { ref: '1', topic: 'phoenix' });
  });

  bothVersions('numbers as ref and join_ref come back as the same numbers [P-047]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = `realtime:numbers ${vsn}`;
    const config = { broadcast: { ack: true } };
    assertFrame(await client.join(topic, { config }, { ref: 7, joinRef: 5 }), { ref: 7, joinRef: 5 });
    client.broadcast(topic, 'hello', {}, { ref: 8, joinRef: 5 });
    assertFrame(await client.next(), { ref: 8, joinRef: 5 });
    assertFrame(await client.request(topic, 'phx_leave', {}, { ref: 9, joinRef: 5 }), { ref: 9, joinRef: 5 });
    assertFrame(await client.next(), { event: 'phx_close', ref: 5, joinRef: 5 });
  });

  test('escapes in the members of a frame mean the characters they stand for', async () => {
    const client = await connect(server, { vsn: V1 });
    const payload = '{"config":{"broadcast":{"self":true}}}';
    client.send(`{"t\\u006fpic":"realtime:\\u0061\\/b","event":"phx\\u005fjoin","payload":${payload},"ref":"\\u0031"}`);
    assertFrame(await client.next(), { topic: 'realtime:a/b', ref: '1', payload: { status: 'ok', response: { postgres_changes: [] } } });
    client.broadcast('realtime:a/b', 'hello');
    assertFrame(await client.next(), { topic: 'realtime:a/b', event: 'broadcast' });
  });

  test('a ref that no double can hold comes back digit by digit', async () => {
    const client = await connect(server);
    client.send('[null,12345678901234567890.10,"phoenix","heartbeat",{}]');
    const { raw } = await client.next();
    assert.ok(raw.includes('12345678901234567890.10'), raw);
  });

  test('elements after the fifth of a V2 frame are ignored [P-043]', async () => {
    const client = await connect(server);
    client.send('[null,"1","phoenix","heartbeat",{},{"a":[1]}]');
    assertFrame(await client.next(), { ref: '1', topic: 'phoenix' });
  });
});

suite('malformed frames', () => {
  const anyVersion = ['', ' ', 'hello', '{', '"text"', '17', 'null', '[]', '[null,"x","phoenix","heartbeat",{}'];
  const heartbeat = encodePush({ ref: 'x', topic: 'phoenix', event: 'heartbeat' });
  const broadcast = encodeUserBroadcast({ ref: 'x', topic: 'realtime:x', event: 'hello' });

  for (const [name, vsn, frames] of [
    ['a V1 frame without topic, event, payload or ref is dropped and the next one is heard [P-041] [P-045] [E-012]', V1, [
      '{"event":"heartbeat","payload":{},"ref":"x"}',
      '{"topic":"phoenix","payload":{},"ref":"x"}',
      '{"topic":"phoenix","event":"heartbeat","ref":"x"}',
      '{"topic":"phoenix","event":"heartbeat","payload":{}}',
      '[null,"x","phoenix","heartbeat",{}]',
      ...anyVersion,
    ]],
    ['a V2 text frame that is no array of five is dropped and the next one is heard [P-042] [P-045] [E-012]', V2, [
      '[null,"x","phoenix","heartbeat"]',
      '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"x","join_ref":null}',
      ...anyVersion,
    ]],
    ['a V2 binary frame of another kind, or cut short, is dropped and the next one is heard [P-044] [P-045] [E-012]', V2, [
      Buffer.alloc(0),
      ...[1, 2, 4, 9].map((kind) => Buffer.from([kind, ...heartbeat.subarray(1)])),
      ...[1, 4, 9, heartbeat.length - 1].map((length) => heartbeat.subarray(0, length)),
      ...[1, 6, 7, broadcast.length - 1].map((length) => broadcast.subarray(0, length)),
      Buffer.from([0, 255, 255, 255, 255, 1, 2, 3]),
    ]],
  ]) {
    test(name, async () => {
      const client = await connect(server, { vsn });
      for (const frame of frames) {
        client.send(frame);
        await client.expectQuiet();
      }
    });
  }

  test('text that is not UTF-8 is dropped and the next frame is heard', async () => {
    const client = await connect(server);
    const bytes = Buffer.from('[null,"x","phoenix","heartbeat",{"a":"\xff\xc0"}]', 'latin1');
    client.socket.send(bytes, { binary: false });
    await client.expectQuiet();
  });

  bothVersions('a topic that is no string is a topic that nobody joined', async (vsn) => {
    const client = await connect(server, { vsn });
    for (const topic of [7, null, { a: 1 }]) assertError(await client.request(topic, 'broadcast'), 'unmatched topic');
  });

  bothVersions('an event that is no string is an unknown event', async (vsn) => {
    const client = await connect(server, { vsn });
    await client.join('realtime:odd events');
    for (const event of [7, null, ['broadcast']]) client.push('realtime:odd events', event);
    await client.expectQuietAndJoined('realtime:odd events');
  });
});

suite('binary broadcasts', () => {
  let topics = 0;

  // A V2 sender with a V2 and a V1 receiver on a topic of their own.
  async function room() {
    const topic = `realtime:binary ${++topics}`;
    const [sender, v2, v1] = await Promise.all([V2, V2, V1].map((vsn) => connect(server, { vsn })));
    for (const client of [sender, v2, v1]) await client.join(topic);
    const send = (fields) => sender.send(encodeUserBroadcast({ joinRef: '1', ref: 'r', topic, event: 'cursor', ...fields }));
    return { topic, sender, v2, v1, send };
  }

  // Whoever got nothing so far gets a later text broadcast first.
  async function assertNothingCame(sender, topic, ...receivers) {
    sender.broadcast(topic, 'marker');
    for (const receiver of receivers) {
      await receiver.expectNothingBefore((frame) => frame.payload?.event === 'marker', 'the marker');
    }
  }

  const kind4 = (topic, fields) => ({ kind: 4, topic, userEvent: 'cursor', metadata: '', ...fields });

  test('a JSON broadcast arrives byte for byte at V2 and as text at V1 [P-048] [P-049]', async () => {
    const { topic, v2, v1, send } = await room();
    const payload = ' {"x" : 1.0, "y":[ 12345678901234567890, "\\u00e9é" ] } ';
    send({ payload });
    assertFrame(await v2.next(), kind4(topic, { encoding: 1, payload: Buffer.from(payload) }));
    const text = await v1.next();
    assertFrame(text, { event: 'broadcast', ref: null, topic });
    assert.deepEqual(text.payload, { type: 'broadcast', event: 'cursor', payload: JSON.parse(payload) });
  });

  test('JSON payloads other than objects are broadcast too', async () => {
    const { topic, v2, v1, send } = await room();
    for (const payload of ['null', '0.5', '"text"', '[1,2]', 'true']) {
      send({ payload });
      assertFrame(await v2.next(), kind4(topic, { encoding: 1, payload: Buffer.from(payload) }));
      assertFrame(await v1.next(), { payload: { type: 'broadcast', event: 'cursor', payload: JSON.parse(payload) } });
    }
  });

  test('bytes reach V2 receivers as bytes and V1 receivers not at all [P-050]', async () => {
    const { topic, sender, v2, v1, send } = await room();
    for (const payload of [Buffer.from([0xde, 0xad, 0x00, 0xff]), Buffer.from('{"looks like":"JSON"}'), Buffer.alloc(0)]) {
      send({ encoding: 0, payload });
      assertFrame(await v2.next(), kind4(topic, { encoding: 0, payload }));
    }
    await assertNothingCame(sender, topic, v1);
  });

  test('every encoding but 0 is taken for JSON [P-051]', async () => {
    const { topic, v2, v1, send } = await room();
    for (const encoding of [5, 255]) {
      send({ encoding, payload: '{"n":5}' });
      assertFrame(await v2.next(), kind4(topic, { encoding: 1, payload: Buffer.from('{"n":5}') }));
      assertFrame(await v1.next(), { payload: { type: 'broadcast', event: 'cursor', payload: { n: 5 } } });
    }
  });

  test('metadata of a sender stays with the sender [P-052]', async () => {
    const { topic, v2, v1, send } = await room();
    for (const metadata of ['{"id":"mine"}', '[]', '7']) {
      send({ metadata, payload: '{}' });
      assertFrame(await v2.next(), kind4(topic, { encoding: 1, payload: Buffer.from('{}') }));
      assertFrame(await v1.next(), { payload: { type: 'broadcast', event: 'cursor', payload: {} } });
    }
  });

  test('a broadcast whose metadata is no JSON is dropped [P-053]', async () => {
    const { topic, sender, v2, v1, send } = await room();
    for (const metadata of ['{', 'nonsense', '{} {}']) send({ metadata, payload: '{}' });
    await assertNothingCame(sender, topic, v2, v1);
    await sender.expectQuietAndJoined(topic);
  });

  test('a sender that gives no join_ref is heard [P-054]', async () => {
    const { topic, v2, v1, send } = await room();
    send({ joinRef: '', payload: '{}' });
    assertFrame(await v2.next(), kind4(topic, { encoding: 1 }));
    assertFrame(await v1.next(), { event: 'broadcast', topic });
  });

  test('a payload that only claims to be JSON passes to V2 as it is and is kept from V1', async () => {
    const { topic, sender, v2, v1, send } = await room();
    send({ payload: '{"x":' });
    assertFrame(await v2.next(), kind4(topic, { encoding: 1, payload: Buffer.from('{"x":') }));
    await assertNothingCame(sender, topic, v1);
  });

  test('opaque bytes under the event broadcast reach V2 receivers as they are and V1 receivers not at all [P-055]', async () => {
    const { topic, sender, v2, v1 } = await room();
    for (const payload of [Buffer.from([0xca, 0xfe, 0x00]), Buffer.from('{}'), Buffer.alloc(0), Buffer.alloc(70_000, 7)]) {
      sender.send(encodePush({ joinRef: '1', ref: 'r', topic, event: 'broadcast', payload }));
      assertFrame(await v2.next(), { kind: 2, topic, event: 'broadcast', payload });
    }
    await assertNothingCame(sender, topic, v1);
  });

  test('a text broadcast of a V2 sender stays text for V2 receivers [P-056]', async () => {
    const { topic, sender, v2 } = await room();
    sender.broadcast(topic, 'hello', { n: 1 });
    const frame = await v2.next();
    assert.equal(frame.kind, undefined);
    const payload = { type: 'broadcast', event: 'hello', payload: { n: 1 } };
    assertFrame(frame, { joinRef: null, ref: null, topic, event: 'broadcast', payload });
  });

  test('event names may have 255 bytes, and bytes are what is counted [P-057]', async () => {
    const { v2, v1, send } = await room();
    for (const event of ['e'.repeat(255), 'é'.repeat(127), '😀'.repeat(63), '"\\\n']) {
      send({ event, payload: '{}' });
      assertFrame(await v2.next(), { kind: 4, userEvent: event, payload: Buffer.from('{}') });
      assertFrame(await v1.next(), { payload: { type: 'broadcast', event, payload: {} } });
    }
  });

  test('acknowledgements of binary broadcasts are text', async () => {
    const topic = 'realtime:acknowledged bytes';
    const client = await connect(server);
    await client.join(topic, { config: { broadcast: { ack: true } } });
    client.send(encodeUserBroadcast({ joinRef: '1', ref: 'a', topic, event: 'e', payload: '{}' }));
    client.send(encodeUserBroadcast({ joinRef: '1', ref: 'b', topic, event: 'e', encoding: 0, payload: 'x' }));
    client.send(encodePush({ joinRef: '1', ref: 'c', topic, event: 'broadcast', payload: 'x' }));
    for (const ref of ['a', 'b', 'c']) {
      assertFrame(await client.next(), { joinRef: '1', ref, topic, event: 'phx_reply', payload: { status: 'ok', response: {} } });
    }
  });

  test('heartbeat and leave work as opaque frames, a join does not, and other events are unknown', async () => {
    const topic = 'realtime:opaque';
    const client = await connect(server);
    const push = (event, ref, on = topic) => client.send(encodePush({ joinRef: '1', ref, topic: on, event, payload: 'x' }));
    push('heartbeat', 'h', 'phoenix');
    assertFrame(await client.next(), { joinRef: null, ref: 'h', payload: { status: 'ok', response: {} } });
    push('phx_join', 'j');
    assertError(await client.next(isReplyTo('j')), /^UnknownErrorOnChannel: /);
    await client.join(topic);
    push('access_token', 't');
    push('unheard of', 'u');
    await client.expectQuietAndJoined(topic);
    client.send(encodePush({ joinRef: client.joinRefs.get(topic), ref: 'l', topic, event: 'phx_leave' }));
    assertFrame(await client.next(), { ref: 'l', payload: { status: 'ok', response: {} } });
    assertFrame(await client.next(), { event: 'phx_close', ref: client.joinRefs.get(topic) });
  });
});
