// What holds for every route of the HTTP API, and the tokens that open its families. http-api.md 1 to 6

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { request } from '../harness/http.mjs';
import { mintToken, secondsFromNow, startServer, until } from '../harness/server.mjs';

const LOST = mintToken('e2e metrics secret, long enough for HMAC', { name: 'lost' });

let server;
before(async () => {
  server = await startServer({ env: { METRICS_TOKEN_BLOCKLIST: LOST, JWT_CLAIM_VALIDATORS: '{"iss":"x"}' } });
});
after(async () => assert.equal(await server.stop(), 0));

const HOST = { Host: 'dev.example.test' };
const JSON_TYPE = { 'Content-Type': 'application/json' };
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const ask = (path, { method = 'GET', headers = {}, body = '', of = server } = {}) =>
  request(of, { method, path, body, headers: { ...HOST, ...(method === 'POST' && { 'Content-Length': Buffer.byteLength(body) }), ...headers } });
const statusOf = async (...question) => (await ask(...question)).status;
const post = (path, body, headers = JSON_TYPE, of = server) =>
  ask(path, { method: 'POST', body, of, headers: { apikey: of.token(), ...headers } });
const batch = (...messages) => JSON.stringify({ messages });

test('what no route takes is not found, whatever the method and whatever is accepted [H-001] [H-002]', async () => {
  for (const [path, options] of [
    ['/nowhere', {}],
    ['/nowhere', { headers: { Accept: 'text/html' } }],
    ['/api/broadcast', {}],
    ['/api/ping', { method: 'POST' }],
    ['/healthcheck', { method: 'OPTIONS' }],
  ]) {
    const { status, body } = await ask(path, options);
    assert.deepEqual([path, status, body], [path, 404, '"Not Found"']);
  }
});

test('a ping may be asked by HEAD, by any host whose first label is the tenant [H-003] [H-022]', async () => {
  const { status, headers } = await fetch(`${server.url}/api/ping`, { method: 'HEAD' });
  assert.equal(status, 200);
  assert.ok(headers.get('x-rate-limit'));
  for (const Host of ['dev.a.b.c', 'dev', 'dev:4000', 'DEV.example.test:1']) assert.equal(await statusOf('/api/ping', { headers: { Host } }), 200, Host);
});

test('bodies that cannot be read have their statuses [H-008] [H-009]', async () => {
  for (const body of ['{', 'x', '{"a":1}}']) assert.equal((await post('/api/broadcast', body)).status, 400, body);
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    assert.equal((await post('/api/broadcast', '{}', { 'Content-Type': type })).status, 415, type);
  }
  assert.equal((await post('/api/broadcast', '', { ...JSON_TYPE, 'Content-Length': '8000001' })).status, 413);
  assert.equal((await post('/api/broadcast/a/events/e', '', { 'Content-Type': 'application/octet-stream', 'Content-Length': '8000001' })).status, 413);
});

test('the single broadcast takes JSON and bytes only [H-053] [H-054]', async () => {
  for (const type of ['text/plain', 'application/xml', 'multipart/form-data', 'application/ld+json']) {
    const { status, body, headers } = await post('/api/broadcast/a/events/e', '{}', { 'Content-Type': type });
    assert.equal(status, 415, type);
    assert.equal(headers['content-type'], 'application/json; charset=utf-8');
    assert.deepEqual(JSON.parse(body), { error: 'Unsupported Media Type. Use application/json or application/octet-stream' });
  }
  assert.equal((await post('/api/broadcast/a/events/e', '{}', { 'Content-Type': 'application/json; charset=utf-8' })).status, 202);
});

test('tokens of operators need no claims, but those they have must hold [H-013] [H-014] [H-017] [H-020]', async () => {
  const status = (claims) => statusOf('/api/tenants', { headers: bearer(mintToken(server.secret, claims)) });
  assert.equal(await status({}), 200);
  assert.equal(await status({ exp: secondsFromNow(60), iat: secondsFromNow(-60), iss: 'x' }), 200);
  for (const claims of [{ exp: secondsFromNow(-1) }, { exp: 'tomorrow' }, { iat: 'today' }, { iss: 'y' }]) {
    assert.equal(await status(claims), 403, JSON.stringify(claims));
  }
  const none = await ask('/api/tenants');
  assert.deepEqual([none.status, none.body, none.headers['content-type']], [403, '', undefined]);
});

