// The schema in a tenant's database is made, kept up and counted by the server that uses it. tenants.md 9 and 12, database.md 5

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { assertError, connect, isReplyTo } from '../harness/phoenix.mjs';
import { LOGIN, PRIVATE, maySee, maySend, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';

let projects;
before(async () => (projects = await startProjects()));
after(() => projects.stop());

const PARTITIONS = "SELECT count(*), min(relname) = to_char(now() AT TIME ZONE 'utc' - interval '1 day', '\"messages_\"YYYY_MM_DD'), " +
  "max(relname) = to_char(now() AT TIME ZONE 'utc' + interval '30 days', '\"messages_\"YYYY_MM_DD') FROM pg_inherits JOIN pg_class ON oid = inhrelid " +
  "WHERE inhparent = 'realtime.messages'::regclass;";
const versions = (project) => project.sql('SELECT count(*) FROM realtime.schema_migrations;');

// What the store says of a tenant.
function stored(project, column) {
  const store = new DatabaseSync(join(projects.server.dataDir, 'control.sqlite'), { readOnly: true });
  try {
    return store.prepare(`SELECT ${column} AS value FROM tenants WHERE external_id = ?`).get(project.name).value;
  } finally {
    store.close();
  }
}

test('the schema is made with the tenant, with partitions for a month, and counted [H-062] [T-037] [D-012] [M-020]', async () => {
  const runs = async () => (await projects.server.metrics()).value('realtime_tenants_migrations_duration_milliseconds_count');
  const before = await runs();
  const project = await projects.make({ schema: 'may be made' });
  assert.equal(await versions(project), '81');
  assert.equal(await project.sql(PARTITIONS), '32|t|t');
  await until(() => stored(project, 'migrations_ran') === 81, 'the count in the store');
  await until(async () => (await runs()) === before + 1, 'the run to be counted');
  assert.deepEqual((await project.admin('GET')).json.data.name, project.name);
  for (let n = 0; n < 2; n += 1) {
    assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
    await project.admin('POST', '/shutdown');
  }
  assert.equal(await project.sql(PARTITIONS), '32|t|t');
  assert.equal(await runs(), before + 1, 'nothing is made twice');
});

test('the schema is made when a tenant gets its database later, with the first private join [T-037]', async () => {
  const project = await projects.make({ schema: 'may be made', attributes: { extensions: [] } });
  assertError(await project.asked('realtime:room', {}), /^UnableToConnectToProject: /);
  await project.change({ extensions: project.extensions() });
  assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
  assert.equal(await versions(project), '81');
  assert.equal(await project.sql(PARTITIONS), '32|t|t');
});

test('the schema of a database that was set back is made again, and the count put right, down and up [E-025] [T-038]', async () => {
  const project = await projects.make({ sql: maySee() });
  await project.sql(`GRANT SELECT ON realtime.schema_migrations TO ${LOGIN};`);
  for (const wrong of [5, 100]) {
    await project.change({ migrations_ran: wrong });
    await project.admin('POST', '/shutdown');
    assert.equal((await project.asked('realtime:room', {})).payload.status, 'ok');
    await until(() => stored(project, 'migrations_ran') === 81, `${wrong} to be put right`);
  }
  await project.expectLogged('MigrationCountMismatch', /100/);
  await project.disconnect();
  await project.sql('DROP SCHEMA realtime CASCADE;');
  await project.letSchemaBeMade();
  assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
  await project.expectLogged('MigrationCountMismatch', /\b0\b/);
  assert.equal(await versions(project), '81');
  await until(() => stored(project, 'migrations_ran') === 81, 'the count');
});

test('a schema that cannot be made leaves the tenant there, to be mended [M-020]', async () => {
  const failures = async () => (await projects.server.metrics()).value('realtime_tenants_migrations_exceptions_total', { error_code: 'insufficient_privilege' });
  const before = await failures();
  const project = await projects.make({ schema: 'may not be made', status: 422 });
  assert.ok((await failures()) > before);
  assert.equal((await project.admin('GET')).status, 200);
  await project.letSchemaBeMade();
  assert.equal((await project.change({ extensions: project.extensions() })).status, 200);
  await project.recovers({ role: 'service_role' });
});

// Days as names of partitions.
const day = (ago) => `((now() AT TIME ZONE 'utc')::date - ${ago})`;
const makeOld = (project) => project.sql([3, 4, 40].map((ago) => `SELECT realtime.datafuse_make_partition(${day(ago)});`).join(''));
const oldOnes = (project) =>
  project.sql(`SELECT coalesce(string_agg(ago::text, ' ' ORDER BY ago), '') FROM unnest(ARRAY[3, 4, 40]) ago WHERE to_regclass('realtime.messages_' || to_char(${day('ago')}, 'YYYY_MM_DD')) IS NOT NULL;`);

test('the schema of the seeded tenant is made at start, and partitions that are too old are dropped [T-050]', async (t) => {
  const project = await projects.make({ schema: 'may be made', attributes: { extensions: [] } });
  const start = async () => {
    const server = await projects.serverOf(project);
    t.after(() => server.ended || server.stop());
    await until(() => server.log.includes('Tenant set-up successfully'), 'the tenant to be set up');
    return server;
  };
  const first = await start();
  assert.equal(await versions(project), '81');
  assert.equal(await project.sql(PARTITIONS), '32|t|t');
  const client = await connect(first, { token: first.token({ role: 'service_role' }) });
  await client.join('realtime:room', PRIVATE);
  assert.equal(await first.stop(), 0);
  await makeOld(project);
  const second = await start();
  await until(async () => (await oldOnes(project)) === '3', `the old ones to go, there are ${await oldOnes(project)}`);
  assert.equal(await second.stop(), 0);
});

test('the janitor drops partitions older than three days, and nothing else [T-054] [D-013] [B-041]', async (t) => {
  const project = await projects.make({ sql: maySee() });
  await makeOld(project);
  await project.sql('CREATE TABLE realtime.messages_of_a_user (LIKE realtime.messages);');
  const env = { RUN_JANITOR: 'true', JANITOR_SCHEDULE_TIMER_IN_MS: 300, JANITOR_RUN_AFTER_IN_MS: 100, JANITOR_SCHEDULE_RANDOMIZE: 'false' };
  const server = await projects.serverOf(project, { env });
  t.after(() => server.stop());
  const client = await connect(server);
  await client.join('realtime:room', PRIVATE);
  await until(async () => (await oldOnes(project)) === '3', 'the old ones to go');
  assert.equal(await project.sql("SELECT to_regclass('realtime.messages_of_a_user') IS NOT NULL;"), 't');
  assert.equal((await client.tryJoin('realtime:other', PRIVATE)).payload.status, 'ok');
});

test('the publication of users stays what they make of it: missing, empty or with tables [D-029]', async () => {
  const project = await projects.make({ schema: 'may be made' });
  const publication = () => project.sql("SELECT string_agg(p.pubname || ' ' || coalesce(t.tablename, 'nothing'), ', ') FROM pg_publication p LEFT JOIN pg_publication_tables t USING (pubname) WHERE p.pubname = 'supabase_realtime';");
  const isUsed = async () => {
    await project.disconnect();
    assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
  };
  for (const [change, left] of [
    ['DROP PUBLICATION IF EXISTS supabase_realtime;', ''],
    ['CREATE PUBLICATION supabase_realtime;', 'supabase_realtime nothing'],
    ['CREATE TABLE public.todos (id int PRIMARY KEY); ALTER PUBLICATION supabase_realtime ADD TABLE public.todos;', 'supabase_realtime todos'],
  ]) {
    await project.sql(change);
    await isUsed();
    assert.equal(await publication(), left);
  }
});

test('tenants in two databases of one cluster have policies and channels of their own at the same time [D-032]', async () => {
  const [open, closed] = [await projects.make({ sql: maySee() + maySend() }), await projects.make()];
  const [ann, bob] = [await open.member('realtime:room', { ack: true }), await open.member('realtime:room')];
  const [, refused] = await Promise.all([open.asked('realtime:another', {}), closed.asked('realtime:room', {})]);
  assertError(refused, 'Unauthorized: You do not have permissions to read from this Channel topic: room');
  const theirs = await closed.backend('realtime:room');
  await ann.next(isReplyTo(ann.broadcast('realtime:room', 'ours')));
  assert.equal((await bob.next()).payload.event, 'ours');
  await theirs.expectQuiet();
});
