// Slots of row changes: whose they are, what they are called, and what becomes of them when servers and tenants go.
// postgres-changes.md 13.1, database.md 8

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { changeSlots, confirmed, listen, Listener, makeWatched, startWatched, SUBSCRIBED } from '../harness/changes.mjs';
import { connect } from '../harness/phoenix.mjs';
import { until } from '../harness/server.mjs';

let projects;
before(async () => {
  projects = await startWatched();
});
after(() => projects.stop());

const ROWS = [{ schema: 'public', table: 'rows' }];
const make = (options) => makeWatched(projects, { tables: { rows: 'id int PRIMARY KEY' }, ...options });
const insert = (project, ...ids) => project.sql(`INSERT INTO rows VALUES ${ids.map((id) => `(${id})`)};`);
const ids = async (listener) => (await listener.told()).map(({ data }) => data.record.id);

test('a slot is named by its tenant’s setting, its suffix or its tenant and node [C-023] [T-018]', async () => {
  const [plain, named] = [await make(), await make({ settings: { slot_name: 'realtime_of_mine', slot_mode: 'durable' } })];
  for (const project of [plain, named]) await listen(project, ROWS);
  const [one] = await changeSlots(plain);
  assert.match(one.name, /^supabase_realtime_replication_slot_[0-9a-f]{16}$/);
  assert.deepEqual([one.temporary, one.active], [true, true]);
  const [other] = await changeSlots(named, 'realtime_of_mine');
  assert.match(other.name, /^realtime_of_mine_[0-9a-f]{16}$/);
  assert.deepEqual([other.temporary, other.active], [false, true]);
  for (const suffix of ['', 'blue']) {
    const server = await projects.serverOf(plain, { env: { SLOT_NAME_SUFFIX: suffix } });
    try {
      const listener = await Listener.join(plain, ROWS, { client: await connect(server) });
      await listener.subscribed();
      assert.ok((await changeSlots(plain)).some(({ name }) => name === `supabase_realtime_replication_slot_${suffix}`));
    } finally {
      await server.stop();
    }
  }
});

test('a server that is killed leaves no temporary slot; a durable one is for the next start, which tells what was missed [PC-117] [D-033]', async (t) => {
  for (const mode of ['temporary', 'durable']) {
    const project = await make();
    const dataDir = await mkdtemp(join(tmpdir(), 'realtime-data-'));
    t.after(() => rm(dataDir, { recursive: true, force: true }));
    const start = () => projects.serverOf(project, { dataDir, env: { SLOT_MODE: mode, CHANGES_RESUME_WINDOW_MS: '0', CHANGES_RESUME_GRACE_MS: '500' } });
    const joined = async (server) => (await Listener.join(project, ROWS, { client: await connect(server), topic: 'realtime:rows' })).subscribed();
    const first = await start();
    const listener = await joined(first);
    await insert(project, 1);
    assert.deepEqual(await ids(listener), [1]);
    const [slot] = await changeSlots(project);
    assert.equal(slot.temporary, mode === 'temporary');
    first.signal('SIGKILL');
    await listener.client.waitForClose();
    if (mode === 'temporary') {
      await until(async () => (await changeSlots(project)).length === 0, 'the slot to go');
      continue;
    }
    await until(async () => (await changeSlots(project)).every(({ active }) => !active), 'the slot to be free');
    assert.deepEqual(await changeSlots(project), [{ ...slot, active: false }]);
    await insert(project, 2, 3);
    const second = await start();
    const back = await joined(second);
    const told = await ids(back);
    assert.deepEqual(told.filter((id) => id > 1), [2, 3], `${told}`);
    await insert(project, 4);
    assert.deepEqual(await ids(back), [4]);
    assert.equal(await second.stop(), 0);
    assert.deepEqual(await changeSlots(project), [{ ...slot, active: false }], 'for the next start');
    await project.sql(`SELECT pg_drop_replication_slot('${slot.name}');`);
  }
});

test('nodes of one tenant have slots of their own where they are temporary, and one after the other where it is durable [PC-120] [E-024]', async () => {
  for (const mode of ['temporary', 'durable']) {
    const project = await make();
    const start = () => projects.serverOf(project, { tenant: project.name, env: { SLOT_MODE: mode, CHANGES_RESUME_WINDOW_MS: '0', CHANGES_RESUME_GRACE_MS: '200' } });
    const servers = [await start(), await start()];
    const logged = (server, code) => server.log.split('\n').filter((line) => line.includes(code)).length;
    try {
      const [one, other] = await Promise.all(servers.map(async (server) => Listener.join(project, ROWS, { client: await connect(server) })));
      if (mode === 'temporary') {
        for (const listener of [one, other]) await listener.subscribed();
        await insert(project, 1);
        for (const listener of [one, other]) assert.deepEqual(await ids(listener), [1]);
        assert.equal((await changeSlots(project)).length, 2);
        continue;
      }
      const isConfirmed = ({ client, topic }) => client.inbox.some((frame) => frame.topic === topic && frame.payload.message === SUBSCRIBED);
      await until(() => servers.some((server) => logged(server, 'ReplicationSlotBeingUsed') > 0), 'the slot to be waited for', 30_000);
      await until(() => isConfirmed(one) || isConfirmed(other), 'one of them to have it', 30_000);
      const [holder, waiter] = isConfirmed(one) ? [0, 1] : [1, 0];
      const listeners = [one, other];
      await listeners[holder].subscribed();
      await insert(project, 1);
      assert.deepEqual(await ids(listeners[holder]), [1]);
      assert.ok(!isConfirmed(listeners[waiter]));
      assert.equal((await changeSlots(project)).length, 1);
      assert.equal(await servers[holder].stop(), 0);
      await confirmed(listeners[waiter]);
      await insert(project, 2);
      assert.equal((await ids(listeners[waiter])).at(-1), 2);
      assert.equal(logged(servers[waiter], 'ReplicationSlotBeingUsed'), 1, 'it is said once');
    } finally {
      for (const server of servers) if (!server.ended) await server.stop();
      for (const { name } of await changeSlots(project)) await project.sql(`SELECT pg_drop_replication_slot('${name}');`).catch(() => {});
    }
  }
});

test('a tenant that is suspended or deleted leaves no slot of its row changes [D-040] [H-072]', async () => {
  for (const change of [(project) => project.change({ suspend: true }), (project) => project.admin('DELETE')]) {
    const project = await make({ settings: { slot_mode: 'durable' } });
    await listen(project, ROWS);
    assert.equal((await changeSlots(project)).length, 1);
    await change(project);
    await until(async () => (await changeSlots(project)).length === 0, 'the slot to be dropped', 20_000);
  }
});

test('an operator who reloads a tenant closes its sockets and ends its stream [H-073]', async () => {
  const project = await make();
  const listener = await listen(project, ROWS);
  assert.equal((await project.admin('POST', '/reload')).status, 204);
  assert.equal((await listener.client.waitForClose()).code, 1012);
  await until(async () => (await changeSlots(project)).length === 0, 'the slot to go', 30_000);
  const again = await listen(project, ROWS);
  await insert(project, 1);
  assert.deepEqual(await ids(again), [1]);
});
