// The database of a tenant, from its first use to its last: the schema is made, connections come and go with what the operator does,
// and the health of the tenant tells. tenants.md 7 to 9 and 12, http-api.md 7

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { LOGIN_PASSWORD, psql } from '../harness/doctor.mjs';
import { assertError, connect } from '../harness/phoenix.mjs';
import { LOGIN, PRIVATE, maySee, maySend, startProjects } from '../harness/private.mjs';
import { startRelay } from '../harness/relay.mjs';
import { startServer, until } from '../harness/server.mjs';

let projects;
let postgres;
before(async () => {
  projects = await startProjects({ env: { TENANT_CACHE_EXPIRATION_IN_MS: 50 } });
  ({ postgres } = projects);
});
after(() => projects.stop());

const PARTITIONS = "SELECT count(*), min(relname) = to_char(now() AT TIME ZONE 'utc' - interval '1 day', '\"messages_\"YYYY_MM_DD'), " +
  "max(relname) = to_char(now() AT TIME ZONE 'utc' + interval '30 days', '\"messages_\"YYYY_MM_DD') FROM pg_inherits JOIN pg_class ON oid = inhrelid " +
  "WHERE inhparent = 'realtime.messages'::regclass;";
const hasNoSessions = (project) => until(async () => Object.keys(await project.sessions()).length === 0, `the sessions in ${project.name} to end`);
const pids = (project) => postgres.sql(`SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = '${project.name}' AND application_name LIKE 'realtime%'`);
const versions = (name) => psql(postgres, name, 'SELECT count(*) FROM realtime.schema_migrations;').then(({ output }) => output);

// A database without the schema, which the login may make.
async function emptyDatabase(name) {
  await psql(postgres, 'postgres', `CREATE DATABASE ${name}; GRANT CREATE ON DATABASE ${name} TO ${LOGIN};`);
}

// What the store says of a tenant.
function stored(project, column) {
  const store = new DatabaseSync(join(projects.server.dataDir, 'control.sqlite'), { readOnly: true });
  try {
    return store.prepare(`SELECT ${column} AS value FROM tenants WHERE external_id = ?`).get(project.name).value;
  } finally {
    store.close();
  }
}

suite('the schema', () => {
  test('is made with the tenant, with partitions for a month, and counted [H-062] [T-037] [D-012] [M-020]', async () => {
    await emptyDatabase('fresh');
    const runs = async () => (await projects.server.metrics()).value('realtime_tenants_migrations_duration_milliseconds_count');
    const before = await runs();
    const project = await projects.make({ settings: { db_name: 'fresh' } });
    assert.equal(await versions('fresh'), '81');
    assert.equal((await psql(postgres, 'fresh', PARTITIONS)).output, '32|t|t');
    await until(() => stored(project, 'migrations_ran') === 81, 'the count in the store');
    await until(async () => (await runs()) === before + 1, 'the run to be counted');
    assert.deepEqual((await project.admin('GET')).json.data.name, project.name);
    for (let n = 0; n < 2; n += 1) {
      assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
      await project.admin('POST', '/shutdown');
    }
    assert.equal((await psql(postgres, 'fresh', PARTITIONS)).output, '32|t|t');
    assert.equal(await runs(), before + 1, 'nothing is made twice');
  });

  test('is made when a tenant gets its database later, with the first private join [T-037]', async () => {
    await emptyDatabase('later');
    const project = await projects.make({ attributes: { extensions: [] } });
    assertError(await project.asked('realtime:room', {}), /^UnableToConnectToProject: /);
    await project.change({ extensions: project.extensions({ db_name: 'later' }) });
    assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
    assert.equal(await versions('later'), '81');
    assert.equal((await psql(postgres, 'later', PARTITIONS)).output, '32|t|t');
  });

  test('of a database that was set back is made again, and the count put right, down and up [E-025] [T-038]', async () => {
    const project = await projects.make({ sql: maySee() });
    await project.sql(`GRANT SELECT ON realtime.schema_migrations TO ${LOGIN};`);
    for (const wrong of [5, 100]) {
      await project.change({ migrations_ran: wrong });
      await project.admin('POST', '/shutdown');
      assert.equal((await project.asked('realtime:room', {})).payload.status, 'ok');
      await until(() => stored(project, 'migrations_ran') === 81, `${wrong} to be put right`);
    }
    await project.expectLogged('MigrationCountMismatch', /100/);
    await project.admin('POST', '/shutdown');
    await hasNoSessions(project);
    await project.sql(`DROP SCHEMA realtime CASCADE; GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN};`);
    assert.equal((await project.asked('realtime:room', { role: 'service_role' })).payload.status, 'ok');
    await project.expectLogged('MigrationCountMismatch', /\b0\b/);
    assert.equal(await versions(project.name), '81');
    await until(() => stored(project, 'migrations_ran') === 81, 'the count');
  });

  test('that cannot be made leaves the tenant there, to be mended [M-020]', async () => {
    const failures = async () => (await projects.server.metrics()).value('realtime_tenants_migrations_exceptions_total', { error_code: 'insufficient_privilege' });
    const before = await failures();
    const project = await projects.make({ isEmpty: true, status: 401 });
    assert.ok((await failures()) > before);
    assert.equal((await project.admin('GET')).status, 200);
    await psql(postgres, 'postgres', `GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN};`);
    assert.equal((await project.change({ extensions: project.extensions() })).status, 200);
    await until(async () => (await project.asked('realtime:room', { role: 'service_role' })).payload.status === 'ok', 'the schema', 30_000);
  });

  test('of the seeded tenant is made at start, and partitions that are too old are dropped [T-050] [T-054] [D-013]', async (t) => {
    await emptyDatabase('seeded');
    const env = { DB_HOST: postgres.host, DB_PORT: postgres.port, DB_NAME: 'seeded', DB_USER: LOGIN, DB_PASSWORD: LOGIN_PASSWORD, API_JWT_JWKS: '{"keys":[]}' };
    const start = () => startServer({ args: ['--store', 'sqlite'], env });
    const first = await start();
    t.after(() => first.ended || first.stop());
    await until(() => first.log.includes('Tenant set-up successfully'), 'the tenant to be set up');
    assert.equal(await versions('seeded'), '81');
    assert.equal((await psql(postgres, 'seeded', PARTITIONS)).output, '32|t|t');
    const client = await connect(first, { token: first.token({ role: 'service_role' }) });
    await client.join('realtime:room', PRIVATE);
    assert.equal(await first.stop(), 0);

    const day = (ago) => `(now() AT TIME ZONE 'utc')::date - ${ago}`;
    await psql(postgres, 'seeded', `SELECT realtime.datafuse_make_partition(${day(3)}), realtime.datafuse_make_partition(${day(4)}), realtime.datafuse_make_partition(${day(40)});`);
    const second = await start();
    t.after(() => second.ended || second.stop());
    await until(() => second.log.includes('Tenant set-up successfully'), 'the tenant to be set up');
    const there = async (ago) => (await psql(postgres, 'seeded', `SELECT to_regclass('realtime.messages_' || to_char(${day(ago)}, 'YYYY_MM_DD')) IS NOT NULL;`)).output;
    assert.deepEqual([await there(3), await there(4), await there(40)], ['t', 'f', 'f']);
    assert.equal(await second.stop(), 0);
  });
});

