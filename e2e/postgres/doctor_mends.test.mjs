// `realtime doctor` on databases that are broken in one way each: it names what is wrong, and its SQL mends it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { diagnose, loginSql, makeDatabase, prepareServer, psql } from '../harness/doctor.mjs';
import { startPostgres } from '../harness/postgres.mjs';

const ids = ({ findings }) => findings.map(({ id }) => id).sort();

let postgres;
let databases = 0;

before(async () => {
  postgres = await startPostgres();
  await prepareServer(postgres);
});
after(() => postgres.remove());

// What is done to a database (as the superuser, in it), and what doctor then says. `bare`: to one without our schema.
const BROKEN = {
  database_missing: { sql: ({ database }) => `ALTER DATABASE ${database} RENAME TO ${database}_away`, from: 'postgres' },
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
  publication_missing: { sql: () => 'DROP PUBLICATION supabase_realtime', severity: 'warning' },
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
  login_not_owner: { sql: ({ login }) => `REVOKE supabase_realtime_admin FROM ${login}; ALTER ROLE ${login} BYPASSRLS` },
};

test('of a database in which nothing is missing nothing is said', async () => {
  await makeDatabase(postgres, 'healthy');
  await psql(postgres, 'healthy', loginSql('healthy_login'));
  assert.deepEqual((await diagnose(postgres, { database: 'healthy', user: 'healthy_login' })).findings, []);
});

describe('what is broken is named, and the SQL mends it:', () => {
  for (const [name, { sql, bare = false, from, severity = 'error', isForOthers = false, leaves }] of Object.entries(BROKEN)) {
    test(name, async () => {
      const id = name.split(',')[0];
      const database = `broken_${++databases}`;
      const login = `login_${databases}`;
      const names = { database, login };
      if (bare) await psql(postgres, 'postgres', `CREATE DATABASE ${database};`);
      else await makeDatabase(postgres, database);
      await psql(postgres, database, loginSql(login));
      const look = () => diagnose(postgres, { database, user: login });

      await psql(postgres, from ?? database, `${sql(names)};`);
      const found = await look();
      const finding = found.findings.find((one) => one.id === id);
      assert.ok(finding, `${id} among ${JSON.stringify(found.findings, null, 1)}`);
      assert.equal(finding.severity, severity);
      assert.ok(finding.problem.endsWith('.') && finding.remedy.length > 5, JSON.stringify(finding));
      if (!bare) assert.deepEqual([...new Set(ids(found))], [id], JSON.stringify(found.findings, null, 1));
      if (isForOthers) return assert.equal(finding.sql, null);

      for (let round = 0; ; ++round) {
        const { findings } = await look();
        if (leaves ? !ids({ findings }).includes(id) : findings.length === 0) break;
        if (round === 3) assert.fail(`after its SQL: ${JSON.stringify(findings, null, 1)}`);
        for (const { sql: mend } of findings) if (mend) await psql(postgres, id === 'database_missing' && round === 0 ? 'postgres' : database, mend);
      }
      if (leaves) assert.deepEqual(ids(await look()), leaves);
    });
  }
});
