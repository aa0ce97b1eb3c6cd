// The control store in Postgres, shared by nodes. tenants.md 1 to 6
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startPostgres, startStandby } from '../harness/postgres.mjs';
import { startServer, until } from '../harness/server.mjs';
import { socketPath } from '../ws-conformance/raw_client.mjs';

const ENC_KEY = '1234567890123456';

let postgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.remove());

// A database of its own for each test, with the schema that operators make.
let made = 0;
async function newDatabase({ schema = true } = {}) {
  const name = `control${++made}`;
  await postgres.sql(`CREATE DATABASE ${name}`);
  if (schema) await postgres.sql('CREATE SCHEMA _realtime', { database: name });
  return name;
}

const environment = (database, env) => ({
  DB_HOST: postgres.host,
  DB_PORT: postgres.port,
  DB_USER: 'postgres',
  DB_PASSWORD: postgres.password,
  DB_NAME: database,
  DB_AFTER_CONNECT_QUERY: 'SET search_path TO _realtime',
  DB_ENC_KEY: ENC_KEY,
  ...env,
});

async function node(t, database, { env = {}, ...options } = {}) {
  const server = await startServer({ defaultTenant: null, env: environment(database, env), ...options });
  t.after(() => server.stop());
  return server;
}

async function admin(server, method, name, tenant) {
  const response = await fetch(`${server.url}/api/tenants/${name}`, {
    method,
    headers: { Authorization: `Bearer ${server.token({ role: 'service_role' })}`, 'Content-Type': 'application/json', connection: 'close' },
    ...(tenant && { body: JSON.stringify({ tenant }) }),
  });
  return { status: response.status, json: response.status === 204 ? undefined : await response.json() };
}

async function handshake(server, tenant, secret) {
  const path = socketPath(server).replace(/apikey=[^&]*/, `apikey=${server.token({}, { secret })}`);
  return (await request(server, { path, headers: { ...upgradeHeaders(), Host: `${tenant}.rt.example.test` } })).status;
}

test('an empty schema gets the tables that the reference server makes, with all its versions [T-001]', async (t) => {
  const database = await newDatabase();
  await node(t, database);
  const rows = await postgres.sql(
    `SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, '-') FROM information_schema.columns
     WHERE table_schema = '_realtime' ORDER BY table_name, column_name`,
    { database },
  );
  assert.equal(rows, SCHEMA.trim());
  const indexes = await postgres.sql(`SELECT indexname FROM pg_indexes WHERE schemaname = '_realtime' ORDER BY 1`, { database });
  assert.deepEqual(indexes.split('\n'), [
    'extensions_pkey', 'extensions_tenant_external_id_index', 'extensions_tenant_external_id_type_index', 'feature_flags_name_index',
    'feature_flags_pkey', 'schema_migrations_pkey', 'tenants_external_id_index', 'tenants_pkey',
  ]);
  const checks = await postgres.sql(`SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = '_realtime'::regnamespace ORDER BY 1`, { database });
  assert.deepEqual(checks.split('\n'), ['jwt_secret_or_jwt_jwks_required', 'rollout_percentage_must_be_between_0_and_100']);
  assert.equal(await postgres.sql('SELECT count(*), min(version), max(version) FROM _realtime.schema_migrations', { database }), '33|20210706140551|20260805000000');
});

test('two nodes that make the tables at the same moment both start [T-003]', async (t) => {
  const database = await newDatabase();
  await Promise.all([node(t, database), node(t, database)]);
  assert.equal(await postgres.sql('SELECT count(*) FROM _realtime.tenants', { database }), '1');
});

test('a database that is only half migrated is refused and left alone', async (t) => {
  const database = await newDatabase();
  await postgres.sql('CREATE TABLE _realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0)); INSERT INTO _realtime.schema_migrations VALUES (20210706140551)', { database });
  await assert.rejects(node(t, database), /has 1 of 33 migrations: bring this database to 33 with the previous server first/);
  assert.equal(await postgres.sql(`SELECT count(*) FROM information_schema.tables WHERE table_schema = '_realtime'`, { database }), '1');
});

