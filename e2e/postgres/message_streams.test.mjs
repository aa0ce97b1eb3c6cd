// Streams of messages that end, wait, or cannot begin. broadcast-from-db.md 1 and 6, database.md 7 and 8

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from '../harness/phoenix.mjs';
import { BY_CLAIMS, LOGIN, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';

const PUBLICATION = 'supabase_realtime_messages_publication';

let projects;
before(async () => {
  projects = await startProjects();
});
after(() => projects.stop());

const send = (project, event, topic = 'room') => project.sql(`SELECT realtime.send('{}', '${event}', '${topic}');`);
const nextEvent = async (client) => (await client.next()).userEvent;

async function member(project, topic = 'room') {
  const client = await project.member(`realtime:${topic}`, { see: ['broadcast'] });
  await project.streams();
  return client;
}

// {name, temporary, active} of the slots of its database.
async function slots(project) {
  const rows = await project.postgres.sql(`SELECT slot_name, temporary, active FROM pg_replication_slots WHERE database = '${project.name}'`);
  return rows.split('\n').filter(Boolean).map((row) => row.split('|')).map(([name, temporary, active]) => ({ name, temporary: temporary === 't', active: active === 't' }));
}

async function endStream(project) {
  const ends = () => project.server.log.split('ReplicationConnectionDown').length;
  const before = ends();
  assert.equal(await project.terminate("application_name = 'realtime_replication_connection'"), 1);
  await until(() => ends() > before, 'the server to notice'); // or it might still be taken for streaming
}

test('an administrator who ends a stream ends nothing else: members stay, and miss nothing [B-024] [B-025] [E-020]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const client = await member(project);
  await send(project, 'before');
  assert.equal(await nextEvent(client), 'before');
  await endStream(project);
  for (const event of ['one', 'two', 'three']) await send(project, event);
  await project.expectLogged('ReplicationConnectionDown');
  await project.streams();
  await send(project, 'after');
  for (const event of ['one', 'two', 'three', 'after']) assert.equal(await nextEvent(client), event);
  await client.expectQuietAndJoined('realtime:room');
  assert.equal((await project.sessions()).realtime_connect, 1, 'the connection for policies is the same');
});

test('who joined after a stream was lost is told only what comes after that [B-026]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const client = await member(project);
  await project.sql(`ALTER ROLE ${LOGIN} NOREPLICATION;`);
  try {
    await endStream(project);
    await project.expectLogged('StartReplicationFailed');
    await send(project, 'missed');
    const late = await project.member('realtime:room', { see: ['broadcast'] });
    await project.sql(`ALTER ROLE ${LOGIN} REPLICATION;`);
    await project.streams();
    await send(project, 'after');
    for (const event of ['missed', 'after']) assert.equal(await nextEvent(client), event);
    assert.equal(await nextEvent(late), 'after');
  } finally {
    await project.sql(`ALTER ROLE ${LOGIN} REPLICATION;`);
  }
});

test('two tenants in two databases of one server stream by themselves, also while one recovers [B-043] [D-032]', async () => {
  const [one, other] = [await projects.make({ sql: BY_CLAIMS }), await projects.make({ sql: BY_CLAIMS })];
  const [first, second] = [await member(one), await member(other)];
  await endStream(one);
  await send(other, 'other');
  assert.equal(await nextEvent(second), 'other');
  await one.streams();
  await send(one, 'one');
  assert.equal(await nextEvent(first), 'one');
  await second.expectQuiet();
});

