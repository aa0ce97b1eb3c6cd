// The life of a channel from join to leave, replacement or shutdown, and where messages without a channel go.
// protocol.md 3

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { V1, V2, assertError, assertFrame, bothVersions, connect, isReplyTo } from '../harness/phoenix.mjs';
import { startServer } from '../harness/server.mjs';

const OK = { status: 'ok', response: {} };
const ACK_AND_SELF = { config: { broadcast: { ack: true, self: true } } };
const ACK = { config: { broadcast: { ack: true } } };

let server;
let strict; // one channel per socket, and errors of a join come late
before(async () => {
  [server, strict] = await Promise.all([
    startServer({ workers: 2 }),
    startServer({ env: { CHANNEL_ERROR_BACKOFF_MS: 500, TENANT_MAX_CHANNELS_PER_CLIENT: 1 } }),
  ]);
});
after(() => Promise.all([server, strict].map(async (each) => assert.equal(await each.stop(), 0))));

const topicFor = (name, vsn) => `realtime:${name} ${vsn}`;

suite('without a channel', () => {
  bothVersions('a heartbeat is answered before anything was joined [P-059]', async (vsn) => {
    const client = await connect(server, { vsn });
    const refs = { ref: '21', joinRef: '3' };
    assertFrame(await client.request('phoenix', 'heartbeat', {}, refs), { joinRef: null, ref: '21', topic: 'phoenix', payload: OK });
  });

  bothVersions('a heartbeat whose ref is null gets an answer whose ref is null [P-060]', async (vsn) => {
    const client = await connect(server, { vsn });
    for (const payload of [{}, null, 'ignored']) {
      assertFrame(await client.request('phoenix', 'heartbeat', payload, { ref: null }), { joinRef: null, ref: null, payload: OK });
    }
  });

  for (const [name, topic, event] of [
    ['the topic phoenix knows only the heartbeat [P-061]', 'phoenix', 'broadcast'],
    ['a join outside of realtime: is an unmatched topic [P-062]', 'room:1', 'phx_join'],
    ['a join of the bare prefix without colon is an unmatched topic [P-062]', 'realtime', 'phx_join'],
    ['the prefix is compared letter by letter [P-062]', 'Realtime:x', 'phx_join'],
    ['an empty topic is an unmatched topic [P-062]', '', 'phx_join'],
    ['a join of the topic phoenix is an unmatched topic [P-062]', 'phoenix', 'phx_join'],
    ['a broadcast to a topic that was not joined is an error [P-063]', 'realtime:not joined', 'broadcast'],
    ['a token for a topic that was not joined is an error [P-064]', 'realtime:not joined', 'access_token'],
    ['a heartbeat has no meaning on other topics', 'realtime:not joined', 'heartbeat'],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await connect(server, { vsn });
      const reply = await client.request(topic, event, {}, { ref: '3', joinRef: '2' });
      assertFrame(reply, { joinRef: null, ref: '3', topic });
      assertError(reply, 'unmatched topic');
    });
  }

  bothVersions('leaving a topic that was not joined is fine [P-065]', async (vsn) => {
    const client = await connect(server, { vsn });
    const refs = { ref: '9', joinRef: '4' };
    assertFrame(await client.request('realtime:not joined', 'phx_leave', {}, refs), { joinRef: '4', ref: '9', payload: OK });
    await client.expectQuiet();
  });
});

