// What takes its time by nature, side by side: rates that are judged every five seconds, and publications that are looked
// at every minute. postgres-changes.md 2, 3 and 11

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { changeSlots, confirmed, listen, Listener, makeWatched, notEnabled, PUBLICATION, startWatched, tableSql } from '../harness/changes.mjs';
import { startRelay } from '../harness/relay.mjs';
import { until } from '../harness/server.mjs';

const PATIENCE_MS = 80_000;
const ROWS = [{ schema: 'public', table: 'rows' }];

let projects;
before(async () => {
  projects = await startWatched({ postgres: { max_wal_senders: 60, max_replication_slots: 60 } });
});
after(() => projects.stop());

const make = (options) => makeWatched(projects, { tables: { rows: 'id int PRIMARY KEY' }, ...options });
const ids = (changes) => changes.map(({ data }) => data.record.id);

const patiently = (listener) => confirmed(listener, PATIENCE_MS);

suite('with patience', { concurrency: true }, () => {
  test('above the rate of the tenant rows are dropped, no channel is closed, and it ends [PC-106] [M-018] [E-010]', async () => {
    const LIMIT = 20;
    const project = await make({ attributes: { max_events_per_second: LIMIT } });
    const [listener, other] = [await listen(project, ROWS), await listen(project, ROWS)];
    const skipped = async () => (await projects.server.metrics()).value('realtime_replication_poller_changes_skip', { reason: 'rate_limited', tenant: project.name });
    const isOver = async () => (await projects.server.metrics()).value('realtime_tenants_over_rate', { rate: 'db_events' }) === 1;
    let id = 0;
    const insert = (count) => project.sql(`INSERT INTO rows SELECT n FROM generate_series(${id + 1}, ${(id += count)}) n;`);
    // Each row counts for each who is told of it. What was told in five seconds is judged at their end.
    await until(async () => {
      await insert(5 * LIMIT);
      return until(isOver, 'the rate to be reached', 6000).catch(() => false);
    }, 'the rate to be reached', PATIENCE_MS);
    await insert(1);
    await until(async () => (await skipped()) > 0, 'rows to be dropped');
    await project.expectLogged('MessagePerSecondRateLimitReached', /Too many postgres changes messages per second/);
    for (const each of [listener, other]) {
      assert.ok(!ids(each.taken()).includes(id));
      assert.equal((await each.client.heartbeat()).payload.status, 'ok');
      await each.expectQuiet();
    }
    await until(async () => !(await isOver()), 'the average to fall', PATIENCE_MS);
    await insert(1);
    for (const each of [listener, other]) assert.deepEqual(ids([await each.next()]), [id]);
    assert.equal(project.logged('MessagePerSecondRateLimitReached').length, 1);
  });

  test('a publication without tables has no slot; once it has one, channels that want any are told, without a join [PC-111]', async () => {
    const project = await projects.make({ sql: 'CREATE TABLE rows (id int PRIMARY KEY); GRANT SELECT ON rows TO authenticated;' });
    const all = await Listener.join(project, [{ schema: '*' }]);
    const one = await Listener.join(project, ROWS);
    assert.equal((await one.notice()).payload.message, notEnabled('event: *, schema: public, table: rows, filters: [], select: nil'));
    assert.deepEqual(await changeSlots(project), []);
    const began = Date.now();
    await project.sql(`ALTER PUBLICATION ${PUBLICATION} ADD TABLE rows;`);
    await patiently(all);
    assert.ok(Date.now() - began < 70_000);
    await project.sql('INSERT INTO rows VALUES (1);');
    assert.equal((await all.next()).data.record.id, 1);
    assert.equal((await changeSlots(project)).length, 1);
  });

  test('a publication that loses all its tables loses its slot, and gets one again when it has some [PC-111]', async () => {
    const project = await make();
    const listener = await listen(project, ROWS);
    await project.sql('INSERT INTO rows VALUES (1);');
    assert.equal((await listener.next()).data.record.id, 1);
    await project.sql(`ALTER PUBLICATION ${PUBLICATION} DROP TABLE rows, marking.markers;`);
    // Somebody who asks lets the publication be looked at.
    const asker = await Listener.join(project, ROWS);
    assert.equal((await asker.notice()).payload.status, 'error');
    await until(async () => (await changeSlots(project)).length === 0, 'the slot to go', PATIENCE_MS);
    await project.sql(`INSERT INTO rows VALUES (2); ALTER PUBLICATION ${PUBLICATION} ADD TABLE rows;`);
    await patiently(listener);
    await project.sql('INSERT INTO rows VALUES (3);');
    assert.equal((await listener.next()).data.record.id, 3);
  });

  test('a publication that is dropped and made again is found again, and channels are told [PC-113]', async () => {
    const project = await make();
    const [listener, all] = [await listen(project, ROWS), await listen(project, [{ schema: 'public' }])];
    await project.sql('INSERT INTO rows VALUES (1);');
    for (const each of [listener, all]) assert.equal((await each.next()).data.record.id, 1);
    await project.sql(`DROP PUBLICATION ${PUBLICATION}; INSERT INTO rows VALUES (2);`);
    await project.sql(`CREATE PUBLICATION ${PUBLICATION} FOR TABLE rows, marking.markers;`);
    for (const each of [listener, all]) await patiently(each);
    await project.sql('INSERT INTO rows VALUES (3);');
    for (const each of [listener, all]) assert.deepEqual(ids(await each.told()).filter((id) => id !== 2), [3]);
  });

  test('a table that is taken from the publication is an error for those who wanted no other, and comes back [PC-113]', async () => {
    const project = await make({ tables: { rows: 'id int PRIMARY KEY', other: 'id int PRIMARY KEY' } });
    const [listener, all] = [await listen(project, ROWS), await listen(project, [{ schema: 'public' }])];
    await project.sql(`ALTER PUBLICATION ${PUBLICATION} DROP TABLE rows; INSERT INTO rows VALUES (1); INSERT INTO other VALUES (2);`);
    assert.deepEqual(ids(await all.told()), [2]);
    await listen(project, [{ schema: 'public', table: 'other' }]);
    assert.equal((await listener.notice(PATIENCE_MS)).payload.message, notEnabled('event: *, schema: public, table: rows, filters: [], select: nil'));
    await project.sql(`ALTER PUBLICATION ${PUBLICATION} ADD TABLE rows;`);
    await patiently(listener);
    await project.sql('INSERT INTO rows VALUES (3);');
    assert.deepEqual({ one: ids(await listener.told()), all: ids(await all.told()) }, { one: [3], all: [3] });
  });

  test('a database that does not answer is an error in these words, and is asked again [PC-026] [E-013]', async () => {
    const relay = await startRelay(projects.postgres);
    const project = await make({ settings: { db_host: relay.host, db_port: String(relay.port) } });
    const before = await listen(project, ROWS);
    relay.silence();
    const listener = await Listener.join(project, ROWS);
    assert.equal((await listener.notice(PATIENCE_MS)).payload.message, '{:error, "Too many database timeouts"}');
    relay.speak();
    await patiently(listener);
    await project.sql('INSERT INTO rows VALUES (1);');
    assert.equal((await listener.next()).data.record.id, 1);
    assert.equal((await before.next()).data.record.id, 1);
    await project.admin('DELETE');
    await relay.stop();
  });

  test('a policy that takes too long hides rows from those whom it is for, and others are told of them', async () => {
    const project = await make({ sql: `${tableSql('slow', 'id int PRIMARY KEY')} ALTER TABLE slow ENABLE ROW LEVEL SECURITY;
      CREATE FUNCTION waited(seconds float8) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(seconds); RETURN true; END $$;
      CREATE POLICY waits ON slow FOR SELECT TO authenticated USING (id > 1 OR waited(600)); CREATE POLICY all_of_them ON slow FOR SELECT TO anon USING (true);` });
    const entries = [{ schema: 'public', table: 'slow' }];
    const [late, prompt] = [await listen(project, entries), await listen(project, entries, { claims: { role: 'anon' } })];
    await project.sql('INSERT INTO slow VALUES (1);');
    assert.equal((await prompt.next(PATIENCE_MS)).data.record.id, 1);
    await project.sql('INSERT INTO slow VALUES (2);');
    for (const each of [late, prompt]) assert.deepEqual(ids(await each.told({ timeoutMs: PATIENCE_MS })), [2]);
    await project.expectLogged('RlsPolicyError');
  });

  test('a table that nobody published and that is published later is told to those who waited for it', async () => {
    const project = await make();
    const listener = await Listener.join(project, [{ schema: 'public', table: 'later' }]);
    assert.equal((await listener.notice()).payload.status, 'error');
    await project.sql(tableSql('later', 'id int PRIMARY KEY'));
    await patiently(listener);
    await project.sql('INSERT INTO later VALUES (1);');
    assert.equal((await listener.next()).data.record.id, 1);
  });
});
