// How messages of changes look on the wire, in which order they come, and what is not told. postgres-changes.md 8.6, 10 and 11

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { freshTable, listen, Listener, makeWatched, PUBLICATION, startWatched, tableSql } from '../harness/changes.mjs';
import { connectLongPoll } from '../harness/long_poll.mjs';
import { bothVersions, V1 } from '../harness/phoenix.mjs';
import { MEMORY_IS_JUDGED, peakGrowth } from '../harness/process.mjs';
import { until } from '../harness/server.mjs';
import { quoted } from '../harness/sql.mjs';

let projects;
let project;
before(async () => {
  projects = await startWatched({ workers: 2, postgres: { max_prepared_transactions: 5, track_commit_timestamp: 'on' } });
  project = await makeWatched(projects, { sql: WAITED });
});
after(() => projects.stop());

const WAITED = `
  CREATE FUNCTION waited(seconds float8) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(seconds); RETURN true; END $$;`;
const secured = (condition) => (name) => `ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY; CREATE POLICY see ON ${name} FOR SELECT TO authenticated USING (${condition});`;

const watch = (table, options, entry = {}) => listen(project, [{ schema: 'public', table, ...entry }], options);
const idOf = ({ data }) => (data.record ?? data.old_record).id;
const ids = async (listener) => (await listener.told()).map(idOf);

bothVersions('a change is a text frame of its version, without refs [PC-100]', async (vsn) => {
  const table = await freshTable(project);
  const listener = await watch(table, { vsn });
  await project.sql(`INSERT INTO ${table} VALUES (1, 'ü 🔑');`);
  const [{ frame, ids, data }] = await listener.told();
  assert.ok(!('kind' in frame), 'no binary frame');
  const payload = { ids, data };
  if (vsn === V1) assert.deepEqual(JSON.parse(frame.raw), { topic: listener.topic, event: 'postgres_changes', payload, ref: null });
  else assert.deepEqual(JSON.parse(frame.raw), [null, null, listener.topic, 'postgres_changes', payload]);
  assert.deepEqual(ids, [listener.echo[0].id]);
  assert.ok(frame.raw.includes('"record":{"id": 1, "body": "ü 🔑"}') || frame.raw.includes('"record": {"id": 1, "body": "ü 🔑"}'), frame.raw);
});

test('who polls is told the same [PC-100]', async () => {
  const table = await freshTable(project);
  const client = await connectLongPoll(projects.server, { token: project.token(), headers: { host: project.host } });
  const [polled, pushed] = [await watch(table, { client }), await watch(table)];
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a'), (2, 'b');`);
  assert.deepEqual((await polled.told()).map(({ data }) => data), (await pushed.told()).map(({ data }) => data));
});

bothVersions('entries that want the same row share a message with all their ids, and other selections have their own [PC-101] [P-180]', async (vsn) => {
  const table = await freshTable(project, 'id int PRIMARY KEY, a text, b text');
  const here = { schema: 'public', table };
  const entries = [{ event: 'INSERT', ...here }, { event: '*', ...here }, { event: '*', ...here }, { event: 'DELETE', ...here }, { event: '*', ...here, filter: 'id=eq.7' }, { event: '*', ...here, select: ['a'] }, { event: 'INSERT', ...here, select: ['a'] }, { event: '*', ...here, select: ['b'] }];
  const listener = await listen(project, entries, { vsn });
  await project.sql(`INSERT INTO ${table} VALUES (1, 'x', 'y'); DELETE FROM ${table};`);
  const given = listener.echo.map(({ id }) => id);
  const told = (await listener.told()).map(({ ids, data }) => [data.type, [...new Set(ids)].sort(), data.columns.map(({ name }) => name).join()]);
  const of = (...places) => [...new Set(places.map((place) => given[place]))].sort();
  const inserts = [['INSERT', of(0, 1, 2), 'id,a,b'], ['INSERT', of(5, 6), 'id,a'], ['INSERT', of(7), 'id,b']];
  const deletions = [['DELETE', of(1, 2, 3), 'id,a,b'], ['DELETE', of(5), 'id,a'], ['DELETE', of(7), 'id,b']];
  const sorted = (messages) => messages.map((message) => JSON.stringify(message)).sort();
  assert.deepEqual(sorted(told.slice(0, 3)), sorted(inserts));
  assert.deepEqual(sorted(told.slice(3)), sorted(deletions));
});

