// Streams of row changes that begin, end, wait and begin anew. postgres-changes.md 3, 13.1 and 14, database.md 8

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { confirmed, endChangeStream, listen, Listener, makeWatched, PUBLICATION, startWatched, tableSql } from '../harness/changes.mjs';
import { startRelay } from '../harness/relay.mjs';
import { until } from '../harness/server.mjs';

let projects;
before(async () => {
  projects = await startWatched();
});
after(() => projects.stop());

const TABLE = { rows: 'id int PRIMARY KEY, body text' };
const ROWS = [{ schema: 'public', table: 'rows' }];
const make = (options) => makeWatched(projects, { tables: TABLE, ...options });
const insert = (project, ...ids) => project.sql(`INSERT INTO rows VALUES ${ids.map((id) => `(${id})`)};`);
const idsOf = (changes) => changes.map(({ data }) => (data.record ?? data.old_record).id);
const ids = async (listener) => idsOf(await listener.told());

test('row changes are read by the plugin that every Postgres has [PC-110] [D-031]', async () => {
  const project = await make();
  const listener = await listen(project, ROWS);
  await insert(project, 1);
  assert.deepEqual(await ids(listener), [1]);
  const plugins = await project.postgres.sql(`SELECT DISTINCT plugin FROM pg_replication_slots WHERE database = '${project.name}'`);
  assert.equal(plugins, 'pgoutput');
  const allowed = await project.postgres.sql("SELECT boot_val, setting FROM pg_settings WHERE name = 'output_plugin_libraries'");
  if (allowed !== '') assert.equal(...allowed.split('|'));
  assert.ok(!/wal2json/i.test(project.postgres.log), 'the log of Postgres');
});

test('a table that is published is told from its first row on to those who want every table [PC-112]', async () => {
  const project = await make();
  const listener = await listen(project, [{ schema: '*' }]);
  const filtered = await listen(project, [{ schema: 'public' }]);
  await project.sql(`${tableSql('later', 'id int PRIMARY KEY')} INSERT INTO later VALUES (1);
    BEGIN; ${tableSql('at_once', 'id int PRIMARY KEY')} INSERT INTO at_once VALUES (2); COMMIT; INSERT INTO at_once VALUES (3);`);
  for (const each of [listener, filtered]) assert.deepEqual((await each.told()).map(({ data }) => [data.table, data.record.id]), [['later', 1], ['at_once', 2], ['at_once', 3]]);
  await project.sql(`ALTER PUBLICATION ${PUBLICATION} DROP TABLE later; INSERT INTO later VALUES (4); INSERT INTO at_once VALUES (5);`);
  assert.deepEqual(await ids(listener), [5]);
});

test('a table that is published and that somebody asks for by its name is told to those, too, who want every table [PC-112]', async () => {
  const project = await make();
  const all = await listen(project, [{ schema: 'public' }]);
  await project.sql(tableSql('later', 'id int PRIMARY KEY'));
  const one = await listen(project, [{ schema: 'public', table: 'later' }]);
  await project.sql('INSERT INTO later VALUES (1);');
  assert.deepEqual({ one: await ids(one), all: await ids(all) }, { one: [1], all: [1] });
});

test('a table that is renamed is told to those who asked for it before, under the name that it has [PC-114]', async () => {
  const project = await make();
  const listener = await listen(project, ROWS);
  const steps = Array.from({ length: 10 }, (_, n) => `BEGIN; INSERT INTO rows VALUES (${10 * n + 1}); ALTER TABLE rows RENAME TO renamed; INSERT INTO renamed VALUES (${10 * n + 2}); COMMIT;
    INSERT INTO renamed VALUES (${10 * n + 3}); ALTER TABLE renamed RENAME TO rows; INSERT INTO rows VALUES (${10 * n + 4});`);
  await project.sql(steps.join(''));
  const told = (await listener.told()).map(({ data }) => `${data.record.id} ${data.table}`);
  const wanted = steps.flatMap((_, n) => [`${10 * n + 1} rows`, `${10 * n + 2} renamed`, `${10 * n + 3} renamed`, `${10 * n + 4} rows`]);
  assert.deepEqual(told, wanted);
  await project.sql('ALTER TABLE rows RENAME TO renamed;');
  const fresh = await listen(project, [{ schema: 'public', table: 'renamed' }]);
  await project.sql('INSERT INTO renamed VALUES (1000);');
  assert.deepEqual([await ids(fresh), await ids(listener)], [[1000], [1000]]);
});

