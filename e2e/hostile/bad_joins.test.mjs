// Join payloads of any JSON. The server always answers, ok or error, and goes on. protocol.md 4.2 to 4.6.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { connect, isReplyTo, V1, V2 } from '../harness/phoenix.mjs';
import { seededRandom } from '../harness/random.mjs';
import { hostileTo } from './witness.mjs';

const server = await startServer();
after(() => server.stop());
const hostile = hostileTo(server);

// Any JSON, but with the names that the server looks for, so that it looks.
const KEYS = [
  ...['config', 'broadcast', 'presence', 'postgres_changes', 'private', 'ack', 'self', 'replication_ready', 'replay', 'since', 'limit'],
  ...['enabled', 'key', 'event', 'schema', 'table', 'filter', 'select', 'id', 'access_token', 'user_token', 'version'],
  ...['', '__proto__', 'é', 'a"b\\'],
];
const SCALARS = [
  ...['true', 'false', 'null', '0', '-0', '1', '-1', '1.5', '1e5', '1E-5', '123456789012345678901234567890', '1e400'],
  ...['""', '" "', '"true"', '"FALSE"', '"*"', '"INSERT"', '"public"', '"id=eq.1"', '"sb_x"', '"a.b.c"', '"%"'],
  ...['"\\u0000"', '"\\ud83d\\ude00"', '"日本"', `"${'x'.repeat(300)}"`],
];

function anyJson(random, depth = 0) {
  if (depth > 5 || random.chance(0.35)) return random.pick(SCALARS);
  const parts = Array.from({ length: random.below(5) }, () => anyJson(random, depth + 1));
  if (random.chance(0.25)) return `[${parts}]`;
  return `{${parts.map((part) => `${JSON.stringify(random.pick(KEYS))}:${part}`)}}`;
}

// A payload of the right shape whose members hold anything.
function nearlyRight(random) {
  const any = () => anyJson(random, 4);
  const broadcast = `{"ack":${any()},"self":${any()},"replay":${any()}}`;
  const changes = `[{"event":${any()},"schema":${any()},"table":${any()},"filter":${any()}}]`;
  const presence = `{"enabled":${any()},"key":${any()}}`;
  return `{"config":{"private":${any()},"broadcast":${broadcast},"presence":${presence},"postgres_changes":${changes}},"version":${any()}}`;
}

// The payload goes out as the text it is.
const envelope = {
  [V1]: (ref, topic, event, payload) => `{"topic":"${topic}","event":"${event}","payload":${payload},"ref":"${ref}","join_ref":"${ref}"}`,
  [V2]: (ref, topic, event, payload) => `["${ref}","${ref}","${topic}","${event}",${payload}]`,
};
const TOPICS = ['', 'a', 'b', 'public:todos', 'public:todos:id=eq.1', ':::', 'é', 'x'.repeat(300)].map((name) => `realtime:${name}`);
const EVENTS = ['broadcast', 'presence', 'access_token', 'unknown', 'heartbeat', 'phx_close', 'phx_reply', 'phx_error', 'system'];

for (const vsn of [V1, V2]) {
  hostile(`each of 1500 random joins on ${vsn} is answered with ok or error`, { growthMiB: 16 }, async (t) => {
    const random = seededRandom(t);
    const client = await connect(server, { vsn });
    const counts = { ok: 0, error: 0 };
    for (let i = 0; i < 1500; i += 1) {
      const ref = client.nextRef();
      const text = envelope[vsn](ref, random.pick(TOPICS), 'phx_join', random.chance(0.5) ? anyJson(random) : nearlyRight(random));
      client.send(text);
      const { payload } = await client.next(isReplyTo(ref), `the answer to ${text}`);
      assert.ok(payload.status in counts, text);
      if (payload.status === 'error') assert.equal(typeof payload.response.reason, 'string', text);
      counts[payload.status] += 1;
      client.inbox.length = 0;
    }
    t.diagnostic(`${counts.ok} ok, ${counts.error} error`);
    assert.ok(counts.ok > 0 && counts.error > 0);
    await client.close();
  });

  hostile(`random payloads of any event on a joined topic of ${vsn} do not end the socket`, { growthMiB: 16 }, async (t) => {
    const random = seededRandom(t);
    const client = await connect(server, { vsn });
    for (let i = 0; i < 100; i += 1) {
      await client.join('realtime:a', { config: { broadcast: { ack: true, self: true } } });
      for (let n = 0; n < 20; n += 1) {
        client.send(envelope[vsn](client.nextRef(), 'realtime:a', random.pick(EVENTS), anyJson(random)));
      }
      await client.heartbeat();
      client.inbox.length = 0;
    }
    await client.close();
  });
}

hostile('a join payload of a hundred thousand brackets is answered or dropped, and the socket lives', { growthMiB: 16 }, async () => {
  const client = await connect(server);
  for (const [open, close] of [['[', ']'], ['{"config":', '}']]) {
    const payload = `${open.repeat(100_000)}null${close.repeat(100_000)}`;
    client.send(envelope[V2](client.nextRef(), 'realtime:deep', 'phx_join', payload));
    client.send(envelope[V2](client.nextRef(), 'realtime:deep', 'phx_join', `{"config":${payload}}`));
    await client.heartbeat();
  }
  await client.close();
});
