// `realtime doctor` on databases that are broken in one way each: it names what is wrong, and its SQL mends it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { diagnose, loginSql, makeDatabase, prepareServer, psql, PUBLISHED_TABLE, runDoctor } from '../harness/doctor.mjs';
import { startPostgres } from '../harness/postgres.mjs';

const ids = ({ findings }) => findings.map(({ id }) => id).sort();

let postgres;
let databases = 0;

before(async () => {
  postgres = await startPostgres();
  await prepareServer(postgres);
});
after(() => postgres.remove());

async function makeReady(name, login) {
  await makeDatabase(postgres, name);
  await psql(postgres, name, PUBLISHED_TABLE + loginSql(login));
}

const keyless = (columns) => `CREATE TABLE public.keyless (${columns}); GRANT SELECT ON public.keyless TO anon, authenticated;
  ALTER PUBLICATION supabase_realtime ADD TABLE public.keyless`;
const note = { severity: 'note' };

// What is done to a database (as the superuser, in it), and what doctor then says. `bare`: to one without our schema. `by`: what
// whoever has to decide then does, where doctor has no SQL for it. `also`: what else is found.
const BROKEN = {
  database_missing: { sql: ({ database }) => `ALTER DATABASE ${database} RENAME TO ${database}_away`, from: 'postgres', leaves: ['publication_empty'] },
  login_may_not_connect: { sql: ({ database }) => `REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC` },
  login_not_permitted: { sql: ({ login }) => `ALTER ROLE ${login} NOLOGIN` },
  login_connection_limit: { sql: ({ login }) => `ALTER ROLE ${login} CONNECTION LIMIT 1` },
  'login_connection_limit, of none at all': { sql: ({ login }) => `ALTER ROLE ${login} CONNECTION LIMIT 0` },
  database_connection_limit: { sql: ({ database }) => `ALTER DATABASE ${database} CONNECTION LIMIT 1` },
  'database_connection_limit, of none at all': { sql: ({ database }) => `ALTER DATABASE ${database} CONNECTION LIMIT 0` },
  read_only: { sql: ({ database }) => `ALTER DATABASE ${database} SET default_transaction_read_only = on` },
  login_replication: { sql: ({ login }) => `ALTER ROLE ${login} NOREPLICATION` },
  role_not_settable: { sql: ({ login }) => `REVOKE authenticated FROM supabase_realtime_admin, ${login}` },
  service_role_subject_to_rls: { sql: () => 'ALTER ROLE service_role NOBYPASSRLS', severity: 'warning' },
  publication_missing: { sql: () => 'DROP PUBLICATION supabase_realtime', severity: 'warning', leaves: ['publication_empty'] },
  schema_missing: { bare: true, sql: () => 'SELECT 1' },
  'schema_missing, but the login may make it': {
    bare: true,
    severity: 'warning',
    sql: ({ database, login }) => `GRANT CREATE ON DATABASE ${database} TO ${login}`,
  },
  schema_half_migrated: {
    bare: true,
    isForOthers: true,
    sql: ({ login }) => `CREATE SCHEMA realtime; CREATE TABLE realtime.schema_migrations (version bigint);
      INSERT INTO realtime.schema_migrations SELECT generate_series(1, 80);
      GRANT USAGE ON SCHEMA realtime TO ${login}; GRANT SELECT ON realtime.schema_migrations TO ${login}`,
  },
  versions_unreadable: {
    bare: true,
    sql: () => `CREATE SCHEMA realtime; CREATE TABLE realtime.schema_migrations (version bigint);
      INSERT INTO realtime.schema_migrations SELECT generate_series(1, 80)`,
    leaves: ['schema_half_migrated'],
  },
  schema_outdated: {
    severity: 'warning',
    sql: ({ login }) => `COMMENT ON FUNCTION realtime.datafuse_make_partition(date) IS NULL;
      GRANT SELECT ON realtime.schema_migrations TO ${login}`,
  },
  'function_missing, that users call': { sql: () => 'DROP FUNCTION realtime.topic()' },
  'function_missing, that sends': { sql: () => 'DROP FUNCTION realtime.send(jsonb, text, text, boolean)' },
  'function_missing, that others call': { sql: () => 'DROP FUNCTION realtime.apply_rls(jsonb, integer)' },
  messages_publication: { sql: () => 'DROP PUBLICATION supabase_realtime_messages_publication' },
  'messages_publication, with another table': {
    sql: () => 'CREATE TABLE public.other (); ALTER PUBLICATION supabase_realtime_messages_publication ADD TABLE public.other',
  },
  table_missing: { sql: () => 'DROP TABLE realtime.messages CASCADE', leaves: ['messages_publication', 'partitions'] },
  partitions: { sql: () => "DO $$ BEGIN EXECUTE to_char(now() AT TIME ZONE 'utc', '\"DROP TABLE realtime.messages_\"YYYY_MM_DD'); END $$" },
  schema_usage: { sql: () => 'REVOKE USAGE ON SCHEMA realtime FROM anon' },
  messages_privileges: { sql: () => 'REVOKE INSERT ON realtime.messages FROM authenticated' },
  messages_privileges_too_wide: { sql: () => 'GRANT DELETE ON realtime.messages TO anon', severity: 'warning' },
  rls_disabled: { sql: () => 'ALTER TABLE realtime.messages DISABLE ROW LEVEL SECURITY' },
  rls_forced: { sql: () => 'ALTER TABLE realtime.messages FORCE ROW LEVEL SECURITY' },
  login_subject_to_rls: { sql: ({ login }) => `REVOKE supabase_realtime_admin FROM ${login}` },
  publication_empty: {
    ...note,
    sql: () => 'ALTER PUBLICATION supabase_realtime DROP TABLE public.told',
    by: 'ALTER PUBLICATION supabase_realtime ADD TABLE public.told',
  },
  publication_operations: { ...note, sql: () => "ALTER PUBLICATION supabase_realtime SET (publish = 'insert, truncate')" },
  publication_of_the_server: { ...note, sql: () => 'ALTER PUBLICATION supabase_realtime ADD TABLE realtime.messages' },
  'publication_of_the_server, by their schema': { ...note, sql: () => 'ALTER PUBLICATION supabase_realtime ADD TABLES IN SCHEMA realtime' },
  'publication_of_the_server, as all tables': {
    ...note,
    sql: () => 'DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR ALL TABLES',
    by: 'DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR TABLES IN SCHEMA public',
  },
  'replica_identity, switched off': { severity: 'warning', sql: () => 'ALTER TABLE public.told REPLICA IDENTITY NOTHING' },
  'replica_identity, by an index that is gone': {
    severity: 'warning',
    sql: () => `CREATE UNIQUE INDEX other ON public.told (body); ALTER TABLE public.told REPLICA IDENTITY USING INDEX other; DROP INDEX other`,
  },
  'replica_identity, for want of a primary key': { severity: 'warning', sql: () => keyless('n int'), also: ['no_primary_key'] },
  'replica_identity, of one partition of a table that is published as a whole': {
    severity: 'warning',
    sql: () => `CREATE TABLE public.parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE public.part PARTITION OF public.parted FOR VALUES FROM (0) TO (9);
      ALTER TABLE public.part REPLICA IDENTITY NOTHING; GRANT SELECT ON public.parted TO anon, authenticated;
      ALTER PUBLICATION supabase_realtime SET (publish_via_partition_root); ALTER PUBLICATION supabase_realtime ADD TABLE public.parted`,
  },
  no_primary_key: { ...note, sql: () => 'ALTER TABLE public.told DROP CONSTRAINT told_pkey, REPLICA IDENTITY FULL' },
  'no_primary_key, and no column to be one': { ...note, sql: () => `${keyless('n int')}; ALTER TABLE public.keyless REPLICA IDENTITY FULL` },
  rls_without_policy: {
    ...note,
    sql: () => 'DROP POLICY readers ON public.told',
    by: 'CREATE POLICY mine ON public.told FOR SELECT TO authenticated USING (id > 0)',
  },
  'rls_without_policy, but for others and for writing': {
    ...note,
    sql: () => `ALTER POLICY readers ON public.told TO service_role; CREATE POLICY writers ON public.told FOR INSERT TO authenticated WITH CHECK (true);
      CREATE POLICY bounds ON public.told AS RESTRICTIVE FOR SELECT USING (true)`,
    by: 'CREATE POLICY everybody ON public.told USING (true)',
  },
  table_privileges: { ...note, sql: () => 'REVOKE SELECT ON public.told FROM anon' },
  'table_privileges, which are for other columns': {
    ...note,
    sql: () => 'REVOKE SELECT ON public.told FROM anon, authenticated; GRANT SELECT (body) ON public.told TO anon, authenticated',
  },
  table_schema_usage: {
    ...note,
    sql: () => `CREATE SCHEMA "a shop"; CREATE TABLE "a shop"."its ""goods""" (id int PRIMARY KEY); GRANT SELECT ON "a shop"."its ""goods""" TO anon, authenticated;
      ALTER TABLE "a shop"."its ""goods""" ENABLE ROW LEVEL SECURITY; CREATE POLICY readers ON "a shop"."its ""goods""" USING (true);
      ALTER PUBLICATION supabase_realtime ADD TABLE "a shop"."its ""goods"""`,
  },
  login_not_owner: { sql: ({ login }) => `REVOKE supabase_realtime_admin FROM ${login}; ALTER ROLE ${login} BYPASSRLS` },
};

