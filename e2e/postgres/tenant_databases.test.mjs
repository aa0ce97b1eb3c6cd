// The connection to a tenant's database comes with the first need and goes with what the operator does, and the health of the tenant
// tells of it. tenants.md 7 to 9, http-api.md 7

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { PRIVATE, maySee, maySend, startProjects } from '../harness/private.mjs';
import { startRelay } from '../harness/relay.mjs';
import { until } from '../harness/server.mjs';

let projects;
let postgres;
before(async () => {
  projects = await startProjects();
  ({ postgres } = projects);
});
after(() => projects.stop());

const pids = (project) => postgres.sql(`SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = '${project.name}' AND application_name LIKE 'realtime%'`);

suite('the connection', () => {
  test('is opened for the first member of a channel, who waits for it only where his rights are in it, and named', async () => {
    const project = await projects.make({ sql: maySee() });
    await project.hasNoSessions();
    const client = await project.connect();
    await client.join('realtime:public');
    await project.streams();
    assert.deepEqual(await project.sessions(), { realtime_replication_connection: 1 });
    await client.join('realtime:private', PRIVATE);
    assert.deepEqual(await project.sessions(), { realtime_replication_connection: 1, realtime_connect: 1 });
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
    await project.hasNoSessions();
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
    await project.hasNoSessions();
    await member.heartbeat();
    assert.equal((await project.admin('POST', '/shutdown')).status, 204, 'also where there is none');
    assert.equal((await member.tryJoin('realtime:other', PRIVATE)).payload.status, 'ok');
  });

  test('ends with reload, and with the tenant [H-072] [H-073]', async () => {
    const project = await projects.make({ sql: maySee() });
    const member = await project.member('realtime:room');
    assert.equal((await project.admin('POST', '/reload')).status, 204);
    await project.hasNoSessions();
    assert.equal((await member.waitForClose()).code, 1012);
    await project.member('realtime:room');
    assert.equal((await project.admin('DELETE')).status, 204);
    await project.hasNoSessions();
  });

  test('is not opened for a tenant that is suspended, and comes back with it [T-033] [T-034]', async () => {
    const project = await projects.make({ sql: maySee() + maySend() });
    const member = await project.member('realtime:room');
    await project.change({ suspend: true });
    assert.equal((await member.waitForClose()).code, 1012);
    await project.hasNoSessions();
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
    await project.hasNoSessions();
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
    await until(async () => (await project.health()).healthy, 'it to be known that the schema is there');
    assert.deepEqual(await state(project), { healthy: true, db_connected: false, connected_cluster: 0 });
    const health = await project.health();
    assert.equal(health.replication_connected, false);
    assert.ok('region' in health && health.node.length > 0);
    await project.member('realtime:room');
    assert.deepEqual(await state(project), { healthy: true, db_connected: true, connected_cluster: 1 });
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
    const project = await projects.make({ schema: 'may be made', attributes: { extensions: [] } });
    await project.change({ extensions: project.extensions() });
    assert.deepEqual(await state(project), { healthy: false, db_connected: false, connected_cluster: 0 });
    await until(async () => (await project.health()).healthy, 'the schema to be made', 30_000);
    assert.deepEqual(await state(project), { healthy: true, db_connected: false, connected_cluster: 0 });
    assert.equal(await project.sql('SELECT count(*) FROM realtime.schema_migrations;'), '81');
  });

  test('may be asked as often as one likes: the schema is made by one connection, and once it is there that stays known [H-077] [D-039]', async (t) => {
    const relay = await startRelay(postgres);
    t.after(() => relay.stop());
    const project = await projects.make({ schema: 'may be made', attributes: { extensions: [] } });
    await project.change({ extensions: project.extensions({ db_port: String(relay.port) }) });
    relay.silence();
    for (let n = 0; n < 20; n += 1) assert.equal((await project.health()).healthy, false);
    await until(() => relay.connections > 0, 'a connection');
    assert.ok(relay.connections <= 2, `${relay.connections} connections`);
    relay.speak();
    await until(async () => (await project.health()).healthy, 'the schema to be made', 30_000);
    await project.hasNoSessions();
    for (let n = 0; n < 20; n += 1) assert.equal((await project.health()).healthy, true);
    assert.deepEqual(project.logged('MigrationCountMismatch'), []);
  });
});
