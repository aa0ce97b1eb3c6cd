// What a tenant's record forbids. tenants.md 8, protocol.md 4
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { bothVersions, connect } from '../harness/phoenix.mjs';
import { startServer } from '../harness/server.mjs';
import { socketPath } from '../ws-conformance/raw_client.mjs';

const SUSPENDED = { Host: 'suspended.rt.example.test' };
const PRIVATE = { headers: { host: 'secretive.rt.example.test' } };

let server;
before(async () => {
  server = await startServer({
    otherTenants: { suspended: { columns: { suspend: 1 } }, secretive: { columns: { private_only: 1 } } },
  });
});
after(async () => assert.equal(await server.stop(), 0));

test('a suspended tenant gets no sockets and sends nothing by REST, but its ping is answered [P-011] [E-001] [H-042]', async () => {
  const handshake = await request(server, { path: socketPath(server), headers: { ...upgradeHeaders(), ...SUSPENDED } });
  assert.deepEqual([handshake.status, JSON.parse(handshake.body)], [403, { error: 'Realtime was disabled for this tenant' }]);
  const body = JSON.stringify({ messages: [{ topic: 'a', event: 'e', payload: {} }] });
  const headers = { ...SUSPENDED, apikey: server.token(), 'Content-Type': 'application/json', 'Content-Length': body.length };
  const sent = await request(server, { method: 'POST', path: '/api/broadcast', headers, body });
  assert.deepEqual([sent.status, JSON.parse(sent.body)], [403, { message: 'Tenant is suspended' }]);
  assert.equal((await request(server, { path: '/api/ping', headers: SUSPENDED })).status, 200);
});

bothVersions('a tenant that allows private channels only refuses public ones, whatever their token is [P-103] [P-104] [E-002]', async (vsn) => {
  const client = await connect(server, { vsn, ...PRIVATE });
  for (const payload of [{ config: {} }, { config: {}, access_token: 'no token at all' }]) {
    const refused = await client.tryJoin('realtime:public', payload);
    assert.deepEqual(refused.payload, { status: 'error', response: { reason: 'PrivateOnly: This project only allows private channels' } });
  }
});

test('secrets lie encrypted in the store, old and current format side by side, and a wrong key costs its tenants only', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'realtime-e2e-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const GCM = { DB_ENC_KEY_GCM: 'k'.repeat(32), DB_ENC_WRITE_GCM: 'true' };
  const withServer = async (options, body) => {
    const one = await startServer({ dataDir, ...options });
    try {
      await body(one);
    } finally {
      assert.equal(await one.stop(), 0);
    }
  };
  const opens = async (one, tenant, secret) =>
    (await request(one, {
      path: socketPath(one).replace(/apikey=[^&]*/, `apikey=${one.token({}, { secret })}`),
      headers: { ...upgradeHeaders(), Host: `${tenant}.rt.example.test` },
    })).status;

  await withServer({ tenant: 'old', env: { API_JWT_SECRET: 'the secret of old' } }, async (one) => {
    assert.equal(await opens(one, 'old', 'the secret of old'), 101);
  });
  const edited = new DatabaseSync(join(dataDir, 'control.sqlite'));
  edited.exec(`UPDATE tenants SET feature_flags = '{"gcm_encryption_backfill":false}' WHERE external_id = 'old'`);
  edited.close();
  await withServer({ tenant: 'new', env: { API_JWT_SECRET: 'the secret of new', ...GCM } }, async (one) => {
    assert.equal(await opens(one, 'old', 'the secret of old'), 101);
    assert.equal(await opens(one, 'new', 'the secret of new'), 101);
  });
  const store = new DatabaseSync(join(dataDir, 'control.sqlite'));
  const stored = Object.fromEntries(store.prepare('SELECT external_id, jwt_secret FROM tenants').all().map((row) => [row.external_id, row.jwt_secret]));
  store.close();
  assert.match(stored.new, /^g1:/);
  assert.match(stored.old, /^[A-Za-z0-9+/]+=*$/);
  assert.ok(!(await readFile(join(dataDir, 'control.sqlite'))).includes('the secret of'));

  await withServer({ tenant: 'third', env: { ...GCM, DB_ENC_KEY_GCM: 'x'.repeat(32) } }, async (one) => {
    assert.equal(await opens(one, 'new', 'the secret of new'), 401);
    assert.equal(await opens(one, 'old', 'the secret of old'), 101);
    assert.match(one.log, /the jwt_secret of tenant new: it was encrypted with another key than DB_ENC_KEY_GCM/);
    assert.ok(!one.log.includes(stored.new));
  });
});

