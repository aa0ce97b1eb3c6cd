// Projects: tenants that have a database of their own, with policies in it, and clients on their private channels.
//
// A test file has one Postgres and one server; each project is a tenant of that server with a fresh database in that Postgres.
// The server logs in there with the rights that docs/operating.md lists, and is no superuser.

import assert from 'node:assert/strict';
import { LOGIN_PASSWORD, loginSql, makeDatabase, prepareServer, psql } from './doctor.mjs';
import { request } from './http.mjs';
import { assertError, connect, isReplyTo } from './phoenix.mjs';
import { startPostgres } from './postgres.mjs';
import { startServer, until } from './server.mjs';

export const LOGIN = 'realtime_login';
export const PRIVATE = { config: { private: true } };
export const NO_DATABASE = 'Realtime was unable to connect to the project database';
export const AWAY = `UnableToConnectToProject: ${NO_DATABASE}`;

// What hosted projects bring along for policies.
const AUTH = `
  CREATE SCHEMA auth;
  CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
  CREATE FUNCTION auth.uid() RETURNS text LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '') $$;
  CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claim.role', true), '') $$;
  GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;`;

let policies = 0;
export const maySee = (condition = 'true', { to = 'authenticated', as = 'permissive' } = {}) =>
  `CREATE POLICY see_${++policies} ON realtime.messages AS ${as} FOR SELECT TO ${to} USING (${condition});`;
export const maySend = (condition = 'true', { to = 'authenticated', as = 'permissive' } = {}) =>
  `CREATE POLICY send_${++policies} ON realtime.messages AS ${as} FOR INSERT TO ${to} WITH CHECK (${condition});`;
export const NO_POLICIES = `
  DO $$ DECLARE p record; BEGIN
    FOR p IN SELECT polname FROM pg_policy WHERE polrelid = 'realtime.messages'::regclass LOOP
      EXECUTE format('DROP POLICY %I ON realtime.messages', p.polname);
    END LOOP;
  END $$;`;

// Policies that let a token do what its claims `see` and `send` list: 'broadcast', 'presence'.
export const BY_CLAIMS = maySee("auth.jwt() -> 'see' ? extension") + maySend("auth.jwt() -> 'send' ? extension");

// A policy may wait: true after so many seconds.
export const WAITING = `
  CREATE FUNCTION public.waited(seconds float8) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(seconds); RETURN true; END $$;`;

// Each row that is probed leaves a line in the log of Postgres, which no rollback takes back. See Project.probes().
export const NOTED_PROBES = `
  CREATE FUNCTION public.note_probe() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE LOG 'probe %', json_build_object('database', current_database(), 'transaction', pg_current_xact_id()::text,
      'topic', new.topic, 'extension', new.extension, 'role', current_setting('role'),
      'settings', json_strip_nulls(json_build_object('realtime.topic', nullif(current_setting('realtime.topic', true), ''),
        'request.jwt.claims', nullif(current_setting('request.jwt.claims', true), ''),
        'request.headers', nullif(current_setting('request.headers', true), ''))));
    RETURN new;
  END $$;
  CREATE TRIGGER note_probe BEFORE INSERT ON realtime.messages FOR EACH ROW EXECUTE FUNCTION public.note_probe();`;

// What a join asks for. Beside presence and its key: members of `broadcast`.
export const privately = ({ presence = false, key, ...broadcast } = {}) => ({
  config: { private: true, presence: { enabled: presence, key }, broadcast },
});

export const noReadRight = (topic) => `You do not have permissions to read from this Channel topic: ${topic.replace(/^realtime:/, '')}`;
export const assertUnauthorized = (reply, topic) => assertError(reply, `Unauthorized: ${noReadRight(topic)}`);

// For answers that may take longer than next() waits.
export async function lateReply(client, ref, timeoutMs = 40_000) {
  await until(() => client.inbox.some(isReplyTo(ref)), `the reply to ${ref}`, timeoutMs);
  return client.next(isReplyTo(ref));
}

export async function lateJoin(client, topic, payload = PRIVATE) {
  const ref = client.nextRef();
  const started = performance.now();
  client.push(topic, 'phx_join', payload, { ref, joinRef: ref });
  const reply = await lateReply(client, ref);
  if (reply.payload.status === 'ok') client.joinRefs.set(topic, ref);
  return { ...reply, elapsed: performance.now() - started };
}

// Every project with a client has a stream of its messages.
const REPLICATION = { wal_level: 'logical', max_wal_senders: 50, max_replication_slots: 50 };