test('channels of one topic are told what each of them asked for [PC-101]', async () => {
  const table = await freshTable(project);
  const topic = 'realtime:shared by many';
  const wanted = ['id=eq.1', 'id=gt.1', 'id=gt.0', 'id=gt.0'];
  const listeners = [];
  for (const [n, filter] of wanted.entries()) listeners.push(await watch(table, { topic, vsn: n === 3 ? V1 : undefined }, { filter }));
  await project.sql(`INSERT INTO ${table} VALUES (1), (2);`);
  for (const [n, listener] of listeners.entries()) {
    const told = await listener.told();
    assert.deepEqual(told.map(idOf), [[1], [2], [1, 2], [1, 2]][n]);
    for (const { ids } of told) assert.deepEqual(ids, [listener.echo[0].id]);
  }
});

test('changes come in the order of their commits, whatever has to be asked about some of them [PC-102]', async () => {
  const free = await freshTable(project);
  const bound = await freshTable(project, 'id int PRIMARY KEY, body text', secured('waited(0.003)'));
  const keyless = await freshTable(project, 'id int');
  const topic = [free, bound, keyless].map((table) => ({ event: 'INSERT', schema: 'public', table }));
  const listeners = [await listen(project, topic), await listen(project, topic, { claims: { sub: 'other' } }), await listen(project, topic, { claims: { role: 'service_role' } })];
  const tables = [free, bound, keyless];
  const sql = Array.from({ length: 60 }, (_, n) => `INSERT INTO ${tables[n % 7 % 3]} VALUES (${n});`);
  await project.sql(sql.join('\n'));
  const wanted = Array.from({ length: 60 }, (_, n) => tables[n % 7 % 3]);
  for (const listener of listeners) {
    const told = await listener.told();
    assert.deepEqual(told.map(({ data }) => data.table), wanted);
    assert.deepEqual(told.filter(({ data }) => data.errors === null).map(idOf), wanted.flatMap((table, n) => (table === keyless ? [] : [n])));
  }
});

test('a transaction is told as it went, with its triggers and savepoints, when it is committed [PC-102] [PC-103]', async () => {
  const log = await freshTable(project, 'id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text');
  const table = await freshTable(project, 'id int PRIMARY KEY, body text', (name) => `
    CREATE FUNCTION note_${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ${log} (body) VALUES (TG_OP); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT OR DELETE ON ${name} FOR EACH ROW EXECUTE FUNCTION note_${name}();`);
  const listener = await listen(project, [table, log].map((name) => ({ schema: 'public', table: name })));
  const [one, other] = [await project.postgres.openSession(project.name), await project.postgres.openSession(project.name)];
  await one.run(`BEGIN; INSERT INTO ${table} VALUES (1); SAVEPOINT s; INSERT INTO ${table} VALUES (2); ROLLBACK TO s; INSERT INTO ${table} VALUES (3);`);
  await other.run(`INSERT INTO ${table} VALUES (10), (11);`);
  await one.run(`UPDATE ${table} SET body = 'x' WHERE id = 3; DELETE FROM ${table} WHERE id = 1; COMMIT;`);
  const told = (await listener.told()).map(({ data }) => `${data.type} ${(data.table === log ? data.record.body : (data.record ?? data.old_record).id)}`);
  // The triggers of a statement run at its end.
  assert.deepEqual(told, ['INSERT 10', 'INSERT 11', 'INSERT INSERT', 'INSERT INSERT', 'INSERT 1', 'INSERT INSERT', 'INSERT 3', 'INSERT INSERT', 'UPDATE 3', 'DELETE 1', 'INSERT DELETE']);
  await Promise.all([one.close(), other.close()]);
});

test('a transaction of a million rows is told in order, and the server does not hold it [PC-103]', async (t) => {
  const table = await freshTable(project, 'id int PRIMARY KEY, body text');
  const listener = await watch(table, {}, { filter: 'body=eq.wanted' });
  const bound = await freshTable(project, 'id int PRIMARY KEY, body text', secured('id % 10 = 0'));
  const checked = await watch(bound);
  const { before, growth } = await peakGrowth(projects.server.pid, async () => {
    await project.sql(`INSERT INTO ${table} SELECT n, CASE WHEN n % 1000 = 0 THEN 'wanted' ELSE repeat('x', 40) END FROM generate_series(1, 1000000) n;
      INSERT INTO ${bound} SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n;`);
    assert.deepEqual(await ids(listener), Array.from({ length: 1000 }, (_, n) => 1000 * (n + 1)));
    assert.deepEqual(await ids(checked), Array.from({ length: 2000 }, (_, n) => 10 * (n + 1)));
  });
  t.diagnostic(`memory +${growth.toFixed(1)} MiB over ${before.toFixed(1)}`);
  if (MEMORY_IS_JUDGED) assert.ok(growth < 64, `the server's memory grew by ${growth.toFixed(1)} MiB`);
});

