// Clients that get no WebSocket: sessions over GET and POST. protocol.md 1.10

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, suite, test } from 'node:test';
import { LINES, connectLongPoll, longPoll } from '../harness/long_poll.mjs';
import {
  V1, V2, assertError, assertFrame, bothVersions, connect, encodePush, encodeUserBroadcast, isReplyTo,
} from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

const OK = { status: 'ok', response: {} };
const SELF = { config: { broadcast: { self: true } } };
const OTHER = { headers: { host: 'other.rt.example.test' } };
const OTHER_SECRET = 'the secret of the other tenant';

let server; // whose sessions may be anywhere
let hasty; // whose polls do not wait for long
let strict; // where refusals come late and little is allowed
before(async () => {
  [server, hasty, strict] = await Promise.all([
    startServer({ workers: 2, otherTenants: { other: { secret: OTHER_SECRET }, asleep: { columns: { suspend: 1 } } } }),
    startServer({ workers: 2, env: { LONG_POLL_WINDOW_MS: 200 } }),
    startServer({
      env: {
        CONNECT_ERROR_BACKOFF_MS: 300, CHANNEL_ERROR_BACKOFF_MS: 700, SEND_QUEUE_BYTES_MAX: 5_000_000,
        WEBSOCKET_MAX_HEAP_SIZE: 10_000,
      },
    }),
  ]);
});
after(() => Promise.all([server, hasty, strict].map(async (each) => assert.equal(await each.stop(), 0))));

const open = async (on, options = {}) => {
  const answer = await longPoll(on, { ...options, params: { vsn: V2, apikey: on.token(), ...options.params } });
  return answer.json;
};
const poll = (on, token, options = {}) => longPoll(on, { ...options, params: { token } });
const post = (on, token, body, type = LINES, options = {}) =>
  longPoll(on, { ...options, method: 'POST', params: { token }, headers: { ...options.headers, 'content-type': type }, body });
// A poll that the session has: the request before it on its connection has been answered. For servers with one worker.
async function waitingPoll(on, token) {
  const socket = net.connect(on.port, on.host);
  const get = (target) => `GET ${target} HTTP/1.1\r\nhost: rt.example.test\r\n\r\n`;
  socket.write(get('/healthcheck') + get(`/socket/longpoll?token=${token}`));
  let text = '';
  const heard = (what) => until(() => what.test(text), `${what}`);
  socket.on('data', (data) => { text += data; }).on('error', () => {});
  await heard(/\r\n\r\nok/);
  text = '';
  return {
    destroy: () => socket.destroy(),
    answer: async () => {
      await heard(/\r\n\r\n\{.*\}$/s);
      return { json: JSON.parse(text.slice(text.indexOf('\r\n\r\n'))) };
    },
  };
}
const heartbeat = (ref) => JSON.stringify([null, ref, 'phoenix', 'heartbeat', {}]);
const heartbeatReply = (ref) => JSON.stringify([null, ref, 'phoenix', 'phx_reply', { status: 'ok', response: {} }]);
const sessions = async (on) => (await on.metrics()).value('realtime_long_poll_sessions');

