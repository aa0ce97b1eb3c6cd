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

test('a suspended tenant gets no sockets and sends nothing by REST, but its ping is answered [P-011]', async () => {
  const handshake = await request(server, { path: socketPath(server), headers: { ...upgradeHeaders(), ...SUSPENDED } });
  assert.deepEqual([handshake.status, JSON.parse(handshake.body)], [403, { error: 'Realtime was disabled for this tenant' }]);
  const body = JSON.stringify({ messages: [{ topic: 'a', event: 'e', payload: {} }] });
  const headers = { ...SUSPENDED, apikey: server.token(), 'Content-Type': 'application/json', 'Content-Length': body.length };
  const sent = await request(server, { method: 'POST', path: '/api/broadcast', headers, body });
  assert.deepEqual([sent.status, JSON.parse(sent.body)], [403, { message: 'Tenant is suspended' }]);
  assert.equal((await request(server, { path: '/api/ping', headers: SUSPENDED })).status, 200);
});

bothVersions('a tenant that allows private channels only refuses public ones, whatever their token is [P-103] [P-104]', async (vsn) => {
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

test('without its key the current format is not written, which is said once', async () => {
  const one = await startServer({ env: { DB_ENC_WRITE_GCM: 'true' } });
  assert.equal(one.log.split('\n').filter((line) => line.includes('DB_ENC_KEY_GCM')).length, 1);
  assert.equal(await one.stop(), 0);
});
