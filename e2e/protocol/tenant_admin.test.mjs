// Tenants made, changed and deleted over HTTP while sockets are connected. http-api.md 7, tenants.md 7 and 8
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { bothVersions, connect, V2 } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { socketPath } from '../ws-conformance/raw_client.mjs';

const GOODBYE = { extension: 'system', status: 'ok', message: 'Server requested disconnect' };

let server;
before(async () => {
  server = await startServer({ defaultTenant: null, env: { TENANT_CACHE_EXPIRATION_IN_MS: 50 } });
});
after(async () => assert.equal(await server.stop(), 0));

const hostOf = (tenant) => `${tenant}.rt.example.test`;

async function admin(method, path, tenant, { token = server.token({ role: 'service_role' }), headers = {}, body } = {}) {
  const text = body ?? (tenant === undefined ? '' : JSON.stringify({ tenant }));
  const answer = await request(server, {
    method,
    path: `/api/tenants${path}`,
    headers: {
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(text && { 'Content-Type': 'application/json' }),
      ...(method !== 'GET' && { 'Content-Length': Buffer.byteLength(text) }),
      ...headers,
    },
    body: text,
  });
  return { ...answer, json: /json/.test(answer.headers['content-type'] ?? '') ? JSON.parse(answer.body) : undefined };
}

let made = 0;
// A tenant of its own for each test.
async function newTenant(attributes = {}) {
  const name = `t${++made}`;
  const secret = `the secret of ${name}`;
  const answer = await admin('PUT', `/${name}`, { jwt_secret: secret, ...attributes });
  assert.equal(answer.status, 201, answer.body);
  return { name, secret };
}

const tokenOf = ({ secret }) => server.token({}, { secret });
const connectTo = (tenant, { vsn = V2, token = tokenOf(tenant) } = {}) =>
  connect(server, { vsn, token, headers: { host: hostOf(tenant.name) } });

async function handshake(tenant, token = tokenOf(tenant)) {
  const path = socketPath(server).replace(/apikey=[^&]*/, `apikey=${token}`);
  return request(server, { path, headers: { ...upgradeHeaders(), Host: hostOf(tenant.name) } });
}

const ping = (tenant) => request(server, { path: '/api/ping', headers: { Host: hostOf(tenant.name) } });

test('a tenant that was made over HTTP can be used at once, and is gone at once when it is deleted [T-022] [H-062] [H-072] [E-003]', async () => {
  const tenant = { name: 'fresh', secret: 'the secret of fresh' };
  assert.equal((await handshake(tenant)).status, 404);
  const created = await admin('POST', '', { external_id: 'fresh', jwt_secret: tenant.secret, max_events_per_second: 1000 });
  assert.equal(created.status, 201);
  assert.equal(created.headers.location, '/api/tenants/fresh');
  assert.equal(created.json.data.name, 'fresh');
  const [a, b] = [await connectTo(tenant), await connectTo(tenant)];
  for (const client of [a, b]) await client.join('realtime:room');
  a.broadcast('realtime:room', 'hello');
  assert.equal((await b.next()).payload.event, 'hello');

  assert.equal((await admin('DELETE', '/fresh')).status, 204);
  for (const client of [a, b]) {
    assert.deepEqual((await client.next()).payload, GOODBYE);
    assert.equal((await client.waitForClose()).code, 1012);
  }
  assert.equal((await handshake(tenant)).status, 404);
  assert.equal((await admin('GET', '/fresh')).status, 404);
  assert.equal((await admin('DELETE', '/fresh')).status, 204);
});

bothVersions('each channel is told once before its socket is closed when keys, suspension or private_only change [P-222] [P-223] [P-224] [T-027]', async (vsn) => {
  for (const change of [{ jwt_secret: 'another secret' }, { jwt_jwks: { keys: [] } }, { suspend: true }, { private_only: true }]) {
    const tenant = await newTenant();
    const [member, idle] = [await connectTo(tenant, { vsn }), await connectTo(tenant, { vsn })];
    const topics = Array.from({ length: 10 }, (_, n) => `realtime:${n}`);
    for (const topic of topics) await member.join(topic);
    assert.equal((await admin('PATCH', `/${tenant.name}`, change)).status, 200);
    assert.equal((await member.waitForClose()).code, 1012);
    assert.deepEqual(member.inbox.map(({ topic }) => topic).sort(), topics);
    for (const frame of member.inbox) {
      assert.deepEqual([frame.event, frame.ref, frame.payload], ['system', null, GOODBYE]);
      if (vsn === V2) assert.equal(frame.joinRef, null);
    }
    assert.equal((await idle.waitForClose()).code, 1012);
    assert.deepEqual(idle.inbox, []);
  }
});

