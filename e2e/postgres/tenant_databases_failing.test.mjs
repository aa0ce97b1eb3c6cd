// Databases that cannot be used: away, silent, full, read-only, with another password, without rights. Clients of private channels are
// told, the log says why, public channels and other tenants go on, and all is well once the cause is gone. tenants.md 9, errors.md 6

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { LOGIN_PASSWORD, psql } from '../harness/doctor.mjs';
import { assertError, connect } from '../harness/phoenix.mjs';
import { LOGIN, NO_DATABASE, PRIVATE, lateJoin, maySee, maySend, startProjects } from '../harness/private.mjs';
import { startStandby } from '../harness/postgres.mjs';
import { startRelay } from '../harness/relay.mjs';
import { startServer, until } from '../harness/server.mjs';

const AWAY = `UnableToConnectToProject: ${NO_DATABASE}`;
const THROTTLED = 'DatabaseConnectionRateLimitReached: Too many database connections attempts per second';

let projects;
let postgres;
before(async () => {
  projects = await startProjects();
  ({ postgres } = projects);
});
after(() => projects.stop());

const relayed = async (t, target = postgres) => {
  const relay = await startRelay(target);
  t.after(() => relay.stop());
  return relay;
};
const through = (relay) => ({ db_host: relay.host, db_port: String(relay.port) });

// A project that worked and whose connection is closed, so the next question opens one.
async function disconnected(options = {}) {
  const project = await projects.make({ sql: maySee() + maySend(), ...options });
  await project.admin('POST', '/shutdown');
  await until(async () => Object.keys(await project.sessions()).length === 0, 'the sessions to end');
  return project;
}

// Private joins come through again, without a restart.
const recovers = (project) =>
  until(async () => (await project.asked('realtime:back', {})).payload.status === 'ok', `${project.name} to recover\n${projects.server.log.slice(-2000)}`, 30_000);

// Each of these fails before the breaker trips.
async function isAway(project, why) {
  const reply = await project.asked('realtime:away', {});
  assertError(reply, AWAY);
  await project.expectLogged('UnableToConnectToTenantDatabase', why);
  await project.expectLogged('UnableToConnectToProject');
}

async function publicChannelsWork(project) {
  const [ann, bob] = [await project.connect(), await project.connect()];
  for (const client of [ann, bob]) await client.join('realtime:public');
  ann.broadcast('realtime:public', 'hello');
  assert.equal((await bob.next()).payload.event, 'hello');
}

test('while nobody listens private joins are refused, public channels work, and it passes [E-017] [P-110]', async (t) => {
  const relay = await relayed(t);
  const project = await disconnected({ settings: through(relay) });
  await relay.vanish();
  await isAway(project, /refused/i);
  await publicChannelsWork(project);
  await relay.listen();
  await recovers(project);
});

test('the third failure within five seconds stops further attempts for a moment [T-036]', async (t) => {
  const relay = await relayed(t);
  const project = await disconnected({ settings: through(relay) });
  await relay.vanish();
  const reasons = [];
  for (let n = 0; n < 8; n += 1) reasons.push((await project.asked('realtime:away', {})).payload.response.reason);
  assert.deepEqual(reasons, [AWAY, AWAY, AWAY, THROTTLED, THROTTLED, THROTTLED, THROTTLED, THROTTLED]);
  await project.expectLogged('DatabaseConnectionRateLimitReached', /Too many connection attempts against the tenant database/);
  await until(async () => (await project.asked('realtime:away', {})).payload.response.reason === AWAY, 'it to be tried again', 15_000);
  await relay.listen();
  await recovers(project);
});

test('a database that takes connections and says nothing is given up in time, and costs nobody else anything', { timeout: 90_000 }, async (t) => {
  const relay = await relayed(t);
  const [project, other] = [await disconnected({ settings: through(relay) }), await projects.make({ sql: maySee() })];
  relay.silence();
  const client = await project.connect();
  const [first, second] = [lateJoin(client, 'realtime:one'), lateJoin(client, 'realtime:two')];
  await until(() => relay.connections > 0, 'an attempt');
  await publicChannelsWork(project);
  assert.equal((await other.asked('realtime:room', {})).payload.status, 'ok');
  for (const reply of await Promise.all([first, second])) {
    assertError(reply, /^(UnableToConnectToProject: Realtime was unable to connect|InitializingProjectConnection: )/);
    assert.ok(reply.elapsed < 25_000, `${reply.elapsed}`);
  }
  await project.expectLogged('UnableToConnectToTenantDatabase');
  relay.speak();
  await recovers(project);
});