suite('the connection', () => {
  test('is opened for the first private question and no public one, and named', async () => {
    const project = await projects.make({ sql: maySee() });
    await hasNoSessions(project);
    const client = await project.connect();
    await client.join('realtime:public');
    assert.deepEqual(await project.sessions(), {});
    await client.join('realtime:private', PRIVATE);
    assert.equal((await project.sessions()).realtime_connect, 1);
  });

  test('is encrypted unless the tenant says otherwise, whoever signed the certificate [T-017]', async () => {
    const project = await projects.make({ sql: maySee() });
    const isEncrypted = () => postgres.sql(`SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '${project.name}' AND application_name = 'realtime_connect'`);
    const joined = async (ssl_enforced) => {
      await project.change({ extensions: project.extensions({ ssl_enforced }) });
      return (await project.asked('realtime:room', {})).payload;
    };
    assert.match((await joined(undefined)).response.reason, /^UnableToConnectToProject: /, 'the server has no TLS yet');
    await project.expectLogged('UnableToConnectToTenantDatabase', /SSL|TLS/);
    await postgres.enableTls();
    assert.equal((await joined(undefined)).status, 'ok');
    assert.equal(await isEncrypted(), 't');
    assert.equal((await joined(true)).status, 'ok');
    assert.equal((await joined(false)).status, 'ok');
    assert.equal(await isEncrypted(), 'f');
  });

  test('goes elsewhere when the tenant\'s database does, and its sockets stay [T-028]', async () => {
    const [project, other] = [await projects.make({ sql: maySee() }), await projects.make({ sql: maySend() })];
    const member = await project.member('realtime:room');
    await project.change({ extensions: project.extensions({ db_name: other.name }) });
    await hasNoSessions(project);
    await member.heartbeat();
    assert.equal((await project.asked('realtime:room', {})).payload.status, 'error', 'the other database has no policy');
    assert.deepEqual(Object.keys(await project.sessions()), []);
    const backend = await project.backend('realtime:room', { ack: true });
    backend.broadcast('realtime:room', 'still there');
    assert.equal((await member.next()).payload.event, 'still there');
  });

  test('ends with limits unchanged only where the extensions change, not with any other attribute [T-028]', async () => {
    const project = await projects.make({ sql: maySee() });
    await project.member('realtime:room');
    const before = await pids(project);
    await project.change({ max_events_per_second: 77, name: 'another' });
    assert.equal((await project.asked('realtime:room', {})).payload.status, 'ok');
    assert.equal(await pids(project), before);
  });

  test('that hangs keeps no operator waiting [T-031]', async (t) => {
    const relay = await startRelay(postgres);
    t.after(() => relay.stop());
    const project = await projects.make({ sql: maySee(), settings: { db_port: String(relay.port) } });
    const client = await project.member('realtime:room');
    relay.silence();
    client.push('realtime:hangs', 'phx_join', PRIVATE, { ref: '9', joinRef: '9' });
    const started = performance.now();
    assert.equal((await project.change({ extensions: project.extensions() })).status, 200);
    assert.ok(performance.now() - started < 8000);
    assert.equal((await project.asked('realtime:room', {})).payload.status, 'ok');
  });

  test('ends with shutdown and leaves the sockets, and the next question opens it [H-074]', async () => {
    const project = await projects.make({ sql: maySee() });
    const member = await project.member('realtime:room');
    assert.equal((await project.admin('POST', '/shutdown')).status, 204);
    await hasNoSessions(project);
    await member.heartbeat();
    assert.equal((await project.admin('POST', '/shutdown')).status, 204, 'also where there is none');
    assert.equal((await member.tryJoin('realtime:other', PRIVATE)).payload.status, 'ok');
  });

  test('ends with reload, and with the tenant [H-072] [H-073]', async () => {
    const project = await projects.make({ sql: maySee() });
    const member = await project.member('realtime:room');
    assert.equal((await project.admin('POST', '/reload')).status, 204);
    await hasNoSessions(project);
    assert.equal((await member.waitForClose()).code, 1012);
    await project.member('realtime:room');
    assert.equal((await project.admin('DELETE')).status, 204);
    await hasNoSessions(project);
  });

  test('is not opened for a tenant that is suspended, and comes back with it [T-033] [T-034]', async () => {
    const project = await projects.make({ sql: maySee() + maySend() });
    const member = await project.member('realtime:room');
    await project.change({ suspend: true });
    assert.equal((await member.waitForClose()).code, 1012);
    await hasNoSessions(project);
    const answer = await project.sendOne('room', 'e');
    assert.deepEqual([answer.status, answer.json], [403, { message: 'Tenant is suspended' }]);
    await assert.rejects(project.connect(), /403/);
    assert.deepEqual(await project.sessions(), {});
    await project.change({ suspend: false });
    await project.member('realtime:room');
    assert.equal((await project.sessions()).realtime_connect, 1);
  });

  test('is one for all who need it at once', async () => {
    const project = await projects.make({ sql: maySee(), settings: { db_pool: 1 } });
    await hasNoSessions(project);
    const clients = await Promise.all(Array.from({ length: 20 }, () => project.connect()));
    const replies = await Promise.all(clients.map((client, n) => client.tryJoin(`realtime:${n}`, PRIVATE)));
    for (const reply of replies) assert.equal(reply.payload.status, 'ok');
    assert.equal((await project.sessions()).realtime_connect, 1);
  });
});