suite('a session', () => {
  test('is opened by a GET, whose answer says 410 and names it, wherever the server is mounted', async () => {
    for (const path of ['/socket/longpoll', '/socket/longpoll/', '/realtime/v1/longpoll']) {
      const { status, headers, json } = await longPoll(server, { path, params: { vsn: V2, apikey: server.token() } });
      assert.equal(status, 200);
      assert.match(headers['content-type'], /^application\/json/);
      assert.deepEqual({ ...json, token: '' }, { status: 410, token: '', messages: [] });
      assert.match(json.token, /^[0-9a-f]{34}$/);
    }
    assert.equal((await longPoll(server, { path: '/longpoll' })).status, 404);
  });

  bothVersions('lives like one on a WebSocket: joins, is heard, hears, leaves', async (vsn) => {
    const [alice, bob] = [await connectLongPoll(server, { vsn }), await connect(server, { vsn })];
    const topic = `realtime:one of each ${vsn}`;
    assertFrame(await alice.join(topic, undefined, { ref: '2', joinRef: '1' }), { joinRef: '1', ref: '2', topic });
    await bob.join(topic);
    for (let n = 0; n < 20; n += 1) {
      alice.broadcast(topic, 'grüße 👋', { n });
      assert.deepEqual((await bob.next()).payload, { type: 'broadcast', event: 'grüße 👋', payload: { n } });
      bob.broadcast(topic, '"quoted"\n', { n });
      assert.deepEqual((await alice.next()).payload, { type: 'broadcast', event: '"quoted"\n', payload: { n } });
    }
    assertFrame(await alice.heartbeat(), { payload: OK });
    assertFrame(await alice.request(topic, 'phx_leave', {}, { ref: '9', joinRef: '1' }), { joinRef: '1', ref: '9', payload: OK });
    assertFrame(await alice.next(), { joinRef: '1', ref: '1', topic, event: 'phx_close', payload: {} });
    assertError(await alice.request(topic, 'broadcast'), 'unmatched topic');
    assertError(await alice.tryJoin('room:1'), 'unmatched topic');
  });

  bothVersions('gets every message of a flood, in order', async (vsn) => {
    const [reader, writer] = [await connectLongPoll(server, { vsn }), await connectLongPoll(server, { vsn })];
    const topic = `realtime:flood ${vsn}`;
    await reader.join(topic);
    await writer.join(topic);
    const padding = 'x'.repeat(500);
    const frames = Array.from({ length: 3000 }, (_, n) =>
      JSON.stringify(vsn === V1
        ? { topic, event: 'broadcast', payload: { n, padding }, ref: null }
        : [null, null, topic, 'broadcast', { n, padding }]));
    for (let at = 0; at < frames.length; at += 1000) {
      assert.deepEqual((await writer.socket.post(frames.slice(at, at + 1000).join('\n'))).json, { status: 200 });
    }
    for (let n = 0; n < frames.length; n += 1) assert.equal((await reader.next()).payload.n, n);
  });

  test('may be named by a header instead of the query', async () => {
    const { token } = await open(server);
    const headers = { 'x-phoenix-longpoll-token': token };
    const posted = await longPoll(server, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: heartbeat('1') });
    assert.deepEqual(posted.json, { status: 200 });
    assert.deepEqual((await longPoll(server, { headers })).json, { status: 200, token, messages: [heartbeatReply('1')] });
  });

  test('is found from every worker, over connections that are new each time', async () => {
    const { token } = await open(server);
    for (let n = 0; n < 16; n += 1) {
      const alone = { headers: { connection: 'close' } };
      assert.deepEqual((await post(server, token, heartbeat(`${n}`), LINES, alone)).json, { status: 200 });
      assert.deepEqual((await poll(server, token, alone)).json.messages, [heartbeatReply(`${n}`)]);
    }
  });

  test('counts as a user and as joins over long-poll', async (t) => {
    const counted = await startServer({ env: { TENANT_MAX_CONCURRENT_USERS: 1 } });
    t.after(() => counted.stop());
    const client = await connectLongPoll(counted);
    await client.join('realtime:a');
    await client.tryJoin('realtime:');
    const metrics = await counted.metrics();
    for (const result of ['ok', 'error']) {
      assert.equal(metrics.value('phoenix_channel_joined_total', { transport: 'longpoll', result }), 1);
      assert.equal(metrics.value('phoenix_channel_joined_total', { transport: 'websocket', result }), 0);
    }
    assert.equal(metrics.value('realtime_connections_global_connected'), 1);
    assert.equal(metrics.value('realtime_long_poll_sessions'), 1);
    assert.deepEqual(await open(counted), { status: 403, error: 'Too many connected users' });
  });
});

