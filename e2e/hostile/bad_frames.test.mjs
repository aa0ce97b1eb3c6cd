// Frames that lie about their size, and messages that mean nothing. protocol.md 1.7 and 2.7.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer, until } from '../harness/server.mjs';
import { connect, V1, V2 } from '../harness/phoenix.mjs';
import { got, put, RawClient, socketPath } from '../ws-conformance/raw_client.mjs';
import { seededRandom } from '../harness/random.mjs';
import { hostileTo } from './witness.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());
const hostile = hostileTo(server);

const endpoints = {
  'a channel socket': { path: socketPath(server), limit: 5_000_000 },
  'the echo socket': { path: '/debug/echo', limit: 64 * 1024 * 1024 },
};
const ATTACKERS = 200;

const each = (count, act) => Promise.all(Array.from({ length: count }, act));

for (const [where, { path, limit }] of Object.entries(endpoints)) {
  hostile(`a frame on ${where} that announces a gigabyte or more is refused at once with 1009`, { growthMiB: 8 }, () =>
    each(ATTACKERS, async (_, i) => {
      const client = await RawClient.open(server.port, { path });
      await client.write(put.binary('', { announced: [1e9, limit + 1, 2n ** 40n, 2n ** 63n - 1n][i % 4] }));
      await client.expect(got.close(1009));
      await client.write(put.close(1009));
      await client.expectEnd();
    }));

  hostile(`frames on ${where} that announce the largest size and then bring nothing cost no memory`, { growthMiB: 8 }, async () => {
    const clients = await each(ATTACKERS, () => RawClient.open(server.port, { path }));
    await each(ATTACKERS, (_, i) => clients[i].write(put.binary('only this', { announced: limit })));
    const last = await RawClient.open(server.port, { path });  // accepted and answered after all of them
    await last.write(put.ping('marker'));
    await last.expect(got.pong('marker'));
    for (const client of [...clients, last]) client.destroy();
  });
}

hostile('fragments that never end are refused with 1009 when they exceed the size of a message', { growthMiB: 24 }, async () => {
  const client = await RawClient.open(server.port, { path: socketPath(server) });
  const more = put.continuation(Buffer.alloc(100_000), { fin: false });
  await client.write(Buffer.concat([put.binary(Buffer.alloc(100_000), { fin: false }), ...Array(49).fill(more)]));
  await client.write(put.ping('exactly 5,000,000 bytes'));
  await client.expect(got.pong('exactly 5,000,000 bytes'));
  await client.write(put.continuation('.', { fin: false }));
  await client.expect(got.close(1009));
  await client.write(put.close(1009));
  await client.expectEnd();
});

hostile('a flood of empty fragments and pings costs no memory', { growthMiB: 8 }, async () => {
  const client = await RawClient.open(server.port, { path: socketPath(server) });
  const crumbs = Buffer.concat(Array(20_000).fill(Buffer.concat([put.continuation('', { fin: false }), put.pong('')])));
  await client.write(Buffer.concat([put.text('[null,"1","phoenix",', { fin: false }), crumbs, put.continuation('"heartbeat",{}]')]));
  assert.equal((await client.json())[1], '1');
  client.destroy();
});

hostile('a client that goes on after its frame was refused, and never closes, is cut', { growthMiB: 8 }, async () => {
  const connections = async () => (await server.metrics()).value('realtime_worker_connections');
  const before = await connections();
  const silent = await RawClient.open(server.port, { path: socketPath(server) });
  const talking = await RawClient.open(server.port, { path: socketPath(server) });
  for (const client of [silent, talking]) {
    await client.write(put.text('no mask', { masked: false }));
    await client.expect(got.close(1002));
  }
  const more = Buffer.alloc(50_000, put.ping('more'));
  await until(async () => {
    talking.write(more);  // not awaited: nobody may be reading
    return (await connections()) <= before;
  }, 'both to be cut');
  silent.destroy();
  talking.destroy();
});

const heartbeat = { topic: 'phoenix', event: 'heartbeat', payload: {}, ref: '1' };
const without = (member) => JSON.stringify({ ...heartbeat, [member]: undefined });
const nonsense = {
  [V1]: [
    ...['', 'hello', '"x"', '\0', '[]', '{}', '{"topic":"phoenix"', '[null,"1","phoenix","heartbeat",{}]'],
    ...Object.keys(heartbeat).map(without),
  ],
  [V2]: [
    ...['', 'hello', '"x"', '\0', '[]', '{}', JSON.stringify(heartbeat), '['.repeat(10_000)],
    ...['[null,"1","phoenix","heartbeat"]', '[null,"1","phoenix","heartbeat",{}', '[null,"1","phoenix","heartbeat",{}]]'],
    ...['[null,"1","phoenix","heartbeat",{"a":}]', '[null,"1","phoenix","heartbeat",nul]'],
    ...['', '01000000', '0201017878', '0400000000', '09', '0009090909', '030101', '03ffffffffff0178'].map((hex) => Buffer.from(hex, 'hex')),
  ],
};

for (const [vsn, texts] of Object.entries(nonsense)) {
  hostile(`ten thousand meaningless messages on ${vsn} are dropped in silence and counted`, { growthMiB: 8 }, async (t) => {
    const random = seededRandom(t);
    const count = 10_000;
    const topic = 'realtime:nonsense';
    const client = await connect(server, { vsn });
    await client.join(topic, { config: { broadcast: { self: true } } });
    const before = (await server.metrics()).value('realtime_malformed_frames_total');
    for (let i = 0; i < count; i += 1) client.send(random.pick(texts));
    client.broadcast(topic, 'sense');
    const answer = await client.expectNothingBefore((frame) => frame.event === 'broadcast');
    assert.equal(answer.payload.event, 'sense', 'the channel is still joined');
    assert.equal((await server.metrics()).value('realtime_malformed_frames_total') - before, count);
    await client.close();
  });
}

test('text frames that are no UTF-8 are dropped in silence and counted', async () => {
  const client = await RawClient.open(server.port, { path: socketPath(server) });
  const dropped = async () => (await server.metrics()).value('realtime_malformed_frames_total');
  const droppedBefore = await dropped();
  const bad = ['ff', 'c080', 'eda080', 'e282'].map((hex) => Buffer.from(hex, 'hex'));
  for (const bytes of bad) await client.write(put.text(bytes));
  const [before, after] = ['[null,"1","phoenix","heartbeat",{"a":"', '"}]'].map((text) => Buffer.from(text));
  for (const bytes of bad) await client.write(put.text(Buffer.concat([before, bytes, after])));
  await client.sendJson([null, '9', 'phoenix', 'heartbeat', {}]);
  assert.equal((await client.json())[1], '9');
  assert.equal((await dropped()) - droppedBefore, 2 * bad.length);
  client.destroy();
});
