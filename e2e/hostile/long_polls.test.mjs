// Long-poll clients that ask for more than their share: sessions, frames, bytes, polls.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, test } from 'node:test';
import { connectLongPoll, longPoll } from '../harness/long_poll.mjs';
import { V2, connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { hostileTo } from './witness.mjs';

const SESSIONS_MAX = 500;
const server = await startServer({ workers: 1, env: { MAX_CONNECTIONS: SESSIONS_MAX, LONG_POLL_WINDOW_MS: 5_000 } });
after(async () => assert.equal(await server.stop(), 0));
const hostile = hostileTo(server);

const open = async () => (await longPoll(server, { params: { vsn: V2, apikey: server.token() } })).json;
const post = (token, body) =>
  longPoll(server, { method: 'POST', params: { token }, headers: { 'content-type': 'application/x-ndjson' }, body });
const heartbeat = JSON.stringify([null, '1', 'phoenix', 'heartbeat', {}]);

// Runs `times` of them, `width` at once.
async function inParallel(width, times, one) {
  let begun = 0;
  await Promise.all(Array.from({ length: width }, async () => {
    while (begun < times) await one(begun++);
  }));
}

hostile('posts of a thousand frames that are no messages are worked off a little at a time', { growthMiB: 16 }, async () => {
  const tokens = await Promise.all(Array.from({ length: 8 }, async () => (await open()).token));
  const malformed = async () => (await server.metrics()).value('realtime_malformed_frames_total');
  const before = await malformed();
  const garbage = '[nonsense\n'.repeat(1000);
  await inParallel(8, 80, async (n) => assert.deepEqual((await post(tokens[n % 8], garbage)).json, { status: 200 }));
  assert.equal((await malformed()) - before, 80_000);
});

hostile('posts as large as they may be, and larger', { growthMiB: 160 }, async () => {
  const { token } = await open();
  const lines = '\n'.repeat(7_999_000);
  const one = `["1","1","realtime:none","x",{"text":"${'x'.repeat(4_900_000)}"}]`;
  const dots = '.'.repeat(7_000_000);
  for (let n = 0; n < 3; n += 1) {
    const answers = await Promise.all([lines, one, dots].map((body) => post(token, body)));
    for (const { json } of answers) assert.ok([200, 413, 429].includes(json.status), JSON.stringify(json));
    assert.equal((await longPoll(server, { params: { token } })).json.status, 200, 'what it is told for it can be fetched');
  }
});

hostile('a flood of polls that are given up, on one session', { growthMiB: 16 }, async () => {
  const { token } = await open();
  await inParallel(16, 2_000, () => new Promise((resolve) => {
    const request = http.get(`${server.url}/socket/longpoll?token=${token}`, { agent: false }, (response) => response.resume());
    request.on('error', () => {}).on('close', resolve);
    request.on('socket', (socket) => socket.on('connect', () => setImmediate(() => request.destroy())));
  }));
  await until(async () => {
    const waiting = longPoll(server, { params: { token } });
    await post(token, heartbeat);
    return (await waiting).json.messages?.length > 0;
  }, 'the session to be of use again');
});

hostile('a session that is told much and fetches nothing, while others fetch all', { growthMiB: 48 }, async () => {
  const topic = 'realtime:crowd';
  const writer = await connect(server);
  await writer.join(topic);
  const idle = await Promise.all(Array.from({ length: 50 }, () => connectLongPoll(server, { polls: false })));
  for (const client of idle) client.push(topic, 'phx_join', {});
  const reader = await connectLongPoll(server);
  await reader.join(topic);
  for (const client of idle) await client.socket.posted;
  const text = 'x'.repeat(100_000);
  for (let n = 0; n < 200; n += 1) {
    writer.broadcast(topic, 'large', { n, text });  // the idle ones share it
    assert.equal((await reader.next()).payload.payload.n, n);
  }
  assert.equal((await idle[0].socket.poll()).status, 410, 'it ended when too much waited for it');
  assert.equal((await server.metrics()).value('realtime_slow_consumers_total', { cause: 'queue' }), 50);
  reader.socket.end();
});

// The last one, for it leaves no room.
hostile('as many sessions as somebody likes: they are bounded and end by themselves', { growthMiB: 24 }, async () => {
  await inParallel(32, 4 * SESSIONS_MAX, async () => {
    const { status } = await open();
    assert.ok(status === 410 || status === 403, `${status}`);
  });
  const metrics = await server.metrics();
  assert.ok(metrics.value('realtime_long_poll_sessions') <= SESSIONS_MAX);
  assert.ok(metrics.value('realtime_long_poll_refused_total', { reason: 'sessions' }) > 0);
  await until(async () => (await server.metrics()).value('realtime_long_poll_sessions') === 0, 'them to end', 20_000);
  assert.equal((await open()).status, 410);
});

test('what long-poll clients were refused cost no connection', async () => {
  const client = await connect(server);
  await client.join('realtime:after');
  await client.expectQuiet();
});