test('without its key the current format is not written, which is said once [T-007]', async () => {
  const one = await startServer({ env: { DB_ENC_WRITE_GCM: 'true' } });
  const store = new DatabaseSync(join(one.dataDir, 'control.sqlite'));
  assert.match(store.prepare('SELECT jwt_secret FROM tenants').get().jwt_secret, /^[A-Za-z0-9+/]+=*$/);
  store.close();
  assert.equal(one.log.split('\n').filter((line) => line.includes('DB_ENC_KEY_GCM')).length, 1);
  assert.equal(await one.stop(), 0);
});

test('operators see their tenants, and nobody else does [H-013] [H-018] [H-076]', async () => {
  const asked = async (path, { token = server.token(), headers = {} } = {}) => {
    const answer = await request(server, { path, headers: { ...(token && { Authorization: `Bearer ${token}` }), ...headers } });
    return { ...answer, json: answer.body && JSON.parse(answer.body) };
  };
  const list = await asked('/api/tenants', { token: server.token({ role: 'service_role' }) });
  assert.equal((await asked('/api/tenants')).status, 403, 'clients may not see which tenants there are');
  assert.equal(list.status, 200);
  assert.deepEqual(list.json.data.map((tenant) => tenant.external_id), ['dev', 'secretive', 'suspended']);
  const { json } = await asked('/api/tenants/secretive');
  assert.equal(json.data.private_only, true);
  assert.match(json.data.id, /^[0-9a-f-]{36}$/);
  assert.match(json.data.inserted_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
  assert.ok(!list.body.includes(server.secret) && !list.body.includes('jwt'));
  assert.deepEqual((await asked('/api/tenants/nobody')).json, { message: 'not found' });

  const member = await connect(server);
  await member.join('realtime:a');
  const { data } = (await asked('/api/tenants/dev/health')).json;
  assert.deepEqual(data, { healthy: true, db_connected: false, replication_connected: false, connected_cluster: 1, region: null, node: data.node });
  const probe = await fetch(`${server.url}/api/tenants/dev/health`, { method: 'HEAD', headers: { Authorization: `Bearer ${server.token()}` } });
  assert.deepEqual([probe.status, await probe.text()], [200, '']);
  member.socket.terminate();

  const metricsToken = server.token({}, { secret: server.metricsSecret });
  for (const refused of [{ token: null }, { token: metricsToken }, { token: null, headers: { Authorization: `bearer ${server.token()}` } }]) {
    for (const path of ['/api/tenants', '/api/tenants/dev', '/api/tenants/nobody', '/api/tenants/dev/health']) {
      const answer = await asked(path, refused);
      assert.deepEqual([answer.status, answer.body], [403, '']);
    }
  }
});

test('operators change their secret without a gap, and a token that got lost is shut out [H-015] [H-016]', async () => {
  const NEXT = 'the next secret of operators';
  const lost = server.token({ name: 'lost' });
  const one = await startServer({ env: { API_JWT_SECRET_NEXT: NEXT, API_TOKEN_BLOCKLIST: `x, ${lost}` } });
  const status = async (token) => (await request(one, { path: '/api/tenants/dev', headers: { Authorization: `Bearer ${token}` } })).status;
  assert.equal(await status(one.token()), 200);
  assert.equal(await status(one.token({}, { secret: NEXT })), 200);
  assert.equal(await status(one.token({}, { secret: 'another' })), 403);
  assert.equal(await status(lost), 403);
  assert.equal(await status(lost.replace('.', '%2E')), 403);
  assert.equal(await one.stop(), 0);
});
