// Presence: who is on a topic, and what members are told when that changes. protocol.md 6
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { assertFrame, bothVersions, connect, V2 } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

const OTHER = { headers: { host: 'other.rt.example.test' } };
const ENABLED = { config: { presence: { enabled: true } } };
const withKey = (key, enabled = true) => ({ config: { presence: { enabled, key } } });
const FULL = 'Presence of this topic is full: track less in each entry, or spread its members over several topics';

let server;
let topics = 0;
const freshTopic = () => `realtime:presence-${++topics}`;

before(async () => {
  server = await startServer({
    workers: 2,
    env: { CLIENT_PRESENCE_MAX_CALLS: 5, CLIENT_PRESENCE_WINDOW_MS: 30_000 },
    otherTenants: {
      other: {},
      everywhere: { columns: { presence_enabled: 1 } },
      windowed: { columns: { max_client_presence_events_per_window: 3, client_presence_window_ms: 1000 } },
      small: { columns: { max_payload_size_in_kb: 1 } },
    },
  });
});
after(async () => assert.equal(await server.stop(), 0));

const host = (tenant) => ({ headers: { host: `${tenant}.rt.example.test` } });
const track = (client, topic, payload, refs) => client.request(topic, 'presence', { type: 'presence', event: 'track', payload }, refs);
const untrack = (client, topic) => client.request(topic, 'presence', { type: 'presence', event: 'untrack' });
const diff = (client) => client.next((frame) => frame.event === 'presence_diff', 'a presence_diff');
const state = (client) => client.next((frame) => frame.event === 'presence_state', 'the presence_state');
async function tracked(client, topic, payload) {
  assert.deepEqual((await track(client, topic, payload)).payload, { status: 'ok', response: {} });
}
async function member(topic, payload = ENABLED, options = {}) {
  const client = await connect(server, options);
  await client.join(topic, payload);
  return client;
}
const isRef = (ref) => assert.match(ref, /^[A-Za-z0-9_-]{16}$/);
// [joins, leaves] of a diff without the refs.
const plain = (part) => Object.fromEntries(Object.entries(part).map(([key, { metas }]) => [key, metas.map(({ phx_ref, phx_ref_prev, ...meta }) => meta)]));

bothVersions('a channel with presence gets the state once, behind the reply, and a track is told to all [P-150] [P-153]', async (vsn) => {
  const topic = freshTopic();
  const ann = await member(topic, withKey('ann'), { vsn });
  assertFrame(await ann.next(), { event: 'presence_state', joinRef: '1', ref: null, topic, payload: {} });
  await tracked(ann, topic, { name: 'Ann' });
  const own = await diff(ann);
  assertFrame(own, { joinRef: null, ref: null, topic });
  const { phx_ref: ref } = own.payload.joins.ann.metas[0];
  isRef(ref);
  assert.deepEqual(own.payload, { joins: { ann: { metas: [{ name: 'Ann', phx_ref: ref }] } }, leaves: {} });

  const bob = await member(topic, withKey('bob'), { vsn });
  assert.deepEqual((await bob.next()).payload, { ann: { metas: [{ name: 'Ann', phx_ref: ref }] } });
  await tracked(bob, topic, {});
  for (const client of [ann, bob]) assert.deepEqual(plain((await diff(client)).payload.joins), { bob: [{}] });
  for (const client of [ann, bob]) await client.expectQuietAndJoined(topic);
});

test('without presence there is no state, but changes are told; a tenant can enable it for everybody [P-151] [P-152] [P-175]', async () => {
  const topic = freshTopic();
  const silent = await member(topic, withKey('x', false));
  await silent.expectQuietAndJoined(topic);
  const ann = await member(topic, withKey('ann'));
  await tracked(ann, topic, { a: 1 });
  assert.deepEqual(plain((await diff(silent)).payload.joins), { ann: [{ a: 1 }] });
  const anywhere = await member(topic, { config: {} }, host('everywhere'));
  assert.deepEqual((await anywhere.next()).payload, {});
});

test('event names are compared without letter case [P-154]', async () => {
  const topic = freshTopic();
  const client = await member(topic, { config: {} });
  for (const [n, event] of ['TRACK', 'Track', 'track'].entries()) {
    assert.equal((await client.request(topic, 'presence', { event, payload: { n } })).payload.status, 'ok');
    const { joins } = (await diff(client)).payload;
    assert.deepEqual(Object.values(plain(joins)), [[{ n }]]);
  }
});