suite('the health of a tenant', () => {
  const state = async (project) => {
    const { healthy, db_connected, connected_cluster } = await project.health();
    return { healthy, db_connected, connected_cluster };
  };

  test('is good while nobody needs its database, and tells whether there is a connection [H-075] [H-078]', async () => {
    const project = await projects.make({ sql: maySee() });
    assert.deepEqual(await state(project), { healthy: true, db_connected: false, connected_cluster: 0 });
    const health = await project.health();
    assert.equal(health.replication_connected, false);
    assert.ok('region' in health && health.node.length > 0);
    await project.member('realtime:room');
    assert.deepEqual(await state(project), { healthy: true, db_connected: true, connected_cluster: 1 });
    await hasNoSessions(await projects.make());
  });

  test('is bad while it has clients and no connection [H-076]', async (t) => {
    const relay = await startRelay(postgres);
    t.after(() => relay.stop());
    const project = await projects.make({ sql: maySee(), settings: { db_port: String(relay.port) } });
    const member = await project.member('realtime:room');
    await relay.vanish();
    await until(async () => (await project.health()).db_connected === false, 'the loss to be noticed', 30_000);
    assert.deepEqual(await state(project), { healthy: false, db_connected: false, connected_cluster: 1 });
    await relay.listen();
    await until(async () => (await member.tryJoin('realtime:again', PRIVATE)).payload.status === 'ok', 'the connection', 30_000);
    assert.deepEqual(await state(project), { healthy: true, db_connected: true, connected_cluster: 1 });
  });

  test('is bad until its schema is there, which asking for it makes [H-077]', async () => {
    await emptyDatabase('unmade');
    const project = await projects.make({ attributes: { extensions: [] } });
    await project.change({ extensions: project.extensions({ db_name: 'unmade' }) });
    assert.deepEqual(await state(project), { healthy: false, db_connected: false, connected_cluster: 0 });
    await until(async () => (await project.health()).healthy, 'the schema to be made', 30_000);
    assert.deepEqual(await state(project), { healthy: true, db_connected: false, connected_cluster: 0 });
    assert.equal(await versions('unmade'), '81');
  });
});