test('what is wrong with the connection is said at start, without the password [C-005]', async (t) => {
  const database = await newDatabase();
  const refused = async (env, expected) => {
    const failure = await node(t, database, { env }).then(() => assert.fail('it started'), (error) => String(error));
    assert.match(failure, expected);
    assert.ok(!failure.includes('a wrong secret'), failure);
  };
  await refused({ DB_PASSWORD: 'a wrong secret' }, /the control database control\d+ on 127\.0\.0\.1:\d+: .*password authentication failed/);
  await refused({ DB_NAME: 'missing' }, /database "missing" does not exist/);
  await refused({ DB_HOST: 'no-such-host.invalid' }, /no address of no-such-host\.invalid: /);
  await refused({ DB_HOST: '127.0.0.1', DB_IP_VERSION: 'ipv6' }, /no IPv6 address of 127\.0\.0\.1: /);
  await refused({ DB_SSL: 'true' }, /server does not support SSL/);
  await refused({ DB_AFTER_CONNECT_QUERY: 'SET nonsense TO 1' }, /DB_AFTER_CONNECT_QUERY: .*unrecognized configuration parameter/);
});

test('a tenant that one node makes is found by the other within a second, and lies in the shared format', async (t) => {
  const database = await newDatabase();
  const [one, other] = [await node(t, database), await node(t, database)];
  assert.equal(await handshake(other, 'acme', 's'), 404);
  const settings = { region: 'us-east-1', db_host: '127.0.0.1', db_port: '5432', db_name: 'postgres', db_user: 'u', db_password: 'p' };
  const created = await admin(one, 'PUT', 'acme', { jwt_secret: 's', extensions: [{ type: 'postgres_cdc_rls', settings }], feature_flags: { a: true } });
  assert.equal(created.status, 422, 'its own database cannot be reached, but the tenant is there');
  await until(async () => (await handshake(other, 'acme', 's')) === 101, 'the other node to find it', 1_000);
  assert.equal(await handshake(one, 'acme', 's'), 101);

  const row = await postgres.sql(
    `SELECT jwt_secret, feature_flags->>'a', settings->>'db_host', settings->>'db_port', settings->>'region', settings->>'poll_interval_ms'
     FROM _realtime.tenants JOIN _realtime.extensions ON external_id = tenant_external_id WHERE external_id = 'acme'`,
    { database },
  );
  assert.deepEqual(row.split('|').slice(1), ['true', '7Wwy/7hIGy35MCo8jeVy+w==', 'm3KM2cjJ+t7C3443QcjOgA==', 'us-east-1', '100']);
  assert.ok(!row.includes('|s|'));
});

test('rows that another server wrote are used as they are [T-004]', async (t) => {
  const database = await newDatabase();
  const server = await node(t, database, { env: { TENANT_CACHE_EXPIRATION_IN_MS: 50 } });
  await postgres.sql(
    `INSERT INTO _realtime.tenants (id, name, external_id, jwt_secret, max_events_per_second, inserted_at, updated_at)
     VALUES (gen_random_uuid(), 'Theirs', 'theirs', 'v1QVng3N+pZd/0AEObABwg==', 1234, '2023-01-01 10:20:30', now());
     INSERT INTO _realtime.extensions (id, type, settings, tenant_external_id, inserted_at, updated_at)
     VALUES (gen_random_uuid(), 'postgres_cdc_rls', '{"region": "us-east-1", "db_host": "7Wwy/7hIGy35MCo8jeVy+w=="}', 'theirs', now(), now())`,
    { database },
  );
  await until(async () => (await handshake(server, 'theirs', 'postgres')) === 101, 'the tenant to be found', 1_000);
  const { json } = await admin(server, 'GET', 'theirs');
  assert.deepEqual([json.data.name, json.data.max_events_per_second, json.data.inserted_at], ['Theirs', 1234, '2023-01-01T10:20:30']);
  assert.deepEqual(json.data.extensions[0].settings, { region: 'us-east-1', db_host: '7Wwy/7hIGy35MCo8jeVy+w==' });
  await postgres.sql(`UPDATE _realtime.tenants SET suspend = true WHERE external_id = 'theirs'`, { database });
  await until(async () => (await handshake(server, 'theirs', 'postgres')) === 403, 'the edit to be seen');
  await postgres.sql(`DELETE FROM _realtime.tenants WHERE external_id = 'theirs'`, { database });
  await until(async () => (await handshake(server, 'theirs', 'postgres')) === 404, 'the deletion to be seen');
});