test('a key is a fresh UUID of version 1 where none is given; scalars become text [P-155]', async () => {
  const keys = new Set();
  for (const config of [{}, { presence: { key: '' } }, { presence: { key: '  ' } }, { presence: { key: null } }, { presence: { key: {} } }]) {
    const topic = freshTopic();
    const client = await member(topic, { config });
    await tracked(client, topic, {});
    keys.add(Object.keys((await diff(client)).payload.joins)[0]);
  }
  for (const key of keys) assert.match(key, /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(keys.size, 5);
  const strange = 'é\u0000"\\\n\u2028 \u{1f600} __proto__';
  for (const [key, text] of [[42, '42'], [true, 'true'], [false, 'false'], [-1.5, '-1.5'], [strange, strange]]) {
    const topic = freshTopic();
    const client = await member(topic, withKey(key));
    await tracked(client, topic, {});
    assert.deepEqual(Object.keys((await diff(client)).payload.joins), [text]);
  }
});

test('a key that is used twice has two metas [P-156]', async () => {
  const topic = freshTopic();
  const clients = await Promise.all([0, 1].map(() => member(topic, withKey('ann'))));
  for (const [n, client] of clients.entries()) await tracked(client, topic, { n });
  await until(async () => {
    const late = await member(topic);
    const { metas } = (await state(late)).payload.ann ?? { metas: [] };
    await late.close();
    return metas.length === 2 && new Set(metas.map((meta) => meta.n)).size === 2 && new Set(metas.map((meta) => meta.phx_ref)).size === 2;
  }, 'both metas');
  // Only the metas that are concerned are told.
  await clients[0].close();
  for (;;) {
    const { leaves } = (await diff(clients[1])).payload;
    if (!leaves.ann) continue;
    assert.deepEqual(plain(leaves), { ann: [{ n: 0 }] });
    break;
  }
});

test('an update tells the new meta with the ref that it replaces, and the old one; the same again tells nothing [P-157] [P-158]', async () => {
  const topic = freshTopic();
  const client = await member(topic, withKey('ann'));
  await tracked(client, topic, { a: 1, b: [1, { c: 2 }] });
  const [first] = (await diff(client)).payload.joins.ann.metas;
  await tracked(client, topic, { b: [1, { c: 2 }], a: 1 });
  await tracked(client, topic, { a: 2 });
  const { joins, leaves } = (await diff(client)).payload;
  assert.deepEqual(leaves, { ann: { metas: [first] } });
  const [second] = joins.ann.metas;
  assert.deepEqual(second, { a: 2, phx_ref: second.phx_ref, phx_ref_prev: first.phx_ref });
  assert.notEqual(second.phx_ref, first.phx_ref);
  // 1 and 1.0 differ; JSON.stringify would not tell them apart.
  client.pushSource(topic, 'presence', '{"event":"track","payload":{"a":2.0}}');
  const third = (await diff(client)).payload;
  assert.deepEqual(third.leaves.ann.metas, [second]);
  assert.equal(third.joins.ann.metas[0].phx_ref_prev, second.phx_ref);
  // The state and the leave keep what the meta was.
  const late = await member(topic);
  assert.deepEqual((await state(late)).payload.ann.metas, third.joins.ann.metas);
  await client.close();
  assert.deepEqual((await diff(late)).payload, { joins: {}, leaves: { ann: { metas: third.joins.ann.metas } } });
});

test('track, untrack and the same track are a join, a leave and a join, however fast they come [P-159] [P-160]', async () => {
  const topic = freshTopic();
  const watcher = await member(topic);
  const client = await member(topic, withKey('ann'));
  assert.equal((await untrack(client, topic)).payload.status, 'ok');
  for (const event of ['track', 'untrack', 'track']) client.push(topic, 'presence', { event, payload: { a: 1 } });
  const frames = [await diff(watcher), await diff(watcher), await diff(watcher)].map((frame) => frame.payload);
  assert.deepEqual(frames.map(({ joins, leaves }) => [plain(joins), plain(leaves)]), [
    [{ ann: [{ a: 1 }] }, {}],
    [{}, { ann: [{ a: 1 }] }],
    [{ ann: [{ a: 1 }] }, {}],
  ]);
  assert.notEqual(frames[0].joins.ann.metas[0].phx_ref, frames[2].joins.ann.metas[0].phx_ref);
  assert.equal(frames[2].joins.ann.metas[0].phx_ref_prev, undefined);
});

test('a lost socket, a leave and a join that replaces the channel leave the presence [P-161] [P-162]', async () => {
  const topic = freshTopic();
  const watcher = await member(topic);
  await state(watcher);
  for (const end of [
    (client) => client.socket.terminate(),
    (client) => client.close(),
    async (client) => {
      assert.equal((await client.request(topic, 'phx_leave')).payload.status, 'ok');
      assertFrame(await client.next(), { event: 'phx_close' });
      await client.expectQuiet();
    },
    async (client) => {
      await client.join(topic, { config: {} });
      assertFrame(await client.next(), { event: 'phx_close' });
    },
  ]) {
    const client = await member(topic, withKey('ann', false));
    await tracked(client, topic, { a: 1 });
    assert.deepEqual(plain((await diff(watcher)).payload.joins), { ann: [{ a: 1 }] });
    await diff(client);
    await end(client);
    assert.deepEqual(plain((await diff(watcher)).payload.leaves), { ann: [{ a: 1 }] });
  }
});

test('presence works whatever the join_ref of the message [P-073]', async () => {
  const topic = freshTopic();
  const client = await member(topic, withKey('ann'));
  const joinRef = client.joinRefs.get(topic);
  for (const [n, ref] of [null, 'stale'].entries()) {
    assertFrame(await track(client, topic, { n }, { joinRef: ref }), { joinRef, payload: { status: 'ok', response: {} } });
    assert.deepEqual(plain((await diff(client)).payload.joins), { ann: [{ n }] });
  }
});

bothVersions('a track needs no payload, but a payload has to be an object; without an event there is no effect [P-163] [P-164] [P-165] [P-166]', async (vsn) => {
  const topic = freshTopic();
  const client = await member(topic, withKey('ann', false), { vsn });
  assert.equal((await client.request(topic, 'presence', { event: 'track' })).payload.status, 'ok');
  const { metas } = (await diff(client)).payload.joins.ann;
  assert.deepEqual(metas, [{ phx_ref: metas[0].phx_ref }]);
  for (const payload of ['x', 1, [], null, true]) {
    assert.deepEqual((await track(client, topic, payload)).payload, { status: 'error', response: { reason: 'Presence track payload must be a map' } });
  }
  for (const payload of [{}, null, [], 'track', { type: 'presence' }]) {
    assert.deepEqual((await client.request(topic, 'presence', payload)).payload, { status: 'ok', response: {} });
  }
  for (const event of ['foo', '', 1, null, {}, ['track']]) {
    assert.deepEqual((await client.request(topic, 'presence', { event })).payload, { status: 'error', response: {} });
  }
  await client.expectQuietAndJoined(topic);
});

test('names of the server in what is tracked are not the client\'s to choose', async () => {
  const topic = freshTopic();
  const client = await member(topic, withKey('ann', false));
  client.pushSource(topic, 'presence', '{"event":"track","payload":{"phx_ref":"mine","phx_ref_prev":{"a":"\\"}]"},"a":1,"phx\\u005fref":"]}","phx_ref":[]}}');
  const frame = await diff(client);
  const [meta] = frame.payload.joins.ann.metas;
  isRef(meta.phx_ref);
  assert.deepEqual(meta, { a: 1, phx_ref: meta.phx_ref });
  assert.equal(frame.raw.match(/phx_ref/g).length, 1);
});

test('a track over the size limit closes the channel, and its entry leaves [P-167] [E-011]', async () => {
  const topic = freshTopic();
  const watcher = await member(topic, ENABLED, host('small'));
  const client = await member(topic, withKey('ann', false), host('small'));
  await tracked(client, topic, { x: 'x'.repeat(1483) });
  await diff(client);
  client.push(topic, 'presence', { event: 'track', payload: { x: 'x'.repeat(1484) } });
  await client.expectShutdown(topic, 'Track message size exceeded');
  assert.deepEqual(Object.keys((await diff(watcher)).payload.joins), ['ann']);
  assert.deepEqual(Object.keys((await diff(watcher)).payload.leaves), ['ann']);
  await client.expectQuiet();
});

test('the sixth message of a window closes the channel, of each for itself; errors do not count [P-168] [P-170] [E-011]', async () => {
  const [topic, another] = [freshTopic(), freshTopic()];
  const client = await member(topic, { config: {} });
  await client.join(another, { config: {} });
  for (const n of [1, 2, 3, 4, 5]) {
    for (const channel of [topic, another]) {
      assert.equal((await client.request(channel, 'presence', { event: 'foo' })).payload.status, 'error');
      await tracked(client, channel, { n });
      await diff(client);
    }
  }
  client.push(topic, 'presence', { event: 'track', payload: { n: 6 } });
  await client.expectShutdown(topic, 'Client presence rate limit exceeded');
  await client.expectQuietAndJoined(another);
  await until(() => server.log.includes('ClientPresenceRateLimitReached'), 'its line in the log');
  // A new join begins anew.
  await client.join(topic, { config: {} });
  await tracked(client, topic, {});
});

test('a tenant can set the window [P-169]', async () => {
  const topic = freshTopic();
  const client = await member(topic, { config: {} }, host('windowed'));
  const begin = Date.now();
  for (const n of [1, 2, 3]) await tracked(client, topic, { n });
  // The next window, without waiting a fixed time: messages that are answered with an error are looked at but not counted.
  const other = await member(freshTopic(), { config: {} }, host('windowed'));
  await until(() => Date.now() - begin > 1100, 'the window to end');
  for (const n of [4, 5, 6]) await tracked(client, topic, { n });
  client.push(topic, 'presence', { event: 'untrack' });
  const shutdown = await client.next((frame) => frame.event === 'system');
  assert.equal(shutdown.payload.message, 'Client presence rate limit exceeded');
  await other.close();
});

test('tenants, and public topics of other names, have nothing of each other\'s presence', async () => {
  const topic = freshTopic();
  const here = await member(topic, withKey('ann'));
  const there = await member(topic, withKey('bob'), OTHER);
  await state(here);
  await state(there);
  await tracked(here, topic, {});
  await tracked(there, topic, {});
  assert.deepEqual(Object.keys((await diff(here)).payload.joins), ['ann']);
  assert.deepEqual(Object.keys((await diff(there)).payload.joins), ['bob']);
  for (const client of [here, there]) await client.expectQuietAndJoined(topic);
});

test('metas of a megabyte reach everybody, states of several too, and a topic that is full says so', async () => {
  const topic = freshTopic();
  const large = 'x'.repeat(1_000_000);
  const watcher = await member(topic);
  await state(watcher);
  const clients = [];
  for (let n = 0; n < 8; ++n) {
    const client = await member(topic, withKey(`key-${n}`, false));
    clients.push(client);
    await tracked(client, topic, { n, large });
    const { joins } = (await diff(watcher)).payload;
    assert.equal(joins[`key-${n}`].metas[0].large.length, large.length);
  }
  for (const vsn of ['1.0.0', V2]) {
    const late = await member(topic, ENABLED, { vsn });
    const { payload } = await state(late);
    assert.deepEqual(Object.values(payload).map(({ metas }) => metas[0].n), [0, 1, 2, 3, 4, 5, 6, 7]);
    await late.close();
  }
  const unlucky = await member(topic, withKey('unlucky', false));
  unlucky.push(topic, 'presence', { event: 'track', payload: { large } });
  assert.equal((await unlucky.next((frame) => frame.event === 'system')).payload.message, FULL);
  const metrics = await server.metrics();
  assert.equal(metrics.value('realtime_presence_channels_closed_total', { reason: 'topic_full' }), 1);
  // There is room again when somebody leaves.
  await clients[0].close();
  await until(async () => Object.keys((await diff(watcher)).payload.leaves).includes('key-0'), 'the leave');
  await unlucky.join(topic, withKey('lucky', false));
  await tracked(unlucky, topic, { large });
  assert.deepEqual(Object.keys((await diff(watcher)).payload.joins), ['lucky']);
});

test('ten thousand keys from one socket are there, and gone with it', async () => {
  const count = 10_000;
  const topic = freshTopic();
  const many = await connect(server);
  const names = Array.from({ length: count }, (_, n) => `${topic}-${n}`);
  const replies = names.map((name) => many.join(name, withKey(`key of ${name}`, false)));
  await Promise.all(replies);
  for (const name of names) many.push(name, 'presence', { event: 'track', payload: {} });
  const entries = async () => (await server.metrics()).value('realtime_presences');
  await until(async () => (await entries()) >= count, 'all to be there');
  const witness = await member(names[count - 1]);
  assert.deepEqual(Object.keys((await state(witness)).payload), [`key of ${names[count - 1]}`]);
  await many.close();
  assert.deepEqual(Object.keys((await diff(witness)).payload.leaves), [`key of ${names[count - 1]}`]);
  await until(async () => (await entries()) < count, 'all to be gone');
});