suite('on a topic with both kinds of clients and both versions', () => {
  test('each gets what its version and its transport can carry', async () => {
    const topic = 'realtime:mixed';
    const [ws1, ws2, lp1, lp2] = await Promise.all([
      connect(server, { vsn: V1 }), connect(server), connectLongPoll(server, { vsn: V1 }), connectLongPoll(server),
    ]);
    const all = [ws1, ws2, lp1, lp2];
    for (const client of all) await client.join(topic, SELF);
    const dropped = async (reason) => (await server.metrics()).value('realtime_dropped_total', { reason });
    const before = { text_only: await dropped('text_only'), frame_limit: await dropped('frame_limit') };

    for (const sender of all) {
      sender.broadcast(topic, 'text', { of: 1.50 });
      for (const client of all) assert.deepEqual((await client.next()).payload, { type: 'broadcast', event: 'text', payload: { of: 1.5 } });
    }
    // Binary frames; a long-poll client posts them in base64.
    for (const sender of [ws2, lp2]) {
      sender.send(encodeUserBroadcast({ topic, event: 'cursor', payload: '{"x":10.0}' }));
      for (const client of [ws1, lp1, lp2]) {
        const frame = await client.next();
        assert.deepEqual(frame.payload, { type: 'broadcast', event: 'cursor', payload: { x: 10 } });
        assert.match(frame.raw.toString(), /\{"x":10\.0\}/, 'letter by letter');
      }
      const { kind, userEvent, payload } = await ws2.next();
      assert.deepEqual([kind, userEvent, payload.toString()], [4, 'cursor', '{"x":10.0}']);

      sender.send(encodeUserBroadcast({ topic, event: 'blob', encoding: 0, payload: [0xde, 0xad] }));
      assert.deepEqual([...(await ws2.next()).payload], [0xde, 0xad]);
      sender.send(encodePush({ topic, event: 'broadcast', payload: [0xbe, 0xef] }));
      const raw = await ws2.next();
      assert.deepEqual([raw.kind, [...raw.payload]], [2, [0xbe, 0xef]]);
    }
    ws1.broadcast(topic, 'marker');
    for (const client of all) assert.equal((await client.next()).payload.event, 'marker', 'bytes reach nobody who can only be sent text');
    assert.equal((await dropped('text_only')) - before.text_only, 4, 'two frames of bytes of two senders, for one client on version 2');
    assert.equal(await dropped('frame_limit'), before.frame_limit);
  });

  test('a REST broadcast reaches long-poll clients, too', async () => {
    const topic = 'from rest';
    const clients = [await connectLongPoll(server, { vsn: V1 }), await connectLongPoll(server)];
    for (const client of clients) await client.join(`realtime:${topic}`);
    const headers = { apikey: server.token(), 'content-type': 'application/json' };
    const sent = await fetch(`${server.url}/api/broadcast/${encodeURIComponent(topic)}/events/hi`, { method: 'POST', headers, body: '{"n":1}' });
    assert.equal(sent.status, 202);
    for (const client of clients) assert.deepEqual((await client.next()).payload, { type: 'broadcast', event: 'hi', payload: { n: 1 } });
  });
});