test('the seeded tenant gets the database of the environment, and keeps its id [T-050] [T-051]', async () => {
  const database = await newDatabase();
  const ids = [];
  for (let start = 0; start < 2; ++start) {
    const server = await startServer({ env: environment(database) });
    const { json } = await admin(server, 'GET', 'dev');
    ids.push(json.data.id);
    assert.equal(json.data.extensions[0].type, 'postgres_cdc_rls');
    assert.equal(json.data.extensions[0].settings.db_host, '7Wwy/7hIGy35MCo8jeVy+w==');
    assert.equal(await server.stop(), 0);
    assert.ok(!server.log.includes(postgres.password));
  }
  assert.equal(ids[0], ids[1]);
});

test('while the control database is away tenants go on, writes get 503, and all is well when it is back [C-015] [T-021]', async (t) => {
  const database = await newDatabase();
  const server = await node(t, database, { env: { TENANT_CACHE_EXPIRATION_IN_MS: 50 } });
  await admin(server, 'PUT', 'acme', { jwt_secret: 's' });
  const up = async () => (await server.metrics()).value('realtime_control_store_up');
  assert.equal(await up(), 1);
  await postgres.stop();
  const refused = await admin(server, 'PATCH', 'acme', { suspend: true });
  assert.equal(refused.status, 503);
  await until(async () => (await up()) === 0, 'the loss to be noticed');
  assert.equal(await handshake(server, 'acme', 's'), 101);
  assert.equal(await handshake(server, 'nobody', 's'), 404);
  assert.equal((await request(server, { path: '/readyz' })).status, 200);
  await (await connect(server, { headers: { host: 'dev' } })).join('realtime:a');

  await postgres.start();
  await until(async () => (await up()) === 1, 'the return to be noticed');
  assert.equal((await admin(server, 'PATCH', 'acme', { suspend: true })).status, 200);
  assert.equal(await handshake(server, 'acme', 's'), 403);
});

test('keys that others change shut out old tokens, also when the next thing that is seen of it is a change of our own', async (t) => {
  const database = await newDatabase();
  const server = await node(t, database);
  await admin(server, 'PUT', 'acme', { jwt_secret: 'postgres' });
  const token = server.token({}, { secret: 'postgres' });
  const client = await connect(server, { token, headers: { host: 'acme' } });
  await client.join('realtime:a');
  await postgres.sql(`UPDATE _realtime.tenants SET jwt_secret = '7Wwy/7hIGy35MCo8jeVy+w==' WHERE external_id = 'acme'`, { database });
  assert.equal((await admin(server, 'PATCH', 'acme', { max_events_per_second: 5 })).status, 200);
  assert.equal((await client.waitForClose()).code, 1012);
  assert.equal(await handshake(server, 'acme', 'postgres'), 401);
  assert.equal(await handshake(server, 'acme', '127.0.0.1'), 101);
});

