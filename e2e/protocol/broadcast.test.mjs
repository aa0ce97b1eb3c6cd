// Who gets a broadcast, in which order, what its sender hears, and how large it may be.
// protocol.md 5

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { V1, V2, assertFrame, bothVersions, connect, encodeUserBroadcast, isReplyTo } from '../harness/phoenix.mjs';
import { startServer } from '../harness/server.mjs';

const OK = { status: 'ok', response: {} };
const TOO_BIG = { status: 'error', response: 'payload_size_exceeded' };
const SMALL_HOST = 'small.rt.example.test';

// Two workers and two tenants: dev, and small, whose messages may have 1 kB.
let server;
before(async () => {
  server = await startServer({ workers: 2, otherTenants: { small: { columns: { max_payload_size_in_kb: 1 } } } });
});
after(async () => assert.equal(await server.stop(), 0));

let topics = 0;

// A topic of its own with a sender of the version and receivers of both.
async function room(vsn, { config, ...options } = {}) {
  const topic = `realtime:broadcast ${++topics}`;
  const open = (version) => connect(server, { vsn: version, ...options });
  const [sender, ...receivers] = await Promise.all([vsn, V1, V2].map(open));
  await sender.join(topic, { config: config ?? {} });
  for (const receiver of receivers) await receiver.join(topic);
  return { topic, sender, receivers };
}

const isMarker = (frame) => frame.payload.event === 'marker';

suite('delivery', () => {
  bothVersions('everybody else on the topic gets what was sent, the sender does not [P-123]', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn);
    const payload = { type: 'broadcast', event: 'cursor', payload: { x: 10 }, meta: { id: 'mine' }, more: [null] };
    sender.push(topic, 'broadcast', payload);
    for (const receiver of receivers) assertFrame(await receiver.next(), { joinRef: null, ref: null, topic, event: 'broadcast', payload });
    await sender.expectQuietAndJoined(topic);
  });

  bothVersions('with self the sender gets its own broadcast, as text and as a binary frame [P-124]', async (vsn) => {
    const { topic, sender } = await room(vsn, { config: { broadcast: { self: true } } });
    sender.broadcast(topic, 'hello', { n: 1 });
    assertFrame(await sender.next(), { topic, payload: { type: 'broadcast', event: 'hello', payload: { n: 1 } } });
    if (vsn === V1) return;
    sender.send(encodeUserBroadcast({ topic, event: 'hello', payload: '{"n":2}' }));
    assertFrame(await sender.next(), { kind: 4, topic, userEvent: 'hello', payload: Buffer.from('{"n":2}') });
  });

  bothVersions('another socket of the same user is another member [P-125]', async (vsn) => {
    const token = server.token({ sub: 'ann' });
    const { topic, sender, receivers } = await room(vsn, { token });
    sender.broadcast(topic, 'hello');
    for (const receiver of receivers) assertFrame(await receiver.next(), { topic, event: 'broadcast' });
  });

  bothVersions('a payload needs no particular keys [P-126]', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn);
    for (const payload of [{}, { foo: 1 }, { type: 7, event: null }]) {
      sender.push(topic, 'broadcast', payload);
      for (const receiver of receivers) assertFrame(await receiver.next(), { event: 'broadcast', payload });
    }
  });

  bothVersions('a payload keeps its numbers, escapes and spaces as its sender wrote them', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn);
    const payload = '{ "b":1.0,"a" : 1e2, "big":12345678901234567890,"text":"\\u00e9é\\/", "b": [ ] }';
    sender.pushSource(topic, 'broadcast', payload);
    for (const receiver of receivers) {
      const { raw } = await receiver.next();
      assert.ok(raw.includes(payload), raw);
    }
  });

  bothVersions('a payload that is no object is passed over and the channel stays', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn);
    for (const payload of ['text', 5, [1], null, true]) sender.push(topic, 'broadcast', payload);
    sender.broadcast(topic, 'marker');
    for (const receiver of receivers) await receiver.expectNothingBefore(isMarker, 'the marker');
  });

  bothVersions('tenants with a topic of the same name do not hear each other [P-132]', async (vsn) => {
    const topic = `realtime:same name ${vsn}`;
    const pairs = [];
    for (const headers of [{}, { Host: SMALL_HOST }]) {
      const pair = [await connect(server, { vsn, headers }), await connect(server, { vsn, headers })];
      for (const client of pair) await client.join(topic, { config: { broadcast: { ack: true } } });
      pairs.push(pair);
    }
    for (const [tenant, [sender]] of pairs.entries()) {
      assertFrame(await sender.request(topic, 'broadcast', { tenant }), { payload: OK });
    }
    for (const [tenant, [sender, receiver]] of pairs.entries()) {
      sender.broadcast(topic, 'marker');
      assertFrame(await receiver.next(), { event: 'broadcast', payload: { tenant } });
      await receiver.expectNothingBefore(isMarker, 'the marker');
    }
  });

  test('who asks about replication where there is none is told so when the time is up, and closed [B-032] [P-148]', async (t) => {
    const hasty = await startServer({ env: { REPLICATION_READY_TIMEOUT_MS: 700 } });
    t.after(() => hasty.stop());
    for (const vsn of [V1, V2]) {
      const client = await connect(hasty, { vsn });
      for (const replication_ready of [true, 'x', 0]) {
        const topic = `realtime:replication ${++topics}`;
        await client.join(topic, { config: { broadcast: { replication_ready } } });
        const joined = performance.now();
        await client.expectShutdown(topic, 'Replication connection was not established in time');
        assert.ok(performance.now() - joined > 600, 'it had its time');
      }
    }
  });

  bothVersions('who did not ask about replication hears nothing of it [P-149]', async (vsn) => {
    const client = await connect(server, { vsn });
    for (const broadcast of [{}, { replication_ready: false }, { replication_ready: null }]) {
      const topic = `realtime:replication ${++topics}`;
      await client.join(topic, { config: { broadcast } });
      await client.expectQuietAndJoined(topic);
    }
  });
});

