// Row changes as applications are told of them: unmodified supabase-js, and phoenix.js with the API of old.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { postgresChangesFilter } from '@supabase/supabase-js';
import { Socket } from 'phoenix';
import { endChangeStream, makeWatched, startWatched, SUBSCRIBED, tableSql } from '../harness/changes.mjs';
import { PUSH_TIMEOUT_MS, Queue, supabase } from './supabase.mjs';

const [ANN, BOB] = ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'];

let projects;
let project;
let server;
before(async () => {
  projects = await startWatched({ workers: 2, defaultTenant: 'p1' });
  project = await makeWatched(projects, {
    tables: { todos: 'id bigint PRIMARY KEY, title text, done bool, tags text[], detail jsonb, made timestamptz, price numeric' },
    sql: `${tableSql('notes', 'id int PRIMARY KEY, owner uuid, body text')} ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
      CREATE POLICY own ON notes FOR SELECT TO authenticated USING (owner = auth.uid());`,
  });
  ({ server } = projects);
});
after(() => projects.stop());

const client = (t, claims, options) => supabase(t, server, { token: project.token(claims), ...options });

let topics = 0;
// Subscribes by what `on` is called with, and waits until rows come. {changes, systems, channel}; changes: [place of the handler, payload].
async function watch(client, ...filters) {
  const channel = client.channel(`rows ${++topics}`);
  const [changes, systems, statuses] = [new Queue('a change'), new Queue('a system message'), new Queue('a status')];
  for (const [n, filter] of filters.entries()) channel.on('postgres_changes', filter, (payload) => changes.push([n, payload]));
  channel.on('system', {}, (payload) => systems.push(payload)).subscribe((status, error) => statuses.push(error ? `${status}: ${error.message}` : status));
  assert.equal(await statuses.next(), 'SUBSCRIBED');
  const { message } = await systems.next();
  if (message !== SUBSCRIBED) throw new Error(message);
  return { channel, changes, systems, statuses };
}

for (const vsn of ['1.0.0', '2.0.0']) {
  test(`an application is told of inserts, updates and deletes, with old and new rows, on ${vsn}`, async (t) => {
    const id = vsn === '1.0.0' ? 1 : 2;
    const { changes } = await watch(client(t, {}, { vsn }), { event: '*', schema: 'public', table: 'todos', filter: `id=eq.${id}` });
    await project.sql(`INSERT INTO todos VALUES (${id}, 'milk', false, '{a,"b c"}', '{"n": 1.5}', '2026-01-02 03:04:05+00', 1.10); INSERT INTO todos (id, title) VALUES (100${id}, 'other');
      UPDATE todos SET title = 'oat milk' WHERE id = ${id}; DELETE FROM todos WHERE id = ${id};`);
    const row = { id, title: 'milk', done: false, tags: ['a', 'b c'], detail: { n: 1.5 }, made: '2026-01-02T03:04:05+00:00', price: 1.1 };
    const common = { schema: 'public', table: 'todos', errors: null };
    for (const expected of [
      { ...common, eventType: 'INSERT', new: row, old: {} },
      { ...common, eventType: 'UPDATE', new: { ...row, title: 'oat milk' }, old: { id } },
      { ...common, eventType: 'DELETE', new: {}, old: { id } },
    ]) {
      const [, { commit_timestamp, ...payload }] = await changes.next();
      assert.deepEqual(payload, expected);
      assert.ok(Math.abs(Date.parse(commit_timestamp) - Date.now()) < 60_000, commit_timestamp);
    }
  });

  test(`each handler is called for what it asked for, on ${vsn}`, async (t) => {
    const here = { schema: 'public', table: 'todos' };
    const base = vsn === '1.0.0' ? 300 : 400;
    const { changes } = await watch(
      client(t, {}, { vsn }),
      { event: 'INSERT', ...here },
      { event: 'UPDATE', ...here, filter: postgresChangesFilter().gt('id', base).not('title', 'is', null).in('title', ['a, b', 'c']) },
      { event: 'DELETE', ...here },
      { event: '*', schema: 'public' },
    );
    await project.sql(`INSERT INTO todos (id, title) VALUES (${base + 1}, 'x'); UPDATE todos SET title = 'a, b' WHERE id = ${base + 1};
      UPDATE todos SET title = 'd' WHERE id = ${base + 1}; DELETE FROM todos WHERE id = ${base + 1};`);
    const calls = [];
    for (let n = 0; n < 7; n += 1) {
      const [handler, { eventType }] = await changes.next();
      calls.push(`${eventType} ${handler}`);
    }
    assert.deepEqual(calls.sort(), ['DELETE 2', 'DELETE 3', 'INSERT 0', 'INSERT 3', 'UPDATE 1', 'UPDATE 3', 'UPDATE 3']);
  });
}