test('the same keys again, however they are spelled, disconnect nobody [T-026]', async (t) => {
  const database = await newDatabase();
  const server = await node(t, database);
  const jwt_jwks = { keys: [{ kty: 'oct', kid: 'k', k: 'AAAA' }] };
  await admin(server, 'PUT', 'acme', { jwt_secret: 's', jwt_jwks });
  const client = await connect(server, { token: server.token({}, { secret: 's' }), headers: { host: 'acme' } });
  await client.join('realtime:a');
  assert.equal((await admin(server, 'PATCH', 'acme', { jwt_jwks })).status, 200);
  await client.expectQuietAndJoined('realtime:a');
});

test('what a database cannot hold is the fault of who sent it, and is not quoted in the log', async (t) => {
  const database = await newDatabase();
  const server = await node(t, database);
  const refused = await admin(server, 'PUT', 'acme', { jwt_jwks: { keys: [{ kty: 'oct', k: 'a-key-that-must-not-leak', kid: 'a\u0000' }] } });
  assert.deepEqual([refused.status, refused.json], [422, { errors: { tenant: ['is invalid'] } }]);
  assert.equal((await server.metrics()).value('realtime_control_store_up'), 1);
  assert.ok(!server.log.includes('must-not-leak'));
  await admin(server, 'PUT', 'other', { jwt_secret: 's' });
  for (const name of ['other%00', '%FF']) assert.equal((await admin(server, 'DELETE', name)).status, 400);
  assert.equal(await handshake(server, '\xff\xfe', 's'), 404);
  assert.equal((await server.metrics()).value('realtime_control_store_up'), 1);
  assert.equal((await admin(server, 'GET', 'other')).status, 200);
});

test('changes of one tenant by two nodes at once all count', async (t) => {
  const database = await newDatabase();
  const nodes = [await node(t, database), await node(t, database)];
  await admin(nodes[0], 'PUT', 'acme', { jwt_secret: 's' });
  const attributes = ['max_concurrent_users', 'max_events_per_second', 'max_joins_per_second', 'max_channels_per_client'];
  for (let round = 1; round <= 10; ++round) {
    const changes = attributes.map((name, i) => admin(nodes[i % 2], 'PATCH', 'acme', { [name]: round }));
    assert.deepEqual((await Promise.all(changes)).map(({ status }) => status), [200, 200, 200, 200]);
    const row = await postgres.sql(`SELECT ${attributes.join(', ')} FROM _realtime.tenants WHERE external_id = 'acme'`, { database });
    assert.equal(row, Array(4).fill(round).join('|'));
  }
  const made = await Promise.all(nodes.map((one) => admin(one, 'PUT', 'both', { jwt_secret: 's' })));
  assert.deepEqual(made.map(({ status }) => status).sort(), [200, 201]);
});

test('a tenant that another node has just made can be shown here', async (t) => {
  const database = await newDatabase();
  const [one, other] = [await node(t, database), await node(t, database)];
  await admin(one, 'PUT', 'acme', { jwt_secret: 's' });
  assert.equal((await admin(other, 'GET', 'acme')).status, 200);
});

test('a node whose control database is down at start says so, serves nobody yet, and serves all once it is up', async (t) => {
  const database = await newDatabase();
  const before = await node(t, database);
  await admin(before, 'PUT', 'acme', { jwt_secret: 's' });
  await before.stop();
  await postgres.stop();
  const server = await node(t, database, { env: { TENANT_MAX_EVENTS_PER_SECOND: 321 } });
  const ready = await request(server, { path: '/readyz' });
  assert.deepEqual([ready.status, ready.body.toString()], [503, 'the control store is not loaded\n']);
  assert.equal((await request(server, { path: '/healthcheck' })).status, 200);
  assert.equal((await server.metrics()).value('realtime_control_store_up'), 0);
  const refused = await request(server, { path: socketPath(server), headers: { ...upgradeHeaders(), Host: 'acme' } });
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
  for (const path of ['/api/broadcast', '/socket/longpoll']) {
    const answers = [];
    for (const method of ['POST', 'OPTIONS']) answers.push(await request(server, { method, path, headers: { Host: 'acme', Origin: 'https://a.test' } }));
    assert.deepEqual(answers.map(({ status }) => status), [503, 204]);
    for (const { headers } of answers) assert.equal(headers['access-control-allow-origin'], '*', 'a page can read it');
  }
  for (const [method, name] of [['GET', ''], ['GET', 'acme'], ['PUT', 'acme'], ['DELETE', 'acme']])
    assert.equal((await admin(server, method, name, method === 'PUT' ? { suspend: true } : undefined)).status, 503);
  await until(() => /Connection refused.*trying again in \d+ ms/.test(server.log), 'the reason in the log');
  assert.ok(!server.log.includes(postgres.password));

  await postgres.start();
  await until(async () => (await request(server, { path: '/readyz' })).status === 200, 'the store to be loaded', 20_000);
  assert.equal(await handshake(server, 'acme', 's'), 101);
  assert.equal((await admin(server, 'GET', 'dev')).json.data.max_events_per_second, 321);
  assert.equal((await server.metrics()).value('realtime_control_store_up'), 1);
});