test('our publication is made where it is missing, made again where it has other tables, and kept otherwise [B-019] [B-020] [D-030]', async () => {
  const project = await projects.make({ sql: `${BY_CLAIMS} DROP PUBLICATION ${PUBLICATION}; CREATE TABLE public.stranger (id int);` });
  await projects.postgres.sql(`GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN}`);
  const tables = () => project.sql(`SELECT DISTINCT schemaname || '.' || regexp_replace(tablename, '_.*', '') FROM pg_publication_tables WHERE pubname = '${PUBLICATION}' ORDER BY 1`);
  const identity = () => project.sql(`SELECT oid FROM pg_publication WHERE pubname = '${PUBLICATION}'`);
  const client = await member(project);
  assert.equal(await tables(), 'realtime.messages');
  const made = await identity();
  await endStream(project);
  await project.streams();
  assert.equal(await identity(), made, 'kept');

  await project.sql(`ALTER PUBLICATION ${PUBLICATION} ADD TABLE public.stranger;`);
  await project.sql('INSERT INTO public.stranger VALUES (1);');
  await send(project, 'said');
  assert.equal(await nextEvent(client), 'said');
  await until(() => project.server.log.includes("Unexpected relation on schema 'public' and table 'stranger'"), 'the warning');
  await endStream(project);
  await until(async () => (await tables()) === 'realtime.messages', 'the publication to be made again');
  await until(() => /was not what it should be .* made again/.test(project.server.log), 'the warning');

  await project.sql(`ALTER PUBLICATION ${PUBLICATION} DROP TABLE realtime.messages;`);
  await endStream(project);
  await project.streams();
  await send(project, 'at last');
  assert.equal(await nextEvent(client), 'at last');
});

test('a publication that cannot be made keeps nobody from anything else, and is tried again [B-021]', async () => {
  const project = await projects.make({ sql: `${BY_CLAIMS} DROP PUBLICATION ${PUBLICATION};` });
  const client = await project.member('realtime:room', { see: ['broadcast'], send: ['broadcast'], ack: true, self: true });
  await project.expectLogged('StartReplicationFailed', /Error creating publication: .*permission denied/);
  client.broadcast('realtime:room', 'mine');
  assert.equal((await client.next((frame) => frame.event === 'broadcast')).payload.event, 'mine');
  assert.equal((await project.health()).replication_connected, false);
  await projects.postgres.sql(`GRANT CREATE ON DATABASE ${project.name} TO ${LOGIN}`);
  await project.streams();
});

test('a slot is temporary unless somebody wants it durable, and its name is no other tenant’s [B-022] [T-018]', async () => {
  const [plain, durable] = [await projects.make({ sql: BY_CLAIMS }), await projects.make({ sql: BY_CLAIMS, settings: { slot_mode: 'durable' } })];
  for (const project of [plain, durable]) await member(project);
  const [[one], [other]] = [await slots(plain), await slots(durable)];
  for (const { name, active } of [one, other]) {
    assert.match(name, /^supabase_realtime_messages_replication_slot_[0-9a-f]{16}$/);
    assert.ok(active);
  }
  assert.deepEqual([one.temporary, other.temporary], [true, false]);
  assert.notEqual(one.name, other.name);
  const server = await projects.serverOf(plain, { env: { SLOT_NAME_SUFFIX: 'blue' } });
  try {
    const client = await connect(server, { token: server.token({}) });
    await client.join('realtime:public');
    await until(async () => (await slots(plain)).some(({ name }) => name === 'supabase_realtime_messages_replication_slot_blue'), 'the slot of that name');
  } finally {
    await server.stop();
  }
});

test('a tenant that is suspended or deleted leaves no slot, and those of other databases stay [D-040] [H-072]', async () => {
  const bystander = await projects.make({ sql: BY_CLAIMS, settings: { slot_mode: 'durable' } });
  await member(bystander);
  const [kept] = await slots(bystander);
  for (const change of [(project) => project.change({ suspend: true }), (project) => project.admin('DELETE')]) {
    const project = await projects.make({ sql: BY_CLAIMS, settings: { slot_mode: 'durable' } });
    await member(project);
    await project.sql(`SELECT pg_create_logical_replication_slot('left_by_realtime_${project.name}', 'pgoutput');
      SELECT pg_create_logical_replication_slot('of_somebody_else_${project.name}', 'pgoutput');`);
    assert.equal((await slots(project)).length, 3);
    await change(project);
    await until(async () => (await slots(project)).length === 1, 'our slots to be dropped', 20_000);
    assert.deepEqual((await slots(project)).map(({ name }) => name), [`of_somebody_else_${project.name}`]);
    await project.sql(`SELECT pg_drop_replication_slot('of_somebody_else_${project.name}');`);
  }
  assert.deepEqual(await slots(bystander), [kept]);
});