test('a table that is dropped and made again disturbs no other, and is told again [PC-114]', async () => {
  const project = await make({ tables: { ...TABLE, doomed: 'id int PRIMARY KEY' } });
  const [other, doomed] = [await listen(project, ROWS), await listen(project, [{ schema: 'public', table: 'doomed' }])];
  await project.sql(`INSERT INTO rows VALUES (1); INSERT INTO doomed VALUES (1), (2); DROP TABLE doomed; INSERT INTO rows VALUES (2);
    ${tableSql('doomed', 'id int PRIMARY KEY, more text')} INSERT INTO doomed VALUES (3, 'x'); INSERT INTO rows VALUES (3);`);
  assert.deepEqual(await ids(other), [1, 2, 3]);
  let id = 3;
  await until(async () => {
    await project.sql(`INSERT INTO doomed VALUES (${++id}, 'x');`);
    return doomed.taken().some(({ data }) => data.record.more === 'x');
  }, 'rows of the table that was made again', 30_000);
});

test('a stream that is ended begins anew: channels with a temporary slot are told so, and get no row twice [PC-115]', async () => {
  const project = await make();
  const [listener, other] = [await listen(project, ROWS), await listen(project, [{ schema: 'public' }])];
  await insert(project, 1, 2);
  assert.deepEqual([await ids(listener), await ids(other)], [[1, 2], [1, 2]]);
  for (const round of [1, 2]) {
    assert.equal(await endChangeStream(project), 1);
    for (const each of [listener, other]) await each.subscribed();
    await insert(project, 10 * round, 10 * round + 1);
    for (const each of [listener, other]) assert.deepEqual(await ids(each), [10 * round, 10 * round + 1]);
  }
  await project.expectLogged('PoolingReplicationError', /terminat|closed|lost/);
  await listener.expectQuiet();
});

test('with a durable slot a stream that is ended goes on where it was: every row comes once [PC-115]', async () => {
  const project = await make({ settings: { slot_mode: 'durable' }, sql: tableSql('checked', 'id int PRIMARY KEY') + 'ALTER TABLE checked ENABLE ROW LEVEL SECURITY; CREATE POLICY see ON checked FOR SELECT TO authenticated USING (true);' });
  const listener = await listen(project, [...ROWS, { schema: 'public', table: 'checked' }]);
  let id = 0;
  for (let round = 0; round < 4; round += 1) {
    const rows = Array.from({ length: 200 }, () => `INSERT INTO ${id % 3 === 0 ? 'checked' : 'rows'} VALUES (${++id});`);
    const writing = project.sql(rows.join(''));
    await until(async () => (await endChangeStream(project)) === 1, 'a stream to end');
    await writing;
  }
  assert.deepEqual(await ids(listener), Array.from({ length: id }, (_, n) => n + 1));
});

test('a transaction that is open when a project is first asked for delays its subscription, and nothing else [PC-119] [P-203]', async () => {
  const project = await make();
  const session = await project.postgres.openSession(project.name);
  await session.run('BEGIN; INSERT INTO rows VALUES (1);');
  const listener = await Listener.join(project, ROWS);
  await until(async () => (await project.postgres.sql(`SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = '${project.name}' AND wait_event = 'transactionid'`)) !== '0', 'the slot to wait');
  const other = await Listener.join(project, null, { topic: listener.topic });
  other.client.push(other.topic, 'broadcast', { hello: 1 });
  assert.equal((await listener.client.next()).event, 'broadcast', 'broadcasts work, and nothing was said before');
  await session.run('INSERT INTO rows VALUES (2); COMMIT;');
  await listener.subscribed();
  await insert(project, 3);
  const told = await ids(listener);
  assert.equal(told.at(-1), 3, `${told}`);
  await session.close();
});