test('a node that waits for its control database can be stopped', async () => {
  const server = await startServer({ env: environment('any', { DB_PORT: 1 }) });
  assert.match(server.log, /127\.0\.0\.1:1: .*Connection refused/);
  assert.equal(await server.stop(), 0);
});

const KEY_GCM = '12345678901234567890123456789012';
const DATABASE = { region: 'us-east-1', db_host: '127.0.0.1', db_port: '5432', db_name: 'postgres', db_user: 'u', db_password: 'p' };
const extensions = [{ type: 'postgres_cdc_rls', settings: DATABASE }];
const renewed = (database, count) =>
  until(async () => (await postgres.sql('SELECT count(gcm_migrated_at) FROM _realtime.tenants', { database })) === String(count), 'the current format');

test('the control database is reached by TLS, and its certificate is verified where there is a CA [C-016]', async (t) => {
  const database = await newDatabase();
  const authority = await postgres.enableTls();
  const tls = { DB_SSL: 'true', DB_HOST: 'localhost', DB_IP_VERSION: 'ipv4' };
  for (const env of [tls, { ...tls, DB_SSL_CA_CERT: authority.certificate }]) {
    const server = await node(t, database, { env });
    const seen = `SELECT bool_and(ssl), count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '${database}' AND application_name = 'supabase_mt_realtime'`;
    assert.equal(await postgres.sql(seen), 't|t');
    await server.stop();
  }
  await assert.rejects(node(t, database, { env: { ...tls, DB_SSL_CA_CERT: authority.another } }), /certificate verify failed/);
});

test("the environment of the reference server's compose file starts a node [C-020]", async (t) => {
  const database = await newDatabase();
  const env = {
    APP_NAME: 'realtime', SECRET_KEY_BASE: 'x'.repeat(64), ERL_AFLAGS: '-proto_dist inet_tcp', DNS_NODES: "''", RLIMIT_NOFILE: '10000',
    RUN_JANITOR: 'true', DB_ENC_KEY: 'supabaserealtime', SEED_SELF_HOST: 'true', DISABLE_HEALTHCHECK_LOGGING: 'true',
  };
  const server = await node(t, database, { env });
  assert.equal(await handshake(server, 'dev', server.secret), 101);
});