test('limits and names change under the sockets, which notice nothing [P-225] [H-025] [T-030]', async () => {
  const tenant = await newTenant({ max_channels_per_client: 1, max_events_per_second: 0 });
  const refused = await ping(tenant);
  assert.deepEqual([refused.status, refused.headers['x-rate-limit']], [429, '0']);
  const client = await connectTo(tenant);
  await client.join('realtime:a');
  assert.equal((await client.tryJoin('realtime:b')).payload.status, 'error');
  const limits = { max_channels_per_client: 2, max_events_per_second: 100, name: 'Renamed', presence_enabled: true, extensions: [] };
  assert.equal((await admin('PATCH', `/${tenant.name}`, limits)).status, 200);
  assert.equal((await ping(tenant)).status, 200);
  await client.expectQuietAndJoined('realtime:a');
  await client.join('realtime:b');
  const { event, topic } = await client.next();
  assert.deepEqual([event, topic], ['presence_state', 'realtime:b'], 'who joins from now on has presence');
  // The counter of events began anew, so what it had refused goes through.
  client.broadcast('realtime:a', 'x');
  await client.expectQuietAndJoined('realtime:a');
});

test('a new secret shuts out old tokens, on the worker too that has seen them, and the same secret again disconnects [T-029]', async () => {
  const tenant = await newTenant();
  const client = await connectTo(tenant);
  const old = tokenOf(tenant);
  assert.equal((await handshake(tenant, old)).status, 101);
  const rotated = { ...tenant, secret: 'rotated' };
  await admin('PATCH', `/${tenant.name}`, { jwt_secret: 'rotated' });
  assert.equal((await client.waitForClose()).code, 1012);
  assert.equal((await handshake(tenant, old)).status, 401);
  assert.equal((await handshake(rotated)).status, 101);
  const again = await connectTo(rotated);
  await admin('PATCH', `/${tenant.name}`, { jwt_secret: 'rotated' });
  assert.equal((await again.waitForClose()).code, 1012);
  await (await connectTo(rotated)).join('realtime:a');
});

test('a suspended tenant is shut out and comes back without a restart [T-032] [T-034]', async () => {
  const tenant = await newTenant();
  await admin('PATCH', `/${tenant.name}`, { suspend: true });
  const refused = await handshake(tenant);
  assert.deepEqual([refused.status, JSON.parse(refused.body)], [403, { error: 'Realtime was disabled for this tenant' }]);
  assert.equal((await ping(tenant)).status, 200);
  assert.equal((await admin('GET', `/${tenant.name}/health`)).status, 200);
  await admin('PATCH', `/${tenant.name}`, { suspend: false });
  await (await connectTo(tenant)).join('realtime:a');
});

test('a change of one tenant is nothing to another one', async () => {
  const [one, other] = [await newTenant(), await newTenant()];
  const [leaves, stays] = [await connectTo(one), await connectTo(other)];
  for (const client of [leaves, stays]) await client.join('realtime:same');
  await admin('PATCH', `/${one.name}`, { jwt_secret: 'new', private_only: true });
  assert.equal((await leaves.waitForClose()).code, 1012);
  await admin('DELETE', `/${one.name}`);
  await stays.expectQuietAndJoined('realtime:same');
  assert.equal((await handshake(other, tokenOf(one))).status, 401);
});

test('reload disconnects the sockets of a tenant, which may come back, and shutdown does not [H-073] [H-074]', async () => {
  const tenant = await newTenant();
  const client = await connectTo(tenant);
  await client.join('realtime:a');
  assert.equal((await admin('POST', `/${tenant.name}/shutdown`)).status, 204);
  await client.expectQuietAndJoined('realtime:a');
  assert.equal((await admin('POST', `/${tenant.name}/reload`)).status, 204);
  assert.deepEqual((await client.next()).payload, GOODBYE);
  assert.equal((await client.waitForClose()).code, 1012);
  await (await connectTo(tenant)).join('realtime:a');
});

test('a tenant with a thousand sockets is disconnected whole, and its new sockets are not', async () => {
  const tenant = await newTenant();
  const clients = await Promise.all(Array.from({ length: 1000 }, () => connectTo(tenant)));
  await admin('POST', `/${tenant.name}/reload`);
  const fresh = await connectTo(tenant);
  await fresh.join('realtime:a');
  for (const client of clients) assert.equal((await client.waitForClose()).code, 1012);
  await fresh.expectQuietAndJoined('realtime:a');
});

