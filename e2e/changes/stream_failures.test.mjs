// Streams of row changes of servers that lack something: WAL senders, room, the right settings, or that are away.
// postgres-changes.md 13.1 and 14
//
// Each test has a server of its own, so they run side by side.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { changeSlots, confirmed, listen, Listener, makeWatched, startWatched, tableSql } from '../harness/changes.mjs';
import { until } from '../harness/server.mjs';

const TABLE = { rows: 'id int PRIMARY KEY, body text' };
const ROWS = [{ schema: 'public', table: 'rows' }];
const insert = (project, ...ids) => project.sql(`INSERT INTO rows VALUES ${ids.map((id) => `(${id})`)};`);
const ids = async (listener) => (await listener.told()).map(({ data }) => (data.record ?? data.old_record).id);

suite('servers that lack something', { concurrency: true }, () => {
  test('without a WAL sender left rows come all the same, and the log says what to raise [PC-118] [E-019]', async () => {
    const crowded = await startWatched({ postgres: { max_wal_senders: 1 } });
    try {
      const project = await makeWatched(crowded, { tables: TABLE, sql: tableSql('checked', 'id int PRIMARY KEY') + 'ALTER TABLE checked ENABLE ROW LEVEL SECURITY; CREATE POLICY see ON checked FOR SELECT TO authenticated USING (id > 1);' });
      const { host, port, password } = crowded.postgres;
      const holder = spawn(join(crowded.postgres.bin, 'psql'), [`host=${host} port=${port} user=postgres dbname=${project.name} replication=database`, '-XAtq'], {
        env: { PATH: process.env.PATH, PGPASSWORD: password },
      });
      await until(async () => (await crowded.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'")) === '1', 'the only WAL sender to be taken');
      const listener = await listen(project, [...ROWS, { schema: 'public', table: 'checked' }]);
      await project.expectLogged('ReplicationMaxWalSendersReached', /raise max_wal_senders/);
      for (const id of [1, 2, 3]) await project.sql(`INSERT INTO rows VALUES (${id}); INSERT INTO checked VALUES (${id});`);
      assert.deepEqual((await listener.told()).map(({ data }) => `${data.table} ${data.record.id}`), ['rows 1', 'rows 2', 'checked 2', 'rows 3', 'checked 3']);
      await project.sql('INSERT INTO rows SELECT n FROM generate_series(100, 1099) n;');
      assert.deepEqual(await ids(listener), Array.from({ length: 1000 }, (_, n) => n + 100));
      holder.stdin.end();
    } finally {
      await crowded.stop();
    }
  });

  test('a slot that keeps too much WAL is replaced, its channels are told so, and rows come [PC-116] [E-021]', async () => {
    const limited = await startWatched({ postgres: { max_slot_wal_keep_size: '32MB' }, env: { CHANGES_RESUME_WINDOW_MS: '3600000' } });
    try {
      const project = await makeWatched(limited, { tables: TABLE });
      const listener = await listen(project, ROWS);
      const kept = () => limited.postgres.sql("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name LIKE 'supabase_realtime_replication_slot%'");
      await insert(project, 1);
      assert.deepEqual(await ids(listener), [1]);
      assert.equal((await changeSlots(project))[0].temporary, false, 'the server bounds what a slot may keep');
      const before = await kept();
      const lsn = (await project.sql("SELECT pg_logical_emit_message(false, 'any', repeat('x', 1000000)) FROM generate_series(1, 20); SELECT pg_current_wal_insert_lsn();")).split('\n').at(-1);
      await until(async () => {
        await insert(project, Date.now() % 1e9);
        return project.logged('ReplicationSlotLagTooHigh').length > 0;
      }, 'the slot to be replaced', 40_000);
      await confirmed(listener);
      const now = await kept();
      assert.equal(await limited.postgres.sql(`SELECT '${now}'::pg_lsn >= '${lsn}'::pg_lsn AND '${before}'::pg_lsn < '${lsn}'::pg_lsn`), 't', `${before}, ${lsn}, ${now}`);
      listener.taken();
      await insert(project, -1);
      assert.equal((await ids(listener)).at(-1), -1);
    } finally {
      await limited.stop();
    }
  });

  test('a database that is away is an error for who asks for it, and channels are told when it is back [E-013]', async () => {
    const own = await startWatched();
    try {
      const project = await makeWatched(own, { tables: TABLE });
      const before = await listen(project, ROWS);
      await insert(project, 1);
      assert.deepEqual(await ids(before), [1]);
      await own.postgres.stop();
      const late = await Listener.join(project, ROWS);
      assert.equal((await late.notice()).payload.status, 'error');
      await own.postgres.start();
      for (const listener of [before, late]) await confirmed(listener);
      await insert(project, 2);
      assert.equal((await ids(before)).at(-1), 2);
      assert.equal((await ids(late)).at(-1), 2);
    } finally {
      await own.stop();
    }
  });

  test('a database that cannot be decoded says what to set, and everything else works', async () => {
    const plain = await startWatched({ postgres: { wal_level: 'replica' } });
    try {
      const project = await makeWatched(plain, { tables: TABLE });
      const listener = await Listener.join(project, ROWS);
      await project.expectLogged('PoolingReplicationPreparationError', /wal_level/);
      const other = await Listener.join(project, null, { topic: listener.topic });
      other.client.push(other.topic, 'broadcast', { hello: 1 });
      await listener.client.next(({ event }) => event === 'broadcast');
    } finally {
      await plain.stop();
    }
  });
});
