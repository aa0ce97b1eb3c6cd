// One socket that wants every topic there is. protocol.md 9.4.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { connect, isReplyTo } from '../harness/phoenix.mjs';
import { memory, MEMORY_IS_JUDGED } from '../harness/process.mjs';
import { disturbingNobody } from './witness.mjs';

const TOPICS = Array.from({ length: 10_000 }, (_, i) => `realtime:topic-${i}`);

async function start(env) {
  const server = await startServer({ env });
  after(() => server.stop());
  return server;
}

// Sends one frame per topic, all at once, and checks the replies.
async function forEachTopic(client, event, payload, expected) {
  const refs = TOPICS.map((topic) => {
    const ref = client.nextRef();
    if (event === 'phx_join') client.joinRefs.set(topic, ref);
    return client.push(topic, event, payload, { ref });
  });
  for (const [i, ref] of refs.entries()) assert.deepEqual((await client.next(isReplyTo(ref))).payload, expected(i), TOPICS[i]);
}

const joined = { status: 'ok', response: { postgres_changes: [] } };
const left = { status: 'ok', response: {} };
const tooMany = { status: 'error', response: { reason: 'ChannelRateLimitReached: Too many channels' } };

test('a socket gets the hundred channels of its tenant’s limit and a refusal for each one more', async (t) => {
  const server = await start({ TENANT_MAX_CHANNELS_PER_CLIENT: undefined });
  await disturbingNobody(t, server, { growthMiB: 24 }, async () => {
    const client = await connect(server);
    await forEachTopic(client, 'phx_join', { config: {} }, (i) => (i < 100 ? joined : tooMany));
    await client.request(TOPICS[0], 'phx_leave');
    await client.join(TOPICS[100]);
    await client.close();
  });
});

test('a socket that may joins and leaves ten thousand topics, again and again, without memory piling up', async (t) => {
  const server = await start({ TENANT_MAX_CHANNELS_PER_CLIENT: 10_000 });
  const client = await connect(server);
  const sizes = [];
  await disturbingNobody(t, server, { growthMiB: 48 }, async () => {
    for (let round = 0; round < 4; round += 1) {
      await forEachTopic(client, 'phx_join', { config: {} }, () => joined);
      sizes.push((await memory(server.pid)).VmRSS);
      await forEachTopic(client, 'phx_leave', {}, () => left);
      client.inbox.length = 0;  // the phx_close frames
    }
  });
  t.diagnostic(`the server with ten thousand channels of one socket: ${sizes.map((size) => size.toFixed(1)).join(', ')} MiB`);
  if (MEMORY_IS_JUDGED) assert.ok(sizes[3] - sizes[1] < 4, 'the fourth time costs what the second did');
  await client.close();
});
