// Replay beside the stream: what is committed around a join is told once, whichever of the two has it. broadcast-from-db.md 7

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bothVersions } from '../harness/phoenix.mjs';
import { BY_CLAIMS, privately, startProjects } from '../harness/private.mjs';

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects({ workers: 2 });
  project = await projects.make({ sql: BY_CLAIMS });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `live ${++topics}`;
const READER = { see: ['broadcast'] };
const READY = { extension: 'system', status: 'ok', message: 'Replication connection established' };
const send = (topic, n) => project.sql(`SELECT realtime.send('{"n":${n}}', 'e', '${topic}')`);

// A channel that has heard that rows arrive.
async function streaming(topic, { vsn, ...config } = {}) {
  const client = await project.member(`realtime:${topic}`, { ...READER, vsn, replication_ready: true, ...config });
  const notice = await client.next((frame) => frame.event === 'system');
  assert.deepEqual(notice.payload, { ...READY, channel: topic });
  return client;
}

// The row that a frame tells of, live or replayed.
function told({ payload, metadata, userEvent }) {
  if (userEvent === undefined) return { n: payload.payload.n, ...payload.meta };
  return { n: JSON.parse(payload).n, ...JSON.parse(metadata) };
}

bothVersions('a channel that asks hears once that the stream runs [B-032] [P-147]', async (vsn) => {
  const client = await streaming(freshTopic(), { vsn });
  await client.expectQuiet();
});

bothVersions('a row that was replayed does not come again, and the next one comes live [B-036] [P-145]', async (vsn) => {
  const topic = freshTopic();
  const first = await streaming(topic, { vsn });
  await send(topic, 1);
  const live = told(await first.next());
  const second = await project.member(`realtime:${topic}`, { ...READER, vsn, replay: { since: 0 } });
  const old = told(await second.next());
  assert.deepEqual(old, { n: 1, id: live.id, replayed: true });
  await send(topic, 2);
  for (const client of [first, second]) {
    const next = told(await client.next());
    assert.equal(next.n, 2);
    assert.equal(next.replayed, undefined);
    await client.expectQuiet();
  }
});

test('of rows that are committed while clients join with replay none is lost and none comes twice [B-036]', async () => {
  const topic = freshTopic();
  const channel = `realtime:${topic}`;
  await streaming(topic);
  const clients = await Promise.all(Array.from({ length: 10 }, () => project.connect(READER)));
  const COUNT = 20; // fewer than a replay may have
  const writes = (async () => {
    for (let n = 1; n <= COUNT; ++n) await send(topic, n);
  })();
  await Promise.all(clients.map((client) => client.join(channel, privately({ replay: { since: 0 } }))));
  await writes;
  await Promise.all(
    clients.map(async (client) => {
      const numbers = [];
      while (numbers.length < COUNT) numbers.push(told(await client.next()).n);
      assert.deepEqual(numbers, Array.from({ length: COUNT }, (_, n) => n + 1));
      await client.expectQuiet();
    }),
  );
});
