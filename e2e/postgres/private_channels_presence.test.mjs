// Presence on private channels: who may be there, and who is told. authorization.md 5 and 6, protocol.md 6

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertFrame, bothVersions, isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, maySee, startProjects } from '../harness/private.mjs';

const BOTH = ['broadcast', 'presence'];
const DENIED = { status: 'error', response: {} };
const OK = { status: 'ok', response: {} };

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects();
  project = await projects.make({ sql: BY_CLAIMS + NOTED_PROBES });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `realtime:room ${++topics}`;
const track = async (client, topic, payload = {}) => (await client.request(topic, 'presence', { type: 'presence', event: 'track', payload })).payload;
const untrack = async (client, topic) => (await client.request(topic, 'presence', { type: 'presence', event: 'untrack' })).payload;

// A backend that is present, and has seen its own arrival: others that may see it have it in their sockets now.
async function present(topic, key, one = project) {
  const backend = await one.backend(topic, { presence: true, key, ack: true });
  await backend.next((frame) => frame.event === 'presence_state');
  assert.deepEqual(await track(backend, topic, { name: key }), OK);
  await backend.next((frame) => frame.event === 'presence_diff' && frame.payload.joins[key]);
  return backend;
}

async function heard(backend, topic) {
  const ref = backend.broadcast(topic, 'marker');
  await backend.next(isReplyTo(ref));
}

bothVersions('who may see presence gets the state and each change, and who may send it is there [A-003] [P-172]', async (vsn) => {
  const topic = freshTopic();
  await present(topic, 'backend');
  const ann = await project.member(topic, { vsn, see: ['presence'], send: ['presence'], presence: true, key: 'ann' });
  const state = await ann.next();
  assertFrame(state, { event: 'presence_state', topic });
  assert.equal(state.payload.backend.metas[0].name, 'backend');
  assert.deepEqual(await track(ann, topic, { mood: 'good' }), OK);
  assert.equal((await ann.next()).payload.joins.ann.metas[0].mood, 'good');
  assert.deepEqual(await untrack(ann, topic), OK);
  assert.equal((await ann.next()).payload.leaves.ann.metas[0].mood, 'good');
});

bothVersions('a track that is denied is told so each time, an untrack never needs a right, and the channel stays [A-012] [P-172]', async (vsn) => {
  const topic = freshTopic();
  const backend = await present(topic, 'backend');
  const ann = await project.member(topic, { vsn, see: BOTH, send: ['broadcast'], presence: true, key: 'ann' });
  await ann.next((frame) => frame.event === 'presence_state');
  assert.deepEqual(await track(ann, topic, { a: 1 }), DENIED);
  assert.deepEqual(await track(ann, topic, { a: 1 }), DENIED);
  assert.deepEqual(await untrack(ann, topic), OK);
  await project.expectLogged('UnableToHandlePresence');
  ann.broadcast(topic, 'may be sent');
  assert.equal((await backend.next()).payload.event, 'may be sent');
  assert.deepEqual(await track(ann, topic, { a: 1 }), DENIED, 'also after a broadcast');
  await ann.expectQuietAndJoined(topic);
  await backend.expectQuietAndJoined(topic);
});

test('a track that was denied asks again, so a policy that comes later counts', async () => {
  const topic = freshTopic();
  const one = await projects.make({ sql: maySee() });
  const ann = await one.member(topic, { presence: true, key: 'ann' });
  await ann.next((frame) => frame.event === 'presence_state');
  assert.deepEqual(await track(ann, topic), DENIED);
  await one.sql('CREATE POLICY s ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);');
  assert.deepEqual(await track(ann, topic), OK);
  await one.sql('DROP POLICY s ON realtime.messages;');
  assert.deepEqual(await track(ann, topic, { again: 1 }), OK, 'what was allowed is remembered');
});