test('databases of one server are told at the same time, in either mode [PC-120] [D-032]', async () => {
  for (const slot_mode of ['temporary', 'durable']) {
    const each = await Promise.all([1, 2, 3].map(() => make({ settings: { slot_mode } })));
    const listeners = await Promise.all(each.map((project) => listen(project, ROWS)));
    await Promise.all(each.map((project, n) => insert(project, n, n + 10)));
    for (const [n, listener] of listeners.entries()) assert.deepEqual(await ids(listener), [n, n + 10]);
    await endChangeStream(each[0]);
    await insert(each[1], 20);
    assert.deepEqual(await ids(listeners[1]), [20]);
  }
});

test('new settings of its database let a channel subscribe anew, and it stays', async () => {
  const [project, elsewhere] = [await make(), await make()];
  const listener = await listen(project, ROWS);
  await project.change({ extensions: project.extensions() });
  await confirmed(listener);
  await insert(project, 1);
  assert.deepEqual(await ids(listener), [1]);
  const [{ settings }] = project.extensions();
  await project.change({ extensions: [{ type: 'postgres_cdc_rls', settings: { ...settings, db_name: elsewhere.name } }] });
  await confirmed(listener);
  await until(async () => {
    await elsewhere.sql('INSERT INTO rows SELECT coalesce(max(id), 100) + 1 FROM rows;');
    return listener.taken().some(({ data }) => data.record.id > 100);
  }, 'rows of the other database');
});

test('an operator who shuts down the connection of a tenant takes no rows from its channels [H-074]', async () => {
  const project = await make();
  const listener = await listen(project, ROWS);
  await insert(project, 1);
  assert.deepEqual(await ids(listener), [1]);
  assert.equal((await project.admin('POST', '/shutdown')).status, 204);
  let id = 1;
  await until(async () => {
    await insert(project, ++id);
    return idsOf(listener.taken()).length > 0;
  }, 'rows to come', 15_000);
});

test('rows that nobody asked for cost no question, however many they are [PC-122]', async () => {
  const relay = await startRelay(projects.postgres);
  const project = await make({ settings: { db_host: relay.host, db_port: String(relay.port) }, tables: {}, sql: `DROP PUBLICATION ${PUBLICATION}; CREATE PUBLICATION ${PUBLICATION} FOR ALL TABLES;
    CREATE TABLE rows (id int PRIMARY KEY); CREATE TABLE busy (id int PRIMARY KEY, body text); GRANT SELECT ON rows, busy TO authenticated;` });
  const listener = await listen(project, ROWS);
  await project.sql("INSERT INTO busy VALUES (0, 'x'); INSERT INTO rows VALUES (0);");
  assert.deepEqual(await ids(listener), [0]);
  const before = relay.roundTrips;
  for (let n = 0; n < 5; n += 1) await project.sql(`INSERT INTO busy SELECT n, repeat('x', 100) FROM generate_series(${n * 10000 + 1}, ${n * 10000 + 10000}) n; UPDATE busy SET body = 'y' WHERE id % 10 = 0;`);
  await insert(project, 1);
  const { data } = await listener.next();
  assert.equal(data.record.id, 1);
  // What is known of a table that has changes is looked at again after a second.
  assert.ok(relay.roundTrips - before <= 3, `${relay.roundTrips - before} questions`);
  await project.admin('DELETE');
  await relay.stop();
});

test('a row is told as it is committed, and not when somebody looks next [PC-123]', async (t) => {
  const project = await make({ sql: tableSql('checked', 'id int PRIMARY KEY') + 'ALTER TABLE checked ENABLE ROW LEVEL SECURITY; CREATE POLICY see ON checked FOR SELECT TO authenticated USING (true);' });
  const session = await project.postgres.openSession(project.name);
  for (const table of ['rows', 'checked']) {
    const listener = await listen(project, [{ schema: 'public', table }]);
    const times = [];
    for (let id = 0; id < 40; id += 1) {
      const began = performance.now();
      const written = session.run(`INSERT INTO ${table} VALUES (${id});`);
      const { payload } = await listener.client.next(({ event }) => event === 'postgres_changes');
      times.push(performance.now() - began);
      assert.equal(payload.data.record.id, id);
      await written;
    }
    const median = times.sort((a, b) => a - b)[times.length / 2];
    t.diagnostic(`${table}: ${median.toFixed(1)} ms from INSERT to frame`);
    assert.ok(median < 50, `${median} ms`); // who polls every 100 ms takes longer; speed is the benchmark's business
  }
  await session.close();
});