test('rolled back work is not told, nor what is no row of a published table; prepared work is, once it is committed [PC-104]', async () => {
  const table = await freshTable(project);
  const listener = await watch('%');
  await project.sql(`BEGIN; INSERT INTO ${table} VALUES (1); ROLLBACK;
    BEGIN; INSERT INTO ${table} VALUES (2); SAVEPOINT s; UPDATE ${table} SET id = 3; ROLLBACK TO s; COMMIT;
    DO $$ BEGIN INSERT INTO ${table} VALUES (4); RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
    CREATE TEMP TABLE passing (id int PRIMARY KEY); INSERT INTO passing VALUES (5);
    CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY); INSERT INTO unlogged VALUES (6);
    CREATE SEQUENCE numbers; SELECT nextval('numbers'); CREATE TABLE not_published (id int PRIMARY KEY); INSERT INTO not_published VALUES (7);
    SELECT pg_logical_emit_message(true, 'any', 'text'); SELECT pg_logical_emit_message(false, 'any', 'text');
    BEGIN; INSERT INTO ${table} VALUES (8); PREPARE TRANSACTION 'one'; BEGIN; INSERT INTO ${table} VALUES (9); PREPARE TRANSACTION 'other';
    INSERT INTO ${table} VALUES (10); COMMIT PREPARED 'one'; ROLLBACK PREPARED 'other';`);
  assert.deepEqual(await ids(listener), [2, 10, 8]);
});

// The change as the reference server decodes it: its bytes are what the limit is compared with.
const DECODED = (table) => `
  SELECT octet_length(jsonb_build_object('action', 'I', 'timestamp', '2026-01-02 03:04:05.123456+00', 'schema', 'public', 'table', '${table}',
    'columns', jsonb_build_array(
      jsonb_build_object('name', 'id', 'type', 'integer', 'typeoid', 23, 'value', id), jsonb_build_object('name', 'n', 'type', 'numeric(10,2)', 'typeoid', 1700, 'value', n),
      jsonb_build_object('name', 'b', 'type', 'boolean', 'typeoid', 16, 'value', b), jsonb_build_object('name', 'body', 'type', 'text', 'typeoid', 25, 'value', body),
      jsonb_build_object('name', 'v', 'type', 'character varying(9)', 'typeoid', 1043, 'value', v)),
    'pk', jsonb_build_array(jsonb_build_object('name', 'id', 'type', 'integer', 'typeoid', 23)))::text) FROM ${table} ORDER BY id`;
const TIMESTAMP_VARIES = 7; // bytes, by the digits of its fraction
const TOO_LARGE = ['Error 413: Payload Too Large'];

test('a row above the limit loses its large values; one that just fits does not [PC-105] [P-198]', async () => {
  const LIMIT = 2000;
  const small = await makeWatched(projects, { settings: { poll_max_record_bytes: LIMIT }, tables: { sized: 'id int PRIMARY KEY, n numeric(10,2), b bool, body text, v varchar(9)' } });
  const listener = await listen(small, [{ schema: 'public', table: 'sized' }]);
  await small.sql(`INSERT INTO sized SELECT n, 1.5, NULL, repeat('x', n), 'ä' FROM generate_series(1200, 2000, 1) n;`);
  const bytes = (await small.sql(DECODED('sized'))).split('\n').map(Number);
  const told = (await listener.told()).map(({ data }) => data);
  assert.equal(told.length, bytes.length);
  assert.ok(bytes[0] < LIMIT - TIMESTAMP_VARIES && bytes.at(-1) > LIMIT, `${bytes[0]} to ${bytes.at(-1)}`);
  for (const [n, { errors, record, columns, commit_timestamp }] of told.entries()) {
    const id = n + 1200;
    assert.equal(columns.length, 5);
    assert.ok(commit_timestamp);
    if (bytes[n] <= LIMIT) assert.deepEqual([errors, record], [null, { id, n: 1.5, b: null, body: 'x'.repeat(id), v: 'ä' }], `${bytes[n]} bytes`);
    if (bytes[n] > LIMIT + TIMESTAMP_VARIES) assert.deepEqual([errors, record], [TOO_LARGE, { id, n: 1.5, v: 'ä' }], `${bytes[n]} bytes`);
  }
});

