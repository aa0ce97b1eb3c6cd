// What a tenant's record forbids. tenants.md 8, protocol.md 4
import assert from 'node:assert/strict';
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
