// Databases where the server lacks a right, a role or room: each is told in the log, nobody is denied for it in silence, and it is enough
// to mend the cause. tenants.md 9, authorization.md 9

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LOGIN_PASSWORD, psql } from '../harness/doctor.mjs';
import { assertError } from '../harness/phoenix.mjs';
import { AWAY, LOGIN, maySee, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';

let projects;
let postgres;
before(async () => {
  projects = await startProjects();
  ({ postgres } = projects);
});
after(() => projects.stop());

test('a login that is not exempt from the policies is told so, rather than everybody denied', async () => {
  await psql(postgres, 'postgres', `CREATE ROLE outsider LOGIN REPLICATION PASSWORD '${LOGIN_PASSWORD}'; GRANT anon, authenticated, service_role TO outsider;`);
  const project = await projects.make({ sql: maySee() });
  await project.change({ extensions: project.extensions({ db_user: 'outsider' }) });
  assertError(await project.asked('realtime:room', {}), AWAY);
  await until(() => projects.server.log.split('\n').some((line) => line.includes(`project=${project.name} `) && /supabase_realtime_admin|outsider/.test(line)), 'a line that says what is missing');
  await psql(postgres, 'postgres', 'GRANT supabase_realtime_admin TO outsider;');
  await project.recovers();
});

test('a login that may not make the schema is told so, and makes it once it may', async () => {
  const project = await projects.make({ schema: 'may not be made', status: 422 });
  assertError(await project.asked('realtime:room', {}), AWAY);
  await project.expectLogged('MigrationsFailedToRun', /permission denied/);
  assert.equal(await project.sql("SELECT to_regnamespace('realtime') IS NULL;"), 't');
  await project.expectPublicChannels();
  await project.letSchemaBeMade();
  await project.recovers({ role: 'service_role' });
});

test('a schema that another server has half made is refused and left alone [E-025]', async () => {
  const project = await projects.make({ schema: 'may not be made', status: 422 });
  await project.sql(`CREATE SCHEMA realtime; CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));
    INSERT INTO realtime.schema_migrations SELECT n FROM generate_series(1, 40) n;
    GRANT USAGE ON SCHEMA realtime TO ${LOGIN}; GRANT SELECT ON realtime.schema_migrations TO ${LOGIN};`);
  await project.letSchemaBeMade();
  await until(async () => (await project.asked('realtime:room', {})).payload.response.reason === AWAY, 'it to be tried', 15_000);
  await project.expectLogged('MigrationsFailedToRun', /bring this database to 81 with the previous server first/);
  assert.equal(await project.sql("SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'realtime'::regnamespace AND relkind IN ('r', 'p');"), 'schema_migrations');
});

test('missing roles are told', async () => {
  const project = await projects.make({ schema: 'may not be made', status: 422 });
  await project.letSchemaBeMade();
  await psql(postgres, 'postgres', 'ALTER ROLE anon RENAME TO anon_elsewhere;');
  try {
    await until(async () => (await project.asked('realtime:room', { role: 'service_role' })).payload.response.reason === AWAY, 'it to be tried', 15_000);
    await project.expectLogged('MigrationsFailedToRun', /these roles do not exist: anon/);
  } finally {
    await psql(postgres, 'postgres', 'ALTER ROLE anon_elsewhere RENAME TO anon;');
  }
  await project.recovers({ role: 'service_role' });
});

test('a server with too few free places is not connected to, and both numbers are in the log [E-018] [T-035] [D-039]', async () => {
  const small = await startProjects({ postgres: { max_connections: 13, max_wal_senders: 2 } });
  try {
    const project = await small.make({ sql: maySee() });
    const tried = await project.asked('realtime:room', {});
    assertError(tried, "DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect");
    await project.expectLogged('DatabaseLackOfConnections', /Only \d+ available connections\. At least 14 connections are required\./);
    const answer = await project.sendOne('room', 'e');
    assert.deepEqual([answer.status, answer.json.message], [422, 'Tenant database has too many connections']);
    assert.deepEqual(await project.sessions(), {});
  } finally {
    await small.stop();
  }
});
