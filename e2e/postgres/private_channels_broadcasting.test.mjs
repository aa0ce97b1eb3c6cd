// Broadcasts on private channels: who may send them, who gets them, and when that is decided. authorization.md 4 to 6

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertFrame, bothVersions, encodeUserBroadcast, isReplyTo, V2 } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, maySee, maySend, privately, startProjects } from '../harness/private.mjs';

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects();
  project = await projects.make({ sql: BY_CLAIMS + NOTED_PROBES });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `realtime:room ${++topics}`;
const BOTH = ['broadcast', 'presence'];

// Sends with ack and waits for it: whoever may see it has it in his socket now.
async function sent(client, topic, event, payload = {}) {
  const ref = client.broadcast(topic, event, payload);
  assert.deepEqual((await client.next(isReplyTo(ref), `the ack of ${event}`)).payload, { status: 'ok', response: {} });
}

bothVersions('who may see broadcasts only gets them, and nothing of presence [A-002]', async (vsn) => {
  const topic = freshTopic();
  const reader = await project.member(topic, { vsn, see: ['broadcast'], presence: true });
  const backend = await project.backend(topic, { presence: true, ack: true });
  await backend.next((frame) => frame.event === 'presence_state');
  assert.equal((await backend.request(topic, 'presence', { event: 'track', payload: {} })).payload.status, 'ok');
  await backend.next((frame) => frame.event === 'presence_diff');
  await sent(backend, topic, 'news', { n: 1 });
  assertFrame(await reader.next(), { topic, event: 'broadcast', payload: { type: 'broadcast', event: 'news', payload: { n: 1 } } });
  await reader.expectQuietAndJoined(topic);
});

bothVersions('who may see presence only gets no broadcasts, of clients or by REST [A-003] [A-038] [P-135]', async (vsn) => {
  const topic = freshTopic();
  const watcher = await project.member(topic, { vsn, see: ['presence'], presence: true });
  assertFrame(await watcher.next(), { event: 'presence_state', payload: {} });
  const backend = await project.backend(topic, { ack: true });
  await sent(backend, topic, 'news');
  assert.equal((await project.sendOne(topic.slice(9), 'news', { claims: { role: 'service_role' } })).status, 202);
  assert.equal((await backend.next()).userEvent, 'news');
  assert.equal((await backend.request(topic, 'presence', { event: 'track', payload: {} })).payload.status, 'ok');
  assert.equal((await watcher.next()).event, 'presence_diff');
  await watcher.expectQuietAndJoined(topic);
});

bothVersions('who may only read hears what others send [A-013]', async (vsn) => {
  const topic = freshTopic();
  const reader = await project.member(topic, { vsn, see: ['broadcast'] });
  const writer = await project.member(topic, { see: ['broadcast'], send: ['broadcast'], ack: true });
  reader.broadcast(topic, 'dropped');
  await reader.expectQuietAndJoined(topic);
  await sent(writer, topic, 'heard');
  assert.equal((await reader.next()).payload.event, 'heard');
  await writer.expectQuietAndJoined(topic);
});

bothVersions('a broadcast that is denied vanishes without an answer, and the channel stays [A-011] [P-133]', async (vsn) => {
  const topic = freshTopic();
  const silent = await project.member(topic, { vsn, see: ['broadcast'], send: ['presence'], ack: true, self: true });
  const other = await project.member(topic, { see: ['broadcast'] });
  for (let n = 0; n < 3; n += 1) silent.broadcast(topic, 'denied', { n });
  if (vsn === V2) silent.send(encodeUserBroadcast({ joinRef: silent.joinRefs.get(topic), ref: '99', topic, event: 'denied', payload: '{}' }));
  await silent.expectQuietAndJoined(topic);
  const backend = await project.backend(topic, { ack: true });
  await sent(backend, topic, 'marker');
  for (const client of [silent, other]) {
    assert.equal((await client.next()).payload.event, 'marker');
    await client.expectQuietAndJoined(topic);
  }
});

test('an oversized broadcast of somebody who may not send has no answer either', async () => {
  const topic = freshTopic();
  const silent = await project.member(topic, { see: ['broadcast'], ack: true });
  silent.broadcast(topic, 'denied', { text: 'x'.repeat(3_100_000) });
  await silent.expectQuietAndJoined(topic);
  const writer = await project.member(topic, { see: ['broadcast'], send: ['broadcast'], ack: true });
  const ref = writer.broadcast(topic, 'too big', { text: 'x'.repeat(3_100_000) });
  assert.deepEqual((await writer.next(isReplyTo(ref))).payload, { status: 'error', response: 'payload_size_exceeded' });
});

test('a policy to send is enough to send, without one to see broadcasts [A-008]', async () => {
  const topic = freshTopic();
  const backend = await project.backend(topic);
  const writer = await project.member(topic, { see: ['presence'], send: ['broadcast'], presence: true, ack: true, self: true });
  await writer.next((frame) => frame.event === 'presence_state');
  await sent(writer, topic, 'unseen by me');
  assert.equal((await backend.next()).payload.event, 'unseen by me');
  await writer.expectQuietAndJoined(topic);
});