test('two nodes bring all secrets to the current format, and clients of none of them notice [T-009] [T-012] [T-013]', async (t) => {
  const database = await newDatabase();
  const quick = { TENANT_CACHE_EXPIRATION_IN_MS: 50, DB_ENC_KEY_GCM: KEY_GCM };
  const old = await node(t, database, { env: quick });
  await admin(old, 'PUT', 'acme', { jwt_secret: 's', extensions });
  await admin(old, 'PUT', 'keys', { jwt_jwks: { keys: [] }, extensions });
  const join = async (server) => {
    const client = await connect(server, { token: server.token({}, { secret: 's' }), headers: { host: 'acme' } });
    await client.join('realtime:a');
    return client;
  };
  const clients = [await join(old)];
  for (let i = 0; i < 2; ++i) {
    const server = await node(t, database, { env: { ...quick, DB_ENC_WRITE_GCM: 'true' } });
    clients.push(await join(server));
  }
  await renewed(database, 2);
  const rows = await postgres.sql(
    `SELECT external_id, coalesce(left(jwt_secret, 3), 'none'), (SELECT count(*) FROM jsonb_each_text(settings) WHERE value LIKE 'g1:%'), settings->>'region', settings->>'poll_interval_ms'
     FROM _realtime.tenants JOIN _realtime.extensions ON external_id = tenant_external_id WHERE external_id <> 'dev' ORDER BY 1`,
    { database },
  );
  assert.equal(rows, 'acme|g1:|5|us-east-1|100\nkeys|none|5|us-east-1|100');
  assert.equal((await admin(old, 'PATCH', 'keys', { max_events_per_second: 5 })).status, 200);
  for (const client of clients) await client.expectQuietAndJoined('realtime:a');
  assert.equal(await handshake(old, 'acme', 's'), 101);
});

test('secrets that are rotated while they are brought to the current format stay rotated [T-011]', async (t) => {
  const database = await newDatabase();
  const quick = { TENANT_CACHE_EXPIRATION_IN_MS: 50, DB_ENC_KEY_GCM: KEY_GCM };
  const old = await node(t, database, { env: quick });
  const names = Array.from({ length: 20 }, (_, i) => `tenant${i}`);
  for (const name of names) await admin(old, 'PUT', name, { jwt_secret: 'before', extensions });
  const rotate = async () => {
    for (const name of names) assert.equal((await admin(old, 'PATCH', name, { jwt_secret: 'after' })).status, 200);
  };
  await Promise.all([node(t, database, { env: { ...quick, DB_ENC_WRITE_GCM: 'true' } }), rotate()]);
  await renewed(database, names.length);
  for (const name of names) assert.equal(await handshake(old, name, 'after'), 101);
});

test('a node of another region reads from the replica, never less than it has seen, and from the primary where it has to', async (t) => {
  const database = await newDatabase();
  const standby = await startStandby(postgres);
  t.after(() => standby.remove());
  const region = { REGION: 'eu', DB_MASTER_REGION: 'us', DB_REPLICA_HOST: standby.host, TENANT_CACHE_EXPIRATION_IN_MS: 50 };
  await (await node(t, database)).stop();
  const server = await node(t, database, { env: region });
  await until(() => server.log.includes(`reading the control store from its replica ${standby.host}`), 'the replica to be used');
  await admin(server, 'PUT', 'acme', { jwt_secret: 's' });
  const edit = (change) => postgres.sql(`UPDATE _realtime.tenants SET ${change} WHERE external_id = 'acme'`, { database });
  // A time at which the node has asked that server.
  const lastAsked = async (where, name) => (await where.sql(`SELECT max(query_start) FROM pg_stat_activity WHERE datname = '${database}' AND application_name = '${name}'`));
  const isAskedTwice = async (where, name) => {
    for (let i = 0; i < 2; ++i) {
      const before = await lastAsked(where, name);
      await until(async () => (await lastAsked(where, name)) !== before, `${name} to be asked`);
    }
  };

  await edit('suspend = true');
  await until(async () => (await handshake(server, 'acme', 's')) === 403, 'an edit to come by the replica');
  await isAskedTwice(standby, 'supabase_mt_realtime_ro');
  await standby.sql('SELECT pg_wal_replay_pause()');
  await edit('suspend = false');
  await isAskedTwice(standby, 'supabase_mt_realtime_ro');
  assert.equal(await handshake(server, 'acme', 's'), 403, 'the replica does not know better yet');

  assert.equal((await admin(server, 'PATCH', 'acme', { max_events_per_second: 5 })).status, 200);
  assert.equal(await handshake(server, 'acme', 's'), 101);
  await isAskedTwice(postgres, 'supabase_mt_realtime');
  assert.equal(await handshake(server, 'acme', 's'), 101, 'what the node has seen of the primary stays');

  await standby.stop();
  await edit('suspend = true');
  await until(async () => (await handshake(server, 'acme', 's')) === 403, 'the primary to be read instead');
  assert.equal(server.log.split('\n').filter((line) => line.includes('cannot be used, the primary is read instead')).length, 1);
  await standby.start();
  await until(() => server.log.split('reading the control store from its replica').length === 3, 'the replica to be used again', 20_000);
});