// `postgres`: settings of its server; `server`: options of startServer().
export async function startProjects({ postgres: settings, ...options } = {}) {
  const postgres = await startPostgres({ ...REPLICATION, ...settings });
  await prepareServer(postgres);
  await psql(postgres, 'postgres', `CREATE ROLE supabase_realtime_admin NOLOGIN NOINHERIT; ${loginSql(LOGIN)}`);
  const server = await startServer({ ...options, env: { CLIENT_PRESENCE_MAX_CALLS: 1000, ...options.env } });
  return new Projects(postgres, server);
}

class Projects {
  made = 0;

  constructor(postgres, server) {
    this.postgres = postgres;
    this.server = server;
  }

  // `sql` is run in its database before the server hears of it. settings: of the extension; attributes: of the tenant.
  // schema: it is 'there', or it 'may be made' by the login, or 'may not be made'. like: what CREATE DATABASE is told. Any answer
  // but 201 has to be expected.
  async make({ sql = '', schema = 'there', like, settings = {}, attributes = {}, status = 201 } = {}) {
    const name = `p${++this.made}`;
    const project = new Project(this, name);
    if (schema === 'there') await makeDatabase(this.postgres, name, { like });
    else await psql(this.postgres, 'postgres', `CREATE DATABASE ${name};`);
    if (schema === 'may be made') await project.letSchemaBeMade();
    await project.sql(AUTH + sql);
    const answer = await project.change({ jwt_secret: this.server.secret, extensions: project.extensions(settings), ...attributes });
    assert.equal(answer.status, status, answer.body);
    return project;
  }

  // A server whose only tenant has the database of this project, by the environment.
  serverOf(project, { env = {}, args = [], ...options } = {}) {
    const { db_host: DB_HOST, db_port: DB_PORT, db_name: DB_NAME, db_user: DB_USER, db_password: DB_PASSWORD } = project.extensions()[0].settings;
    return startServer({ ...options, args: ['--store', 'sqlite', ...args], env: { DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD, ...env } });
  }

  // Both, also when the server does not end as it should.
  async stop() {
    try {
      assert.equal(await this.server.stop(), 0);
    } finally {
      await this.postgres.remove();
    }
  }
}

class Project {
  constructor({ postgres, server }, name) {
    Object.assign(this, { postgres, server, name });
  }

  get host() {
    return `${this.name}.rt.example.test`;
  }

  extensions(settings = {}) {
    const where = { db_host: this.postgres.host, db_port: String(this.postgres.port), db_name: this.name };
    const login = { db_user: LOGIN, db_password: LOGIN_PASSWORD };
    return [{ type: 'postgres_cdc_rls', settings: { region: 'us-east-1', ...where, ...login, ssl_enforced: false, ...settings } }];
  }

  // As the superuser, in its database.
  async sql(script) {
    return (await psql(this.postgres, this.name, script)).output;
  }

  letSchemaBeMade() {
    return psql(this.postgres, 'postgres', `GRANT CREATE ON DATABASE ${this.name} TO ${LOGIN};`);
  }

  token(claims) {
    return this.server.token(claims);
  }

  // see, send: for BY_CLAIMS.
  connect({ see, send, claims = {}, token = this.token({ see, send, ...claims }), headers = {}, ...options } = {}) {
    return connect(this.server, { token, headers: { host: this.host, ...headers }, ...options });
  }

  // A client on the topic. What is not for connect() is for privately().
  async member(topic, { see, send, claims, token, headers, vsn, ...config } = {}) {
    const client = await this.connect({ see, send, claims, token, headers, vsn });
    await client.join(topic, privately(config));
    return client;
  }

  backend(topic, options) {
    return this.member(topic, { claims: { role: 'service_role' }, ...options });
  }

  // Joins with claims and gives the reply.
  async asked(topic, claims, { headers, ...config } = {}) {
    const client = await this.connect({ claims, headers });
    const reply = await client.tryJoin(topic, privately(config));
    await client.close();
    return reply;
  }