test('a database that falls silent while it is asked is given up in time', { timeout: 90_000 }, async (t) => {
  const relay = await relayed(t);
  const project = await projects.make({ sql: maySee(), settings: through(relay) });
  const client = await project.connect();
  await client.join('realtime:before', PRIVATE);
  relay.silence();
  const reply = await lateJoin(client, 'realtime:silent');
  assertError(reply, /^(UnableToConnectToProject|QueryCanceled|IncreaseConnectionPool|InitializingProjectConnection): /);
  await client.expectQuietAndJoined('realtime:before').catch((error) => assert.match(error.message, /status.*error/s)); // its database is away, not its channel
  await client.heartbeat();
  relay.breakOff();
  relay.speak();
  await recovers(project);
});

test('another password is told without it, and the right one counts at once', async () => {
  const project = await disconnected({ sql: maySee() });
  await project.change({ extensions: project.extensions({ db_password: 'not this one' }) });
  await isAway(project, /password authentication failed/);
  assert.ok(!projects.server.log.includes('not this one'));
  assert.ok(!projects.server.log.includes(LOGIN_PASSWORD));
  await publicChannelsWork(project);
  await project.change({ extensions: project.extensions() });
  assert.equal((await project.asked('realtime:back', {})).payload.status, 'ok');
});

test('a name without an address, a port that is none and a database that is not there are told', async () => {
  const project = await disconnected({ sql: maySee() });
  for (const [settings, why] of [[{ db_host: 'nowhere.invalid' }, /nowhere\.invalid/], [{ db_port: 'none' }, /none/], [{ db_name: 'missing' }, /"missing" does not exist/], [{ db_user: 'nobody' }, /nobody/]]) {
    await project.change({ extensions: project.extensions(settings) });
    await isAway(project, why);
  }
  await project.change({ extensions: project.extensions() });
  assert.equal((await project.asked('realtime:back', {})).payload.status, 'ok');
});

test('a database that is read-only is told as that, and works when it can be written', async () => {
  const project = await disconnected({ sql: maySee() });
  await psql(postgres, 'postgres', `ALTER DATABASE ${project.name} SET default_transaction_read_only = on;`);
  await isAway(project, /read-only/i);
  await psql(postgres, 'postgres', `ALTER DATABASE ${project.name} RESET default_transaction_read_only;`);
  await recovers(project);
});

test('a standby is told as that, and works when it is promoted', { timeout: 90_000 }, async () => {
  const project = await disconnected({ sql: maySee() });
  const standby = await startStandby(postgres);
  try {
    await project.change({ extensions: project.extensions({ db_host: standby.host }) });
    await isAway(project, /standby|read-only/i);
    await standby.sql('SELECT pg_promote()');
    await recovers(project);
  } finally {
    await project.change({ extensions: project.extensions() });
    await standby.remove();
  }
});

test('a login that is not exempt from the policies is told so, rather than everybody denied', async () => {
  await psql(postgres, 'postgres', `CREATE ROLE outsider LOGIN REPLICATION PASSWORD '${LOGIN_PASSWORD}'; GRANT anon, authenticated, service_role TO outsider;`);
  const project = await disconnected({ sql: maySee() });
  await project.change({ extensions: project.extensions({ db_user: 'outsider' }) });
  assertError(await project.asked('realtime:room', {}), AWAY);
  await until(() => projects.server.log.split('\n').some((line) => line.includes(`project=${project.name} `) && /supabase_realtime_admin|outsider/.test(line)), 'a line that says what is missing');
  await psql(postgres, 'postgres', 'GRANT supabase_realtime_admin TO outsider;');
  await recovers(project);
});

test('a login that may not make the schema is told so, and makes it once it may', async () => {
  const project = await projects.make({ isEmpty: true, status: 401 });
  assertError(await project.asked('realtime:room', {}), AWAY);
  await project.expectLogged('MigrationsFailedToRun', /permission denied/);
  assert.equal(await project.sql("SELECT to_regnamespace('realtime') IS NULL;"), 't');
  await publicChannelsWork(project);
  await psql(postgres, 'postgres', `GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN};`);
  await until(async () => (await project.asked('realtime:room', { role: 'service_role' })).payload.status === 'ok', 'the schema to be made', 30_000);
});

