// Rates of a tenant: how many joins and events it may have each second on average, and what happens above. protocol.md 9
//
// A rate is judged every five seconds, so these tests wait for that, side by side.
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { assertFrame, connect } from '../harness/phoenix.mjs';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { startServer, until } from '../harness/server.mjs';
import { socketPath } from '../ws-conformance/raw_client.mjs';

const PATIENCE_MS = 40_000;
const OTHER = { headers: { host: 'other.rt.example.test' } };
const numbers = (count) => Array.from({ length: count }, (_, n) => n);

async function start(env, columns) {
  const server = await startServer({ workers: 2, env, otherTenants: { other: { columns } } });
  after(async () => assert.equal(await server.stop(), 0));
  return server;
}

const triggers = async (server, rate) => (await server.metrics()).value('realtime_rate_limit_triggers_total', { rate });
const over = async (server, rate) => (await server.metrics()).value('realtime_tenants_over_rate', { rate });
const linesOf = (server, code) => server.log.split('\n').filter((line) => line.includes(code)).length;

suite('rates', { concurrency: true }, () => {
  test('above the event rate a channel that receives a broadcast gets it and is closed; the socket stays, and it ends [P-217] [P-218] [P-219] [P-220] [E-008] [E-010]', async () => {
    const LIMIT = 10;
    const TOPIC = 'realtime:busy';
    const server = await start({ TENANT_MAX_EVENTS_PER_SECOND: LIMIT }, { max_events_per_second: LIMIT });
    const sender = await connect(server);
    await sender.join(TOPIC, { config: { broadcast: { ack: true } } });
    const receivers = await Promise.all(numbers(4).map(() => connect(server)));
    for (const receiver of receivers) await receiver.join(TOPIC);
    const quiet = await Promise.all([connect(server, OTHER), connect(server, OTHER)]);
    for (const client of quiet) await client.join(TOPIC);

    const tick = async (from) => assert.equal((await from.request(TOPIC, 'broadcast', { event: 'tick' })).payload.status, 'ok');
    // Each broadcast counts for itself and for each delivery. Nothing happens between two ticks, however large the burst.
    const BURST = 40;
    for (const _ of numbers(BURST)) await tick(sender);
    for (const receiver of receivers) for (const _ of numbers(BURST)) assert.equal((await receiver.next()).event, 'broadcast');
    await until(async () => (await triggers(server, 'events')) === 1, 'the rate to be reached', PATIENCE_MS);

    await tick(sender);
    for (const receiver of receivers) {
      const joinRef = receiver.joinRefs.get(TOPIC);
      assertFrame(await receiver.next(), { topic: TOPIC, event: 'broadcast', payload: { event: 'tick' } });
      assertFrame(await receiver.next(), {
        joinRef,
        ref: null,
        topic: TOPIC,
        event: 'system',
        payload: { extension: 'system', status: 'error', message: 'Too many messages per second', channel: 'busy' },
      });
      assertFrame(await receiver.next(), { joinRef, ref: joinRef, topic: TOPIC, event: 'phx_close' });
      assert.equal((await receiver.request('phoenix', 'heartbeat')).payload.status, 'ok');
    }
    // The sender heard nothing but its answers; joins are not affected; another tenant is not either.
    await tick(sender);
    assert.deepEqual(sender.inbox, []);
    for (const receiver of receivers) await receiver.join(TOPIC);
    quiet[0].push(TOPIC, 'broadcast', { event: 'tick' });
    assert.equal((await quiet[1].next()).event, 'broadcast');
    await quiet[1].expectQuiet();
    assert.equal(linesOf(server, 'MessagePerSecondRateLimitReached'), 1, 'one line each time the rate is reached');
    assert.equal((await server.metrics()).value('realtime_channels_over_event_rate_total'), receivers.length);

    // With the burst behind it the average falls.
    await until(async () => (await over(server, 'events')) === 0, 'the average to fall', PATIENCE_MS);
    await tick(sender);
    for (const receiver of receivers) {
      assert.equal((await receiver.next()).event, 'broadcast');
      await receiver.expectQuietAndJoined(TOPIC);
    }
  });

  test('above the join rate joins are refused and their sockets closed, connections get 429, and it ends [P-026] [P-109] [E-001] [E-003] [E-008]', async () => {
    const LIMIT = 2;
    const server = await start({ TENANT_MAX_JOINS_PER_SECOND: LIMIT }, { max_joins_per_second: LIMIT });
    const client = await connect(server);
    const early = await connect(server);
    for (const n of numbers(LIMIT * 10)) await client.join(`realtime:${n}`);
    await until(async () => (await triggers(server, 'joins')) === 1, 'the rate to be reached', PATIENCE_MS);

    const refused = await early.tryJoin('realtime:late');
    assert.deepEqual(refused.payload, { status: 'error', response: { reason: 'ClientJoinRateLimitReached: Too many joins per second' } });
    assert.equal((await early.waitForClose()).code, 1001);
    const handshake = () => request(server, { path: socketPath(server), headers: upgradeHeaders() });
    const answer = await handshake();
    assert.equal(answer.status, 429);
    assert.deepEqual(JSON.parse(answer.body), { error: 'Too many joins per second' });
    // Who has joined goes on, and another tenant joins as it likes.
    assert.equal((await client.request('phoenix', 'heartbeat')).payload.status, 'ok');
    await (await connect(server, OTHER)).join('realtime:other');
    assert.equal(linesOf(server, 'ClientJoinRateLimitReached'), 1, 'one line each time the rate is reached');

    await until(async () => (await handshake()).status === 101, 'connections to be taken again', PATIENCE_MS);
    await (await connect(server)).join('realtime:late');
  });

  test('a tenant that is full refuses handshakes and first joins, members join on, and who leaves makes room [P-025] [P-107] [E-001] [E-002]', async () => {
    const server = await start({ TENANT_MAX_CONCURRENT_USERS: 1 }, {});
    const [member, late] = [await connect(server), await connect(server)];
    await member.join('realtime:a');
    const refused = await late.tryJoin('realtime:a');
    assert.deepEqual(refused.payload, { status: 'error', response: { reason: 'ConnectionRateLimitReached: Too many connected users' } });
    await member.join('realtime:b');
    const handshake = () => request(server, { path: socketPath(server), headers: upgradeHeaders() });
    const answer = await handshake();
    assert.equal(answer.status, 429);
    assert.deepEqual(JSON.parse(answer.body), { error: 'Too many connected users' });
    await (await connect(server, OTHER)).join('realtime:a');
    member.socket.terminate();
    await until(async () => (await late.tryJoin('realtime:a')).payload.status === 'ok', 'the member to be forgotten');
  });

  test('bytes per second are not limited [P-221]', async () => {
    const server = await start({ TENANT_MAX_BYTES_PER_SECOND: 1 }, {});
    const [sender, receiver] = [await connect(server), await connect(server)];
    for (const client of [sender, receiver]) await client.join('realtime:bulk');
    for (const n of numbers(20)) sender.broadcast('realtime:bulk', 'tick', { n, filling: 'x'.repeat(50_000) });
    for (const n of numbers(20)) assert.equal((await receiver.next()).payload.payload.n, n);
    await receiver.expectQuietAndJoined('realtime:bulk');
  });

  test('a limit of 0 allows nothing from the beginning', async () => {
    const server = await start({ TENANT_MAX_JOINS_PER_SECOND: 0 }, {});
    const answer = await request(server, { path: socketPath(server), headers: upgradeHeaders() });
    assert.equal(answer.status, 429);
  });

  test('above the presence rate channels that track or join with presence are closed, and it ends [P-171] [E-011]', async () => {
    const LIMIT = 2;
    const TOPIC = 'realtime:crowd';
    const ENABLED = { config: { presence: { enabled: true } } };
    const MESSAGE = 'Too many presence messages per second';
    const server = await start({ TENANT_MAX_PRESENCE_EVENTS_PER_SECOND: LIMIT, CLIENT_PRESENCE_MAX_CALLS: 1000 });
    const clients = await Promise.all(numbers(3).map(() => connect(server)));
    const track = (client, n) => client.request(TOPIC, 'presence', { event: 'track', payload: { n } });
    for (const client of clients) await client.join(TOPIC, ENABLED);
    // A state, then a track and its diff to three members, each counts.
    for (const n of numbers(20)) assert.equal((await track(clients[0], n)).payload.status, 'ok');
    await until(async () => (await triggers(server, 'presence_events')) === 1, 'the rate to be reached', PATIENCE_MS);

    clients[0].push(TOPIC, 'presence', { event: 'track', payload: {} });
    assert.equal((await clients[0].next((frame) => frame.event === 'system')).payload.message, MESSAGE);
    const late = await connect(server);
    await late.join(TOPIC, ENABLED);
    await late.expectShutdown(TOPIC, MESSAGE);
    // Who only listens, and who untracks, is not concerned.
    await late.join(TOPIC, { config: {} });
    assert.equal((await clients[1].request(TOPIC, 'presence', { event: 'untrack' })).payload.status, 'ok');
    assert.equal(linesOf(server, 'PresenceRateLimitReached: Too many presence events per second'), 1, 'one line each time the rate is reached');
    const metrics = await server.metrics();
    assert.equal(metrics.value('realtime_presence_channels_closed_total', { reason: 'tenant_rate' }), 2);

    await until(async () => (await over(server, 'presence_events')) === 0, 'the average to fall', PATIENCE_MS);
    assert.equal((await track(late, 1)).payload.status, 'ok');
  });
});