test('of a database in which nothing is missing nothing is said', async () => {
  await makeReady('healthy', 'healthy_login');
  assert.deepEqual((await diagnose(postgres, { database: 'healthy', user: 'healthy_login' })).findings, []);
});

describe('what is broken is named, and the SQL mends it:', () => {
  for (const [name, { sql, bare = false, from, severity = 'error', isForOthers = false, leaves = [], by, also = [] }] of Object.entries(BROKEN)) {
    test(name, async () => {
      const id = name.split(',')[0];
      const database = `broken_${++databases}`;
      const login = `login_${databases}`;
      const names = { database, login };
      if (bare) {
        await psql(postgres, 'postgres', `CREATE DATABASE ${database};`);
        await psql(postgres, database, `CREATE PUBLICATION supabase_realtime; ${PUBLISHED_TABLE} ${loginSql(login)}`);
      } else {
        await makeReady(database, login);
      }
      const look = () => diagnose(postgres, { database, user: login });

      await psql(postgres, from ?? database, `${sql(names)};`);
      const found = await look();
      const finding = found.findings.find((one) => one.id === id);
      assert.ok(finding, `${id} among ${JSON.stringify(found.findings, null, 1)}`);
      assert.equal(finding.severity, severity);
      assert.ok(finding.problem.endsWith('.') && finding.remedy.length > 5, JSON.stringify(finding));
      assert.equal(found.code, found.findings.some((one) => one.severity === 'error') ? 1 : 0);
      if (!bare) assert.deepEqual([...new Set(ids(found))], [...also, id].sort(), JSON.stringify(found.findings, null, 1));
      if (isForOthers || by) assert.equal(finding.sql, null);
      if (isForOthers) return;
      if (by) await psql(postgres, database, by);

      for (let round = 0; ; ++round) {
        const { findings } = await look();
        if (findings.every((one) => leaves.includes(one.id))) break;
        if (round === 3) assert.fail(`after its SQL: ${JSON.stringify(findings, null, 1)}`);
        for (const { sql: mend } of findings) if (mend) await psql(postgres, id === 'database_missing' && round === 0 ? 'postgres' : database, mend);
      }
      assert.deepEqual(ids(await look()), leaves);
    });
  }
});