  async post(path, { body = '{}', claims, token = this.token(claims), headers = {} } = {}) {
    const own = { Host: this.host, Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const answer = await request(this.server, { method: 'POST', path, headers: { ...own, ...headers }, body });
    return { ...answer, json: answer.body && JSON.parse(answer.body) };
  }

  // To the topic, which is without `realtime:` here.
  sendOne(topic, event, options) {
    return this.post(`/api/broadcast/${encodeURIComponent(topic)}/events/${encodeURIComponent(event)}?private=true`, options);
  }

  sendBatch(messages, options) {
    return this.post('/api/broadcast', { body: JSON.stringify({ messages }), ...options });
  }

  // As its operator.
  async admin(method, path = '', tenant) {
    const body = tenant === undefined ? '' : JSON.stringify({ tenant });
    const content = method === 'GET' ? {} : { 'Content-Length': Buffer.byteLength(body), ...(body && { 'Content-Type': 'application/json' }) };
    const headers = { Authorization: `Bearer ${this.server.token({ role: 'service_role' })}`, ...content };
    const answer = await request(this.server, { method, path: `/api/tenants/${this.name}${path}`, headers, body });
    return { ...answer, json: answer.body && JSON.parse(answer.body) };
  }

  change(attributes) {
    return this.admin('PUT', '', attributes);
  }

  async health() {
    return (await this.admin('GET', '/health')).json.data;
  }

  // Lines of the log that are about this tenant and have this code.
  logged(code, pattern = /^/) {
    return this.server.log.split('\n').filter((line) => line.includes(`project=${this.name} `) && line.includes(` error_code=${code} `) && pattern.test(line));
  }

  async expectLogged(code, pattern) {
    await until(() => this.logged(code, pattern).length > 0, `${code} of ${this.name} that matches ${pattern} in the log\n${this.server.log.slice(-3000)}`);
  }

  // What is written into its messages is broadcast from now on.
  async streams() {
    await until(async () => (await this.health()).replication_connected, `the stream of ${this.name}\n${this.server.log.slice(-3000)}`, 30_000);
  }

  // Closes its connection: the next question opens one.
  async disconnect() {
    assert.equal((await this.admin('POST', '/shutdown')).status, 204);
    await this.hasNoSessions();
    return this;
  }

  async hasNoSessions() {
    await until(async () => Object.keys(await this.sessions()).length === 0, `the sessions in ${this.name} to end`);
  }

  // A private join is refused, and the log says why the database cannot be used.
  async expectAway(why) {
    assertError(await this.asked('realtime:away', {}), AWAY);
    await this.expectLogged('UnableToConnectToTenantDatabase', why);
    // Of one code only so many lines are written in a second, for all tenants together.
    const isWritten = async () =>
      this.logged('UnableToConnectToProject').length > 0 || (await this.server.metrics()).value('realtime_log_lines_dropped_total', { reason: 'repeated' }) > 0;
    await until(isWritten, 'the join to be in the log');
  }

  async expectPublicChannels() {
    const [ann, bob] = [await this.connect(), await this.connect()];
    for (const client of [ann, bob]) await client.join('realtime:public');
    ann.broadcast('realtime:public', 'hello');
    assert.equal((await bob.next()).payload.event, 'hello');
  }

  // Private joins come through again, without a restart.
  async recovers(claims = {}) {
    const isBack = async () => (await this.asked('realtime:back', claims)).payload.status === 'ok';
    await until(isBack, `${this.name} to recover\n${this.server.log.slice(-2000)}`, 30_000);
  }

  // The server's sessions in the database: {name: how many}.
  async sessions() {
    const rows = await this.postgres.sql(
      `SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = '${this.name}' AND application_name LIKE 'realtime%' GROUP BY 1`,
    );
    return Object.fromEntries(rows.split('\n').filter(Boolean).map((row) => row.split('|')).map(([name, count]) => [name, Number(count)]));
  }

  // Ends them, as an operator or a failover would. Gives their number.
  async terminate(condition = 'true') {
    return Number(await this.postgres.sql(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE datname = '${this.name}' AND application_name LIKE 'realtime%' AND ${condition}`));
  }

  // The pid of a session that waits in a policy.
  whoWaits() {
    return until(() => this.postgres.sql(`SELECT pid FROM pg_stat_activity
      WHERE datname = '${this.name}' AND application_name = 'realtime_connect' AND wait_event = 'PgSleep' LIMIT 1`), 'a policy to wait');
  }

  // A place in the log of Postgres behind all that it has written so far.
  async mark() {
    const text = `mark ${Math.random()}`;
    await this.sql(`DO $$ BEGIN RAISE LOG '${text}'; END $$;`);
    await until(() => this.postgres.log.includes(text), 'the log of Postgres');
    return this.postgres.log.indexOf(text);
  }

  // The rows that were probed while `body` ran, in a database with NOTED_PROBES.
  async probes(body) {
    const from = await this.mark();
    await body();
    const to = await this.mark();
    const lines = [...this.postgres.log.slice(from, to).matchAll(/ LOG: {2}probe (\{.*\})$/gm)].map(([, json]) => JSON.parse(json));
    return lines.filter(({ database }) => database === this.name).map(({ database, ...probe }) => probe);
  }
}
