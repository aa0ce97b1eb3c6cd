// One socket that wants every topic there is. protocol.md 9.4.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { connect, isReplyTo } from '../harness/phoenix.mjs';
import { disturbingNobody, memory } from './witness.mjs';

const TOPICS = Array.from({ length: 10_000 }, (_, i) => `realtime:topic-${i}`);

async function start(env) {
  const server = await startServer({ env });
  after(() => server.stop());
  return server;
}

// Sends one frame per topic, all at once, and returns the replies in order.
async function forEachTopic(client, event) {
  const refs = TOPICS.map((topic) => {
    const ref = client.nextRef();
    if (event === 'phx_join') client.joinRefs.set(topic, ref);
    return client.push(topic, event, event === 'phx_join' ? { config: {} } : {}, { ref });
  });
  const replies = [];
  for (const ref of refs) replies.push((await client.next(isReplyTo(ref))).payload);
  return replies;
}

test('a socket gets the hundred channels of its tenant’s limit and a refusal for each one more', async (t) => {
  const server = await start({ TENANT_MAX_CHANNELS_PER_CLIENT: undefined });
  await disturbingNobody(t, server, { growthMiB: 24 }, async () => {
    const client = await connect(server);
    const replies = await forEachTopic(client, 'phx_join');
    assert.deepEqual(replies.slice(0, 100), Array(100).fill({ status: 'ok', response: { postgres_changes: [] } }));
    assert.deepEqual(replies.slice(100), Array(9900).fill({ status: 'error', response: { reason: 'ChannelRateLimitReached: Too many channels' } }));
    client.joinRefs.set(TOPICS[0], '1');
    await client.request(TOPICS[0], 'phx_leave');
    await client.join(TOPICS[100]);
    await client.close();
  });
});

test('a socket that may joins and leaves ten thousand topics, again and again, without memory piling up', async (t) => {
  const server = await start({ TENANT_MAX_CHANNELS_PER_CLIENT: 10_000 });
  const client = await connect(server);
  const ok = (response) => Array(TOPICS.length).fill({ status: 'ok', response });
  const sizes = [];
  await disturbingNobody(t, server, { growthMiB: 48 }, async () => {
    for (let round = 0; round < 4; round += 1) {
      assert.deepEqual(await forEachTopic(client, 'phx_join'), ok({ postgres_changes: [] }));
      sizes.push((await memory(server.pid)).VmRSS);
      const one = TOPICS[round * 3000];
      await client.request(one, 'presence');  // still joined, still answering
      assert.deepEqual(await forEachTopic(client, 'phx_leave'), ok({}));
      client.inbox.length = 0;  // the phx_close frames
    }
  });
  t.diagnostic(`the server with ten thousand channels of one socket: ${sizes.map((size) => size.toFixed(1)).join(', ')} MiB`);
  assert.ok(sizes[3] - sizes[1] < 4, 'the fourth time costs what the second did');
  await client.close();
});