test('many tables with the same lack are one note, which names the first of them', async () => {
  await makeReady('of_many', 'many_login');
  await psql(postgres, 'of_many', `DO $$ BEGIN FOR n IN 10..21 LOOP
      EXECUTE format('CREATE TABLE public.t%s (id int PRIMARY KEY); ALTER PUBLICATION supabase_realtime ADD TABLE public.t%1$s;', n);
      EXECUTE format('GRANT SELECT ON public.t%s TO authenticated;', n);
    END LOOP; END $$;`);
  const { findings } = await diagnose(postgres, { database: 'of_many', user: 'many_login' });
  assert.deepEqual(ids({ findings }), ['table_privileges']);
  const names = Array.from({ length: 10 }, (_, n) => `public.t${n + 10}`).join(', ');
  assert.ok(findings[0].problem.startsWith(`The role anon may not read ${names} and 2 more. `), findings[0].problem);
  assert.equal(findings[0].sql.split('\n').length, 12);
});

test('what may be meant so is not among the SQL for psql, and nobody is told of it as an error', async () => {
  await makeReady('as_meant', 'meaning_login');
  await psql(postgres, 'as_meant', 'REVOKE SELECT ON public.told FROM anon;');
  const args = ['--host', postgres.host, '--port', String(postgres.port), '--database', 'as_meant', '--user', 'meaning_login', '--tls', 'off'];
  assert.deepEqual(await runDoctor([...args, '--sql']), { code: 0, stdout: '', stderr: '' });
  const { code, stdout } = await runDoctor(args);
  assert.equal(code, 0);
  assert.match(stdout, /note {2}table_privileges\n.*public\.told.*\n.*\n {2}SQL:\n {4}GRANT SELECT ON public\.told TO anon;/);
});