suite('leaving', () => {
  bothVersions('a leave is confirmed and then the channel closes under the ref of its join [P-066]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('leave', vsn);
    await client.join(topic, undefined, { ref: '2', joinRef: '1' });
    const reply = await client.request(topic, 'phx_leave', 'ignored', { ref: '9', joinRef: '1' });
    assertFrame(reply, { joinRef: '1', ref: '9', topic, payload: OK });
    assertFrame(await client.next(), { joinRef: '1', ref: '1', topic, event: 'phx_close', payload: {} });
    assertError(await client.request(topic, 'broadcast'), 'unmatched topic');
  });

  bothVersions('a leave meant for an earlier join of the topic does nothing [P-067]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('stale leave', vsn);
    await client.join(topic, undefined, { ref: '5', joinRef: '5' });
    client.push(topic, 'phx_leave', {}, { joinRef: '1' });
    await client.expectQuietAndJoined(topic);
  });

  bothVersions('a client that joined without join_ref may leave without one [P-068]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('no join_ref', vsn);
    assertFrame(await client.join(topic, ACK, { ref: '5', joinRef: null }), { joinRef: null, ref: '5' });
    // The ref of the join stands in where the channel needs a join_ref of its own.
    assertFrame(await client.request(topic, 'broadcast'), { joinRef: '5' });
    assertFrame(await client.request(topic, 'phx_leave'), { joinRef: '5', payload: OK });
    assertFrame(await client.next(), { joinRef: null, ref: null, topic, event: 'phx_close', payload: {} });
  });

  bothVersions('a leave without join_ref is good for any join', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('leave without', vsn);
    await client.join(topic, undefined, { ref: '5', joinRef: '5' });
    assertFrame(await client.request(topic, 'phx_leave', {}, { ref: '6', joinRef: null }), { joinRef: '5', ref: '6', payload: OK });
    assertFrame(await client.next(), { joinRef: '5', ref: '5', event: 'phx_close' });
  });

  bothVersions('who left hears nothing any more [P-069]', async (vsn) => {
    const [leaver, sender] = [await connect(server, { vsn }), await connect(server)];
    const topic = topicFor('left', vsn);
    for (const room of [topic, `${topic} next door`]) {
      await leaver.join(room);
      await sender.join(room);
    }
    await leaver.request(topic, 'phx_leave');
    await leaver.next((frame) => frame.event === 'phx_close');
    sender.broadcast(topic, 'too late');
    sender.broadcast(`${topic} next door`, 'marker');
    await leaver.expectNothingBefore((frame) => frame.payload.event === 'marker', 'the marker');
  });
});

suite('joining twice', () => {
  bothVersions('a second join replaces the first: its reply, the close of the old channel, then its own pushes [P-070]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('twice', vsn);
    await client.join(topic, undefined, { ref: '1', joinRef: '1' });
    const payload = { config: { broadcast: { self: true }, postgres_changes: [{ event: '*', schema: 'public' }] } };
    client.push(topic, 'phx_join', payload, { ref: '6', joinRef: '5' });
    const reply = await client.next();
    assertFrame(reply, { joinRef: '5', ref: '6', topic, event: 'phx_reply' });
    assert.equal(reply.payload.status, 'ok');
    assertFrame(await client.next(), { joinRef: '1', ref: '1', topic, event: 'phx_close', payload: {} });
    assertFrame(await client.next(), { joinRef: '5', ref: null, topic, event: 'system' });
    client.broadcast(topic, 'once', {}, { joinRef: '5' });
    assertFrame(await client.next(), { topic, event: 'broadcast' });
    await client.expectQuietAndJoined(topic);
  });

  bothVersions('a second join that fails leaves no channel behind [P-071]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('twice in vain', vsn);
    await client.join(topic, undefined, { ref: '1', joinRef: '1' });
    client.push(topic, 'phx_join', { config: {}, access_token: 'wrong' }, { ref: '5', joinRef: '5' });
    const reply = await client.next();
    assertFrame(reply, { joinRef: '5', ref: '5', topic });
    assertError(reply, 'MalformedJWT: The token provided is not a valid JWT');
    assertFrame(await client.next(), { joinRef: '1', ref: '1', topic, event: 'phx_close', payload: {} });
    assertError(await client.request(topic, 'broadcast'), 'unmatched topic');
  });

  bothVersions('a channel that is being replaced does not count against the limit [P-072]', async (vsn) => {
    const client = await connect(strict, { vsn });
    const topic = topicFor('the only one', vsn);
    await client.join(topic);
    await client.join(topic);
    assertFrame(await client.next(), { ref: '1', event: 'phx_close' });
  });
});

