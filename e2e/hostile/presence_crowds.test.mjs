// States of presence that are large, and queues that are full: nobody else pays for either. protocol.md 6.4
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connectLongPoll } from '../harness/long_poll.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

const TOPIC = 'realtime:crowd';
const ENABLED = { config: { presence: { enabled: true } } };
const MEGABYTE = 1 << 20;

async function startSmallServer(workers, otherTenants = {}, workerQueueBytes = 128 * MEGABYTE) {
  const env = { SEND_QUEUE_BYTES_MAX: 8 * MEGABYTE, WORKER_SEND_QUEUE_BYTES_MAX: workerQueueBytes };
  const server = await startServer({ workers, env, otherTenants });
  after(() => server.stop());
  return server;
}

for (const workers of [1, 2]) {
  test(`three hundred who ask for a state of a megabyte at once all get it, with ${workers} workers`, async () => {
    const count = 300;
    const server = await startSmallServer(workers);
    const first = await connect(server);
    await first.join(TOPIC, { config: { presence: { enabled: false, key: 'first' } } });
    await first.request(TOPIC, 'presence', { event: 'track', payload: { text: 'x'.repeat(1_000_000) } });
    const crowd = [];
    while (crowd.length < count) crowd.push(await connect(server));
    const states = crowd.map((client) => Promise.race([
      client.next(({ event }) => event === 'presence_state', 'the presence_state').then(({ payload }) => Object.keys(payload).join()),
      client.closed.then(({ code }) => `closed with ${code}`),
    ]));
    for (const client of crowd) client.push(TOPIC, 'phx_join', ENABLED, { joinRef: '1' });
    assert.deepEqual(await Promise.all(states), Array(count).fill('first'));
  });
}

test('a hundred who poll and ask for a state of a megabyte at once all get it', async () => {
  const count = 100;
  // A state for each of them is more than twice what a worker keeps.
  const server = await startSmallServer(1, {}, 40 * MEGABYTE);
  const first = await connect(server);
  await first.join(TOPIC, { config: { presence: { enabled: false, key: 'first' } } });
  await first.request(TOPIC, 'presence', { event: 'track', payload: { text: 'x'.repeat(1_000_000) } });
  const crowd = await Promise.all(Array.from({ length: count }, () => connectLongPoll(server)));
  const states = crowd.map((client) => Promise.race([
    client.next(({ event }) => event === 'presence_state', 'the presence_state').then(({ payload }) => Object.keys(payload).join()),
    client.closed.then(({ code }) => `closed with ${code}`),
  ]));
  for (const client of crowd) client.push(TOPIC, 'phx_join', ENABLED, { joinRef: '1' });
  assert.deepEqual(await Promise.all(states), Array(count).fill('first'));
  for (const client of crowd) client.socket.terminate();
});

test('sockets of one tenant that do not read keep no member of another one from its state', async () => {
  const server = await startSmallServer(1, { other: {} });
  const deaf = [];
  while (deaf.length < 10) {
    const client = await connect(server);
    await client.join('realtime:flood');
    client.socket.pause();
    deaf.push(client);
  }
  const publisher = await connect(server);
  await publisher.join('realtime:flood');
  const queued = async () => (await server.metrics()).value('realtime_worker_send_queue_bytes', { worker: '0' });
  // Each socket's kernel buffers take some, and its queue holds less than 8 MiB.
  await until(async () => {
    publisher.broadcast('realtime:flood', 'x', { text: 'x'.repeat(MEGABYTE) });
    return (await queued()) > 40 * MEGABYTE;
  }, 'the queues to be full');
  const other = { headers: { host: 'other.rt.example.test' } };
  const member = await connect(server, other);
  await member.join(TOPIC, ENABLED);
  const { payload } = await member.next(({ event }) => event === 'presence_state', 'the presence_state');
  assert.deepEqual(payload, {});
  assert.ok((await queued()) > 32 * MEGABYTE, 'the queues are still full');
  for (const client of deaf) client.socket.terminate();
});