test('metrics have a secret of their own, and a list of those that are shut out [H-019]', async () => {
  const status = (token) => statusOf('/metrics', { headers: bearer(token) });
  assert.equal(await status(mintToken(server.metricsSecret, {})), 200);
  assert.equal(await status(LOST), 403);
  assert.equal(await status(mintToken(server.secret, {})), 403);
  assert.equal(await statusOf('/metrics'), 403);
});

test('a token of a tenant must say its role and when it expires [H-029]', async () => {
  for (const claims of [{ role: undefined }, { exp: undefined }, { exp: secondsFromNow(-1) }]) {
    const { status, body } = await post('/api/broadcast', batch(), { ...JSON_TYPE, apikey: server.token(claims) });
    assert.deepEqual([status, JSON.parse(body)], [401, { message: 'Unauthorized' }]);
  }
});

test('keys of a tenant open its REST API, with a secret beside them or without [H-030] [H-031] [H-032]', async () => {
  const signers = [];
  for (const alg of ['ES256', 'RS256', 'Ed25519']) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    signers.push({ alg, kid: `key of ${alg}`, key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid: `key of ${alg}` } });
  }
  const oct = Buffer.from('a shared secret that is long enough');
  signers.push({ alg: 'HS256', kid: 'oct', key: oct, jwk: { kty: 'oct', kid: 'oct', k: oct.toString('base64url') } });
  const keys = { keys: signers.map(({ jwk }) => jwk) };
  const operator = { ...JSON_TYPE, ...bearer(mintToken(server.secret, { role: 'service_role' })) };
  const tenants = { only: { jwt_jwks: keys }, both: { jwt_jwks: keys, jwt_secret: 'the secret beside them' } };
  for (const [name, attributes] of Object.entries(tenants)) {
    const body = JSON.stringify({ tenant: attributes });
    const headers = { ...operator, 'Content-Length': Buffer.byteLength(body) };
    assert.equal((await ask(`/api/tenants/${name}`, { method: 'PUT', headers, body })).status, 201);
  }
  const send = async (tenant, token) =>
    (await post('/api/broadcast', batch({ topic: 'a', event: 'e', payload: {} }), { ...JSON_TYPE, Host: `${tenant}.test`, apikey: token })).status;
  const signed = ({ alg, kid, key }) => new SignJWT({ role: 'anon' }).setProtectedHeader({ alg, kid }).setExpirationTime('1h').sign(key);
  for (const tenant of Object.keys(tenants)) {
    for (const signer of signers) assert.equal(await send(tenant, await signed(signer)), 202, `${tenant}, ${signer.alg}`);
    assert.equal(await send(tenant, await signed({ ...signers[1], kid: 'a kid that nobody has' })), 401);
  }
  await until(() => /error_code=JwtSignerError .*a kid that nobody has/.test(server.log), 'the line that names the kid');
  const hmac = (secret) => server.token({}, { secret, header: { kid: 'another' } });
  assert.equal(await send('both', hmac('the secret beside them')), 202);
  assert.equal(await send('only', hmac('the secret beside them')), 401);
});

test('what is not delivered does not count as an event [H-048]', async () => {
  const events = async () => (await server.metrics()).value('realtime_channel_global_events');
  const before = await events();
  const good = { topic: 'counted', event: 'e', payload: {} };
  assert.equal((await post('/api/broadcast', batch(good, { ...good, private: true }, good))).status, 202);
  assert.equal((await post('/api/broadcast', batch(good, {}))).status, 422);
  assert.equal((await post('/api/broadcast/counted/events/e?private=true', '{}')).status, 422);
  assert.equal((await post('/api/broadcast/counted/events/e', '{}')).status, 202);
  assert.equal((await events()) - before, 3);
});

test('health needs no store, readiness says why not [H-080]', async (t) => {
  const node = await startServer({ env: { DRAIN_DELAY_MS: 60_000, DRAIN_TIMEOUT_MS: 60_000 } });
  t.after(() => node.stop());
  const store = new DatabaseSync(join(node.dataDir, 'control.sqlite'));
  store.exec('ALTER TABLE tenants RENAME TO elsewhere');
  store.close();
  const health = await ask('/healthcheck', { of: node });
  assert.deepEqual([health.status, health.body], [200, 'ok']);
  assert.match(health.headers['content-type'], /^text\/plain/);
  assert.equal((await ask('/readyz', { of: node })).status, 200);
  node.signal('SIGTERM');
  const refused = await until(async () => {
    const answer = await ask('/readyz', { of: node });
    return answer.status === 503 && answer;
  }, 'the node to drain');
  assert.match(refused.body, /draining/);
  assert.equal((await ask('/healthcheck', { of: node })).body, 'ok');
});
