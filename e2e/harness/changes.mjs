// Clients that are told of row changes, and projects whose rows are.
//
// A listener is one client on one channel. Whatever it was told until now is what came before a marker: a row of a table that
// a second channel of the same socket watches. So the same call shows what comes, in which order, and that nothing else does.

import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { startProjects } from './private.mjs';
import { until } from './server.mjs';

export const PUBLICATION = 'supabase_realtime';
export const SUBSCRIBED = 'Subscribed to PostgreSQL';
const PATIENCE_MS = 30_000; // a slot waits for whatever writes in its cluster

// auth.uid() as hosted projects have it: the setting that has all claims is the only one for row changes.
const PLATFORM = `
  DROP FUNCTION auth.uid();
  CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
  $$;
  CREATE SCHEMA marking;
  GRANT USAGE ON SCHEMA marking TO PUBLIC;
  CREATE TABLE marking.markers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text);
  GRANT SELECT ON marking.markers TO PUBLIC;
  ALTER PUBLICATION ${PUBLICATION} ADD TABLE marking.markers;`;

// Options of startProjects(). Each project has sessions of several kinds.
export const startWatched = ({ postgres = {}, ...options } = {}) => startProjects({ postgres: { max_connections: 300, ...postgres }, ...options });

// A project whose publication has `tables`: {name: columns}, each of which everybody may read.
export function makeWatched(projects, { sql = '', tables = {}, ...options } = {}) {
  return projects.make({ sql: PLATFORM + Object.entries(tables).map(([name, columns]) => tableSql(name, columns)).join('') + sql, ...options });
}

export const tableSql = (name, columns, { to = 'anon, authenticated, service_role' } = {}) => `
  CREATE TABLE ${name} (${columns});
  GRANT SELECT ON ${name} TO ${to};
  ALTER PUBLICATION ${PUBLICATION} ADD TABLE ${name};`;

let tables = 0;
// A published table of its own for a test. `more`: SQL behind it, as a function of its name.
export async function freshTable(project, columns = 'id int PRIMARY KEY, body text', more = () => '', options) {
  const name = `t${++tables}`;
  await project.sql(tableSql(name, columns, options) + more(name));
  return name;
}

// For frames that may take longer than next() waits.
export async function late(client, predicate, what, timeoutMs = PATIENCE_MS) {
  await until(() => client.inbox.some(predicate), `${what}; the inbox has ${inspect(client.inbox.slice(0, 20), { depth: 5 })}`, timeoutMs);
  return client.next(predicate, what);
}

const isNotice = (topic) => (frame) => frame.topic === topic && frame.event === 'system' && frame.payload.extension === 'postgres_changes';
const isChange = (topic) => (frame) => frame.topic === topic && ['postgres_changes', 'INSERT', 'UPDATE', 'DELETE'].includes(frame.event);

let topics = 0;
let markers = 0;

export class Listener {
  constructor(project, client, topic) {
    Object.assign(this, { project, client, topic });
  }

  // `entries`: what the join asks for, null for a join of the old form. Options: topic; a client, or what project.connect() wants.
  static async join(project, entries, { topic = `realtime:changes ${++topics}`, client, config = {}, ...options } = {}) {
    const listener = new Listener(project, client ?? (await project.connect(options)), topic);
    listener.reply = await listener.client.join(topic, entries === null ? {} : { config: { postgres_changes: entries, ...config } });
    listener.echo = listener.reply.payload.response.postgres_changes;
    return listener;
  }

  // What the server says of its subscriptions: the next frame of that kind.
  notice(timeoutMs) {
    return late(this.client, isNotice(this.topic), `a notice on ${this.topic}`, timeoutMs);
  }

  async subscribed() {
    const { payload } = await this.notice();
    assert.equal(payload.message, SUBSCRIBED, inspect(payload));
    return this;
  }

  // The entry that has the id, or its place in the request.
  entry(id) {
    return this.echo.find((entry) => entry.id === id);
  }

  // Frames of changes that came until now: all that was committed before is among them. {event, ids, data, frame}, where
  // joins of the old form have no ids.
  async told({ timeoutMs } = {}) {
    await this.settle(timeoutMs);
    return this.taken();
  }

  // Only what has come already, or does not have to come before a marker.
  taken() {
    const isOurs = isChange(this.topic);
    const frames = this.client.inbox.filter((frame) => isOurs(frame) && !isMarker(frame));
    this.client.inbox = this.client.inbox.filter((frame) => !isOurs(frame));
    return frames.map(changeOf);
  }