test('a server that is killed leaves no temporary slot; a durable one tells those who come back what they missed [B-030] [D-033]', async (t) => {
  for (const mode of ['temporary', 'durable']) {
    const project = await projects.make({ sql: BY_CLAIMS });
    await project.disconnect();
    const dataDir = await mkdtemp(join(tmpdir(), 'realtime-data-'));
    t.after(() => rm(dataDir, { recursive: true, force: true }));
    const start = () => projects.serverOf(project, { dataDir, env: { SLOT_MODE: mode, CHANGES_RESUME_WINDOW_MS: '0', CHANGES_RESUME_GRACE_MS: '500' } });
    const joined = async (server) => {
      const client = await connect(server, { token: server.token({ see: ['broadcast'] }) });
      await client.join('realtime:room', { config: { private: true } });
      return client;
    };
    const first = await start();
    const client = await joined(first);
    await until(async () => (await slots(project)).some(({ active }) => active), 'the slot');
    await until(async () => {
      await send(project, 'before');
      return client.inbox.length > 0;
    }, 'the stream');
    const [slot] = await slots(project);
    first.signal('SIGKILL');
    await client.waitForClose();
    if (mode === 'temporary') {
      await until(async () => (await slots(project)).length === 0, 'the slot to go');
      continue;
    }
    await until(async () => (await slots(project)).every(({ active }) => !active), 'the slot to be free');
    assert.deepEqual(await slots(project), [{ ...slot, active: false }]);
    await send(project, 'missed');
    const second = await start();
    const back = await joined(second);
    await back.next((frame) => frame.userEvent === 'missed', 'what was missed');
    assert.equal(await second.stop(), 0);
    assert.deepEqual(await slots(project), [{ ...slot, active: false }], 'for the next start');
    await project.sql(`SELECT pg_drop_replication_slot('${slot.name}');`);
  }
});

test('without a WAL sender left messages come all the same, and the log says what to raise [B-023] [E-019]', async () => {
  const crowded = await startProjects({ postgres: { max_wal_senders: 1 } });
  try {
    const project = await crowded.make({ sql: BY_CLAIMS });
    const { host, port, password } = crowded.postgres;
    const holder = spawn(join(crowded.postgres.bin, 'psql'), [`host=${host} port=${port} user=postgres dbname=${project.name} replication=database`, '-XAtq'], {
      env: { PATH: process.env.PATH, PGPASSWORD: password },
    });
    await until(async () => (await crowded.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'")) === '1', 'the only WAL sender to be taken');
    const client = await member(project);
    await project.expectLogged('ReplicationMaxWalSendersReached', /raise max_wal_senders/);
    for (const event of ['one', 'two']) await send(project, event);
    for (const event of ['one', 'two']) assert.equal(await nextEvent(client), event);
    assert.equal((await project.server.metrics()).value('realtime_message_streams_polled'), 1);
    holder.stdin.end();
  } finally {
    await crowded.stop();
  }
});

test('a database that cannot be decoded says what to set, and everything else works', async () => {
  const plain = await startProjects({ postgres: { wal_level: 'replica' } });
  try {
    const project = await plain.make({ sql: BY_CLAIMS });
    const client = await project.member('realtime:room', { see: ['broadcast'], send: ['broadcast'], ack: true, self: true });
    await project.expectLogged('StartReplicationFailed', /wal_level/);
    client.broadcast('realtime:room', 'mine');
    assert.equal((await client.next((frame) => frame.event === 'broadcast')).payload.event, 'mine');
  } finally {
    await plain.stop();
  }
});
