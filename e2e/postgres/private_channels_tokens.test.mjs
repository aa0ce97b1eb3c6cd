// A new token on a private channel: rights that come, rights that go, and what changes nothing. authorization.md 5 and 6, protocol.md 8.2

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bothVersions, isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, maySee, noReadRight, privately, startProjects } from '../harness/private.mjs';
import { startRelay } from '../harness/relay.mjs';
import { secondsFromNow } from '../harness/server.mjs';

const BOTH = ['broadcast', 'presence'];

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects();
  project = await projects.make({ sql: BY_CLAIMS + NOTED_PROBES });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `realtime:room ${++topics}`;

const refresh = (client, topic, access_token) => client.push(topic, 'access_token', { access_token });
const withClaims = (claims, one = project) => one.token({ jti: `${Math.random()}`, ...claims });
const noLonger = (topic) => `You no longer have permission to read from this Channel topic: ${topic.slice(9)}`;

async function sent(client, topic, event) {
  const ref = client.broadcast(topic, event);
  await client.next(isReplyTo(ref), `the ack of ${event}`);
}

bothVersions('a token that may read nothing closes the channel, and the socket goes on [A-014] [P-210]', async (vsn) => {
  for (const presence of [false, true]) {
    const topic = freshTopic();
    const client = await project.member(topic, { vsn, see: BOTH, presence });
    if (presence) await client.next((frame) => frame.event === 'presence_state');
    refresh(client, topic, withClaims({}));
    await client.expectShutdown(topic, noReadRight(topic));
    assert.equal((await client.tryJoin(topic, privately())).payload.status, 'ok', 'with the token of the socket');
  }
});

bothVersions('a token that loses one of two rights closes the channel [A-014] [P-211] [E-014]', async (vsn) => {
  for (const see of [['presence'], ['broadcast']]) {
    const topic = freshTopic();
    const client = await project.member(topic, { vsn, see: BOTH, presence: true });
    await client.next((frame) => frame.event === 'presence_state');
    refresh(client, topic, withClaims({ see }));
    await client.expectShutdown(topic, noLonger(topic));
    await client.expectQuiet();
  }
});

bothVersions('a right that is gained works at once: broadcasts arrive without a new join, and so do changes of presence [P-212]', async (vsn) => {
  const topic = freshTopic();
  const client = await project.member(topic, { vsn, see: ['presence'], presence: true, key: 'me' });
  await client.next((frame) => frame.event === 'presence_state');
  const backend = await project.backend(topic, { ack: true, key: 'backend' });
  await sent(backend, topic, 'too early');
  refresh(client, topic, withClaims({ see: BOTH }));
  await client.expectQuietAndJoined(topic);
  await sent(backend, topic, 'in time');
  assert.equal((await client.next()).payload.event, 'in time');

  const other = freshTopic();
  await client.join(other, privately({ presence: true, key: 'me' }), { ref: '90', joinRef: '90' }); // may see presence only
  await client.next((frame) => frame.event === 'presence_state' && frame.topic === other);
  refresh(client, other, withClaims({ see: BOTH }));
  await client.expectQuietAndJoined(other); // no second state
});

test('with presence gained by a token its changes come, and no state', async () => {
  const topic = freshTopic();
  const client = await project.member(topic, { see: ['broadcast'], presence: true });
  refresh(client, topic, withClaims({ see: BOTH }));
  await client.expectQuietAndJoined(topic);
  const backend = await project.backend(topic, { key: 'backend' });
  assert.equal((await backend.request(topic, 'presence', { event: 'track', payload: {} })).payload.status, 'ok');
  assert.deepEqual(Object.keys((await client.next()).payload.joins), ['backend']);
  await client.expectQuietAndJoined(topic);
});

test('who tracked stays present with a new token', async () => {
  const topic = freshTopic();
  const client = await project.member(topic, { see: BOTH, send: BOTH, presence: true, key: 'ann' });
  await client.next((frame) => frame.event === 'presence_state');
  assert.equal((await client.request(topic, 'presence', { event: 'track', payload: { a: 1 } })).payload.status, 'ok');
  await client.next((frame) => frame.event === 'presence_diff');
  refresh(client, topic, withClaims({ see: BOTH }));
  await client.expectQuietAndJoined(topic);
  const late = await project.member(topic, { see: BOTH, presence: true });
  assert.deepEqual(Object.keys((await late.next()).payload), ['ann']);
  assert.equal((await client.request(topic, 'presence', { event: 'track', payload: { a: 2 } })).payload.status, 'error', 'its new token may not');
});