suite('acknowledgement', () => {
  bothVersions('a broadcast is acknowledged where the channel asked for it, and only there [P-127]', async (vsn) => {
    for (const ack of [true, false]) {
      const { topic, sender, receivers } = await room(vsn, { config: { broadcast: { ack } } });
      const ref = sender.broadcast(topic, 'hello');
      if (ack) assertFrame(await sender.next(), { ref, joinRef: '1', topic, event: 'phx_reply', payload: OK });
      await sender.expectQuietAndJoined(topic);
      for (const receiver of receivers) assertFrame(await receiver.next(), { event: 'broadcast' });
    }
  });
});

suite('size', () => {
  const LIMIT = 3_000_500;
  // {"d":"ddd..."} measures 17 and one for each d (protocol.md 5.5).
  const payloadOf = (size) => ({ d: 'd'.repeat(size - 17) });

  bothVersions('one byte over the limit is an error for whoever asks for acknowledgement, and nobody gets it [P-128]', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn, { config: { broadcast: { ack: true } } });
    assertFrame(await sender.request(topic, 'broadcast', payloadOf(LIMIT)), { payload: OK });
    for (const receiver of receivers) assertFrame(await receiver.next(), { payload: payloadOf(LIMIT) });
    assertFrame(await sender.request(topic, 'broadcast', payloadOf(LIMIT + 1)), { joinRef: '1', payload: TOO_BIG });
    sender.broadcast(topic, 'marker');
    for (const receiver of receivers) await receiver.expectNothingBefore(isMarker, 'the marker');
  });

  bothVersions('without acknowledgement a broadcast over the limit vanishes [P-129]', async (vsn) => {
    const { topic, sender, receivers } = await room(vsn);
    sender.push(topic, 'broadcast', payloadOf(LIMIT + 1));
    await sender.expectQuietAndJoined(topic);
    sender.broadcast(topic, 'marker');
    for (const receiver of receivers) await receiver.expectNothingBefore(isMarker, 'the marker');
  });

  // On the tenant whose limit is 1500: what fits and what is one byte too much, for a channel that asks for acknowledgement.
  async function assertLimit(vsn, push) {
    const client = await connect(server, { vsn, headers: { Host: SMALL_HOST } });
    const topic = `realtime:limit ${++topics}`;
    await client.join(topic, { config: { broadcast: { ack: true } } });
    for (const [excess, expected] of [[0, OK], [1, TOO_BIG]]) {
      const ref = push(client, topic, excess);
      assertFrame(await client.next(isReplyTo(ref)), { payload: expected });
    }
  }

  test('of a binary frame the event name and the payload count, plus a constant [P-130]', async () => {
    const push = (fields) => (client, topic, excess) => {
      const filler = 'x'.repeat(fields.bytes + excess - fields.event.length - 2);
      client.send(encodeUserBroadcast({ ref: `${excess}`, topic, ...fields, payload: `"${filler}"` }));
      return `${excess}`;
    };
    await assertLimit(V2, push({ bytes: 1476, encoding: 1, event: 'event' }));
    await assertLimit(V2, push({ bytes: 1476, encoding: 1, event: '' }));
    await assertLimit(V2, push({ bytes: 1474, encoding: 0, event: 'event' }));
  });

  // [what is under test in the payload, its size by the table of protocol.md 5.5]
  for (const [kind, value, size] of [
    ['objects', '{"a":{"b":{}}}', 5 + (5 + 1) + 5 + (5 + 1) + 5],
    ['strings, by the bytes they stand for', '"\\u00e9é\\n😀"', 5 + 2 + 2 + 1 + 4],
    ['small integers', '255', 2],
    ['integers of 32 bits', '[256,-1,2147483647,-2147483648]', 6 + 4 * 5],
    ['larger integers', '[2147483648,-2147483649,4294967296,18446744073709551616]', 6 + (3 + 4) + (3 + 4) + (3 + 5) + (3 + 9)],
    ['fractions and exponents', '[0.5,1e3,-1.0]', 6 + 3 * 9],
    ['true, false and null', '[true,false,null]', 6 + 6 + 7 + 5],
    ['empty arrays', '[]', 1],
    ['arrays of bytes', '[0,1,2,255]', 3 + 4],
    ['other arrays', '["a",[],1]', 6 + 6 + 1 + 2],
  ]) {
    bothVersions(`the size of a payload counts ${kind} as specified`, async (vsn) => {
      await assertLimit(vsn, (client, topic, excess) => {
        // {"v":<value>,"f":"fff..."}
        const filler = 'f'.repeat(1500 + excess - 1 - 5 - 6 - size - 6 - 5);
        const ref = client.nextRef();
        const payload = `{"v":${value},"f":"${filler}"}`;
        client.send(vsn === V1
          ? `{"topic":"${topic}","event":"broadcast","payload":${payload},"ref":"${ref}"}`
          : `["1","${ref}","${topic}","broadcast",${payload}]`);
        return ref;
      });
    });
  }
});