test('tokens of clients and no tokens at all change nothing, though they may be signed with the secret of operators', async () => {
  const tenant = await newTenant();
  for (const token of [null, server.token({ role: 'anon' }), server.token({ role: 'authenticated' }), tokenOf(tenant)]) {
    for (const [method, path] of [['PUT', `/${tenant.name}`], ['PATCH', `/${tenant.name}`], ['DELETE', `/${tenant.name}`], ['POST', ''], ['POST', `/${tenant.name}/reload`]]) {
      const refused = await admin(method, path, { suspend: true, external_id: 'x', jwt_secret: 's' }, { token });
      assert.deepEqual([refused.status, refused.body], [403, ''], `${method} ${path}`);
    }
  }
  await (await connectTo(tenant)).join('realtime:a');
});

test('bodies that are no tenant get a clear answer and change nothing', async () => {
  const tenant = await newTenant();
  const path = `/${tenant.name}`;
  const status = async (body, headers) => (await admin('PATCH', path, undefined, { body, headers })).status;
  for (const body of ['{', '{}', '[]', '"x"', '{"tenant":[]}', '{"tenant":null}', '\ufffe', `${'['.repeat(600)}`]) assert.equal(await status(body), 400, body);
  assert.equal(await status('{"tenant":{}}', { 'Content-Type': 'text/plain' }), 415);
  assert.equal(await status(`{"tenant":{"name":"${'x'.repeat(8_000_000)}"}}`), 413);
  assert.equal(await status('{"tenant":{"name":1}}'), 422);
  assert.equal(await status('{"tenant":{"suspend":true,"suspend":false}}'), 200);
  assert.equal((await admin('GET', path, undefined, { headers: { Accept: 'text/html' } })).status, 406);
  await (await connectTo(tenant)).join('realtime:a');
});

test('tenants are managed from a shell beside the server', async () => {
  const run = async (...words) => {
    const args = ['tenant', ...words, '--url', server.url];
    return (await promisify(execFile)(server.binary, args, { env: { API_JWT_SECRET: server.secret } })).stdout;
  };
  const added = JSON.parse(await run('add', 'by shell', '--json'));
  assert.equal(added.external_id, 'by shell');
  assert.equal(added.jwt_secret.length, 64);
  assert.match(await run('list'), /^by shell +1000000 +10000000 +1000000 +false /m);
  await run('set', 'by shell', 'private_only=true', 'max_concurrent_users=3');
  assert.match(await run('show', 'by shell'), /^max_concurrent_users +3$/m);
  await run('remove', 'by shell');
  await assert.rejects(run('show', 'by shell'), /realtime tenant: there is no such tenant/);
  await assert.rejects(promisify(execFile)(server.binary, ['tenant', 'list', '--url', 'http://127.0.0.1:1'], { env: { API_JWT_SECRET: 'x' } }), /cannot reach the server at 127\.0\.0\.1:1: Connection refused/);
});

test('what is edited by SQL counts within the time that the cache may be old [T-025]', async () => {
  const tenant = await newTenant();
  const client = await connectTo(tenant);
  const store = new DatabaseSync(join(server.dataDir, 'control.sqlite'));
  store.prepare('UPDATE tenants SET suspend = 1 WHERE external_id = ?').run(tenant.name);
  store.close();
  assert.equal((await client.waitForClose()).code, 1012);
  assert.equal((await handshake(tenant)).status, 403);
});

test('a store that cannot be written is told with 503 while tenants go on working from what is known', async () => {
  const one = await startServer({});
  const store = new DatabaseSync(join(one.dataDir, 'control.sqlite'));
  store.exec('ALTER TABLE tenants RENAME TO elsewhere');
  const headers = { Authorization: `Bearer ${one.token({ role: 'service_role' })}`, 'Content-Type': 'application/json' };
  const change = () => fetch(`${one.url}/api/tenants/dev`, { method: 'PATCH', headers, body: '{"tenant":{"suspend":true}}' });
  const refused = await change();
  assert.equal(refused.status, 503);
  assert.match((await refused.json()).message, /nothing was changed, try again/);
  await (await connect(one)).join('realtime:a');
  await until(() => one.log.includes('the tenant was not written: '), 'the reason in the log');
  store.exec('ALTER TABLE elsewhere RENAME TO tenants');
  store.close();
  assert.equal((await change()).status, 200);
  assert.equal(await one.stop(), 0);
});