suite('a poll', () => {
  test('is answered as soon as there is something, with all that there is', async () => {
    const { token } = await open(server);
    const waiting = poll(server, token);
    await post(server, token, [1, 2, 3].map((n) => heartbeat(`${n}`)).join('\n'));
    assert.deepEqual((await waiting).json, { status: 200, token, messages: ['1', '2', '3'].map(heartbeatReply) });
  });

  test('waits for a while and then says that there is nothing', async () => {
    const { token } = await open(hasty);
    for (let n = 0; n < 3; n += 1) {
      const { json, elapsed } = await poll(hasty, token);
      assert.deepEqual(json, { status: 204, token, messages: [] });
      assert.ok(elapsed >= 200, `${elapsed} ms`);
    }
  });

  test('waits for ten seconds by default', async () => {
    const { token } = await open(server);
    const { json, elapsed } = await poll(server, token);
    assert.equal(json.status, 204);
    assert.ok(elapsed >= 10_000, `${elapsed} ms`);
  });

  test('takes the place of an older one, which is answered at once', async () => {
    const { token } = await open(server);
    const older = poll(server, token);
    const newer = poll(server, token, { headers: { connection: 'close' } });
    const first = await Promise.race([older.then((answer) => ({ answer, who: 'older' })), newer.then((answer) => ({ answer, who: 'newer' }))]);
    assert.equal(first.answer.json.status, 204, 'one of them has to go');
    assert.ok(first.answer.elapsed < 9_000);
    await post(server, token, heartbeat('1'));
    const { json } = await (first.who === 'older' ? newer : older);
    assert.deepEqual(json.messages, [heartbeatReply('1')], 'the other one gets what there is');
  });

  test('whose client has gone is forgotten when the next one comes', async () => {
    const { token } = await open(strict);
    await waitingPoll(strict, token).then((gone) => gone.destroy());
    const next = await waitingPoll(strict, token);
    await post(strict, token, heartbeat('1'));
    assert.deepEqual((await next.answer()).json, { status: 200, token, messages: [heartbeatReply('1')] });
    next.destroy();
  });

  for (const workers of [1, 2]) {
    test(`whose client has gone takes nothing: what comes waits for the next one, with ${workers} workers`, async (t) => {
      const patient = await startServer({ workers });
      t.after(() => patient.stop());
      const abandoned = async () => (await patient.metrics()).value('realtime_long_polls_abandoned_total');
      const { token } = await open(patient);
      for (let n = 1; n <= 4; n += 1) { // at whichever worker the connection is
        await waitingPoll(patient, token).then((gone) => gone.destroy());
        await until(async () => (await abandoned()) === n, 'the end to be noticed');
        await post(patient, token, heartbeat(`${n}`));
        assert.deepEqual((await poll(patient, token)).json, { status: 200, token, messages: [heartbeatReply(`${n}`)] });
      }
    });
  }

  test('is answered even if what it waits for is more than the worker has room for', async (t) => {
    const full = await startServer({ env: { WORKER_SEND_QUEUE_BYTES_MAX: 5_000_000, LONG_POLL_WINDOW_MS: 60_000 } });
    t.after(() => full.stop());
    const [hoarder, waiting, writer] = [await open(full), await open(full), await connect(full)];
    await post(full, waiting.token, JSON.stringify(['1', '1', 'realtime:room', 'phx_join', {}]));
    assert.equal((await poll(full, waiting.token)).json.status, 200);
    await writer.join('realtime:room');
    const large = JSON.stringify([null, 'r'.repeat(2_400_000), 'phoenix', 'heartbeat', {}]);
    for (let n = 0; n < 2; n += 1) assert.deepEqual((await post(full, hoarder.token, large)).json, { status: 200 });
    const answer = await waitingPoll(full, waiting.token);
    writer.broadcast('realtime:room', 'large', { text: 'x'.repeat(300_000) });
    const { json } = await answer.answer();
    assert.deepEqual([json.status, json.messages.length], [200, 1]);
    answer.destroy();
    assert.equal((await full.metrics()).value('realtime_slow_consumers_total', { cause: 'worker_cap' }), 1, 'the other one made room');
  });

  test('takes a large message, and a queue that is larger than one answer in several', async () => {
    const { token } = await open(server);
    const texts = [700_000, 10, 200_000, 200_000, 5].map((length, n) => `${n}${'y'.repeat(length)}`);
    const frame = (event, payload) => JSON.stringify(['1', '1', 'realtime:large', event, payload]);
    await post(server, token, [frame('phx_join', SELF), ...texts.map((text) => frame('broadcast', { text }))].join('\n'));
    const got = [];
    let polls = 0;
    for (; got.length < texts.length; polls += 1) {
      const { json } = await poll(server, token);
      for (const [, , , event, payload] of json.messages.map((text) => JSON.parse(text))) if (event === 'broadcast') got.push(payload.text);
    }
    assert.deepEqual(got, texts);
    assert.ok(polls > 1);
  });
});