suite('on a channel', () => {
  bothVersions('messages are taken whatever their join_ref, and answered under that of the channel [P-074]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('any join_ref', vsn);
    await client.join(topic, ACK, { ref: '5', joinRef: '5' });
    for (const joinRef of ['5', '1', 'other', null, 5]) {
      const reply = await client.request(topic, 'broadcast', { event: 'hello' }, { ref: 'r', joinRef });
      assertFrame(reply, { joinRef: '5', ref: 'r', topic, payload: OK });
    }
  });

  bothVersions('an unknown event is passed over in silence [P-075]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('unknown event', vsn);
    await client.join(topic, ACK);
    for (const event of ['wave', 'phx_reply', 'phx_close', 'system', 'BROADCAST', '']) client.push(topic, event);
    await client.expectQuietAndJoined(topic);
  });

  bothVersions('the server says why before it closes a channel, and the culprit gets no reply [P-076]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('shut down', vsn);
    await client.join(topic);
    await client.join(`${topic} next door`);
    client.push(topic, 'access_token', { access_token: 'wrong' });
    await client.expectShutdown(topic, 'The token provided is not a valid JWT');
    await client.expectQuietAndJoined(`${topic} next door`);
    assertError(await client.request(topic, 'broadcast'), 'unmatched topic');
    await client.join(topic);
  });

  bothVersions('a sender sees its own broadcast before it is acknowledged [P-079]', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = topicFor('self and ack', vsn);
    await client.join(topic, ACK_AND_SELF);
    for (let n = 0; n < 100; n++) client.broadcast(topic, 'count', { n });
    for (let n = 0; n < 100; n++) {
      assertFrame(await client.next(), { event: 'broadcast', payload: { type: 'broadcast', event: 'count', payload: { n } } });
      assertFrame(await client.next(), { event: 'phx_reply', payload: OK });
    }
  });

  test('topics are told apart byte by byte', async () => {
    const names = ['é', 'e\u0301', 'E\u0301', 'a', 'A', 'a ', 'a:'].map((name) => `realtime:exact ${name}`);
    const [member, sender] = [await connect(server), await connect(server, { vsn: V1 })];
    for (const topic of names) await member.join(topic);
    for (const topic of names) {
      await sender.join(topic);
      sender.broadcast(topic, 'hello');
      assertFrame(await member.next(), { topic, event: 'broadcast' });
    }
    await member.expectQuiet();
  });
});

suite('while a refusal waits', () => {
  bothVersions('what follows on its topic waits as well and is answered in order', async (vsn) => {
    const client = await connect(strict, { vsn });
    const topic = topicFor('in order', vsn);
    const refused = [client.push(topic, 'phx_join', { config: 'wrong' }), client.push(topic, 'phx_join', [])];
    const broadcast = client.push(topic, 'broadcast');
    const joined = client.push(topic, 'phx_join', { config: {} });
    for (const ref of refused) {
      const reply = await client.next();
      assertFrame(reply, { ref, topic });
      assertError(reply, /^UnknownErrorOnChannel: /);
    }
    const unmatched = await client.next();
    assertFrame(unmatched, { ref: broadcast, topic });
    assertError(unmatched, 'unmatched topic');
    assertFrame(await client.next(), { ref: joined, topic, payload: { status: 'ok', response: { postgres_changes: [] } } });
  });

  bothVersions('the rest of the socket goes on: heartbeats, unmatched topics, other channels [P-062] [P-078]', async (vsn) => {
    const client = await connect(strict, { vsn });
    const started = performance.now();
    const waits = client.push('realtime:', 'phx_join');
    const immediate = [client.push('phoenix', 'heartbeat'), client.push('room:1', 'phx_join'), client.push('realtime:x', 'broadcast')];
    for (const ref of immediate) assertFrame(await client.next(), { ref });
    await client.join('realtime:x', ACK);
    await client.request('realtime:x', 'broadcast');
    assertError(await client.expectNothingBefore(isReplyTo(waits)), 'TopicNameRequired: You must provide a topic name');
    assert.ok(performance.now() - started >= 500);
  });
});
