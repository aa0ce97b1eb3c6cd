// Private channels as applications use them: unmodified supabase-js, with policies in the project's database.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BY_CLAIMS, noReadRight, startProjects } from '../harness/private.mjs';
import { Queue, subscribe, supabase } from './supabase.mjs';

const BOTH = ['broadcast', 'presence'];
const PRIVATE = { private: true };

let projects;
let project;
let server;
before(async () => {
  projects = await startProjects({ workers: 2, defaultTenant: 'p1' });
  project = await projects.make({ sql: BY_CLAIMS });
  ({ server } = projects);
});
after(() => projects.stop());

const client = (t, claims, options) => supabase(t, server, { token: project.token(claims), ...options });
const nobody = (t, topic, claims) => {
  const statuses = new Queue('a status');
  client(t, claims).channel(topic, { config: PRIVATE }).subscribe((status, error) => statuses.push(`${status}: ${error?.message}`));
  return statuses.next();
};

test('a policy lets users in, and those whom it does not name are told why', async (t) => {
  await subscribe(client(t, { see: BOTH }), 'room', PRIVATE);
  assert.equal(await nobody(t, 'room', {}), `CHANNEL_ERROR: Unauthorized: ${noReadRight('room')}`);
  assert.equal(await nobody(t, 'room', { role: 'nobody', see: BOTH }), `CHANNEL_ERROR: Unauthorized: ${noReadRight('room')}`);
});

for (const vsn of ['1.0.0', '2.0.0']) {
  test(`broadcasts reach members who may see them, from members who may send them, on ${vsn}`, async (t) => {
    const topic = `broadcast ${vsn}`;
    const reader = await subscribe(client(t, { see: ['broadcast'] }, { vsn }), topic, PRIVATE);
    const writer = await subscribe(client(t, { see: ['broadcast'], send: ['broadcast'] }, { vsn }), topic, { ...PRIVATE, broadcast: { ack: true } });
    const outsider = await subscribe(client(t, {}, { vsn }), topic, {});
    assert.equal(await writer.send('news', { n: 1 }), 'ok');
    assert.deepEqual(await reader.broadcasts.next(), { event: 'news', payload: { n: 1 } });
    await reader.send('not mine to send', {});
    await outsider.send('public', {});
    assert.equal(await writer.send('more news', { n: 2 }), 'ok');
    assert.deepEqual(await reader.broadcasts.next(), { event: 'more news', payload: { n: 2 } });
    outsider.broadcasts.push('nothing');
    assert.equal(await outsider.broadcasts.next(), 'nothing');
  });
}

test('a broadcast that is denied has no answer: send() with ack comes to a time-out', async (t) => {
  const reader = await subscribe(client(t, { see: ['broadcast'] }), 'denied', { ...PRIVATE, broadcast: { ack: true } });
  assert.equal(await reader.send('denied', {}), 'timed out');
});

test('presence shows who may be there to those who may see it', async (t) => {
  const join = async (key, claims) => {
    const channel = client(t, claims).channel('presence', { config: { ...PRIVATE, presence: { key, enabled: true } } });
    const syncs = new Queue(`a sync of ${key}`);
    channel.on('presence', { event: 'sync' }, () => syncs.push(Object.keys(channel.presenceState()).sort().join()));
    await new Promise((resolve, reject) => channel.subscribe((status, error) => (status === 'SUBSCRIBED' ? resolve() : reject(error ?? new Error(status)))));
    return { channel, syncs };
  };
  const ann = await join('ann', { see: BOTH, send: BOTH });
  const bob = await join('bob', { see: ['broadcast'], send: ['presence'] });
  const eve = await join('eve', { see: ['presence'] });
  assert.equal(await ann.channel.track({ name: 'Ann' }), 'ok');
  assert.equal(await bob.channel.track({ name: 'Bob' }), 'ok');
  assert.equal(await eve.channel.track({ name: 'Eve' }), 'error');
  for (const { syncs } of [ann, eve]) await syncs.until((keys) => keys === 'ann,bob');
  assert.deepEqual(bob.channel.presenceState(), {}, 'he may not see it');
});

test('a channel that asks for replay is told what it missed, marked as such', async (t) => {
  const send = (n) => project.sql(`SELECT realtime.send('{"n":${n}}', 'missed', 'replay')`);
  for (const n of [1, 2, 3]) await send(n);
  const told = new Queue('a replayed message');
  client(t, { see: ['broadcast'] })
    .channel('replay', { config: { ...PRIVATE, broadcast: { replay: { since: Date.now() - 60_000, limit: 2 } } } })
    .on('broadcast', { event: 'missed' }, ({ payload, meta }) => told.push({ n: payload.n, replayed: meta.replayed }))
    .subscribe();
  assert.deepEqual(await told.next(), { n: 2, replayed: true });
  assert.deepEqual(await told.next(), { n: 3, replayed: true });
});

test('setAuth() gives joined channels the rights of the new token, and takes those that are gone', async (t) => {
  const one = client(t, {});
  await one.realtime.setAuth(project.token({ see: ['broadcast'] }));
  const member = await subscribe(one, 'refreshed', { ...PRIVATE, broadcast: { ack: true } });
  const listener = await subscribe(client(t, { see: ['broadcast'] }), 'refreshed', PRIVATE);
  await one.realtime.setAuth(project.token({ see: ['broadcast'], send: ['broadcast'] }));
  assert.equal(await member.send('now I may', {}), 'ok');
  assert.equal((await listener.broadcasts.next()).event, 'now I may');
  await one.realtime.setAuth(project.token({ see: [] }));
  const { status, message } = await member.systems.next();
  assert.deepEqual({ status, message }, { status: 'error', message: noReadRight('refreshed') });
});

test('an application that has joined nothing sends to a private channel by REST, if it may', async (t) => {
  const listener = await subscribe(client(t, { see: ['broadcast'] }), 'by rest', PRIVATE);
  const sender = client(t, { send: ['broadcast'] }).channel('by rest', { config: PRIVATE });
  assert.deepEqual(await sender.httpSend('allowed', { n: 1 }), { success: true });
  assert.deepEqual(await listener.broadcasts.next(), { event: 'allowed', payload: { n: 1 } });
  await assert.rejects(async () => {
    const answer = await client(t, {}).channel('by rest', { config: PRIVATE }).httpSend('denied', {});
    if (!answer.success) throw new Error(answer.error);
  }, /Unauthorized/);
});

test('a client whose database is away joins by itself when it is back', async (t) => {
  const statuses = new Queue('a status');
  await projects.postgres.stop();
  try {
    client(t, { see: BOTH }).channel('patient', { config: PRIVATE }).subscribe((status) => statuses.push(status));
    assert.notEqual(await statuses.next(), 'SUBSCRIBED');
  } finally {
    await projects.postgres.start();
  }
  await statuses.until((status) => status === 'SUBSCRIBED');
});
