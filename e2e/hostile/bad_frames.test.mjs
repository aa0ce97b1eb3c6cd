// Frames that lie about their size, and messages that mean nothing. protocol.md 1.7 and 2.7.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { connect, V1, V2 } from '../harness/phoenix.mjs';
import { got, put, RawClient } from '../ws-conformance/raw_client.mjs';
import { seededRandom } from '../ws-conformance/random.mjs';
import { disturbingNobody } from './witness.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const socketPath = () => server.socketUrl().replace(/^ws:\/\/[^/]+/, '');
const endpoints = { 'a channel socket': { path: socketPath(), limit: 5_000_000 }, 'the echo socket': { path: '/debug/echo', limit: 64 * 1024 * 1024 } };
const ATTACKERS = 200;

const each = (count, act) => Promise.all(Array.from({ length: count }, act));

for (const [where, { path, limit }] of Object.entries(endpoints)) {
  test(`a frame on ${where} that announces a gigabyte or more is refused at once with 1009`, (t) => disturbingNobody(t, server, { growthMiB: 8 }, () =>
    each(ATTACKERS, async (_, i) => {
      const client = await RawClient.open(server.port, { path });
      await client.write(put.binary('', { announced: [1e9, limit + 1, 2n ** 40n, 2n ** 63n - 1n][i % 4] }));
      await client.expect(got.close(1009));
      await client.write(put.close(1009));
      await client.expectEnd();
    })));

  test(`frames on ${where} that announce the largest size and then bring nothing cost no memory`, (t) => disturbingNobody(t, server, { growthMiB: 8 }, async () => {
    const clients = await each(ATTACKERS, () => RawClient.open(server.port, { path }));
    await each(ATTACKERS, (_, i) => clients[i].write(put.binary('only this', { announced: limit })));
    const last = await RawClient.open(server.port, { path });  // accepted and answered after all of them
    await last.write(put.ping('marker'));
    await last.expect(got.pong('marker'));
    for (const client of [...clients, last]) client.destroy();
  }));
}

test('fragments that never end are refused with 1009 when they exceed the size of a message', (t) => disturbingNobody(t, server, { growthMiB: 24 }, async () => {
  const client = await RawClient.open(server.port, { path: socketPath() });
  const more = put.continuation(Buffer.alloc(100_000), { fin: false });
  await client.write(Buffer.concat([put.binary(Buffer.alloc(100_000), { fin: false }), ...Array(49).fill(more)]));
  await client.write(put.ping('exactly 5,000,000 bytes'));
  await client.expect(got.pong('exactly 5,000,000 bytes'));
  await client.write(put.continuation('.', { fin: false }));
  await client.expect(got.close(1009));
  await client.write(put.close(1009));
  await client.expectEnd();
}));

test('a flood of empty fragments and pings costs no memory', (t) => disturbingNobody(t, server, { growthMiB: 8 }, async () => {
  const client = await RawClient.open(server.port, { path: socketPath() });
  const crumbs = Buffer.concat(Array(20_000).fill(Buffer.concat([put.continuation('', { fin: false }), put.pong('')])));
  await client.write(Buffer.concat([put.text('[null,"1","phoenix",', { fin: false }), crumbs, put.continuation('"heartbeat",{}]')]));
  assert.equal((await client.json())[1], '1');
  client.destroy();
}));

const nonsense = {
  [V1]: ['', 'hello', '[]', '[null,"1","phoenix","heartbeat",{}]', '{}', '"x"', '{"topic":"phoenix"', '{"topic":"phoenix","event":"heartbeat","payload":{}}',
    '{"event":"heartbeat","payload":{},"ref":"1"}', '{"topic":"phoenix","payload":{},"ref":"1"}', '{"topic":"phoenix","event":"heartbeat","ref":"1"}', '\u0000'],
  [V2]: ['', 'hello', '{}', '[]', '[null,"1","phoenix","heartbeat"]', '[null,"1","phoenix","heartbeat",{}', '[null,"1","phoenix","heartbeat",{}]]',
    '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}', '[null,"1","phoenix","heartbeat",{"a":}]', '[null,"1","phoenix","heartbeat",nul]',
    '['.repeat(10_000), Buffer.from([]), Buffer.from([1, 0, 0, 0]), Buffer.from([2, 1, 1, 120, 120]), Buffer.from([4, 0, 0, 0, 0]), Buffer.from([9]),
    Buffer.from([0, 9, 9, 9, 9]), Buffer.from([3, 1, 1]), Buffer.from([3, 255, 255, 255, 255, 255, 1, 120])],
};

for (const [vsn, texts] of Object.entries(nonsense)) {
  test(`ten thousand meaningless messages on a socket of ${vsn} are dropped in silence and counted, and its channel stays`, (t) => disturbingNobody(t, server, { growthMiB: 8 }, async () => {
    const random = seededRandom(t);
    const count = 10_000;
    const topic = 'realtime:nonsense';
    const client = await connect(server, { vsn });
    await client.join(topic, { config: { broadcast: { self: true } } });
    const before = (await server.metrics()).value('realtime_malformed_frames_total');
    for (let i = 0; i < count; i += 1) client.send(random.pick(texts));
    client.broadcast(topic, 'sense');
    assert.deepEqual((await client.expectNothingBefore((frame) => frame.event === 'broadcast')).payload, { type: 'broadcast', event: 'sense', payload: {} });
    assert.equal((await server.metrics()).value('realtime_malformed_frames_total') - before, count);
    await client.close();
  }));
}

test('text frames that are no UTF-8 are dropped in silence and counted', async () => {
  const client = await RawClient.open(server.port, { path: socketPath() });
  const before = (await server.metrics()).value('realtime_malformed_frames_total');
  for (const bytes of ['5b6e756c6c2c2231222c2270ff', 'ff', 'c080', '5b6e756c6c2c2231222c2270686f656e6978222c226865617274626561740ff222c7b7d5d']) {
    await client.write(put.text(Buffer.from(bytes, 'hex')));
  }
  await client.sendJson([null, '9', 'phoenix', 'heartbeat', {}]);
  assert.equal((await client.json())[1], '9');
  assert.equal((await server.metrics()).value('realtime_malformed_frames_total') - before, 4);
  client.destroy();
});