test('of a row that is too large values of up to 64 bytes are left, and no NULL; filters see all of it [PC-105]', async () => {
  const columns = 'id int PRIMARY KEY, big text, s62 text, s63 text, u62 text, u64 text, q62 text, q64 text, nothing text, n numeric, nn numeric, a int[], j jsonb';
  const table = await freshTable(project, columns, (name) => `ALTER TABLE ${name} ALTER COLUMN big SET STORAGE EXTERNAL; ALTER TABLE ${name} REPLICA IDENTITY FULL;`);
  const listener = await watch(table, {}, { filter: 'big=like.%y,s63=neq.x' });
  const deletions = await watch(table, {}, { event: 'DELETE' });
  const big = `repeat('x', 1100000) || 'y'`;
  const values = [1, big, "repeat('s', 62)", "repeat('s', 63)", "repeat('ü', 31)", "repeat('ü', 32)", `repeat('"', 31)`, `repeat('"', 32)`, 'NULL', "repeat('9', 64)::numeric", "repeat('9', 65)::numeric", `'{1,2}'`, `'{"a": "${'x'.repeat(60)}"}'`];
  await project.sql(`INSERT INTO ${table} VALUES (${values});`);
  await project.sql(`UPDATE ${table} SET a = '{3}'; DELETE FROM ${table};`);
  const left = { id: 1, s62: 's'.repeat(62), u62: 'ü'.repeat(31), q62: '"'.repeat(31), n: Number('9'.repeat(64)), a: [1, 2] };
  const [insert, ...more] = (await listener.told()).map(({ data }) => data);
  assert.deepEqual([insert.errors, insert.record, insert.columns.length], [TOO_LARGE, left, 13]);
  assert.deepEqual(more.map(({ type }) => type), ['DELETE'], 'the large value of the update did not change');
  const [deletion] = (await deletions.told()).map(({ data }) => data);
  assert.deepEqual([deletion.errors, deletion.old_record], [TOO_LARGE, { ...left, a: [3] }]);
});

