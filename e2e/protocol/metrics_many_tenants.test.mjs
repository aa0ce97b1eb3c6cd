// A scrape of a node with very many tenants. metrics.md 8
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { requestText, upgradeHeaders } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer } from '../harness/server.mjs';
import { frame } from '../ws-conformance/raw_client.mjs';

const TENANTS = 10_000;
const AT_ONCE = 50;
const SCRAPE_TIMEOUT_MS = 10_000; // Prometheus' own

// The store of a server that has seeded one tenant, with as many more like it.
async function storeWithTenants(dataDir) {
  await (await startServer({ dataDir })).stop();
  const { DatabaseSync } = await import('node:sqlite');
  const store = new DatabaseSync(join(dataDir, 'control.sqlite'));
  store.exec('BEGIN; CREATE TEMP TABLE one AS SELECT * FROM tenants');
  const rename = store.prepare('UPDATE one SET id = ?, external_id = ?, name = ?');
  const copy = store.prepare('INSERT INTO tenants SELECT * FROM one');
  for (let i = 0; i < TENANTS; ++i) {
    rename.run(randomUUID(), `t${i}`, `t${i}`);
    copy.run();
  }
  store.exec('COMMIT');
  store.close();
}

// Someone of the tenant joins, sends a broadcast and goes.
function visit(server, tenant, token) {
  const says = (ref, event, payload) => frame(1, JSON.stringify(['1', ref, 'realtime:a', event, payload]));
  return new Promise((resolve, reject) => {
    const socket = net.connect(server.port, server.host);
    let received = '';
    socket.on('error', reject).on('data', (data) => {
      received += data.toString('latin1');
      if (!received.includes('"2"')) return;
      socket.destroy();
      resolve();
    });
    socket.write(requestText({ path: `/socket/websocket?vsn=2.0.0&apikey=${token}`, headers: { ...upgradeHeaders(), Host: `${tenant}.rt.example.test` } }));
    socket.write(says('1', 'phx_join', { config: { broadcast: { ack: true } } }));
    socket.write(says('2', 'broadcast', { type: 'broadcast', event: 'x', payload: {} }));
  });
}

// The text of a scrape, which comes compressed as Prometheus asks for it.
function scrape(server) {
  const headers = { authorization: `Bearer ${server.token({}, { secret: server.metricsSecret })}`, 'accept-encoding': 'gzip' };
  return new Promise((resolve, reject) => {
    http.get(`${server.url}/metrics`, { headers, agent: false }, async (response) => {
      resolve(Buffer.concat(await response.toArray()));
    }).on('error', reject);
  });
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

test('a scrape of a node on which ten thousand tenants have series is quick and holds up no message [M-028]', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'realtime-tenants-'));
  await storeWithTenants(dataDir);
  const server = await startServer({ dataDir });
  const token = server.token();
  const names = Array.from({ length: TENANTS }, (_, i) => `t${i}`);
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let name = names.pop(); name; name = names.pop()) await visit(server, name, token);
  }));

  const client = await connect(server);
  await client.join('realtime:probe', { config: { broadcast: { self: true } } });
  let isScraping = true;
  const began = performance.now();
  const scraped = scrape(server).then((body) => {
    isScraping = false;
    return { body, took: performance.now() - began };
  });
  const delays = [];
  while (isScraping) {
    const sent = performance.now();
    client.broadcast('realtime:probe', 'x');
    await client.next();
    delays.push(performance.now() - sent);
  }
  const { body, took } = await scraped;
  const sizes = gunzipSync(body).toString().match(/^realtime_tenants_payload_size_count\{.*tenant="t\d+"/gm);
  assert.equal(sizes.length, TENANTS);
  assert.ok(took < SCRAPE_TIMEOUT_MS, `${took} ms`);
  assert.ok(delays.length > 10 && median(delays) < 20, `${delays.length} messages took ${median(delays)} ms each`);
  client.socket.terminate();
  assert.equal(await server.stop(), 0);
  await rm(dataDir, { recursive: true, force: true });
});