bothVersions('who may not see presence gets neither the state nor a change, and is there for the others [P-173]', async (vsn) => {
  const topic = freshTopic();
  const backend = await present(topic, 'backend');
  const ann = await project.member(topic, { vsn, see: ['broadcast'], send: BOTH, presence: true, key: 'ann' });
  assert.deepEqual(await track(ann, topic, { a: 1 }), OK);
  assert.deepEqual(Object.keys((await backend.next()).payload.joins), ['ann']);
  await present(topic, 'late');
  await heard(backend, topic);
  assertFrame(await ann.next(), { event: 'broadcast' });
  await ann.expectQuietAndJoined(topic);
});

bothVersions('who joined without presence is told of changes once he tracks, also after a broadcast, and never gets a state [A-031] [P-174]', async (vsn) => {
  for (const isAfterBroadcast of [false, true]) {
    const topic = freshTopic();
    const backend = await present(topic, 'backend');
    const ann = await project.member(topic, { vsn, see: BOTH, send: BOTH, ack: true, key: 'ann' });
    const bob = await present(topic, 'bob');
    await heard(bob, topic);
    assertFrame(await ann.next(), { event: 'broadcast' });
    if (isAfterBroadcast) await heard(ann, topic);
    assert.deepEqual(await track(ann, topic, { a: 1 }), OK);
    assert.deepEqual(Object.keys((await ann.next()).payload.joins), ['ann']);
    assert.deepEqual(await untrack(backend, topic), OK);
    const left = await ann.next();
    assertFrame(left, { event: 'presence_diff' });
    assert.deepEqual(Object.keys(left.payload.leaves), ['backend']);
    await ann.expectQuietAndJoined(topic);
  }
});

test('who joined without presence and may not see it is told nothing, also once he tracks', async () => {
  const topic = freshTopic();
  const ann = await project.member(topic, { see: ['broadcast'], send: BOTH, key: 'ann' });
  assert.deepEqual(await track(ann, topic, { a: 1 }), OK);
  const backend = await present(topic, 'backend');
  await heard(backend, topic);
  assertFrame(await ann.next(), { event: 'broadcast' });
  await ann.expectQuietAndJoined(topic);
});

test('a track asks for what is not known yet, and the next one for nothing', async () => {
  const topic = freshTopic();
  const probed = async (client, payload) => {
    const probes = await project.probes(() => track(client, topic, payload));
    return [...new Set(probes.map(({ extension, role }) => `${extension} as ${role}`))].sort();
  };
  const late = await project.member(topic, { see: BOTH, send: BOTH, key: 'late' });
  // Reading is probed before the role is set.
  assert.deepEqual(await probed(late, { n: 1 }), ['broadcast as authenticated', 'broadcast as none', 'presence as authenticated', 'presence as none']);
  assert.deepEqual(await probed(late, { n: 2 }), []);
  const early = await project.member(topic, { see: BOTH, send: BOTH, presence: true, key: 'early' });
  assert.deepEqual(await probed(early, { n: 1 }), ['broadcast as authenticated', 'presence as authenticated']);
});

test('a policy that fails is an error to who tracks, and nothing is remembered', async () => {
  const topic = freshTopic();
  const one = await projects.make({ sql: `${maySee()} CREATE POLICY s ON realtime.messages FOR INSERT TO authenticated WITH CHECK (1 / length(extension) / 0 = 1);` });
  const ann = await one.member(topic, { presence: true, key: 'ann' });
  await ann.next((frame) => frame.event === 'presence_state');
  assert.deepEqual(await track(ann, topic), DENIED);
  await one.expectLogged('UnableToHandlePresence', /division by zero/);
  await one.sql('ALTER POLICY s ON realtime.messages WITH CHECK (true);');
  assert.deepEqual(await track(ann, topic), OK);
});

test('where the tenant enables presence, members are asked about it without having said so', async () => {
  const one = await projects.make({ sql: BY_CLAIMS, attributes: { presence_enabled: true } });
  const topic = freshTopic();
  const watcher = await one.member(topic, { see: ['presence'] });
  assertFrame(await watcher.next(), { event: 'presence_state', payload: {} });
  await present(topic, 'backend', one);
  assert.deepEqual(Object.keys((await watcher.next()).payload.joins), ['backend']);
});
