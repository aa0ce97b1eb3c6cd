// What a scrape tells. metrics.md
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

let server;
before(async () => {
  server = await startServer({ env: { REGION: 'eu-1' }, otherTenants: { busy: {}, idle: {} } });
});
after(async () => assert.equal(await server.stop(), 0));

const scrape = (path = '/metrics') =>
  request(server, { path, headers: { Authorization: `Bearer ${server.token({}, { secret: server.metricsSecret })}` } });

// {name, labels, value} of each series, in two parts: of the node and of its tenants.
async function parts() {
  const { body } = await scrape();
  const texts = body.split('# EOF\n');
  assert.equal(texts.length, 3, 'two parts, each with an end');
  assert.equal(texts[2], '');
  return texts.slice(0, 2).map((text) =>
    text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => {
      const [, name, labels, value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? assert.fail(line);
      return { name, labels: Object.fromEntries([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text])), value: Number(value) };
    }),
  );
}

const valueOf = (series, name, tenant) => series.find((one) => one.name === name && one.labels.tenant === tenant)?.value;

test('a tenant has series of its own once there is something to say, and the node has none of a tenant [M-002] [M-003] [M-007] [M-008]', async () => {
  const member = await connect(server, { headers: { host: 'busy.rt.example.test' } });
  await member.join('realtime:a');
  const [node, tenants] = await parts();
  for (const { name, labels } of [...node, ...tenants]) {
    assert.deepEqual([labels.region, typeof labels.host, typeof labels.id], ['eu-1', 'string', 'string'], name);
    assert.deepEqual(Object.keys(labels), Object.keys(labels).sort(), name);
  }
  assert.deepEqual(node.filter(({ labels }) => 'tenant' in labels), []);
  assert.deepEqual([...new Set(tenants.map(({ labels }) => labels.tenant))], ['busy']);
  assert.equal(valueOf(tenants, 'realtime_connections_connected', 'busy'), 1);
  assert.equal(valueOf(tenants, 'realtime_channel_joins', 'busy'), 1);
  assert.equal(valueOf(tenants, 'realtime_channel_events', 'busy'), undefined);
  member.socket.terminate();
  await until(async () => valueOf((await parts())[1], 'realtime_connections_connected', 'busy') === 0, 'the socket to be gone');
});

test('n broadcasts to m receivers count n and n times m events, for the tenant and for the node [M-009] [M-010]', async () => {
  const headers = { host: 'busy.rt.example.test' };
  const clients = [];
  for (let i = 0; i < 4; ++i) clients.push(await connect(server, { headers }));
  for (const client of clients) await client.join('realtime:count');
  const [sender, ...receivers] = clients;
  const before = await parts();
  for (let i = 0; i < 5; ++i) sender.broadcast('realtime:count', 'x');
  for (const receiver of receivers) for (let i = 0; i < 5; ++i) await receiver.next();
  const [node, tenants] = await parts();
  const grown = (part, now, name, tenant) => valueOf(now, name, tenant) - (valueOf(before[part], name, tenant) ?? 0);
  assert.equal(grown(1, tenants, 'realtime_channel_events', 'busy'), 5 + 5 * 3);
  assert.equal(grown(0, node, 'realtime_channel_global_events'), 5 + 5 * 3);
  assert.equal(valueOf(node, 'realtime_connections_global_connected'), 4);
  for (const client of clients) client.socket.terminate();
});

test('joins are counted by how they ended [M-012]', async () => {
  const counted = async () => {
    const metrics = await server.metrics();
    return ['ok', 'error'].map((result) => metrics.value('phoenix_channel_joined_total', { result, transport: 'websocket', endpoint: 'RealtimeWeb.Endpoint' }));
  };
  const [ok, refused] = await counted();
  const client = await connect(server);
  await client.join('realtime:a');
  await client.join('realtime:b');
  assert.equal((await client.tryJoin('realtime:c', { config: {}, access_token: 'no token' })).payload.status, 'error');
  assert.deepEqual(await counted(), [ok + 2, refused + 1]);
  client.socket.terminate();
});

test('long answers are compressed for clients that take it [H-012]', async () => {
  const headers = { Authorization: `Bearer ${server.token({}, { secret: server.metricsSecret })}` };
  const plain = await request(server, { path: '/metrics', headers });
  assert.equal(plain.headers['content-encoding'], undefined);
  const packed = await fetch(`${server.url}/metrics`, { headers: { ...headers, 'accept-encoding': 'gzip' } });
  assert.equal(packed.headers.get('content-encoding'), 'gzip');
  assert.ok(Number(packed.headers.get('content-length')) < plain.body.length / 3);
  assert.match(await packed.text(), /# EOF\n$/);
  const short = await fetch(`${server.url}/healthcheck`, { headers: { 'accept-encoding': 'gzip' } });
  assert.deepEqual([short.headers.get('content-encoding'), await short.text()], [null, 'ok']);
});

test('a scrape may ask for a region: this one gives everything, another one nothing [H-081]', async () => {
  assert.match((await scrape('/metrics/eu-1')).body, /realtime_worker_turns_total/);
  const elsewhere = await scrape('/metrics/us-1');
  assert.deepEqual([elsewhere.status, elsewhere.body], [200, '']);
  assert.equal((await scrape('/metrics/eu-1/more')).status, 404);
  const authorization = `Bearer ${server.token({}, { secret: server.metricsSecret })}`;
  const head = await fetch(`${server.url}/metrics`, { method: 'HEAD', headers: { authorization } });
  assert.deepEqual([head.status, await head.text()], [200, '']);
  assert.equal((await request(server, { path: '/metrics/eu-1' })).status, 403);
});
