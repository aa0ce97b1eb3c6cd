// Broadcasts by REST: what is posted arrives at the sockets of the topic, of the right tenant, in the form that each version
// has. http-api.md 4 to 6
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { request } from '../harness/http.mjs';
import { V1, V2, assertFrame, connect } from '../harness/phoenix.mjs';
import { secondsFromNow, startServer, until } from '../harness/server.mjs';

const OTHER_HOST = 'other.rt.example.test';
const JSON_TYPE = { 'Content-Type': 'application/json' };
const BYTES_TYPE = { 'Content-Type': 'application/octet-stream' };

let server;
before(async () => {
  server = await startServer({ workers: 2, otherTenants: { other: { secret: 'the secret of the other tenant' } } });
});
after(async () => assert.equal(await server.stop(), 0));

let topics = 0;
const newTopic = () => `rest ${++topics}`;

const post = (path, { body = '', headers = JSON_TYPE, token = server.token() } = {}) =>
  request(server, {
    method: 'POST',
    path,
    headers: { ...(token && { Authorization: `Bearer ${token}` }), 'Content-Length': Buffer.byteLength(body), ...headers },
    body,
  });
const postBatch = (messages, options) => post('/api/broadcast', { body: JSON.stringify({ messages }), ...options });
const singlePath = (topic, event) => `/api/broadcast/${encodeURIComponent(topic)}/events/${encodeURIComponent(event)}`;

async function subscribers(topic, options) {
  const all = [await connect(server, { vsn: V1, ...options }), await connect(server, { vsn: V2, ...options })];
  for (const client of all) await client.join(`realtime:${topic}`);
  return all;
}

suite('the batch', () => {
  test('reaches every subscriber of its topics once and in order, as text on both versions, with its id [P-136] [P-137] [H-035] [H-036] [H-037]', async () => {
    const [one, two] = [newTopic(), newTopic()];
    const clients = await subscribers(one);
    const others = await subscribers(two);
    const answer = await postBatch([
      { topic: one, event: 'first', payload: { n: 1 } },
      { topic: two, event: 'other', payload: {} },
      { topic: one, event: 'second', payload: { n: 2 }, id: 'id-7' },
    ]);
    assert.equal(answer.status, 202);
    assert.equal(answer.body, '');
    for (const client of clients) {
      const frame = { topic: `realtime:${one}`, event: 'broadcast' };
      assertFrame(await client.next(), { ...frame, payload: { event: 'first', payload: { n: 1 }, type: 'broadcast' } });
      assertFrame(await client.next(), { ...frame, payload: { event: 'second', payload: { n: 2 }, type: 'broadcast', meta: { id: 'id-7' } } });
      await client.expectQuiet();
    }
    for (const client of others) {
      assert.equal((await client.next()).payload.event, 'other');
      await client.expectQuiet();
    }
  });

  test('of which one message is bad is refused as a whole [H-039]', async () => {
    const topic = newTopic();
    const clients = await subscribers(topic);
    const answer = await postBatch([{ topic, event: 'e', payload: {} }, { topic, event: '', payload: [] }]);
    assert.equal(answer.status, 422);
    assert.deepEqual(JSON.parse(answer.body), { errors: { messages: [{}, { event: ["can't be blank"], payload: ['is invalid'] }] } });
    for (const client of clients) await client.expectQuiet();
  });

  test('stays in the tenant of its host, and needs a token of that tenant', async () => {
    const topic = newTopic();
    const clients = await subscribers(topic);
    const foreign = { Host: OTHER_HOST, ...JSON_TYPE };
    assert.equal((await postBatch([{ topic, event: 'e', payload: {} }], { headers: foreign })).status, 401);
    const token = server.token({}, { secret: 'the secret of the other tenant' });
    assert.equal((await postBatch([{ topic, event: 'e', payload: {} }], { headers: foreign, token })).status, 202);
    assert.equal((await postBatch([{ topic, event: 'e', payload: {} }], { token })).status, 401);
    for (const client of clients) await client.expectQuiet();
  });
});