test('the same token, none, and an opaque key ask for nothing and change nothing [A-015]', async () => {
  const one = await projects.make({ sql: `CREATE POLICY p ON realtime.messages FOR SELECT TO authenticated USING (true); ${NOTED_PROBES}` });
  const topic = freshTopic();
  const token = one.token();
  const client = await one.member(topic, { token });
  await one.sql('DROP POLICY p ON realtime.messages;');
  const probes = await one.probes(async () => {
    for (const nothing of [token, null, 'sb_publishable_key', 'sb_']) refresh(client, topic, nothing);
    await client.expectQuietAndJoined(topic);
  });
  assert.deepEqual(probes, []);
});

test('a policy that changes means nothing to who has joined, until there is a new token or join [A-017]', async () => {
  const one = await projects.make({ sql: 'CREATE POLICY p ON realtime.messages FOR SELECT TO authenticated USING (true);' });
  const topic = freshTopic();
  const [refreshed, joined] = [await one.member(topic), await one.member(topic)];
  const backend = await one.backend(topic, { ack: true });
  await one.sql('DROP POLICY p ON realtime.messages;');
  await sent(backend, topic, 'still heard');
  for (const client of [refreshed, joined]) assert.equal((await client.next()).payload.event, 'still heard');
  refresh(refreshed, topic, withClaims({}, one));
  await refreshed.expectShutdown(topic, noReadRight(topic));
  const again = await joined.tryJoin(topic, privately());
  assert.equal(again.payload.status, 'error');
});

test('a new token on a public channel asks no database, be it unreachable [A-016]', async (t) => {
  const relay = await startRelay({ host: projects.postgres.host, port: projects.postgres.port });
  t.after(() => relay.stop());
  const one = await projects.make({ sql: NOTED_PROBES, settings: { db_port: String(relay.port) } });
  await one.admin('POST', '/shutdown');
  relay.breakOff();
  const before = relay.connections;
  relay.silence();
  const topic = freshTopic();
  const [ann, bob] = [await one.connect(), await one.connect()];
  for (const client of [ann, bob]) {
    await client.join(topic, { config: { broadcast: { ack: true } } });
    refresh(client, topic, withClaims({}, one));
    await client.expectQuietAndJoined(topic);
  }
  await sent(ann, topic, 'hello');
  assert.equal((await bob.next()).payload.event, 'hello');
  assert.ok(relay.connections <= before + 1, 'nobody waits for the one that is to bring messages');
});

test('a bad token closes a private channel before any database is asked', async () => {
  const client = await project.connect({ see: BOTH });
  for (const [token, message] of [
    ['no token', 'The token provided is not a valid JWT'],
    [withClaims({ exp: secondsFromNow(-60) }), /^Token has expired \d+ seconds ago$/],
    [projects.server.token({}, { secret: 'the secret of somebody else' }), ':signature_error'],
  ]) {
    const topic = freshTopic();
    await client.join(topic, privately());
    const probes = await project.probes(async () => {
      refresh(client, topic, token);
      await client.expectShutdown(topic, message);
    });
    assert.deepEqual(probes, []);
  }
});

test('what is sent behind a new token waits for its rights, in order', async () => {
  const topic = freshTopic();
  const backend = await project.backend(topic);
  const client = await project.member(topic, { see: BOTH, ack: true });
  client.broadcast(topic, 'denied');
  refresh(client, topic, withClaims({ see: BOTH, send: BOTH }));
  for (let n = 0; n < 5; n += 1) client.broadcast(topic, `allowed ${n}`);
  refresh(client, topic, withClaims({ see: BOTH }));
  client.broadcast(topic, 'denied again');
  for (let n = 0; n < 5; n += 1) assert.equal((await backend.next()).payload.event, `allowed ${n}`);
  for (let n = 0; n < 5; n += 1) await client.next((frame) => frame.event === 'phx_reply');
  await client.expectQuietAndJoined(topic);
  await backend.expectQuietAndJoined(topic);
});

test('a policy that fails for a new token closes the channel as one that denies', async () => {
  const one = await projects.make({ sql: maySee("extension <> '' AND (1 / (auth.jwt() ->> 'n')::int) = 1") });
  const topic = freshTopic();
  const client = await one.member(topic, { claims: { n: 1 } });
  refresh(client, topic, withClaims({ n: 0 }, one));
  await client.expectShutdown(topic, noReadRight(topic));
  await one.expectLogged('RlsPolicyError', /division by zero/);
});
