// Unmodified supabase-js against the server, as an application would use it. protocol.md Appendix C.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import { secondsFromNow, startServer, until } from '../harness/server.mjs';
import { Queue, subscribe, supabase } from './supabase.mjs';

const server = await startServer({ workers: 2 });
after(() => server.stop());

const V1 = '1.0.0';
const V2 = '2.0.0';
const text = { text: 'grüße 👋', nested: { list: [1, 2.5, null, true], empty: {} } };

for (const [one, other] of [[V1, V1], [V2, V2], [V1, V2], [V2, V1]]) {
  test(`a client on ${one} and a client on ${other} hear each other and not themselves`, async (t) => {
    const alice = await subscribe(supabase(t, server, { vsn: one }), `room-${one}-${other}`);
    const bob = await subscribe(supabase(t, server, { vsn: other }), `room-${one}-${other}`);
    for (let n = 0; n < 20; n += 1) {
      assert.equal(await alice.send('from alice', { n, ...text }), 'ok');
      assert.equal(await bob.send('from bob', { n, ...text }), 'ok');
      assert.deepEqual(await bob.broadcasts.next(), { event: 'from alice', payload: { n, ...text } });
      assert.deepEqual(await alice.broadcasts.next(), { event: 'from bob', payload: { n, ...text } });
    }
  });
}

for (const vsn of [V1, V2]) {
  test(`a client on ${vsn} hears itself where it asked for it`, async (t) => {
    const alice = await subscribe(supabase(t, server, { vsn }), 'echo', { broadcast: { self: true } });
    await alice.send('hello', text);
    assert.deepEqual(await alice.broadcasts.next(), { event: 'hello', payload: text });
  });

  test(`send() on ${vsn} with ack tells whether the server took the message`, async (t) => {
    const alice = await subscribe(supabase(t, server, { vsn }), `ack-${vsn}`, { broadcast: { ack: true } });
    const bob = await subscribe(supabase(t, server, { vsn }), `ack-${vsn}`);
    assert.equal(await alice.send('good', text), 'ok');
    assert.equal(await alice.send('too big', { text: 'x'.repeat(3_100_000) }), 'error');
    assert.equal(await alice.send('good again', {}), 'ok');
    assert.deepEqual([await bob.broadcasts.next(), await bob.broadcasts.next()].map(({ event }) => event), ['good', 'good again']);
  });

  test(`one client on ${vsn} holds fifty channels on one connection`, async (t) => {
    const sessions = async () => (await server.metrics()).value('realtime_worker_sessions');
    await until(async () => (await sessions()) === 0, 'the clients of earlier tests to be gone');
    const client = supabase(t, server, { vsn });
    const topics = Array.from({ length: 50 }, (_, i) => `topic ${i}`);
    const mine = await Promise.all(topics.map((topic) => subscribe(client, topic, { broadcast: { self: true } })));
    assert.equal(await sessions(), 1);
    await Promise.all(mine.map((one, i) => one.send('mine', { i })));
    for (const [i, one] of mine.entries()) assert.deepEqual(await one.broadcasts.next(), { event: 'mine', payload: { i } });
    assert.deepEqual(await Promise.all(mine.map((one) => one.channel.unsubscribe())), topics.map(() => 'ok'));
  });

  test(`a client on ${vsn} that unsubscribed hears nothing more, its other channels do`, async (t) => {
    const client = supabase(t, server, { vsn });
    const left = await subscribe(client, 'left');
    const kept = await subscribe(client, 'kept');
    const other = supabase(t, server, { vsn });
    const speaker = await subscribe(other, 'left');
    const marker = await subscribe(other, 'kept');
    assert.equal(await left.channel.unsubscribe(), 'ok');
    assert.equal(await left.statuses.next(), 'CLOSED');
    const heard = new Queue('anything on the topic that was left');
    left.channel.on('broadcast', { event: '*' }, (message) => heard.push(message));
    await speaker.send('too late', {});
    await marker.send('marker', {});
    assert.equal((await kept.broadcasts.next()).event, 'marker');
    heard.push('nothing');
    assert.equal(await heard.next(), 'nothing');
  });
}

test('a refused subscription tells the application the reason', async (t) => {
  const statuses = new Queue('a status');
  const client = supabase(t, server);
  client.channel('secret', { config: { private: true } }).subscribe((status, error) => statuses.push(`${status}, ${error?.message}`));
  const reason = 'UnableToConnectToProject: Realtime was unable to connect to the project database';
  assert.equal(await statuses.next(), `CHANNEL_ERROR, ${reason}`);
});

