// Topics with hundreds of subscribers, and clients that say hundreds of things at once: the worker cuts both into slices, and
// nobody may notice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, encodeText } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { RawClient, socketPath, put } from '../ws-conformance/raw_client.mjs';

let server;
before(async () => {
  server = await startServer({ args: ['--compression'] });
});
after(async () => assert.equal(await server.stop(), 0));

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

async function audience(topic, count) {
  const all = await Promise.all(numbers(count).map(() => connect(server)));
  await Promise.all(all.map((client) => client.join(topic)));
  return all;
}

const isTick = (topic) => (frame) => frame.topic === topic && frame.event === 'broadcast';

test('subscribers of large topics get every broadcast once and in order, and answers to what they ask meanwhile', async () => {
  const MESSAGES = 50;
  const audiences = [
    { topic: 'realtime:huge', clients: await audience('realtime:huge', 400) },
    { topic: 'realtime:large', clients: await audience('realtime:large', 150) },
    { topic: 'realtime:small', clients: await audience('realtime:small', 3) },
  ];
  const publisher = await connect(server);
  for (const { topic } of audiences) await publisher.join(topic);

  for (const n of numbers(MESSAGES)) {
    for (const { topic } of audiences) publisher.push(topic, 'broadcast', { type: 'broadcast', event: 'tick', payload: { n } });
  }
  const asked = audiences.flatMap(({ clients }) => clients.map((client) => client.request('phoenix', 'heartbeat')));
  for (const answer of await Promise.all(asked)) assert.equal(answer.payload.status, 'ok');

  for (const { topic, clients } of audiences) {
    for (const client of clients) {
      for (const n of numbers(MESSAGES)) assert.equal((await client.next(isTick(topic), `tick ${n}`)).payload.payload.n, n);
    }
  }
  // Nobody has anything left when the last message has come.
  publisher.push('realtime:huge', 'broadcast', { type: 'broadcast', event: 'last', payload: {} });
  for (const client of audiences[0].clients) {
    assert.equal((await client.expectNothingBefore(isTick('realtime:huge'), 'the last message')).payload.event, 'last');
  }
  for (const client of [publisher, ...audiences.flatMap(({ clients }) => clients)]) client.socket.terminate();
});

test('hundreds of subscribers that vanish in the middle of a broadcast are forgotten, and those that stay miss nothing', async () => {
  const TOPIC = 'realtime:leaving';
  const [publisher, ...others] = await audience(TOPIC, 500);
  const staying = others.slice(0, 150);
  for (const n of numbers(20)) publisher.push(TOPIC, 'broadcast', { type: 'broadcast', event: 'tick', payload: { n } });
  for (const client of others.slice(150)) client.socket.terminate();
  for (const n of numbers(20)) publisher.push(TOPIC, 'broadcast', { type: 'broadcast', event: 'tick', payload: { n: 20 + n } });

  for (const client of staying) {
    for (const n of numbers(40)) assert.equal((await client.next(isTick(TOPIC), `tick ${n}`)).payload.payload.n, n);
  }
  const open = async (metric) => (await server.metrics()).value(metric);
  await until(async () => (await open('realtime_worker_sessions')) === staying.length + 1, 'the others to be forgotten');
  for (const client of [publisher, ...staying]) client.socket.terminate();
  await until(async () => (await open('realtime_worker_sessions')) === 0, 'all to be forgotten');
});

for (const [how, headers, text] of [
  ['plain', {}, put.text],
  ['compressed', { 'Sec-WebSocket-Extensions': 'permessage-deflate' }, put.compressed.text],
]) {
  test(`hundreds of ${how} messages in one write are all answered, in order, and others are served meanwhile`, async () => {
    const COUNT = 1_000;
    const other = await connect(server);
    const client = await RawClient.open(server.port, { path: socketPath(server), headers });
    const heartbeat = (ref) => text(encodeText(2, { joinRef: null, ref: String(ref), topic: 'phoenix', event: 'heartbeat', payload: {} }));
    const written = client.write(Buffer.concat(numbers(COUNT).map(heartbeat)));
    for (const _ of numbers(20)) assert.equal((await other.request('phoenix', 'heartbeat')).payload.status, 'ok');
    for (const ref of numbers(COUNT)) assert.equal((await client.json())[1], String(ref));
    await written;
    client.destroy();
    other.socket.terminate();
  });
}
