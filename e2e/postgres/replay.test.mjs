// Replay: who joins a private channel may be told what was stored for it before. protocol.md 5.7, broadcast-from-db.md 7

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connectLongPoll } from '../harness/long_poll.mjs';
import { assertError, assertFrame, bothVersions, V1, V2 } from '../harness/phoenix.mjs';
import { assertUnauthorized, BY_CLAIMS, privately, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';
import { quoted, send as sqlToSend } from '../harness/sql.mjs';

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects();
  project = await projects.make({ sql: BY_CLAIMS });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `room ${++topics}`;
const READER = { see: ['broadcast'] };
const ALL = { since: 0 };
const UNABLE = 'UnableToReplayMessages: Realtime was unable to replay messages';

const send = (topic, payload, event = 'e') => sqlToSend(topic, event, payload);
// A row by hand. `at`: an SQL expression of when.
const row = (topic, payload, { at = `now() AT TIME ZONE 'UTC'`, extension = 'broadcast', isPrivate = true } = {}) =>
  `INSERT INTO realtime.messages (topic, extension, event, private, payload, inserted_at)
   VALUES (${quoted(topic)}, '${extension}', 'e', ${isPrivate}, ${quoted(payload)}::jsonb, ${at});`;

// Joins and gives what came behind the reply, up to the answer of a push that came after.
async function replayed(topic, replay, { vsn = V2, of = project, ...options } = {}) {
  const client = await of.member(`realtime:${topic}`, { ...READER, vsn, replay, ...options });
  const ref = client.push(`realtime:${topic}`, 'presence');
  await client.next((frame) => frame.event === 'phx_reply' && frame.ref === ref, 'the answer behind the replay');
  const frames = client.inbox.splice(0);
  await client.close();
  return frames;
}
const payloads = async (...args) => (await replayed(...args)).map(({ payload }) => payload.payload);

// Yesterday's partition, locked until release(). Rights are asked of today's only, old messages are looked for in both.
async function heldPartition() {
  const name = await project.sql(`SELECT 'realtime.messages_' || to_char(now() AT TIME ZONE 'UTC' - interval '1 day', 'YYYY_MM_DD')`);
  const done = project.sql(`BEGIN; LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE; SELECT pg_advisory_lock(1), pg_sleep(60); COMMIT;`).catch(() => {});
  const locks = (condition) => project.sql(`SELECT count(*) FROM pg_locks WHERE relation = '${name}'::regclass AND ${condition}`);
  await until(async () => (await locks('granted')) === '1', 'the lock');
  return {
    until: (what) => until(async () => (await locks('NOT granted')) === '1', what),
    release: async () => {
      await project.sql(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = '${name}'::regclass AND granted`);
      await done;
    },
  };
}

bothVersions('the newest stored messages follow the reply to a join, the oldest first, those of one transaction in the order of their calls [B-033] [P-140]', async (vsn) => {
  const topic = freshTopic();
  await project.sql(row(topic, '{"n":0}', { at: `now() AT TIME ZONE 'UTC' - interval '1 hour'` }) + send(topic, '{"n":1}'));
  await project.sql(`BEGIN; ${[2, 3, 4, 5].map((n) => send(topic, `{"n":${n}}`, `event "${n}"`)).join('')} COMMIT;`);
  assert.deepEqual((await payloads(topic, ALL, { vsn })).map(({ n }) => n), [0, 1, 2, 3, 4, 5]);
  const [, last] = await replayed(topic, { since: 0, limit: 2 }, { vsn });
  const id = last.payload.payload.id; // realtime.send adds it
  assertFrame(last, {
    topic: `realtime:${topic}`,
    event: 'broadcast',
    ref: null,
    joinRef: '1',
    payload: { type: 'broadcast', event: 'event "5"', payload: { n: 5, id }, meta: { id, replayed: true } },
  });
  assert.equal(await project.sql(`SELECT payload ->> 'n' FROM realtime.messages WHERE id = '${id}'`), '5');
});

test('the number of messages is 25 unless the client says less, and never none [B-033] [P-141]', async () => {
  const topic = freshTopic();
  await project.sql(Array.from({ length: 30 }, (_, n) => send(topic, `{"n":${n}}`)).join(''));
  const numbers = async (replay) => (await payloads(topic, { since: 0, ...replay })).map(({ n }) => n);
  const newest = (count) => Array.from({ length: count }, (_, n) => 30 - count + n);
  for (const limit of [undefined, null, false, 25, 100]) assert.deepEqual(await numbers({ limit }), newest(25), `${limit}`);
  assert.deepEqual(await numbers({ limit: 3 }), newest(3));
  for (const limit of [1, 0, -3]) assert.deepEqual(await numbers({ limit }), newest(1), `${limit}`);
});

test('only private broadcasts of this very topic are replayed, from a time on [B-034]', async () => {
  const topic = freshTopic();
  const at = (seconds) => ({ at: `date_trunc('second', now() AT TIME ZONE 'UTC') - interval '${seconds} seconds'` });
  await project.sql(`BEGIN;
    ${row(topic, '1', { isPrivate: false })} ${row(topic, '2', { extension: 'presence' })} ${row(`${topic} `, '3')} ${row(topic.toUpperCase(), '4')}
    ${row(topic, '5', { at: `now() AT TIME ZONE 'UTC' + interval '5 minutes'` })} ${row(topic, '6', at(100))} ${row(topic, '7', at(90))} COMMIT;`);
  const millis = Number(await project.sql(`SELECT 1000 * extract(epoch FROM inserted_at)::bigint FROM realtime.messages WHERE topic = ${quoted(topic)} AND payload = '7'`));
  assert.deepEqual(await payloads(topic, ALL), [6, 7]);
  assert.deepEqual(await payloads(topic, { since: -62167219200000 }), [6, 7]);
  assert.deepEqual(await payloads(topic, { since: millis }), [7]);
  assert.deepEqual(await payloads(topic, { since: millis + 1 }), []);
  assert.deepEqual(await payloads(topic, { since: 253402300799999 }), []);
});

test('a replay that cannot be had refuses the join and says why [B-035] [P-142] [P-143]', async () => {
  const topic = `realtime:${freshTopic()}`;
  const asked = (replay) => project.asked(topic, READER, { replay });
  for (const replay of [{}, { since: 'x' }, { since: 1.5 }, { since: null }, { since: 253402300800000 }, { since: 1, limit: '5' }, { since: 1, limit: true }]) {
    assertError(await asked(replay), 'UnableToReplayMessages: Replay params are not valid');
  }
  for (const nothing of [null, true, 'x', 5, []]) assert.equal((await asked(nothing)).payload.status, 'ok', JSON.stringify(nothing));

  const client = await project.connect(READER);
  for (const replay of [null, false, {}, ALL]) {
    assertError(await client.tryJoin(topic, { config: { broadcast: { replay } } }), 'UnableToReplayMessages: Replay is not allowed for public channels');
  }

  await project.sql('ALTER TABLE realtime.messages RENAME COLUMN binary_payload TO gone');
  const reply = await asked(ALL);
  await project.sql('ALTER TABLE realtime.messages RENAME COLUMN gone TO binary_payload');
  assertError(reply, UNABLE);
  await project.expectLogged('UnableToReplayMessages', /binary_payload/);
  assert.equal((await asked(ALL)).payload.status, 'ok');
});

test('who may not read broadcasts is refused a replay, whatever is stored [A-030] [A-038] [B-039] [P-144]', async () => {
  const topic = freshTopic();
  await project.sql(send(topic, '{}'));
  const replay = { since: 0, limit: 5 };
  const asked = (claims, config) => project.asked(`realtime:${topic}`, claims, { replay, ...config });
  assertUnauthorized(await asked({ see: ['presence'] }, { presence: true }), topic);
  assertUnauthorized(await asked({}), topic);
  assert.equal((await asked(READER)).payload.status, 'ok');
});

test('bytes are replayed as binary frames on version 2, and left out on version 1 [B-037] [P-146]', async () => {
  const topic = freshTopic();
  const binary = (hex, event = 'blob') => `SELECT realtime.send_binary('\\x${hex}', ${quoted(event)}, ${quoted(topic)});`;
  await project.sql(binary('deadbeef') + binary('') + binary('00', 'e'.repeat(256)) + send(topic, '{}'));
  const [first, second, last, ...more] = await replayed(topic, ALL);
  const ids = (await project.sql(`SELECT id FROM realtime.messages WHERE topic = ${quoted(topic)} ORDER BY inserted_at`)).split('\n');
  assertFrame(first, { kind: 4, encoding: 0, topic: `realtime:${topic}`, userEvent: 'blob', metadata: `{"id":"${ids[0]}","replayed":true}`, payload: Buffer.from('deadbeef', 'hex') });
  assertFrame(second, { kind: 4, encoding: 0, metadata: `{"id":"${ids[1]}","replayed":true}`, payload: Buffer.alloc(0) });
  assert.equal(last.payload.meta.id, ids[3], 'the one whose event is too long for a binary frame is left out');
  assert.deepEqual(more, []);
  const older = await replayed(topic, ALL, { vsn: V1 });
  assert.deepEqual(older.map(({ payload }) => payload.meta.id), [ids[3]]);
});

bothVersions('JSON of any kind is replayed letter by letter as the database has it [B-038]', async (vsn) => {
  const topic = freshTopic();
  await project.sql(`BEGIN; ${['{"price": 1.10, "a": [1.0]}', '[]', 'null', '1.10', '"\\u00e9\\n"'].map((json) => row(topic, json)).join('')} COMMIT;`);
  const frames = await replayed(topic, ALL, { vsn });
  const sources = frames.map(({ raw }) => /"payload":((?:(?!"payload":).)*),"meta":\{"id":"[-0-9a-f]{36}","replayed":true\}/.exec(raw)[1]);
  assert.deepEqual(sources, ['{"a": [1.0], "price": 1.10}', '[]', 'null', '1.10', '"é\\n"']);
});

test('nothing of a channel comes before the reply to its join, and its presence and broadcasts go on behind the replay', async () => {
  const topic = `realtime:${freshTopic()}`;
  await project.sql(send(topic.slice(9), '{"n":1}'));
  const backend = await project.backend(topic, { ack: true });
  const reader = await project.connect({ see: ['broadcast', 'presence'] });
  const ref = reader.push(topic, 'phx_join', privately({ presence: true, replay: ALL }), { ref: '1', joinRef: '1' });
  assertFrame(await reader.next(), { event: 'phx_reply', ref, payload: { status: 'ok', response: { postgres_changes: [] } } });
  assert.equal((await reader.next((frame) => frame.event === 'broadcast')).payload.payload.n, 1);
  assert.deepEqual((await reader.next()).event, 'presence_state');
  backend.broadcast(topic, 'live');
  assert.equal((await reader.next()).payload.event, 'live');
});

bothVersions('what is sent while a replay is looked for comes behind it, and nothing is lost', async (vsn) => {
  const topic = freshTopic();
  const channel = `realtime:${topic}`;
  await project.sql(send(topic, '{"n":1}'));
  const backend = await project.backend(channel, { ack: true });
  const sent = async (n) => {
    const ack = backend.broadcast(channel, 'live', { n });
    await backend.next((frame) => frame.event === 'phx_reply' && frame.ref === ack);
  };
  await sent(0); // so that its right to is known
  const reader = await project.connect({ ...READER, vsn });
  // The query waits for a partition that rights are not asked of.
  const held = await heldPartition();
  const ref = reader.push(channel, 'phx_join', privately({ replay: ALL }), { ref: '1', joinRef: '1' });
  reader.joinRefs.set(channel, '1');
  await held.until('the query to wait');
  for (const n of [2, 3]) await sent(n);
  await reader.expectQuiet();
  await held.release();
  const told = [await reader.next(), await reader.next(), await reader.next(), await reader.next()];
  assert.deepEqual(told.map(({ event, payload }) => payload.payload?.n ?? event), ['phx_reply', 1, 2, 3]);
  assert.equal(told[0].ref, ref);
  await reader.expectQuietAndJoined(channel);
});

test('a client may leave, join again or go while its replay is looked for', async () => {
  const topic = `realtime:${freshTopic()}`;
  await project.sql(send(topic.slice(9), '{"n":1}'));
  const client = await project.connect(READER);
  const join = (ref) => client.push(topic, 'phx_join', privately({ replay: ALL }), { ref, joinRef: ref });
  join('1');
  client.push(topic, 'phx_leave', {}, { ref: '2', joinRef: '1' });
  join('3');
  join('4');
  const events = [];
  while (events.at(-1) !== 'broadcast 4') {
    const frame = await client.next();
    events.push(`${frame.event} ${frame.joinRef}`);
  }
  assert.deepEqual(events, [
    'phx_reply 1', 'broadcast 1', 'phx_reply 1', 'phx_close 1', 'phx_reply 3', 'broadcast 3', 'phx_reply 4', 'phx_close 3', 'broadcast 4',
  ]);
  join('5');
  client.socket.terminate();
  assert.deepEqual(await payloads(topic.slice(9), { since: 0 }).then(([{ n }]) => n), 1);
});

test('a client that polls is told what text can carry', async () => {
  const topic = freshTopic();
  await project.sql(`SELECT realtime.send_binary('\\x00', 'e', ${quoted(topic)});` + send(topic, '{"n":1}'));
  const dropped = async () => (await projects.server.metrics()).value('realtime_dropped_total', { reason: 'text_only' });
  const before = await dropped();
  const client = await connectLongPoll(projects.server, { token: project.token(READER), headers: { host: project.host } });
  await client.join(`realtime:${topic}`, privately({ replay: ALL }));
  assert.equal((await client.next()).payload.payload.n, 1);
  assert.equal(await dropped(), before + 1);
});

test('of messages that are too large together the newest are replayed, and the log says that there were more', async () => {
  const topic = freshTopic();
  const large = (letter) => `SELECT realtime.send(jsonb_build_object('x', repeat('${letter}', 3000000)), 'e', ${quoted(topic)});`;
  await project.sql(['a', 'b', 'c', 'd'].map(large).join(''));
  const leftOut = async () => (await projects.server.metrics()).value('realtime_replay_messages_left_out_total', {});
  const before = await leftOut();
  const client = await project.connect({ ...READER, params: { log_level: 'warning' } });
  await client.join(`realtime:${topic}`, privately({ replay: ALL }));
  for (const letter of ['c', 'd']) assert.equal((await client.next()).payload.payload.x[0], letter);
  await client.expectQuietAndJoined(`realtime:${topic}`);
  await project.expectLogged('UnableToReplayMessages', /left the oldest 2 messages out/);
  assert.equal(await leftOut(), before + 2);
});

test('replays are counted and measured', async () => {
  const topic = freshTopic();
  await project.sql(send(topic, '{}') + send(topic, '{}'));
  const before = await projects.server.metrics();
  await replayed(topic, ALL);
  const now = await projects.server.metrics();
  const grown = (name, labels) => now.value(name, labels) - (before.value(name, labels) ?? 0);
  assert.equal(grown('realtime_replays_total', { result: 'ok' }), 1);
  assert.equal(grown('realtime_replayed_messages_total', {}), 2);
  assert.equal(grown('realtime_tenants_replay_count', { tenant: project.name }), 1);
});