test('a schema that another server has half made is refused and left alone [E-025]', async () => {
  const project = await projects.make({ isEmpty: true, status: 401 });
  await project.sql(`CREATE SCHEMA realtime; CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));
    INSERT INTO realtime.schema_migrations SELECT n FROM generate_series(1, 40) n;
    GRANT USAGE ON SCHEMA realtime TO ${LOGIN}; GRANT SELECT ON realtime.schema_migrations TO ${LOGIN}; GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN};`);
  await until(async () => (await project.asked('realtime:room', {})).payload.response.reason === AWAY, 'it to be tried', 15_000);
  await project.expectLogged('MigrationsFailedToRun', /bring this database to 81 with the previous server first/);
  assert.equal(await project.sql("SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'realtime'::regnamespace AND relkind IN ('r', 'p');"), 'schema_migrations');
});

test('missing roles are told', async () => {
  const project = await projects.make({ isEmpty: true, status: 401 });
  // Roles are of the whole server, so a schema stands in that names one which is not there.
  await project.sql(`GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN};`);
  await psql(postgres, 'postgres', 'ALTER ROLE anon RENAME TO anon_elsewhere;');
  try {
    await until(async () => (await project.asked('realtime:room', { role: 'service_role' })).payload.response.reason === AWAY, 'it to be tried', 15_000);
    await project.expectLogged('MigrationsFailedToRun', /these roles do not exist: anon/);
  } finally {
    await psql(postgres, 'postgres', 'ALTER ROLE anon_elsewhere RENAME TO anon;');
  }
  await until(async () => (await project.asked('realtime:room', { role: 'service_role' })).payload.status === 'ok', 'the schema to be made', 30_000);
});

// Logins that never answer the server hold a place each, as any session does.
async function takeAllPlaces() {
  const pairs = Buffer.from('user\0postgres\0database\0postgres\0\0');
  const head = Buffer.alloc(8);
  head.writeInt32BE(pairs.length + 8, 0);
  head.writeInt32BE(196_608, 4);
  const sockets = [];
  for (;;) {
    const socket = net.connect(postgres.port, postgres.host);
    socket.on('error', () => {});
    socket.write(Buffer.concat([head, pairs]));
    const [answer] = await once(socket, 'data');
    sockets.push(socket);
    if (answer[0] === 'E'.charCodeAt(0)) return () => sockets.forEach((one) => one.destroy());
  }
}

test('a server without a free place is told as that, and works when there is one', async () => {
  const project = await disconnected({ sql: maySee() });
  const giveBack = await takeAllPlaces();
  try {
    assertError(await project.asked('realtime:full', {}), /^(DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect|UnableToConnectToProject: .*)$/);
    await publicChannelsWork(project);
  } finally {
    giveBack();
  }
  await project.expectLogged('UnableToConnectToTenantDatabase');
  await recovers(project);
});

test('a server with too few free places is not connected to, and both numbers are in the log [E-018] [T-035] [D-039]', async () => {
  const small = await startProjects({ postgres: { max_connections: 13, max_wal_senders: 2 } });
  try {
    const project = await small.make({ sql: maySee(), status: 401 });
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

test('members outlive a restart of the database, and new ones come in when it is back [P-110]', async () => {
  const { server } = projects;
  const project = await projects.make({ sql: maySee() + maySend() });
  const member = await project.member('realtime:room');
  await postgres.stop();
  try {
    assert.match((await project.asked('realtime:room', {})).payload.response.reason, /^UnableToConnectToProject: |^DatabaseConnectionRateLimitReached: /);
    await publicChannelsWork(project);
    await member.heartbeat();
  } finally {
    await postgres.start();
  }
  await recovers(project);
  const backend = await project.backend('realtime:room', { ack: true });
  backend.broadcast('realtime:room', 'still there');
  assert.equal((await member.next((frame) => frame.event === 'broadcast')).payload.event, 'still there');
  assert.equal(server.ended, undefined);
});

test('a node starts whether its tenant\'s database can be reached or not, and serves the rest [T-053]', async (t) => {
  const relay = await relayed(t);
  await relay.vanish();
  const env = { DB_HOST: relay.host, DB_PORT: relay.port, DB_NAME: 'postgres', DB_USER: LOGIN, DB_PASSWORD: LOGIN_PASSWORD };
  const server = await startServer({ args: ['--store', 'sqlite'], env });
  t.after(() => server.stop());
  await until(() => /Failed to set-up tenant/.test(server.log), 'the line in the log');
  const client = await connect(server);
  await client.join('realtime:public');
  assertError(await client.tryJoin('realtime:private', PRIVATE), AWAY);
});