test('an ArrayBuffer arrives as the bytes it was', async (t) => {
  const alice = await subscribe(supabase(t, server), 'binary', { broadcast: { ack: true } });
  const bob = await subscribe(supabase(t, server), 'binary');
  for (const length of [0, 1, 255, 256, 70_000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i);
    assert.equal(await alice.send('bytes', bytes.buffer), 'ok');
    const { event, payload } = await bob.broadcasts.next();
    assert.equal(event, 'bytes');
    assert.ok(payload instanceof ArrayBuffer);
    assert.deepEqual(new Uint8Array(payload), bytes);
  }
});

test('an application that has joined nothing sends by REST, text and bytes', async (t) => {
  const listener = await subscribe(supabase(t, server), 'by rest/ä');
  const sender = supabase(t, server).channel('by rest/ä');
  assert.deepEqual(await sender.httpSend('text', text), { success: true });
  assert.deepEqual(await listener.broadcasts.next(), { event: 'text', payload: text });
  assert.deepEqual(await sender.httpSend('bytes', Uint8Array.from([0, 255]).buffer), { success: true });
  const { event, payload } = await listener.broadcasts.next();
  assert.equal(event, 'bytes');
  assert.deepEqual([...new Uint8Array(payload)], [0, 255]);
  assert.equal(await sender.send({ type: 'broadcast', event: 'older way', payload: text }), 'ok');
  assert.deepEqual(await listener.broadcasts.next(), { event: 'older way', payload: text });
});

test('clients on different workers hear each other', async (t) => {
  const fresh = await startServer({ workers: 2 });
  t.after(() => fresh.stop());
  const alice = await subscribe(supabase(t, fresh), 'across', { broadcast: { ack: true } });
  const bob = await subscribe(supabase(t, fresh), 'across');
  const metrics = await fresh.metrics();
  assert.deepEqual(['0', '1'].map((worker) => metrics.value('realtime_worker_sessions', { worker })), [1, 1]);
  for (let n = 0; n < 200; n += 1) await Promise.all([alice.send('a', { n }), bob.send('b', { n })]);
  for (let n = 0; n < 200; n += 1) {
    assert.deepEqual(await bob.broadcasts.next(), { event: 'a', payload: { n } });
    assert.deepEqual(await alice.broadcasts.next(), { event: 'b', payload: { n } });
  }
});

test('a channel is closed when its token expires, and one that got a new token in time is not', async (t) => {
  const brief = { exp: secondsFromNow(3) };
  const careless = await subscribe(supabase(t, server, { token: server.token(brief) }), 'expiry');
  const carefulClient = supabase(t, server, { token: server.token(brief) });
  const careful = await subscribe(carefulClient, 'expiry');
  await carefulClient.realtime.setAuth();  // what the client does by itself on joining; it would undo ours
  await carefulClient.realtime.setAuth(server.token());

  const { status, message } = await careless.systems.next();
  assert.equal(status, 'error');
  assert.match(message, /^Token has expired \d+ seconds ago$/);
  assert.equal(await careless.statuses.next(), 'CLOSED');
  assert.ok(Date.now() >= brief.exp * 1000, 'not before its time');

  const speaker = await subscribe(supabase(t, server), 'expiry');
  await speaker.send('still there?', {});
  assert.deepEqual(await careful.broadcasts.next(), { event: 'still there?', payload: {} });
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`after a restart by ${signal} clients reconnect, rejoin and hear each other again`, async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'realtime-e2e-restart-'));
    const first = await startServer({ dataDir });
    // Node's own WebSocket tells of a refused connection by an error without a close, after which the client gives up.
    const channels = await Promise.all([V1, V2].map((vsn) => subscribe(supabase(t, first, { vsn, transport: WebSocket }), 'restart')));
    await first.stop({ signal });
    const second = await startServer({ dataDir, args: ['--port', String(first.port)] });
    t.after(async () => {
      await second.stop();
      await rm(dataDir, { recursive: true, force: true });
    });
    assert.equal(second.port, first.port);
    for (const { statuses } of channels) await statuses.until((status) => status === 'SUBSCRIBED');
    const [alice, bob] = channels;
    await alice.send('back', { who: 'alice' });
    assert.deepEqual(await bob.broadcasts.next(), { event: 'back', payload: { who: 'alice' } });
    await bob.send('back', { who: 'bob' });
    assert.deepEqual(await alice.broadcasts.next(), { event: 'back', payload: { who: 'bob' } });
  });
}

test('a client that removes its channels and disconnects leaves no session behind', async (t) => {
  const fresh = await startServer();
  t.after(() => fresh.stop());
  const client = supabase(t, fresh);
  await subscribe(client, 'one');
  await subscribe(client, 'two');
  assert.equal((await fresh.metrics()).value('realtime_worker_sessions'), 1);
  await client.removeAllChannels();
  await client.realtime.disconnect();
  await until(async () => (await fresh.metrics()).value('realtime_worker_sessions') === 0, 'the session to end');
});