suite('the end of a session', () => {
  test('comes when it is not polled, whatever is posted; then others have room and posts are told', async () => {
    await until(async () => (await sessions(hasty)) === 0, 'earlier sessions to end');
    const unfetched = async () => (await hasty.metrics()).value('realtime_dropped_total', { reason: 'unfetched' });
    const before = await unfetched();
    const { token } = await open(hasty);
    const started = performance.now();
    await post(hasty, token, JSON.stringify(['1', '1', 'realtime:idle', 'phx_join', {}]));
    assert.equal((await hasty.metrics()).value('realtime_connections_global_connected'), 1);
    await until(async () => (await post(hasty, token, heartbeat('1'))).json.status === 410, 'the end');
    assert.ok(performance.now() - started >= 300, 'half as long again as a poll waits');
    const metrics = await hasty.metrics();
    for (const name of ['realtime_long_poll_sessions', 'realtime_connections_global_connected', 'realtime_worker_channels']) {
      assert.equal(metrics.value(name), 0, name);
    }
    assert.ok((await unfetched()) >= before + 2, 'the replies that nobody asked for');
  });

  test('comes early to one that nobody ever polled', async () => {
    const [never, once] = [await open(server), await open(server)];
    await post(server, once.token, heartbeat('1'));
    assert.equal((await poll(server, once.token)).json.status, 200);
    await until(async () => (await post(server, never.token, heartbeat('1'))).json.status === 410, 'the end');
    assert.deepEqual((await post(server, once.token, heartbeat('2'))).json, { status: 200 });
  });

  test('does not come to a session that is polled', async () => {
    const client = await connectLongPoll(hasty);
    await client.join('realtime:polled');
    for (let n = 0; n < 5; n += 1) assert.equal((await client.socket.poll()).token, client.socket.token);
    await client.heartbeat();
    client.socket.end();
  });

  test('leaves a token that opens another session when it is polled, as any unknown one does', async () => {
    for (const token of ['', 'null', 'f'.repeat(34), '0'.repeat(34), '00'.repeat(17), '<script>', 'x'.repeat(1000)]) {
      const opened = await open(server, { params: { token } });
      assert.equal(opened.status, 410);
      assert.notEqual(opened.token, token);
      assert.deepEqual((await post(server, token, heartbeat('1'))).json, { status: 410 });
    }
    assert.deepEqual((await longPoll(server, { method: 'POST' })).json, { status: 410 });
  });

  test('leaves a token that does not say where the next session is', async () => {
    const asked = Array.from({ length: 16 }, () => open(server, { params: { token: '00'.repeat(17) } }));
    const workers = new Set((await Promise.all(asked)).map(({ token }) => token.slice(0, 2)));
    assert.deepEqual([...workers].sort(), ['00', '01']);
  });

  test('is told to a client that a tenant-wide disconnect ends, after the farewell of each channel', async (t) => {
    const admin = await startServer({ workers: 2 });
    t.after(() => admin.stop());
    const waiting = await connectLongPoll(admin);
    const late = await connectLongPoll(admin, { vsn: V1, polls: false });
    const topics = ['realtime:a', 'realtime:b'];
    for (const topic of topics) await waiting.join(topic);
    for (const topic of topics) late.push(topic, 'phx_join', {});
    await late.socket.posted;
    assert.equal((await late.socket.poll()).status, 200);
    late.inbox.length = 0;

    const reload = await fetch(`${admin.url}/api/tenants/dev/reload`, {
      method: 'POST', headers: { authorization: `Bearer ${admin.token({ role: 'service_role' })}` },
    });
    assert.equal(reload.status, 204);
    await waiting.waitForClose();
    assert.deepEqual((await post(admin, late.socket.token, heartbeat('1'))).json, { status: 410 });
    assert.equal((await late.socket.poll()).status, 200, 'what it was told at last is still there');
    const farewell = { extension: 'system', status: 'ok', message: 'Server requested disconnect' };
    for (const client of [waiting, late]) {
      assert.deepEqual(client.inbox.map(({ topic }) => topic).sort(), topics);
      for (const frame of client.inbox) assertFrame(frame, { event: 'system', payload: farewell });
    }
    const again = await late.socket.poll();
    assert.equal(again.status, 410);
    assert.notEqual(again.token, late.socket.token);
  });

  test('comes when the node stops, after the refusals that still wait', async (t) => {
    const stopping = await startServer({ workers: 2, env: { CHANNEL_ERROR_BACKOFF_MS: 60_000, DRAIN_DELAY_MS: 100 } });
    t.after(() => stopping.stop());
    const [client, bystander] = [await connectLongPoll(stopping), await connectLongPoll(stopping)];
    const ref = client.push('realtime:', 'phx_join');
    await client.heartbeat();
    stopping.signal('SIGTERM');
    assertError(await client.next(isReplyTo(ref)), 'TopicNameRequired: You must provide a topic name');
    await Promise.all([client.waitForClose(), bystander.waitForClose()]);
    assert.equal(await stopping.exited, 0);
  });

  test('comes to a session without channels at the next sweep', async (t) => {
    const sweeping = await startServer({ env: { NO_CHANNEL_TIMEOUT_IN_MS: 50 } });
    t.after(() => sweeping.stop());
    const [member, abandoned, fresh] = await Promise.all([1, 2, 3].map(() => connectLongPoll(sweeping)));
    for (const client of [member, abandoned]) await client.join('realtime:a');
    await abandoned.request('realtime:a', 'phx_leave');
    await abandoned.waitForClose();
    for (const client of [member, fresh]) await client.heartbeat();
  });

  test('comes when a tenant joins too often, after the answer', async (t) => {
    const slow = await startServer({ env: { TENANT_MAX_JOINS_PER_SECOND: 1 } });
    t.after(() => slow.stop());
    const client = await connectLongPoll(slow);
    for (let n = 0; n < 200; n += 1) client.push(`realtime:${n}`, 'phx_join', {});
    await until(async () => {
      client.push('realtime:again', 'phx_join', {});
      return client.socket.readyState === 3;
    }, 'the rate to be noticed', 20_000);
    assertError(client.inbox.findLast((frame) => frame.event === 'phx_reply'), 'ClientJoinRateLimitReached: Too many joins per second');
  });

  test('comes to a session whose channels hold too much, without a word', async () => {
    const client = await connectLongPoll(strict);
    const before = (await strict.metrics()).value('realtime_memory_limit_cuts_total');
    await client.join('realtime:small');
    client.push(`realtime:${'x'.repeat(20_000)}`, 'phx_join', {});
    await client.waitForClose();
    assert.deepEqual(client.inbox, []);
    assert.equal((await strict.metrics()).value('realtime_memory_limit_cuts_total'), before + 1);
  });

  test('comes to a client that does not fetch what waits for it; the others get everything', async () => {
    const [slow, reader] = [await connectLongPoll(strict, { polls: false }), await connectLongPoll(strict)];
    const writer = await connect(strict);
    slow.push('realtime:slow', 'phx_join', {});
    await slow.socket.posted;
    await slow.socket.poll();
    for (const client of [reader, writer]) await client.join('realtime:slow');
    const slowOnes = async () => (await strict.metrics()).value('realtime_slow_consumers_total', { cause: 'queue' });
    const before = await slowOnes();
    const text = 'x'.repeat(1_000_000);
    for (let n = 0; n < 7; n += 1) {
      writer.broadcast('realtime:slow', 'large', { n, text });
      assert.equal((await reader.next()).payload.payload.n, n);
    }
    assert.equal(await slowOnes(), before + 1);
    assert.ok((await strict.metrics()).value('realtime_dropped_total', { reason: 'slow_consumer' }) >= 5);
    assert.deepEqual((await post(strict, slow.socket.token, heartbeat('1'))).json, { status: 410 });
    await reader.heartbeat();
  });
});