suite('a single broadcast', () => {
  test('of JSON is a binary frame for V2 and text for V1, letter by letter as it was sent [H-050]', async () => {
    const topic = newTopic();
    const [v1, v2] = await subscribers(topic);
    const body = '{"x": 1.50, "y":"\\u00e9"}';
    assert.equal((await post(singlePath(topic, 'move'), { body })).status, 202);
    const binary = await v2.next();
    assert.equal(binary.kind, 4);
    assert.ok(binary.raw.includes(Buffer.from(`move${body}`)), 'the payload is the body');
    const text = await v1.next();
    assertFrame(text, { topic: `realtime:${topic}`, event: 'broadcast', payload: { type: 'broadcast', event: 'move', payload: { x: 1.5, y: 'é' } } });
    assert.ok(text.raw.toString().includes(body));
  });

  test('of bytes reaches V2 as the bytes that they are, and V1 not at all [H-051]', async () => {
    const topic = newTopic();
    const [v1, v2] = await subscribers(topic);
    const path = singlePath(topic, 'bytes');
    const fetched = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { apikey: server.token(), ...BYTES_TYPE },
      body: Buffer.from([0, 255, 10, 128]),
    });
    assert.equal(fetched.status, 202);
    assert.deepEqual([...(await v2.next()).payload], [0, 255, 10, 128]);
    await v1.expectQuiet();
  });

  test('goes to the topic that the path names, colons and spaces and all [H-055]', async () => {
    const topic = `a:b/c ${newTopic()}`;
    const [, v2] = await subscribers(topic);
    assert.equal((await post(singlePath(topic, 'ä b'), { body: '{}' })).status, 202);
    assert.equal((await v2.next()).topic, `realtime:${topic}`);
  });

  test('with an event name too long for a binary frame costs V2 subscribers that message only [P-058] [H-060]', async () => {
    const topic = newTopic();
    const [v1, v2] = await subscribers(topic);
    const event = 'e'.repeat(256);
    assert.equal((await post(singlePath(topic, event), { body: '{}' })).status, 202);
    assert.equal((await v1.next()).payload.event, event);
    await v2.expectQuietAndJoined(`realtime:${topic}`);
    assert.equal((await post(singlePath(topic, 'e'), { body: '{}' })).status, 202);
    assert.equal((await v2.next()).userEvent, 'e');
    assert.equal((await v1.next()).payload.event, 'e');
  });

  test('to a private topic is refused while no policy can be asked, and a public topic of its name hears nothing [H-047]', async () => {
    const topic = newTopic();
    const clients = await subscribers(topic);
    const answer = await post(`${singlePath(topic, 'e')}?private=true`, { body: '{}' });
    assert.equal(answer.status, 422);
    assert.deepEqual(JSON.parse(answer.body), { message: 'Tenant database unavailable' });
    for (const client of clients) await client.expectQuiet();
  });
});

test('every answer carries a request id: the one in the baggage, or a fresh one [H-004] [H-005]', async () => {
  const idOf = async (path, headers) => (await request(server, { path, headers })).headers['x-request-id'];
  for (const path of ['/api/ping', '/healthcheck', '/nowhere']) {
    assert.equal(await idOf(path, { baggage: 'request-id=1234567890' }), '1234567890');
    assert.match(await idOf(path), /^[A-Za-z0-9_-]+$/);
    assert.notEqual(await idOf(path), await idOf(path));
  }
});

test('pings tell the rate of requests, and above the limit they are refused until it falls [H-023]', async () => {
  const limited = await startServer({ env: { TENANT_MAX_EVENTS_PER_SECOND: 5 } });
  after(() => limited.stop());
  const ping = () => request(limited, { path: '/api/ping' });
  const first = await ping();
  assert.deepEqual([first.status, JSON.parse(first.body)], [200, { message: 'Success' }]);
  assert.deepEqual(['x-rate-rolling', 'x-rate-limit', 'x-rate-limit-remaining'].map((name) => first.headers[name]), ['0', '5', '5']);
  for (let n = 0; n < 20; n += 1) await ping();
  const refused = await until(async () => {
    const answer = await ping();
    return answer.status === 429 && answer;
  }, 'the rate to be reached');
  assert.deepEqual(JSON.parse(refused.body), { message: 'Too many requests' });
  assert.ok(Number(refused.headers['x-rate-rolling']) >= 5);
  const metrics = async () => (await limited.metrics()).value('realtime_tenants_over_rate', { rate: 'requests' });
  await until(async () => (await metrics()) === 0, 'the rate to fall', 30_000);
  assert.equal((await ping()).status, 200);
});

test('above the rate of events the REST API sends nothing [H-043]', async () => {
  const limited = await startServer({ env: { TENANT_MAX_EVENTS_PER_SECOND: 100 } });
  after(() => limited.stop());
  const token = limited.token();
  const send = (count) =>
    request(limited, {
      method: 'POST',
      path: '/api/broadcast',
      headers: { apikey: token, ...JSON_TYPE, 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' },
      body: chunked(JSON.stringify({ messages: numbers(count).map((n) => ({ topic: 'a', event: 'e', payload: { n } })) })),
    });
  assert.deepEqual(JSON.parse((await send(101)).body), { message: 'Too many messages to broadcast, please reduce the batch size' });
  for (let n = 0; n < 11; n += 1) assert.equal((await send(100)).status, 202);
  await until(async () => (await limited.metrics()).value('realtime_tenants_over_rate', { rate: 'events' }) === 1, 'the rate to be reached');
  assert.equal((await send(1)).status, 429);
});

const numbers = (count) => Array.from({ length: count }, (_, n) => n);
const chunked = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`;

test('an expired token, none and one in x-api-key are all 401 [H-027]', async () => {
  const expired = server.token({ exp: secondsFromNow(-10) });
  for (const headers of [{ Authorization: `Bearer ${expired}` }, {}, { 'x-api-key': server.token() }]) {
    const answer = await post('/api/broadcast', { token: null, headers: { ...JSON_TYPE, ...headers }, body: '{}' });
    assert.deepEqual([answer.status, JSON.parse(answer.body)], [401, { message: 'Unauthorized' }]);
  }
});
