// Unmodified clients in networks that let no WebSocket through. protocol.md 1.10
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, test } from 'node:test';
import { LongPoll, Socket } from 'phoenix';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { PUSH_TIMEOUT_MS, Queue, subscribe, supabase } from './supabase.mjs';

const server = await startServer({ workers: 2 });
after(() => server.stop());

const answered = (push) => new Promise((resolve, reject) => {
  push
    .receive('ok', resolve)
    .receive('error', (error) => reject(new Error(JSON.stringify(error))))
    .receive('timeout', () => reject(new Error('no answer')));
});

async function join(t, topic, { url = server.url, on = server, ...options } = {}) {
  const socket = new Socket(`${url.replace('http', 'ws')}/socket`, {
    params: { apikey: on.token() }, timeout: PUSH_TIMEOUT_MS, transport: LongPoll, reconnectAfterMs: () => 50, rejoinAfterMs: () => 50, ...options,
  });
  t.after(() => new Promise((resolve) => socket.disconnect(resolve)));
  socket.connect();
  const channel = socket.channel(topic, { config: {} });
  const broadcasts = new Queue(`a broadcast on ${topic}`);
  const joins = new Queue(`a join of ${topic}`);
  channel.on('broadcast', (payload) => broadcasts.push(payload));
  channel.join().receive('ok', (reply) => joins.push(reply));
  assert.deepEqual(await joins.next(), { postgres_changes: [] });
  return { socket, channel, broadcasts, joins };
}

test('phoenix.js over its LongPoll joins, is heard, hears, beats and leaves', async (t) => {
  const topic = 'realtime:phoenix-longpoll';
  const [alice, bob] = await Promise.all([join(t, topic), join(t, topic)]);
  const carol = await join(t, topic, { transport: WebSocket });
  for (let n = 0; n < 20; n += 1) {
    alice.channel.push('broadcast', { n, text: 'grüße 👋' });
    for (const other of [bob, carol]) assert.deepEqual(await other.broadcasts.next(), { n, text: 'grüße 👋' });
    carol.channel.push('broadcast', { n });
    for (const other of [alice, bob]) assert.deepEqual(await other.broadcasts.next(), { n });
  }
  // More than the client puts into one POST, in order.
  for (let n = 0; n < 500; n += 1) alice.channel.push('broadcast', { n });
  for (let n = 0; n < 500; n += 1) for (const other of [bob, carol]) assert.deepEqual(await other.broadcasts.next(), { n });

  const bytes = Uint8Array.from({ length: 3000 }, (_, i) => i * 7);
  alice.channel.push('broadcast', bytes.buffer);
  assert.deepEqual(new Uint8Array(await carol.broadcasts.next()), bytes);

  await new Promise((resolve) => assert.ok(alice.socket.ping(resolve)));
  assert.deepEqual(await answered(bob.channel.leave()), {});
  alice.channel.push('broadcast', { bob: 'has left' });
  assert.deepEqual(await carol.broadcasts.next(), { bob: 'has left' });
});

test('phoenix.js over its LongPoll begins anew when the server ends its session', async (t) => {
  const { channel, broadcasts, joins } = await join(t, 'realtime:again');
  const reload = await fetch(`${server.url}/api/tenants/dev/reload`, {
    method: 'POST', headers: { authorization: `Bearer ${server.token({ role: 'service_role' })}` },
  });
  assert.equal(reload.status, 204);
  await joins.next();
  const other = await connect(server);
  await other.join('realtime:again');
  other.broadcast('realtime:again', 'hi');
  assert.equal((await broadcasts.next()).event, 'hi');
  channel.push('broadcast', { back: true });
  assert.deepEqual((await other.next()).payload, { back: true });
});

test('phoenix.js over its LongPoll is told that it may not connect, and comes in once it may', async (t) => {
  let token = 'no token';
  const socket = new Socket(`${server.url.replace('http', 'ws')}/socket`, {
    params: () => ({ apikey: token }), transport: LongPoll, reconnectAfterMs: () => 20,
  });
  t.after(() => new Promise((resolve) => socket.disconnect(resolve)));
  const errors = new Queue('an error');
  const opened = new Promise((resolve) => socket.onOpen(resolve));
  socket.onError((error) => errors.push(error));
  socket.connect();
  assert.equal(await errors.next(), 403);
  token = server.token();
  await opened;
});

// A proxy that does not know WebSockets.
async function startOldProxy(t) {
  const proxy = http.createServer((request, response) => {
    const { method, url: path, headers } = request;
    const onward = http.request({ host: server.host, port: server.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  const refused = new Queue('an upgrade that was refused');
  proxy.on('upgrade', (_, socket) => {
    refused.push(true);
    socket.destroy();
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => proxy.closeAllConnections());
  t.after(() => proxy.close());
  return { url: `http://127.0.0.1:${proxy.address().port}`, refused };
}

test('phoenix.js falls back to long-poll where a proxy lets no WebSocket through', async (t) => {
  const { url, refused } = await startOldProxy(t);
  const topic = 'realtime:fallback';
  const behind = await join(t, topic, { url, transport: WebSocket, longPollFallbackMs: 2_000 });
  await refused.next();
  assert.equal(behind.socket.transport, LongPoll);
  const outside = await join(t, topic, { transport: WebSocket });
  behind.channel.push('broadcast', { from: 'behind' });
  assert.deepEqual(await outside.broadcasts.next(), { from: 'behind' });
  outside.channel.push('broadcast', { from: 'outside' });
  assert.deepEqual(await behind.broadcasts.next(), { from: 'outside' });
});

test('supabase-js over the LongPoll of phoenix.js subscribes, sends and receives', async (t) => {
  const overLongPoll = await subscribe(supabase(t, server, { transport: LongPoll }), 'supabase');
  const overWebSocket = await subscribe(supabase(t, server), 'supabase');
  for (let n = 0; n < 20; n += 1) {
    assert.equal(await overLongPoll.send('there', { n }), 'ok');
    assert.deepEqual(await overWebSocket.broadcasts.next(), { event: 'there', payload: { n } });
    assert.equal(await overWebSocket.send('back', { n }), 'ok');
    assert.deepEqual(await overLongPoll.broadcasts.next(), { event: 'back', payload: { n } });
  }
  assert.ok((await server.metrics()).value('phoenix_channel_joined_total', { transport: 'longpoll' }) > 0);
  await until(async () => (await overLongPoll.channel.unsubscribe()) === 'ok', 'the channel to be left');
});