test('whether one may send is asked with the first broadcast and remembered, both ways, until there is a new token [A-009] [A-010] [P-134]', async () => {
  const topic = freshTopic();
  const one = await projects.make({ sql: maySee() + NOTED_PROBES });
  const backend = await one.backend(topic);
  const [allowed, denied] = [await one.member(topic, { ack: true }), await one.member(topic, { ack: true })];
  denied.broadcast(topic, 'denied');
  await denied.expectQuietAndJoined(topic);
  await one.sql('CREATE POLICY s ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);');
  await sent(allowed, topic, 'allowed');
  denied.broadcast(topic, 'denied');
  await denied.next((frame) => frame.payload.event === 'allowed');
  await denied.expectQuietAndJoined(topic);
  await one.sql('DROP POLICY s ON realtime.messages;');
  const probes = await one.probes(async () => {
    await sent(allowed, topic, 'still allowed');
  });
  assert.deepEqual(probes, [], 'remembered');
  await one.sql('CREATE POLICY s ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);');
  denied.broadcast(topic, 'still denied');
  await denied.next((frame) => frame.payload.event === 'still allowed');
  await denied.expectQuietAndJoined(topic);

  denied.push(topic, 'access_token', { access_token: one.token({ sub: 'a new one' }) });
  await sent(denied, topic, 'allowed at last');
  for (const event of ['allowed', 'still allowed', 'allowed at last']) assert.equal((await backend.next()).payload.event, event);
  await backend.expectQuietAndJoined(topic);
});

test('broadcasts that come while the database is asked are sent in their order, and it is asked once', async () => {
  const topic = freshTopic();
  const reader = await project.member(topic, { see: ['broadcast'] });
  const writer = await project.member(topic, { see: ['broadcast'], send: BOTH, ack: true });
  const probes = await project.probes(async () => {
    for (let n = 0; n < 200; n += 1) writer.broadcast(topic, 'count', { n });
    for (let n = 0; n < 200; n += 1) assert.equal((await reader.next()).payload.payload.n, n);
  });
  assert.deepEqual([...new Set(probes.map(({ extension }) => extension))].sort(), BOTH);
  assert.equal(new Set(probes.map(({ transaction }) => transaction)).size, 1);
  await writer.next((frame) => frame.event === 'phx_reply' && frame.ref === String(writer.lastRef));
});

test('where the answer fails the broadcast is lost with a line in the log, nothing is remembered, and the next one asks again', async () => {
  const topic = freshTopic();
  const one = await projects.make({ sql: `${maySee()} CREATE POLICY s ON realtime.messages FOR INSERT TO authenticated WITH CHECK (1 / length(extension) / 0 = 1);` });
  const backend = await one.backend(topic);
  const writer = await one.member(topic, { ack: true });
  writer.broadcast(topic, 'lost');
  await writer.expectQuietAndJoined(topic);
  await one.expectLogged('UnableToHandleBroadcast', /division by zero/);
  await one.sql('ALTER POLICY s ON realtime.messages WITH CHECK (true);');
  await sent(writer, topic, 'found');
  assert.equal((await backend.next()).payload.event, 'found');
  await backend.expectQuietAndJoined(topic);
});

test('private and public channels of one name hear nothing of each other, whoever sends and however [A-029] [P-131] [H-047]', async () => {
  const topic = freshTopic();
  const secret = await project.backend(topic, { presence: true, ack: true, key: 'secret' });
  const open = await project.connect();
  await open.join(topic, { config: { presence: { enabled: true, key: 'open' }, broadcast: { ack: true } } });
  for (const client of [secret, open]) assert.deepEqual((await client.next()).payload, {}, 'the presence state');

  await sent(secret, topic, 'secret');
  await sent(open, topic, 'open');
  const backend = { claims: { role: 'service_role' } };
  await project.sendBatch([{ topic: topic.slice(9), event: 'secret by REST', payload: {}, private: true }, { topic: topic.slice(9), event: 'open by REST', payload: {} }], backend);
  assert.equal((await secret.next()).payload.event, 'secret by REST');
  assert.equal((await open.next()).payload.event, 'open by REST');
  for (const [client, key] of [[secret, 'secret'], [open, 'open']]) {
    assert.equal((await client.request(topic, 'presence', { event: 'track', payload: {} })).payload.status, 'ok');
    assert.deepEqual(Object.keys((await client.next()).payload.joins), [key]);
  }
  for (const client of [secret, open]) await client.expectQuietAndJoined(topic);
});

test('private channels of two tenants with one name hear nothing of each other', async () => {
  const topic = freshTopic();
  const other = await projects.make({ sql: maySee() + maySend() });
  const [here, there] = [await project.backend(topic, { ack: true }), await other.member(topic, { ack: true })];
  await sent(here, topic, 'here');
  await sent(there, topic, 'there');
  for (const client of [here, there]) await client.expectQuietAndJoined(topic);
});

test('a member that joins again asks again', async () => {
  const topic = freshTopic();
  const client = await project.member(topic, { see: ['broadcast'] });
  const probes = await project.probes(() => client.join(topic, privately()));
  assert.deepEqual(probes.map(({ extension }) => extension), ['broadcast']);
});