test('users are told of their own rows, by auth.uid(), also after setAuth()', async (t) => {
  const app = client(t, {});
  await app.realtime.setAuth(project.token({ sub: ANN }));
  const [ann, bob, nobody] = [await watch(app, { event: '*', schema: 'public', table: 'notes' }), await watch(client(t, { sub: BOB }), { event: '*', schema: 'public', table: 'notes' }), await watch(client(t, {}), { event: '*', schema: 'public', table: 'notes' })];
  const next = async ({ changes }) => (await changes.next())[1].new.body;
  await project.sql(`INSERT INTO notes VALUES (1, '${ANN}', 'of ann'), (2, '${BOB}', 'of bob');`);
  assert.equal(await next(ann), 'of ann');
  assert.equal(await next(bob), 'of bob');
  await app.realtime.setAuth(project.token({ sub: BOB }));
  await ann.systems.until(({ message }) => message === SUBSCRIBED);
  await project.sql(`INSERT INTO notes VALUES (3, '${ANN}', 'of ann again'), (4, '${BOB}', 'of bob again');`);
  assert.equal(await next(ann), 'of bob again');
  assert.equal(await next(bob), 'of bob again');
  await project.sql('DELETE FROM notes WHERE id = 1;');
  assert.deepEqual((await nobody.changes.next())[1].old, { id: 1 }, 'a deletion, and none of the others');
});

test('selected columns are what an application gets', async (t) => {
  const { changes } = await watch(client(t, {}), { event: 'INSERT', schema: 'public', table: 'todos', filter: 'title=eq.selected', select: ['title'] });
  await project.sql("INSERT INTO todos (id, title, price) VALUES (500, 'selected', 5);");
  assert.deepEqual((await changes.next())[1].new, { id: 500, title: 'selected' });
});

test('an application that asks for something that is not there is told what, and its channel works', async (t) => {
  await assert.rejects(watch(client(t, {}), { event: '*', schema: 'public', table: 'todos', filter: 'nothing=eq.1' }), /invalid column for filter nothing/);
  await assert.rejects(watch(client(t, {}), { event: '*', schema: 'public', table: 'nowhere' }), /Please check Realtime is enabled/);
});

test('an application that leaves gets nothing more, and another channel of it does', async (t) => {
  const app = client(t, {});
  const [left, stays] = [await watch(app, { event: 'INSERT', schema: 'public', table: 'todos' }), await watch(app, { event: 'INSERT', schema: 'public', table: 'todos' })];
  assert.equal(await left.channel.unsubscribe(), 'ok');
  await project.sql('INSERT INTO todos (id) VALUES (600);');
  assert.equal((await stays.changes.next())[1].new.id, 600);
  left.changes.push('nothing');
  assert.equal(await left.changes.next(), 'nothing');
});

test('an application does not notice that a stream ended, but that it is told so', async (t) => {
  const { changes, systems, statuses } = await watch(client(t, {}), { event: 'INSERT', schema: 'public', table: 'todos' });
  await endChangeStream(project);
  assert.equal((await systems.next()).message, SUBSCRIBED);
  await project.sql('INSERT INTO todos (id) VALUES (700);');
  assert.equal((await changes.next())[1].new.id, 700);
  statuses.push('no other');
  assert.equal(await statuses.next(), 'no other');
});

test('an application whose socket is closed comes back with its subscriptions', async (t) => {
  const { changes, systems } = await watch(client(t, {}), { event: 'INSERT', schema: 'public', table: 'todos' });
  assert.equal((await project.admin('POST', '/reload')).status, 204);
  await systems.until(({ message }) => message === SUBSCRIBED);
  await project.sql('INSERT INTO todos (id) VALUES (800);');
  assert.equal((await changes.next())[1].new.id, 800);
});

// phoenix.js itself speaks 2.0.0; for 1.0.0 an application hands it the JSON of old.
const versions = { '2.0.0': {}, '1.0.0': { encode: (message, done) => done(JSON.stringify(message)), decode: (text, done) => done(JSON.parse(text)) } };

for (const [vsn, codec] of Object.entries(versions)) {
  test(`phoenix.js is told by the API of old: a topic names the table, an event is the action, on ${vsn} [PC-025] [P-201]`, async (t) => {
    const socket = new Socket(`${server.url.replace('http', 'ws')}/socket`, { params: { apikey: project.token() }, timeout: PUSH_TIMEOUT_MS, vsn, ...codec });
    t.after(() => new Promise((resolve) => socket.disconnect(resolve)));
    socket.connect();
    const base = vsn === '1.0.0' ? 900 : 950;
    const channel = socket.channel(`realtime:public:todos:id=gt.${base}`, {});
    const [events, systems] = [new Queue('an event'), new Queue('a system message')];
    for (const event of ['INSERT', 'UPDATE', 'DELETE', '*']) channel.on(event, (payload) => events.push([event, payload]));
    channel.on('system', (payload) => systems.push(payload));
    await new Promise((resolve, reject) => channel.join().receive('ok', resolve).receive('error', reject));
    assert.equal((await systems.next()).message, SUBSCRIBED);
    await project.sql(`INSERT INTO todos (id, title) VALUES (${base}, 'not this'), (${base + 1}, 'a'); UPDATE todos SET title = 'b' WHERE id = ${base + 1}; DELETE FROM todos WHERE id = ${base + 1};`);
    const told = [];
    for (let n = 0; n < 3; n += 1) told.push(await events.next());
    assert.deepEqual(told.map(([event, { type, table, record, old_record }]) => [event, type, table, record?.title, old_record]), [
      ['INSERT', 'INSERT', 'todos', 'a', undefined],
      ['UPDATE', 'UPDATE', 'todos', 'b', { id: base + 1 }],
      ['DELETE', 'DELETE', 'todos', undefined, { id: base + 1 }],
    ]);
  });
}
