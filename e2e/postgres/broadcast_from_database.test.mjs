// What is written into realtime.messages is broadcast as it is committed. broadcast-from-db.md 1 to 6

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bothVersions, V1, V2 } from '../harness/phoenix.mjs';
import { BY_CLAIMS, privately, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';
import { quoted, send } from '../harness/sql.mjs';

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects();
  project = await projects.make({ sql: BY_CLAIMS });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `room ${++topics}`;
const SEES = { see: ['broadcast'] };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// A client on the private channel of the topic, once messages come.
async function reader(topic, { of = project, ...options } = {}) {
  const client = await of.member(`realtime:${topic}`, { ...SEES, ...options });
  await of.streams();
  return client;
}

async function publicReader(topic, { of = project, ...options } = {}) {
  const client = await of.connect(options);
  await client.join(`realtime:${topic}`);
  await of.streams();
  return client;
}

// As a plain INSERT. Columns: SQL.
function insert(topic, columns, { into = project } = {}) {
  const all = { topic: quoted(topic), extension: "'broadcast'", event: "'e'", private: 'true', ...columns };
  return into.sql(`INSERT INTO realtime.messages (${Object.keys(all)}) VALUES (${Object.values(all)});`);
}

// {event, payload as text or Buffer, id}, whatever the version of the protocol.
function told(frame) {
  assert.equal(frame.event, 'broadcast');
  if (frame.kind === 4) {
    const { id, ...rest } = JSON.parse(frame.metadata);
    assert.deepEqual(rest, {});
    return { event: frame.userEvent, payload: frame.encoding === 1 ? frame.payload.toString() : frame.payload, id };
  }
  const { event, payload, meta, type, ...rest } = frame.payload;
  assert.deepEqual([type, rest, Object.keys(meta)], ['broadcast', {}, ['id']]);
  return { event, payload: JSON.stringify(payload), id: meta.id };
}

async function events(client, count) {
  const out = [];
  for (let n = 0; n < count; n += 1) out.push(told(await client.next()).event);
  return out;
}

// Something behind all that was written so far has come, and nothing else.
async function expectNothingElse(client, topic, { of = project, isPrivate = true } = {}) {
  await of.sql(send(topic, 'last', '{}', isPrivate ? '' : ', false'));
  assert.equal(told(await client.next()).event, 'last');
  await client.expectQuiet();
}

bothVersions('what realtime.send() sends privately reaches the private members of the topic, and nobody else [B-001] [B-003] [P-138]', async (vsn) => {
  const topic = freshTopic();
  const [member, outsider, elsewhere] = [await reader(topic, { vsn }), await publicReader(topic, { vsn }), await reader(`${topic}!`, { vsn })];
  await project.sql(send(topic, 'said', '{"n": 1}'));
  const { event, payload, id } = told(await member.next());
  assert.deepEqual([event, JSON.parse(payload)], ['said', { n: 1, id }]);
  assert.match(id, UUID);
  assert.equal(id, await project.sql(`SELECT id FROM realtime.messages WHERE topic = '${topic}'`));
  for (const client of [outsider, elsewhere]) await client.expectQuiet();
});

bothVersions('what it sends publicly reaches public members only [B-002]', async (vsn) => {
  const topic = freshTopic();
  const [member, outsider] = [await reader(topic, { vsn }), await publicReader(topic, { vsn })];
  await project.sql(send(topic, 'said', '{"n": 1}', ', false'));
  assert.equal(told(await outsider.next()).event, 'said');
  await member.expectQuiet();
});

test('JSON comes as Postgres writes it, digit for digit [B-004]', async () => {
  const topic = freshTopic();
  const [one, two] = [await reader(topic, { vsn: V1 }), await reader(topic, { vsn: V2 })];
  await insert(topic, { payload: `'{"price": 1.10, "b": [1,  2], "a": "ü"}'` });
  const text = '{"a": "ü", "b": [1, 2], "price": 1.10}';
  assert.ok((await one.next()).raw.toString().includes(text));
  assert.equal(told(await two.next()).payload, text);
});

bothVersions('payloads of any kind are told, and rows of any extension [B-005] [B-013]', async (vsn) => {
  const topic = freshTopic();
  const client = await reader(topic, { vsn });
  for (const payload of ['[1, "two"]', '"text"', '17', 'true', 'null']) {
    await insert(topic, { payload: quoted(payload), extension: "'presence'" });
    assert.deepEqual(JSON.parse(told(await client.next()).payload), JSON.parse(payload));
  }
});

test('bytes come as bytes where there is a frame for them, none of them too [B-006] [P-139]', async () => {
  const topic = freshTopic();
  const [one, two] = [await reader(topic, { vsn: V1 }), await reader(topic, { vsn: V2 })];
  await project.sql(`SELECT realtime.send_binary('\\x00ff10', 'bytes', '${topic}'); SELECT realtime.send_binary('', 'none', '${topic}');`);
  const frame = await two.next();
  assert.equal(frame.kind, 4);
  assert.equal(frame.encoding, 0);
  assert.deepEqual(told(frame).payload, Buffer.from([0x00, 0xff, 0x10]));
  assert.deepEqual(told(await two.next()).payload, Buffer.alloc(0));
  await expectNothingElse(one, topic);
});

test('triggers broadcast the rows of a table, with what they were [B-007]', async () => {
  const topic = freshTopic();
  const client = await reader(topic);
  await project.sql(`
    CREATE TABLE public.notes (id int PRIMARY KEY, body text);
    CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM realtime.broadcast_changes('${topic}', TG_OP, TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, NEW, OLD);
      RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.tell();
    INSERT INTO public.notes VALUES (1, 'a'); UPDATE public.notes SET body = 'b'; DELETE FROM public.notes;`);
  const [a, b] = [{ id: 1, body: 'a' }, { id: 1, body: 'b' }];
  for (const [operation, record, old_record] of [['INSERT', a, null], ['UPDATE', b, a], ['DELETE', null, b]]) {
    const { event, payload, id } = told(await client.next());
    assert.equal(event, operation);
    assert.deepEqual(JSON.parse(payload), { id, table: 'notes', schema: 'public', operation, record, old_record });
  }
});

bothVersions('messages come in the order of their commits, and within a transaction in that of the calls [B-008] [B-009]', async (vsn) => {
  const topic = freshTopic();
  const client = await reader(topic, { vsn });
  for (const event of ['1', '2', '3', '4', '5']) await project.sql(send(topic, event));
  await project.sql(`BEGIN; ${send(topic, 'undone')} ROLLBACK;`);
  const rows = ['6', '7', '8', '9', '10'].map((event) => `('${topic}', 'broadcast', '${event}', true, '{}')`);
  await project.sql(`INSERT INTO realtime.messages (topic, extension, event, private, payload) VALUES ${rows};`);
  assert.deepEqual(await events(client, 10), ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
  await expectNothingElse(client, topic);
});

test('a row that lacks something is skipped, the log says what, and the stream goes on [B-010] [E-023]', async () => {
  const topic = freshTopic();
  const client = await reader(topic);
  const payload = "'{}'";
  await insert(topic, { event: 'NULL', payload });
  await insert(topic, { private: 'NULL', payload });
  await insert(topic, {});
  for (const reason of ['event', 'private', 'payload']) await project.expectLogged('UnableToBroadcastChanges', new RegExp(`UnableToBroadcastChanges: :${reason}_missing`));
  await expectNothingElse(client, topic);
});

test('a body may have 3,000,494 bytes by default, JSON or not, and none more [B-011] [B-031] [E-023]', async () => {
  const topic = freshTopic();
  const client = await reader(topic);
  for (const [column, body, wrapped] of [['payload', `to_jsonb(repeat('x', %))`, 2], ['binary_payload', `convert_to(repeat('x', %), 'UTF8')`, 0]]) {
    await insert(topic, { [column]: body.replace('%', 3_000_495 - wrapped), event: "'too large'" });
    await insert(topic, { [column]: body.replace('%', 3_000_494 - wrapped), event: "'largest'" });
    const { event, payload } = told(await client.next());
    assert.deepEqual([event, payload.length], ['largest', 3_000_494]);
  }
  await project.sql(`INSERT INTO realtime.messages (topic, extension, private, event, payload) SELECT '${topic}', 'broadcast', true, 'ten', to_jsonb(repeat('x', 10 << 20)) FROM generate_series(1, 5);`);
  await project.expectLogged('UnableToBroadcastChanges', /:payload_size_exceeded/);
  await expectNothingElse(client, topic);
});

test('above the event rate of the tenant rows are skipped, and its members stay [B-012]', async () => {
  const busy = await projects.make({ sql: BY_CLAIMS, attributes: { max_events_per_second: 5 } });
  const topic = freshTopic();
  await reader(topic, { of: busy });
  const isSkipped = async () => {
    await busy.sql(`SELECT realtime.send('{}', 'e', 'nobody') FROM generate_series(1, 50);`);
    return busy.logged('UnableToBroadcastChanges', /:too_many_requests/).length > 0;
  };
  await until(isSkipped, 'rows to be skipped', 30_000);
});

test('updates, deletions and truncations of messages are nobody’s business [B-014]', async () => {
  const topic = freshTopic();
  const client = await reader(topic);
  await project.sql(`${send(topic, 'said')} UPDATE realtime.messages SET event = 'changed' WHERE topic = '${topic}';
    UPDATE realtime.messages SET inserted_at = inserted_at + interval '1 day' WHERE topic = '${topic}';
    DELETE FROM realtime.messages WHERE topic = '${topic}'; TRUNCATE realtime.messages;`);
  assert.equal(told(await client.next()).event, 'said');
  await expectNothingElse(client, topic);
});

test('columns that users have added disturb nothing [B-015]', async () => {
  const other = await projects.make({ sql: `${BY_CLAIMS} ALTER TABLE realtime.messages ADD COLUMN place point DEFAULT '(1,2)', ADD COLUMN mood xml DEFAULT '<glad/>';` });
  const topic = freshTopic();
  const client = await reader(topic, { of: other });
  await other.sql(send(topic, 'said'));
  assert.equal(told(await client.next()).event, 'said');
});

bothVersions('who may not see broadcasts gets none of the database either [B-016] [A-038]', async (vsn) => {
  const topic = freshTopic();
  const [watcher, member] = [await project.member(`realtime:${topic}`, { vsn, see: ['presence'], presence: true }), await reader(topic, { vsn })];
  assert.equal((await watcher.next()).event, 'presence_state');
  await project.sql(send(topic, 'said'));
  assert.equal(told(await member.next()).event, 'said');
  await watcher.expectQuiet();
});

bothVersions('who does not want to hear himself hears the database all the same [B-017]', async (vsn) => {
  const topic = freshTopic();
  const client = await reader(topic, { vsn, self: false });
  await project.sql(send(topic, 'said'));
  assert.equal(told(await client.next()).event, 'said');
});

test('a topic that is too long for a binary frame is told to those who need none [B-018]', async () => {
  const [fits, tooLong] = ['f'.repeat(246), 't'.repeat(247)];
  const [two, alsoTwo, one] = [await reader(fits, { vsn: V2 }), await reader(tooLong, { vsn: V2 }), await reader(tooLong, { vsn: V1 })];
  await project.sql(send(fits, 'said') + send(tooLong, 'said'));
  assert.equal(told(await two.next()).event, 'said');
  assert.equal(told(await one.next()).event, 'said');
  await alsoTwo.expectQuiet();
  await project.expectLogged('UnableToBroadcastChanges');
});

test('messages of yesterday and tomorrow come in the order of their commits [B-040] [B-044]', async () => {
  const topic = freshTopic();
  const client = await reader(topic);
  for (const [event, day] of [['tomorrow', 1], ['yesterday', -1], ['today', 0]]) {
    await insert(topic, { event: `'${event}'`, payload: "'{}'", inserted_at: `date_trunc('day', now() AT TIME ZONE 'utc') + interval '${day} day 1 second'` });
  }
  assert.deepEqual(await events(client, 3), ['tomorrow', 'yesterday', 'today']);
});

test('a tenant is told whether its messages come, and who waits for them, too [H-078]', async () => {
  const other = await projects.make({ sql: BY_CLAIMS });
  assert.equal((await other.health()).replication_connected, false);
  await reader(freshTopic(), { of: other });
  const { healthy, db_connected, replication_connected } = await other.health();
  assert.deepEqual({ healthy, db_connected, replication_connected }, { healthy: true, db_connected: true, replication_connected: true });
  const metrics = await projects.server.metrics();
  assert.ok(metrics.value('realtime_message_streams') >= 1);
});

test('how long messages take is measured, from their commit and from their row [M-017]', async () => {
  const other = await projects.make({ sql: BY_CLAIMS });
  const topic = freshTopic();
  const client = await reader(topic, { of: other });
  await other.sql(send(topic, 'said'));
  await client.next();
  const metrics = await projects.server.metrics();
  for (const since of ['committed', 'inserted']) {
    assert.equal(metrics.value(`realtime_tenants_broadcast_from_database_latency_${since}_at_count`, { tenant: other.name }), 1);
  }
});

test('bytes and JSON do not depend on how a database writes bytes and dates, and follow its time zone [D-038]', async () => {
  const other = await projects.make({ sql: BY_CLAIMS });
  for (const setting of ["bytea_output = 'escape'", "datestyle = 'SQL, DMY'", "timezone = 'Asia/Tokyo'"]) await other.sql(`ALTER DATABASE ${other.name} SET ${setting};`);
  const topic = freshTopic();
  const client = await reader(topic, { of: other });
  await other.sql(`SELECT realtime.send_binary('\\x005c0a27ff', 'bytes', '${topic}');
    SELECT realtime.send(jsonb_build_object('at', '2026-01-02 03:04:05+00'::timestamptz), 'time', '${topic}');`);
  assert.deepEqual(told(await client.next()).payload, Buffer.from([0x00, 0x5c, 0x0a, 0x27, 0xff]));
  assert.equal(JSON.parse(told(await client.next()).payload).at, '2026-01-02T12:04:05+09:00');
});

test('topics with quotes, letters of any script and colons are themselves', async () => {
  for (const topic of ["it's; DROP TABLE x", 'ключ:🔑', 'a"b\\c', ' ']) {
    const client = await reader(topic);
    await project.sql(send(topic, topic));
    assert.equal(told(await client.next()).event, topic);
  }
});

test('a tenant’s messages are nobody else’s, whatever the topic', async () => {
  const other = await projects.make({ sql: BY_CLAIMS });
  const topic = freshTopic();
  const [mine, theirs] = [await reader(topic), await reader(topic, { of: other })];
  const open = await publicReader(topic, { of: other });
  await project.sql(send(topic, 'mine') + send(topic, 'mine too', '{}', ', false'));
  assert.equal(told(await mine.next()).event, 'mine');
  for (const client of [theirs, open]) await client.expectQuiet();
  await expectNothingElse(theirs, topic, { of: other });
});

test('a member hears the database, other members and REST on one channel', async () => {
  const topic = freshTopic();
  const client = await reader(topic);
  const backend = await project.backend(`realtime:${topic}`, { ack: true });
  await project.sql(send(topic, 'by SQL'));
  assert.equal(told(await client.next()).event, 'by SQL');
  backend.broadcast(`realtime:${topic}`, 'by a member');
  assert.equal((await client.next()).payload.event, 'by a member');
  await project.sendOne(topic, 'by REST', { claims: { role: 'service_role' } });
  assert.equal((await client.next()).userEvent, 'by REST');
  assert.equal((await client.tryJoin('realtime:after', privately())).payload.status, 'ok');
});