test('values that did not change are not told of a row that is too large, whatever else is known [PC-105]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, big text, other text', (name) => `ALTER TABLE ${name} ALTER COLUMN big SET STORAGE EXTERNAL; ALTER TABLE ${name} REPLICA IDENTITY FULL;`);
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} VALUES (1, repeat('x', 1100000), 'a'); UPDATE ${table} SET other = 'b';`);
  const [, update] = (await listener.told()).map(({ data }) => data);
  assert.deepEqual([update.errors, update.record, update.old_record], [TOO_LARGE, { id: 1, other: 'b' }, { id: 1, other: 'a' }]);
});

test('a row of many megabytes comes as it is where the limit lets it', async () => {
  const large = await makeWatched(projects, { settings: { poll_max_record_bytes: 50_000_000 }, tables: { large: 'id int PRIMARY KEY, body text' } });
  const listener = await listen(large, [{ schema: 'public', table: 'large' }]);
  await large.sql(`INSERT INTO large VALUES (1, repeat('x', 4000000)), (2, 'small');`);
  const [one, two] = await listener.told();
  assert.equal(one.data.record.body.length, 4_000_000);
  assert.equal(two.data.record.body, 'small');
});

test('who left, was replaced or is gone is told nothing more [PC-107]', async () => {
  const table = await freshTable(project);
  const client = await project.connect();
  const [left, stays] = [await watch(table, { client }), await watch(table, { client })];
  await project.sql(`INSERT INTO ${table} VALUES (1);`);
  assert.deepEqual([await ids(left), await ids(stays)], [[1], [1]]);
  await left.leave();
  await project.sql(`INSERT INTO ${table} VALUES (2);`);
  assert.deepEqual([await ids(stays), left.taken()], [[2], []]);

  const again = await Listener.join(project, [{ event: 'DELETE', schema: 'public', table }], { client, topic: stays.topic });
  await again.subscribed();
  await project.sql(`INSERT INTO ${table} VALUES (3); DELETE FROM ${table} WHERE id = 3;`);
  const told = await again.told();
  assert.deepEqual(told.map(({ data, ids }) => [data.type, ids]), [['DELETE', [again.echo[0].id]]]);

  // In the midst of a burst.
  const leaver = await watch(table, { client });
  const burst = project.sql(`INSERT INTO ${table} SELECT n FROM generate_series(1000, 21000) n;`);
  await leaver.next();
  await leaver.leave();
  leaver.taken();
  await burst;
  await again.settle();
  assert.deepEqual(leaver.taken(), []);

  const gone = await watch(table);
  await gone.client.close();
  await project.sql(`INSERT INTO ${table} VALUES (4);`);
  await client.heartbeat();
});

test('a topic that many share is told each change once, whatever its members asked for', async () => {
  const table = await freshTable(project);
  const topic = 'realtime:broadcasts and rows';
  const [rows, none] = [await watch(table, { topic }), await project.connect()];
  await none.join(topic);
  await project.sql(`INSERT INTO ${table} VALUES (1);`);
  assert.deepEqual(await ids(rows), [1]);
  none.broadcast(topic, 'hello');
  assert.equal((await rows.client.next()).payload.event, 'hello');
  await none.expectQuiet();
});

test('private channels are told rows, too', async () => {
  const own = await makeWatched(projects, { tables: { kept: 'id int PRIMARY KEY' }, sql: 'CREATE POLICY see ON realtime.messages FOR SELECT TO authenticated USING (true);' });
  const listener = await listen(own, [{ schema: 'public', table: 'kept' }], { config: { private: true } });
  await own.sql('INSERT INTO kept VALUES (1);');
  assert.deepEqual(await ids(listener), [1]);
});

test('a tenant is told of its own rows only', async () => {
  const other = await makeWatched(projects, { tables: { mine: 'id int PRIMARY KEY' } });
  await project.sql(tableSql('mine', 'id int PRIMARY KEY'));
  const [here, there] = [await watch('mine', { topic: 'realtime:mine' }), await listen(other, [{ schema: 'public', table: 'mine' }], { topic: 'realtime:mine' })];
  await project.sql('INSERT INTO mine VALUES (1);');
  await other.sql('INSERT INTO mine VALUES (2);');
  assert.deepEqual([await ids(here), await ids(there)], [[1], [2]]);
});

test('the publication is the one that the tenant names', async () => {
  const other = await makeWatched(projects, { settings: { publication: 'my "own" one' }, sql: `CREATE TABLE mine (id int PRIMARY KEY); CREATE TABLE theirs (id int PRIMARY KEY); GRANT SELECT ON mine, theirs TO authenticated;
    CREATE PUBLICATION "my ""own"" one" FOR TABLE mine, marking.markers; ALTER PUBLICATION ${PUBLICATION} ADD TABLE theirs;` });
  const listener = await listen(other, [{ schema: 'public' }]);
  await other.sql('INSERT INTO theirs VALUES (1); INSERT INTO mine VALUES (2);');
  assert.deepEqual(await ids(listener), [2]);
});

test('rows are counted: what was told, to whom, and how large it was [M-001]', async () => {
  const other = await makeWatched(projects, { tables: { counted: 'id int PRIMARY KEY, body text' } });
  const listeners = [await listen(other, [{ schema: 'public', table: 'counted' }, { event: 'INSERT', schema: 'public', table: 'counted' }]), await listen(other, [{ schema: 'public', table: 'counted', filter: 'id=eq.2' }])];
  await other.sql(`INSERT INTO counted VALUES (1, ${quoted('x')}), (2, 'y');`);
  for (const listener of listeners) await listener.told();
  const tenant = { tenant: other.name };
  // Two entries of one channel for each row, one of the other for one; and the markers of both.
  await until(async () => (await projects.server.metrics()).value('realtime_channel_db_events', tenant) >= 5, 'the counter of deliveries', 15_000);
  const metrics = await projects.server.metrics();
  assert.ok(metrics.value('realtime_channel_db_events', tenant) >= 5);
  assert.ok(metrics.value('realtime_channel_global_db_events') >= 5);
  assert.ok(metrics.value('realtime_tenants_payload_size_count', { ...tenant, message_type: 'postgres_changes' }) >= 3);
  assert.ok(metrics.value('realtime_payload_size_count', { message_type: 'postgres_changes' }) >= 3);
  assert.ok(metrics.value('realtime_replication_poller_changes_dispatch', tenant) >= 2);
  assert.ok(metrics.value('realtime_subscriptions_manager_subscribers', tenant) >= 3);
});
