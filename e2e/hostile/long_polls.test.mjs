// Long-poll clients that ask for more than their share: sessions, frames, bytes, polls.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, test } from 'node:test';
import { connectLongPoll, longPoll } from '../harness/long_poll.mjs';
import { V2, connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { hostileTo } from './witness.mjs';

const SESSIONS_MAX = 500;
const server = await startServer({ workers: 1, env: { MAX_CONNECTIONS: SESSIONS_MAX, LONG_POLL_WINDOW_MS: 5_000 } });
const roomy = await startServer({ workers: 1, env: { TENANT_MAX_CONCURRENT_USERS: 10_000, LONG_POLL_WINDOW_MS: 120_000 } });
after(async () => assert.deepEqual(await Promise.all([server.stop(), roomy.stop()]), [0, 0]));
const hostile = hostileTo(server);

const open = async (on = server) => (await longPoll(on, { params: { vsn: V2, apikey: on.token() } })).json;
const post = (token, body, on = server) =>
  longPoll(on, { method: 'POST', params: { token }, headers: { 'content-type': 'application/x-ndjson' }, body });
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
  await post(token, heartbeat);
  assert.equal((await longPoll(server, { params: { token } })).json.status, 200);
  const lines = '\n'.repeat(7_999_000);
  const one = `["1","1","realtime:none","x",{"text":"${'x'.repeat(4_900_000)}"}]`;
  const dots = '.'.repeat(7_000_000);
  for (let n = 0; n < 3; n += 1) {
    const answers = await Promise.all([lines, one, dots].map((body) => post(token, body)));
    assert.deepEqual(answers.map(({ json }) => json.status), [413, 200, 413]);
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

hostileTo(roomy)('thousands of posts with nothing in them, on one session', { growthMiB: 16 }, async () => {
  const { token } = await open(roomy);
  await post(token, heartbeat, roomy);
  assert.equal((await longPoll(roomy, { params: { token } })).json.status, 200);
  await inParallel(100, 5_000, async () => {
    const { status } = (await post(token, '', roomy)).json;
    assert.ok(status === 200 || status === 429, `${status}`);
  });
  assert.deepEqual((await post(token, heartbeat, roomy)).json, { status: 200 });
});

// Each connection waits with a poll of one session and has asked for that of the next already.
hostileTo(roomy)('a chain of polls, each of which ends the next one', { growthMiB: 96 }, async () => {
  const links = [];
  let next = (await open(roomy)).token;
  for (let n = 0; n < 100; n += 1) {
    const tokens = await Promise.all(Array.from({ length: 32 }, async () => (await open(roomy)).token));
    links.push(...await Promise.all(tokens.map((token, at) => link(token, tokens[at - 1] ?? next))));
    next = tokens.at(-1);
  }
  const end = link(next, next);
  await until(() => links.every(({ text }) => text.includes('"status":204')), 'each to be answered', 60_000);
  for (const { socket } of [...links, await end]) socket.destroy();
});

async function link(token, next) {
  const socket = net.connect(roomy.port, roomy.host);
  const one = { socket, text: '' };
  socket.on('data', (data) => { one.text += data; }).on('error', () => {});
  const get = (target) => `GET ${target} HTTP/1.1\r\nhost: rt.example.test\r\n\r\n`;
  socket.write(get('/healthcheck') + get(`/socket/longpoll?token=${token}`) + get(`/socket/longpoll?token=${next}`));
  await until(() => one.text.includes('\r\n\r\nok'), 'the first answer'); // the poll behind it has been heard, too
  return one;
}

hostile('a session that is told much and fetches nothing, while others fetch all', { growthMiB: 48 }, async () => {
  const topic = 'realtime:crowd';
  const writer = await connect(server);
  await writer.join(topic);
  const idle = await Promise.all(Array.from({ length: 50 }, () => connectLongPoll(server, { polls: false })));
  for (const client of idle) client.push(topic, 'phx_join', {});
  const reader = await connectLongPoll(server);
  await reader.join(topic);
  for (const client of idle) await client.socket.posted.then(() => client.socket.poll());
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
  assert.ok(metrics.value('realtime_long_poll_sessions') <= SESSIONS_MAX / 2, 'others could have sessions, too');
  assert.ok(metrics.value('realtime_long_poll_refused_total', { reason: 'sessions' }) > 0);
  await until(async () => (await server.metrics()).value('realtime_long_poll_sessions') === 0, 'them to end', 20_000);
  assert.equal((await open()).status, 410);
});

test('what long-poll clients were refused cost no connection', async () => {
  const client = await connect(server);
  await client.join('realtime:after');
  await client.expectQuiet();
});