  // The very next one, for tests of how soon it comes.
  async next(timeoutMs) {
    return changeOf(await late(this.client, isChange(this.topic), `a change on ${this.topic}`, timeoutMs));
  }

  // A row that was committed after all others has come.
  async settle(timeoutMs = PATIENCE_MS) {
    const { client, project } = this;
    client.markers ??= await joinMarkers(project, client);
    const text = `marker ${++markers}`;
    await project.sql(`INSERT INTO marking.markers (text) VALUES ('${text}');`);
    const isIt = (frame) => frame.topic === client.markers && frame.event === 'postgres_changes' && frame.payload.data.record.text === text;
    await late(client, isIt, `${text} on ${client.markers}\n${project.server.log.slice(-2000)}`, timeoutMs);
    // Where a stream goes on after a failure, one may come again.
    client.inbox = client.inbox.filter((frame) => !(frame.topic === client.markers && frame.event === 'postgres_changes'));
  }

  // Everything sent so far was handled, gave no frame but those of markers, and the channel is there.
  async expectQuiet() {
    const reply = await this.client.request(this.topic, 'presence'); // has no effect, but a joined channel answers
    assert.notEqual(reply.payload.response.reason, 'unmatched topic');
    assert.deepEqual(this.client.inbox.filter(({ topic }) => topic !== this.client.markers), [], 'nothing was to come');
  }

  async leave() {
    await this.client.request(this.topic, 'phx_leave');
    this.client.joinRefs.delete(this.topic);
  }

  // In place of the token that it has.
  refresh(claims) {
    this.client.push(this.topic, 'access_token', { access_token: this.project.token(claims) });
  }
}

const dataOf = ({ event, payload }) => (event === 'postgres_changes' ? payload.data : payload);
const isMarker = (frame) => dataOf(frame).table === 'markers' && dataOf(frame).schema === 'marking';

const changeOf = (frame) => ({ event: frame.event, data: dataOf(frame), frame, ...(frame.event === 'postgres_changes' && { ids: frame.payload.ids }) });

async function joinMarkers(project, client) {
  const listener = await Listener.join(project, [{ event: 'INSERT', schema: 'marking', table: 'markers' }], { client, topic: `realtime:markers ${++topics}` });
  await listener.subscribed();
  return listener.topic;
}

// A client that has been told that it is subscribed.
export const listen = async (project, entries, options) => (await Listener.join(project, entries, options)).subscribed();

// Whatever it was told before, it is subscribed now.
export async function confirmed(listener, timeoutMs) {
  for (;;) if ((await listener.notice(timeoutMs)).payload.message === SUBSCRIBED) return listener;
}

// The one answer that a join with these entries gets: {status, message}.
export async function answerTo(project, entries, options) {
  const listener = await Listener.join(project, entries, options);
  const { payload } = await listener.notice();
  await listener.client.close();
  return { status: payload.status, message: payload.message };
}

// What the error of an entry says.
export async function refusal(project, entry, options) {
  const { status, message } = await answerTo(project, [entry], options);
  assert.equal(status, 'error', message);
  return message;
}

export const described = (rest) => `Unable to subscribe to changes with given parameters. ${rest}`;
export const notEnabled = (parameters) => described(`Please check Realtime is enabled for the given connect parameters: [${parameters}]`);
export const exception = (parameters, error) => described(`An exception happened so please check your connect parameters: [${parameters}]. Exception: ERROR ${error}`);

// {name, temporary, active} of the slots for row changes of its database.
export async function changeSlots(project, base = 'supabase_realtime_replication_slot') {
  const rows = await project.postgres.sql(
    `SELECT slot_name, temporary, active FROM pg_replication_slots WHERE database = '${project.name}' AND slot_name LIKE '${base}%'`,
  );
  const columns = rows.split('\n').filter(Boolean).map((row) => row.split('|'));
  return columns.map(([name, temporary, active]) => ({ name, temporary: temporary === 't', active: active === 't' }));
}

// Ends the session that reads a slot for row changes, as an operator or a failover would. Gives their number.
export async function endChangeStream(project) {
  return Number(
    await project.postgres.sql(`SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots
      WHERE database = '${project.name}' AND slot_name LIKE 'supabase_realtime_replication_slot%' AND active`),
  );
}