suite('order', () => {
  test('receivers of both versions on two workers get every publisher in its order, nothing missing', async () => {
    const MESSAGES = 2_000;
    const topic = 'realtime:in order';
    const connectAll = (versions) => Promise.all(versions.map((vsn) => connect(server, { vsn })));
    const receivers = await connectAll([V1, V1, V2, V2]);
    const publishers = await connectAll([V1, V2, V2]);
    for (const client of [...receivers, ...publishers]) await client.join(topic);

    const metrics = await server.metrics();
    for (const worker of ['0', '1']) assert.ok(metrics.value('realtime_worker_sessions', { worker }) > 0, `worker ${worker} is idle`);

    const asText = (client, from) => (n) => client.broadcast(topic, 'count', { from, n });
    const asBinary = (client, from) => (n) => {
      client.send(encodeUserBroadcast({ topic, event: 'count', payload: JSON.stringify({ from, n }) }));
    };
    const publish = [asText(publishers[0], 0), asText(publishers[1], 1), asBinary(publishers[2], 2)];
    for (let n = 0; n < MESSAGES; n++) publish.forEach((send) => send(n));

    const expected = Array.from({ length: MESSAGES }, (_, n) => n);
    for (const receiver of receivers) {
      const seen = [[], [], []];
      for (let count = 0; count < publish.length * MESSAGES; count++) {
        const frame = await receiver.next();
        const { from, n } = frame.kind === 4 ? JSON.parse(frame.payload) : frame.payload.payload;
        seen[from].push(n);
      }
      assert.deepEqual(seen, [expected, expected, expected]);
      await receiver.expectQuiet();
    }
  });
});
