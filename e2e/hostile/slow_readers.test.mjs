// Clients that do not read. Each costs its own queue and no more, and is told so with 1013. protocol.md 1.7, decisions 18.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer, until } from '../harness/server.mjs';
import { connect, encodeUserBroadcast } from '../harness/phoenix.mjs';
import { got, put, RawClient, socketPath } from '../ws-conformance/raw_client.mjs';
import { disturbingNobody } from './witness.mjs';

const TOPIC = 'realtime:flood';
const MESSAGE_BYTES = 100_000;
const QUEUE_BYTES = 6_000_000;  // the server never takes less than one frame of the largest size
const CAUSES = ['queue', 'blocked', 'worker_cap'];

async function startFloodServer(env) {
  const server = await startServer({ env });
  after(() => server.stop());
  return server;
}

// A member of the topic that stops reading as soon as it has joined.
async function deafMember(server) {
  const client = await RawClient.open(server.port, { path: socketPath(server) });
  await client.sendJson(['1', '1', TOPIC, 'phx_join', { config: {} }]);
  assert.equal((await client.json())[4].status, 'ok');
  client.tcp.pause();
  return client;
}

// Publishes messages number `from` to `count`, each batch only when the reader has all of the one before: a reader in a busy
// test process must not be taken for a slow one.
async function flood(publisher, reader, count, from = 0) {
  for (let sent = from; sent < count;) {
    const batch = Array.from({ length: Math.min(16, count - sent) }, (_, i) => sent + i);
    for (const n of batch) {
      const payload = Buffer.alloc(MESSAGE_BYTES);
      payload.writeUInt32BE(n);
      publisher.send(encodeUserBroadcast({ topic: TOPIC, event: 'n', encoding: 0, payload }));
    }
    for (const n of batch) {
      const { payload } = await reader.next();
      assert.equal(payload.length, MESSAGE_BYTES);
      assert.equal(payload.readUInt32BE(), n);
    }
    sent += batch.length;
  }
}

async function members(server, count) {
  const all = await Promise.all(Array.from({ length: count }, () => connect(server)));
  for (const client of all) await client.join(TOPIC);
  return all;
}

async function slowConsumers(server) {
  const metrics = await server.metrics();
  return Object.fromEntries(CAUSES.map((cause) => [cause, metrics.value('realtime_slow_consumers_total', { cause })]));
}

test('a client that does not read its flooded topic is closed with 1013, and everybody else gets everything', async (t) => {
  const server = await startFloodServer({ SEND_QUEUE_BYTES_MAX: QUEUE_BYTES });
  const count = 800;  // 80 MB
  const [publisher, reader] = await members(server, 2);
  const connections = (await server.metrics()).value('realtime_worker_connections');

  await disturbingNobody(t, server, { growthMiB: 64 }, async () => {
    const repentant = await deafMember(server);
    const stubborn = await deafMember(server);
    // Enough for their queues. Then it is quiet: whoever wants its 1013 has 5 s, also on a machine that is busy.
    const enough = 200;
    await flood(publisher, reader, enough);
    await until(async () => (await slowConsumers(server)).queue === 2, 'both to be found slow');
    repentant.tcp.resume();
    const told = await readUntilClose(repentant);
    t.diagnostic(`the one that read again got ${told} messages before its 1013`);
    assert.ok(told < enough);

    await flood(publisher, reader, count, enough);
    await until(async () => (await server.metrics()).value('realtime_worker_connections') <= connections + 2, 'the stubborn one to be cut');
    stubborn.destroy();
  });

  assert.deepEqual(await slowConsumers(server), { queue: 2, blocked: 0, worker_cap: 0 });
  const dropped = (await server.metrics()).value('realtime_dropped_total', { reason: 'slow_consumer' });
  assert.ok(dropped > 0, 'what the slow clients did not get is counted');
  await reader.expectQuiet();
});

// The messages come whole and in order until the close frame. Returns how many.
async function readUntilClose(client) {
  for (let n = 0; ; n += 1) {
    const { opcode, payload } = await client.frame();
    if (opcode !== 2) {
      assert.equal(payload.toString('hex'), got.close(1013).anyOf[0].toString('hex'), '1013 without a reason');
      await client.write(put.close(1013));
      await client.expectEnd();
      return n;
    }
    assert.equal(payload.subarray(-MESSAGE_BYTES).readUInt32BE(), n);
  }
}

test('a client whose connection has been blocked for too long is closed though its queue is short', async (t) => {
  const server = await startFloodServer({ SEND_QUEUE_BYTES_MAX: 64_000_000, SEND_BLOCKED_TIMEOUT_MS: 500 });
  const count = 150;  // 15 MB: more than the kernel takes, less than the queue may hold
  const [publisher, reader] = await members(server, 2);
  await disturbingNobody(t, server, { growthMiB: 48 }, async () => {
    const deaf = await deafMember(server);
    await flood(publisher, reader, count);
    await until(async () => (await slowConsumers(server)).blocked === 1, 'it to be found slow');
    deaf.tcp.resume();
    assert.ok((await readUntilClose(deaf)) < count);
  });
  assert.deepEqual(await slowConsumers(server), { queue: 0, blocked: 1, worker_cap: 0 });
});

test('when the queues of a worker are too long together, the longest goes', async (t) => {
  const server = await startFloodServer({ SEND_QUEUE_BYTES_MAX: 64_000_000, WORKER_SEND_QUEUE_BYTES_MAX: 12_000_000 });
  const count = 400;  // 40 MB
  const [publisher, reader] = await members(server, 2);
  await disturbingNobody(t, server, { growthMiB: 32 }, async () => {
    const deaf = [await deafMember(server), await deafMember(server)];
    await flood(publisher, reader, count);
    await until(async () => (await slowConsumers(server)).worker_cap === 2, 'both to be found slow');
    for (const client of deaf) client.destroy();
  });
  assert.deepEqual(await slowConsumers(server), { queue: 0, blocked: 0, worker_cap: 2 });
  await reader.expectQuiet();
});
