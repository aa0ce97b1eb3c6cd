// A tenant is made by one request, as README.md shows, and an application uses it. On both control stores.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgres } from '../harness/postgres.mjs';
import { startServer } from '../harness/server.mjs';
import { subscribe, supabase } from './supabase.mjs';

async function makeAndUse(t, env) {
  const server = await startServer({ defaultTenant: 'acme', env });
  t.after(() => server.stop());
  const secret = 'the secret of acme';
  const made = await fetch(`${server.url}/api/tenants/acme`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${server.token({ role: 'service_role' })}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ tenant: { jwt_secret: secret } }),
  });
  assert.equal(made.status, 201);
  const start = performance.now();
  const client = supabase(t, server, { token: server.token({}, { secret }) });
  const { send, broadcasts } = await subscribe(client, 'lobby', { broadcast: { self: true } });
  await send('hi', { n: 1 });
  assert.deepEqual(await broadcasts.next(), { event: 'hi', payload: { n: 1 } });
  return performance.now() - start;
}

test('a tenant that was made by one request is used by an application right away, from the embedded store', async (t) => {
  t.diagnostic(`${Math.round(await makeAndUse(t, {}))} ms`);
});

test('the same from a Postgres store', async (t) => {
  const postgres = await startPostgres();
  t.after(() => postgres.remove());
  const env = { DB_HOST: postgres.host, DB_PORT: postgres.port, DB_USER: 'postgres', DB_PASSWORD: postgres.password, DB_ENC_KEY: '1234567890123456' };
  t.diagnostic(`${Math.round(await makeAndUse(t, env))} ms`);
});