suite('a client that may not connect', () => {
  test('is refused with 403 in the body and the reason of a handshake', async () => {
    const cases = [
      [{ params: { apikey: 'no token' } }, 'The token provided is not a valid JWT'],
      [{ params: { apikey: server.token({}, { secret: 'x'.repeat(32) }) } }, 'Failed to validate JWT signature'],
      [{ params: { apikey: server.token({ exp: 1 }) } }, 'Token has expired'],
      [{ headers: { 'x-api-key': '' } }, 'The token provided is not a valid JWT'],
      [{ headers: { host: 'asleep.rt.example.test' } }, 'Realtime was disabled for this tenant'],
      [{ params: { vsn: '3.0.0' } }, 'vsn must be 1.0.x or 2.0.x'],
    ];
    for (const [options, error] of cases) assert.deepEqual(await open(server, options), { status: 403, error });
    assert.deepEqual((await longPoll(server)).json, { status: 403, error: 'API key is missing' });
    assert.equal((await open(server, { params: { apikey: 'no token' }, headers: { 'x-api-key': server.token() } })).status, 410);
  });

  test('is told of an unknown tenant', async (t) => {
    const known = await startServer({ defaultTenant: null });
    t.after(() => known.stop());
    assert.deepEqual(await open(known, { headers: { host: 'nobody.rt.example.test' } }), { status: 403, error: 'Tenant not found' });
    assert.equal((await open(known, { headers: { host: 'dev.rt.example.test' } })).status, 410);
  });

  test('waits for the back-off, but not where the version is wrong', async () => {
    const refused = await longPoll(strict, { params: { vsn: V2, apikey: 'no token' } });
    assert.equal(refused.json.status, 403);
    assert.ok(refused.elapsed >= 300, `${refused.elapsed} ms`);
    const opened = performance.now();
    await open(strict, { params: { vsn: '9.9.9' } });
    assert.ok(performance.now() - opened < 300);
  });

  test('is refused where there are too many sessions already', async (t) => {
    const small = await startServer({ workers: 2, env: { MAX_CONNECTIONS: 12 }, otherTenants: { other: { secret: OTHER_SECRET } } });
    t.after(() => small.stop());
    const refusal = { status: 403, error: 'Too many long-poll sessions on this server' };
    const openOther = () => open(small, { ...OTHER, params: { apikey: small.token({}, { secret: OTHER_SECRET }) } });
    for (let n = 0; n < 6; n += 1) assert.equal((await open(small)).status, 410);
    assert.deepEqual(await open(small), refusal, 'no tenant takes more than it leaves to others');
    for (let n = 0; n < 3; n += 1) assert.equal((await openOther()).status, 410);
    assert.deepEqual(await openOther(), refusal);
    const metrics = await small.metrics();
    assert.equal(metrics.value('realtime_long_poll_refused_total', { reason: 'sessions' }), 2);
    assert.equal(metrics.value('realtime_long_poll_sessions'), 9);
  });

  test('cannot use the session of another tenant', async () => {
    const mine = await open(server);
    const theirs = await open(server, { ...OTHER, params: { apikey: server.token({}, { secret: OTHER_SECRET }) } });
    assert.equal(theirs.status, 410);
    await post(server, mine.token, heartbeat('mine'));
    assert.deepEqual((await post(server, mine.token, heartbeat('1'), LINES, OTHER)).json, { status: 410 });
    assert.deepEqual((await poll(server, mine.token, OTHER)).json, { status: 403, error: 'API key is missing' });
    assert.deepEqual((await post(server, theirs.token, heartbeat('1'))).json, { status: 410 });
    assert.deepEqual((await poll(server, mine.token)).json.messages, [heartbeatReply('mine')], 'untouched');
  });
});