test('a replica that is no standby of the control database is not read', async (t) => {
  const database = await newDatabase();
  const region = { REGION: 'eu', DB_MASTER_REGION: 'us', DB_REPLICA_HOST: postgres.host };
  const server = await node(t, database, { env: region });
  assert.match(server.log, /the replica 127\.0\.0\.1 cannot be used, .*: it is no standby of the control database/);
  assert.equal(await handshake(server, 'dev', server.secret), 101);
});

test('a control database that hangs keeps no node from stopping', async (t) => {
  const database = await newDatabase();
  const server = await startServer({ env: environment(database, { DRAIN_TIMEOUT_MS: 2000 }) });
  const pids = (await postgres.sql(`SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'supabase_mt_realtime'`)).split('\n');
  for (const pid of pids) process.kill(Number(pid), 'SIGSTOP');
  t.after(() => pids.forEach((pid) => process.kill(Number(pid), 'SIGCONT')));
  const change = admin(server, 'PATCH', 'dev', { suspend: true }).catch(() => 'cut');
  await request(server, { path: '/healthcheck' });
  assert.equal(await server.stop(), 0);
  await change;
});

const SCHEMA = `
extensions|id|uuid|NO|-
extensions|inserted_at|timestamp without time zone|NO|-
extensions|settings|jsonb|YES|-
extensions|tenant_external_id|text|YES|-
extensions|type|text|YES|-
extensions|updated_at|timestamp without time zone|NO|-
feature_flags|bucket_key|character varying|YES|-
feature_flags|enabled|boolean|NO|false
feature_flags|id|uuid|NO|-
feature_flags|inserted_at|timestamp without time zone|NO|-
feature_flags|name|character varying|NO|-
feature_flags|rollout_percentage|integer|NO|100
feature_flags|updated_at|timestamp without time zone|NO|-
schema_migrations|inserted_at|timestamp without time zone|YES|-
schema_migrations|version|bigint|NO|-
tenants|broadcast_adapter|character varying|YES|'gen_rpc'::character varying
tenants|client_presence_window_ms|integer|YES|-
tenants|external_id|text|YES|-
tenants|feature_flags|jsonb|NO|'{}'::jsonb
tenants|gcm_migrated_at|timestamp without time zone|YES|-
tenants|id|uuid|NO|-
tenants|inserted_at|timestamp without time zone|NO|-
tenants|jwt_jwks|jsonb|YES|-
tenants|jwt_secret|text|YES|-
tenants|max_bytes_per_second|integer|NO|100000
tenants|max_channels_per_client|integer|NO|100
tenants|max_client_presence_events_per_window|integer|YES|-
tenants|max_concurrent_users|integer|NO|200
tenants|max_events_per_second|integer|NO|100
tenants|max_joins_per_second|integer|NO|500
tenants|max_payload_size_in_kb|integer|YES|3000
tenants|max_presence_events_per_second|integer|YES|1000
tenants|migrations_ran|integer|YES|0
tenants|name|text|YES|-
tenants|notify_private_alpha|boolean|YES|false
tenants|postgres_cdc_default|text|YES|'postgres_cdc_rls'::text
tenants|presence_enabled|boolean|NO|false
tenants|private_only|boolean|NO|false
tenants|suspend|boolean|YES|false
tenants|updated_at|timestamp without time zone|NO|-
`;
