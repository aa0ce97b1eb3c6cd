// Unmodified phoenix.js. It sends no config, so its joins are of the legacy kind. protocol.md 4.8 and Appendix C.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Socket } from 'phoenix';
import { WebSocket as WsWebSocket } from 'ws';
import { startServer } from '../harness/server.mjs';
import { PUSH_TIMEOUT_MS, Queue } from './supabase.mjs';

const server = await startServer();
after(() => server.stop());

// phoenix.js itself speaks 2.0.0; for 1.0.0 an application hands it the JSON of old.
const versions = {
  '2.0.0': {},
  '1.0.0': {
    encode: (message, done) => done(JSON.stringify(message)),
    decode: (text, done) => done(JSON.parse(text)),
  },
};
const transports = { 'the native WebSocket': WebSocket, ws: WsWebSocket };

async function join(t, vsn, topic, transport = WebSocket) {
  const options = { params: { apikey: server.token() }, timeout: PUSH_TIMEOUT_MS, transport, vsn, ...versions[vsn] };
  const socket = new Socket(`${server.url.replace('http', 'ws')}/socket`, options);
  t.after(() => new Promise((resolve) => socket.disconnect(resolve)));
  socket.connect();
  const channel = socket.channel(topic, {});
  const broadcasts = new Queue(`a broadcast on ${topic}`);
  const systems = new Queue(`a system message on ${topic}`);
  channel.on('broadcast', (payload) => broadcasts.push(payload));
  channel.on('system', (payload) => systems.push(payload));
  const reply = await answered(channel.join());
  return { socket, channel, broadcasts, systems, reply };
}

const answered = (push) => new Promise((resolve, reject) => {
  push
    .receive('ok', resolve)
    .receive('error', (error) => reject(new Error(JSON.stringify(error))))
    .receive('timeout', () => reject(new Error('no answer')));
});

for (const vsn of Object.keys(versions)) {
  for (const [name, transport] of Object.entries(transports)) {
    test(`phoenix.js on ${vsn} over ${name} joins, is heard and leaves`, async (t) => {
      const topic = `realtime:phoenix-${vsn}-${name}`;
      const [alice, bob] = await Promise.all([join(t, vsn, topic, transport), join(t, vsn, topic, transport)]);
      const [{ id, ...entry }, ...more] = alice.reply.postgres_changes;
      assert.deepEqual([entry, more], [{ schema: `phoenix-${vsn}-${name}` }, []], 'the subscription that a legacy join implies');
      assert.ok(Number.isSafeInteger(id) && id > 0);
      const { extension, status } = await alice.systems.next();
      assert.deepEqual({ extension, status }, { extension: 'postgres_changes', status: 'error' }, 'the tenant has no database');

      for (let n = 0; n < 20; n += 1) {
        alice.channel.push('broadcast', { n, text: 'grüße 👋' });
        assert.deepEqual(await bob.broadcasts.next(), { n, text: 'grüße 👋' });
        bob.channel.push('broadcast', { n });
        assert.deepEqual(await alice.broadcasts.next(), { n }, 'what bob said, not what alice said herself');
      }

      // On 1.0.0 phoenix.js cannot tell the close of this channel from one of the next, so it has to come before that.
      const closed = new Promise((resolve) => bob.socket.onMessage(({ event }) => event === 'phx_close' && resolve()));
      assert.deepEqual(await answered(bob.channel.leave()), {});
      await closed;
      assert.equal(bob.channel.state, 'closed');
      // In 1.0.0 a close names no join, so phoenix.js takes the old channel's for the new one's when it joins again at once.
      if (vsn === '1.0.0') return;
      const again = bob.socket.channel(topic, {});
      await answered(again.join());
      again.on('broadcast', (payload) => bob.broadcasts.push(payload));
      alice.channel.push('broadcast', { after: 'the second join' });
      assert.deepEqual(await bob.broadcasts.next(), { after: 'the second join' });
    });
  }
}

test('bytes that phoenix.js pushes reach members on 2.0.0 as they were, and members on 1.0.0 not at all', async (t) => {
  const topic = 'realtime:phoenix-bytes';
  const [alice, bob, old] = await Promise.all([join(t, '2.0.0', topic), join(t, '2.0.0', topic), join(t, '1.0.0', topic)]);
  for (const length of [0, 1, 256, 70_000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7);
    alice.channel.push('broadcast', bytes.buffer);
    const payload = await bob.broadcasts.next();
    assert.ok(payload instanceof ArrayBuffer);
    assert.deepEqual(new Uint8Array(payload), bytes);
  }
  alice.channel.push('broadcast', { marker: true });
  assert.deepEqual(await old.broadcasts.next(), { marker: true });
});

test('a join of a topic that is no realtime topic is refused', async (t) => {
  const { socket } = await join(t, '2.0.0', 'realtime:any');
  await assert.rejects(answered(socket.channel('room:1', {}).join()), { message: '{"reason":"unmatched topic"}' });
});
