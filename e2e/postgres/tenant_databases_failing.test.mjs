// Databases that cannot be used: away, silent, full, read-only, with another password, without rights. Clients of private channels are
// told, the log says why, public channels and other tenants go on, and all is well once the cause is gone. tenants.md 9, errors.md 6

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { LOGIN_PASSWORD, psql } from '../harness/doctor.mjs';
import { assertError, connect } from '../harness/phoenix.mjs';
import { AWAY, LOGIN, PRIVATE, lateJoin, maySee, maySend, startProjects } from '../harness/private.mjs';
import { startStandby } from '../harness/postgres.mjs';
import { startRelay } from '../harness/relay.mjs';
import { startServer, until } from '../harness/server.mjs';

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

// A project whose connection is closed, so the next question opens one.
const disconnected = async (options) => (await projects.make({ sql: maySee() + maySend(), ...options })).disconnect();

test('while nobody listens private joins are refused, public channels work, and it passes [E-017] [P-110]', async (t) => {
  const relay = await relayed(t);
  const project = await disconnected({ settings: through(relay) });
  await relay.vanish();
  await project.expectAway(/refused/i);
  await project.expectPublicChannels();
  await relay.listen();
  await project.recovers();
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
  await project.recovers();
});

test('a database that takes connections and says nothing is given up in time, and costs nobody else anything', { timeout: 90_000 }, async (t) => {
  const relay = await relayed(t);
  const [project, other] = [await disconnected({ settings: through(relay) }), await projects.make({ sql: maySee() })];
  relay.silence();
  const client = await project.connect();
  const [first, second] = [lateJoin(client, 'realtime:one'), lateJoin(client, 'realtime:two')];
  await until(() => relay.connections > 0, 'an attempt');
  await project.expectPublicChannels();
  assert.equal((await other.asked('realtime:room', {})).payload.status, 'ok');
  for (const reply of await Promise.all([first, second])) {
    assertError(reply, /^(UnableToConnectToProject: Realtime was unable to connect|InitializingProjectConnection: )/);
    assert.ok(reply.elapsed < 25_000, `${reply.elapsed}`);
  }
  await project.expectLogged('UnableToConnectToTenantDatabase');
  relay.speak();
  await project.recovers();
});

test('a database that falls silent while it is asked is given up in time', { timeout: 90_000 }, async (t) => {
  const relay = await relayed(t);
  const project = await projects.make({ sql: maySee(), settings: through(relay) });
  const client = await project.connect();
  await client.join('realtime:before', PRIVATE);
  relay.silence();
  const reply = await lateJoin(client, 'realtime:silent');
  assert.ok(reply.elapsed < 25_000, `${reply.elapsed}`);
  assertError(reply, /^(UnableToConnectToProject|QueryCanceled|IncreaseConnectionPool|InitializingProjectConnection): /);
  await client.expectQuietAndJoined('realtime:before').catch((error) => assert.match(error.message, /status.*error/s)); // its database is away, not its channel
  await client.heartbeat();
  relay.breakOff();
  relay.speak();
  await project.recovers();
});

test('another password is told without it, and the right one counts at once', async () => {
  const project = await disconnected();
  await project.change({ extensions: project.extensions({ db_password: 'not this one' }) });
  await project.expectAway(/password authentication failed/);
  assert.ok(!projects.server.log.includes('not this one'));
  assert.ok(!projects.server.log.includes(LOGIN_PASSWORD));
  await project.expectPublicChannels();
  await project.change({ extensions: project.extensions() });
  assert.equal((await project.asked('realtime:back', {})).payload.status, 'ok');
});

test('a name without an address, a port that is none and a database that is not there are told', async () => {
  const project = await disconnected();
  for (const [settings, why] of [[{ db_host: 'nowhere.invalid' }, /nowhere\.invalid/], [{ db_port: 'none' }, /none/], [{ db_name: 'missing' }, /"missing" does not exist/], [{ db_user: 'nobody' }, /nobody/]]) {
    await project.change({ extensions: project.extensions(settings) });
    await project.expectAway(why);
  }
  await project.change({ extensions: project.extensions() });
  assert.equal((await project.asked('realtime:back', {})).payload.status, 'ok');
});

test('a database that is read-only is told as that, and works when it can be written', async () => {
  const project = await disconnected();
  await psql(postgres, 'postgres', `ALTER DATABASE ${project.name} SET default_transaction_read_only = on;`);
  await project.expectAway(/read-only/i);
  await psql(postgres, 'postgres', `ALTER DATABASE ${project.name} RESET default_transaction_read_only;`);
  await project.recovers();
});

test('a standby is told as that, and works when it is promoted', { timeout: 90_000 }, async () => {
  const project = await disconnected();
  const standby = await startStandby(postgres);
  try {
    await project.change({ extensions: project.extensions({ db_host: standby.host }) });
    assertError(await project.asked('realtime:away', {}), AWAY);
    await project.expectLogged('UnableToConnectToProject', /standby/);
    await standby.sql('SELECT pg_promote()');
    await project.recovers();
  } finally {
    await project.change({ extensions: project.extensions() });
    await standby.remove();
  }
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
  const project = await disconnected();
  const giveBack = await takeAllPlaces();
  try {
    assertError(await project.asked('realtime:full', {}), "DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect");
    await project.expectPublicChannels();
  } finally {
    giveBack();
  }
  await project.expectLogged('DatabaseLackOfConnections', /too many clients/);
  await project.recovers();
});

test('members outlive a restart of the database, and new ones come in when it is back [P-110]', async () => {
  const { server } = projects;
  const project = await projects.make({ sql: maySee() + maySend() });
  const member = await project.member('realtime:room');
  await postgres.stop();
  try {
    assert.match((await project.asked('realtime:room', {})).payload.response.reason, /^UnableToConnectToProject: |^DatabaseConnectionRateLimitReached: /);
    await project.expectPublicChannels();
    await member.heartbeat();
  } finally {
    await postgres.start();
  }
  await project.recovers();
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
