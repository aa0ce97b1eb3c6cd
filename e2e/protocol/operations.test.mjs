// A node that stops, and topics that are named like our own.
// protocol.md 10

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { assertError, assertFrame, bothVersions, connect, isReplyTo } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

const RESTARTING = 'RealtimeRestarting: Realtime is restarting, please standby';

const readiness = async (server) => (await fetch(`${server.url}/readyz`)).status;

// From SIGTERM until the node has said that it will go, while it still listens.
async function beginStop(server, signal = 'SIGTERM') {
  assert.equal(await readiness(server), 200);
  server.signal(signal);
  await until(async () => (await readiness(server)) === 503, 'readyz to say 503');
}

suite('a node that stops', { concurrency: true }, () => {
  bothVersions('goes on with its channels, then closes sockets with 1012 and says nothing else [P-226] [C-028]', async (vsn, t) => {
    const server = await startServer({ workers: 2, env: { DRAIN_DELAY_MS: 2_000 } });
    t.after(() => server.stop());
    const clients = await Promise.all(Array.from({ length: 4 }, () => connect(server, { vsn })));
    const [sender, member, bystander, late] = clients;
    for (const client of [sender, member]) await client.join('realtime:room');
    await beginStop(server);

    sender.broadcast('realtime:room', 'still here');
    assertFrame(await member.next(), { event: 'broadcast', topic: 'realtime:room' });
    await bystander.heartbeat();
    assertError(await late.tryJoin('realtime:room'), RESTARTING);

    for (const client of clients) assert.deepEqual(await client.waitForClose(), { code: 1012, reason: '' });
    for (const client of clients) assert.deepEqual(client.inbox, []);
    assert.equal(await server.exited, 0);
    await assert.rejects(fetch(`${server.url}/healthcheck`));
  });

  bothVersions('sends the refusals that still wait before it closes their sockets [P-105] [P-226] [E-002] [E-026] [C-018]', async (vsn, t) => {
    const server = await startServer({ env: { CHANNEL_ERROR_BACKOFF_MS: 60_000, DRAIN_DELAY_MS: 2_000 } });
    t.after(() => server.stop());
    const client = await connect(server, { vsn });
    const early = client.push('realtime:', 'phx_join');
    await client.expectQuiet();
    await beginStop(server);
    const late = client.push('realtime:too late', 'phx_join', { config: {} });
    assertError(await client.next(isReplyTo(early)), 'TopicNameRequired: You must provide a topic name');
    assertError(await client.expectNothingBefore(isReplyTo(late)), RESTARTING);
    assert.deepEqual(await client.waitForClose(), { code: 1012, reason: '' });
    assert.deepEqual(client.inbox, []);
    assert.equal(await server.exited, 0);
  });

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`goes at once when it is told twice by ${signal} [C-028]`, async (t) => {
      const server = await startServer({ env: { DRAIN_DELAY_MS: 3_600_000, DRAIN_TIMEOUT_MS: 3_600_000 } });
      t.after(() => server.stop());
      const client = await connect(server);
      await client.join('realtime:room');
      await beginStop(server, signal);
      server.signal(signal);
      await client.waitForClose();
      await until(() => server.ended, 'the process to end');
    });
  }
});

test('topics named like internal ones carry the traffic of their own tenant and nothing else [P-227]', async (t) => {
  const server = await startServer({ workers: 2, otherTenants: { other: {} } });
  t.after(() => server.stop());

  const names = ['operations:dev', 'operations:other', 'postgres:dev', 'dev', 'other', 'dev:room', 'other:room', 'realtime:room'];
  const topics = names.map((name) => `realtime:${name}`);
  const events = ['disconnect', 'broadcast', 'marker'];

  const pairOf = async (tenant) => {
    const [sender, receiver] = await Promise.all([1, 2].map(() => connect(server, { headers: { Host: `${tenant}.example.test` } })));
    for (const client of [sender, receiver]) {
      for (const topic of topics) await client.join(topic, { config: { broadcast: { ack: true } } });
    }
    return { tenant, sender, receiver };
  };
  const pairs = [await pairOf('dev'), await pairOf('other')];
  for (const { tenant, sender } of pairs) {
    for (const topic of topics) for (const event of events) await sender.request(topic, 'broadcast', { event, tenant });
  }
  for (const { tenant, receiver } of pairs) {
    for (const topic of topics) {
      for (const event of events) assertFrame(await receiver.next((frame) => frame.topic === topic), { payload: { event, tenant } });
    }
    await receiver.expectQuiet();
  }
});