suite('what is posted', () => {
  test('is one frame, or with application/x-ndjson one in each line', async () => {
    const { token } = await open(server);
    await post(server, token, `${heartbeat('1')}\r\n\n${heartbeat('2')}\n`, 'Application/X-NDJSON; charset=utf-8');
    await post(server, token, heartbeat('3'), 'application/json');
    await post(server, token, ` ${heartbeat('4')} `, 'text/plain;charset=UTF-8');
    const got = [];
    while (got.length < 4) got.push(...(await poll(server, token)).json.messages);
    assert.deepEqual(got, ['1', '2', '3', '4'].map(heartbeatReply));
  });

  test('may be garbage: it is counted and dropped, and the session goes on', async () => {
    const { token } = await open(server);
    const malformed = async () => (await server.metrics()).value('realtime_malformed_frames_total');
    const before = await malformed();
    const garbage = [
      '', 'garbage', '{', '[1,2]', '{"topic":"a"}', '[null,"1","phoenix","heartbeat",{}', '"text"', 'null',
      Buffer.from([0xff, 0xfe, 0]), Buffer.alloc(1000, 0), '['.repeat(100_000),
    ];
    for (const body of garbage) assert.deepEqual((await post(server, token, body, 'application/json')).json, { status: 200 });
    assert.equal((await malformed()) - before, garbage.length);
    assert.deepEqual((await post(server, token, 'no base64!\nAAAA\n[]\n')).json, { status: 200 });
    assert.equal((await malformed()) - before, garbage.length + 3);
    await post(server, token, heartbeat('1'));
    assert.deepEqual((await poll(server, token)).json.messages, [heartbeatReply('1')]);
  });

  test('is refused as a whole where there is too much of it', async () => {
    const { token } = await open(server);
    const refused = async () => (await server.metrics()).value('realtime_long_poll_refused_total', { reason: 'post_size' });
    const before = await refused();
    const many = await post(server, token, Array.from({ length: 1001 }, (_, n) => heartbeat(`${n}`)).join('\n'));
    assert.equal(many.status, 413);
    assert.deepEqual(many.json, { status: 413, error: 'one POST may have 1000 frames: send the others in further ones' });
    const large = await post(server, token, `${heartbeat('0')}\n[${' '.repeat(5_000_000)}`);
    assert.deepEqual([large.status, large.json], [413, { status: 413, error: 'a frame may have 5000000 bytes' }]);
    assert.equal((await refused()) - before, 2);
    assert.equal((await post(server, token, ' '.repeat(8_000_001)).catch(() => ({ status: 413 }))).status, 413);
    await post(server, token, heartbeat('1'));
    assert.deepEqual((await poll(server, token)).json.messages, [heartbeatReply('1')], 'and nothing of what was refused');
  });

  test('waits, in order and within a bound, while refused joins hold the session back', async () => {
    const client = await connectLongPoll(strict);
    const join = JSON.stringify(['1', '1', 'realtime:', 'phx_join', {}]);
    const held = JSON.stringify([null, 'held', 'realtime:', 'x', { text: 'x'.repeat(300_000) }]);
    const first = await client.socket.post(`${join}\n${held}\n${heartbeat('first')}`);
    assert.ok(first.elapsed >= 700, `answered after ${first.elapsed} ms, when the session was heard again`);
    assertError(await client.next(), 'TopicNameRequired: You must provide a topic name');
    assert.equal((await client.next()).ref, 'held');
    assert.equal((await client.next()).ref, 'first');

    await client.expectQuiet();
  });

  test('is refused where too much waits already, which the others do not notice', async (t) => {
    const patient = await startServer({ env: { CHANNEL_ERROR_BACKOFF_MS: 3_600_000 } });
    t.after(() => patient.stop());
    const [{ token }, other] = [await open(patient), await connectLongPoll(patient)];
    const join = JSON.stringify(['1', '1', 'realtime:', 'phx_join', {}]);
    const held = JSON.stringify([null, 'held', 'realtime:', 'x', { text: 'x'.repeat(300_000) }]);
    const large = `${heartbeat('b')}${' '.repeat(4_900_000)}`;
    // One of the two is held back behind the refused join, the other finds no room.
    const waiting = post(patient, token, `${join}\n${held}`);
    const refusedJoins = { transport: 'longpoll', result: 'error' };
    await until(async () => (await patient.metrics()).value('phoenix_channel_joined_total', refusedJoins) === 1, 'the session to be held back');
    const answers = [1, 2].map(() => post(patient, token, large, 'application/json'));
    const { status, json } = await Promise.race(answers);
    assert.deepEqual([status, json], [429, { status: 429, error: 'what was posted before is not worked off yet: wait for its answers' }]);
    assert.equal((await patient.metrics()).value('realtime_long_poll_refused_total', { reason: 'posts_waiting' }), 1);
    await other.join('realtime:room');

    await fetch(`${patient.url}/api/tenants/dev/reload`, {
      method: 'POST', headers: { authorization: `Bearer ${patient.token({ role: 'service_role' })}` },
    });
    for (const answer of [waiting, ...answers]) assert.notEqual((await answer).json.status, 200, 'the end is told to all who wait');
  });

  test('is taken up to the last byte of a body where nothing waits', async () => {
    const { token } = await open(server);
    const lines = `[${' '.repeat(3_999_998)}\n`.repeat(2);
    assert.equal(lines.length, 8_000_000);
    assert.deepEqual((await post(server, token, lines)).json, { status: 200 });
  });

  test('waits in 64 requests at most', async (t) => {
    const patient = await startServer({ env: { CHANNEL_ERROR_BACKOFF_MS: 3_600_000 } });
    t.after(() => patient.stop());
    const { token } = await open(patient);
    const join = JSON.stringify(['1', '1', 'realtime:', 'phx_join', {}]);
    const held = JSON.stringify([null, 'held', 'realtime:', 'x', { text: 'x'.repeat(300_000) }]);
    const all = [post(patient, token, `${join}\n${held}`)];
    const refusedJoins = { transport: 'longpoll', result: 'error' };
    await until(async () => (await patient.metrics()).value('phoenix_channel_joined_total', refusedJoins) === 1, 'the session to be held back');
    for (let n = 1; n < 100; n += 1) all.push(post(patient, token, ''));
    const refused = async () => (await patient.metrics()).value('realtime_long_poll_refused_total', { reason: 'posts_waiting' });
    await until(async () => (await refused()) === 36, 'those beyond');
    await fetch(`${patient.url}/api/tenants/dev/reload`, {
      method: 'POST', headers: { authorization: `Bearer ${patient.token({ role: 'service_role' })}` },
    });
    const statuses = (await Promise.all(all)).map(({ json }) => json.status);
    assert.deepEqual([410, 429].map((each) => statuses.filter((status) => status === each).length), [64, 36]);
  });
});

suite('a browser on another origin', () => {
  test('asks first and may then poll and post', async () => {
    const origin = 'https://app.example.test';
    const { status, headers } = await longPoll(server, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-phoenix-authtoken' },
    });
    assert.equal(status, 204);
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.deepEqual(headers['access-control-allow-methods'].split(', ').sort(), ['GET', 'OPTIONS', 'POST']);
    assert.equal(headers['access-control-allow-headers'], 'content-type,x-phoenix-authtoken');
    const answers = [
      await longPoll(server, { headers: { origin }, params: { vsn: V2, apikey: server.token() } }),
      await longPoll(server, { headers: { origin }, params: { vsn: V2, apikey: 'no token' } }),
      await longPoll(server, { method: 'POST', headers: { origin } }),
    ];
    for (const answer of answers) assert.equal(answer.headers['access-control-allow-origin'], '*');
    for (const answer of answers) assert.match(answer.headers['cache-control'], /max-age=0/);
  });

  test('and whoever uses another method gets 400', async () => {
    for (const method of ['PUT', 'DELETE', 'PATCH', 'HEAD']) assert.equal((await longPoll(server, { method })).status, 400);
  });
});
