// What a scrape tells. metrics.md
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConnection, request, requestText, upgradeHeaders } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';
import { frame } from '../ws-conformance/raw_client.mjs';

let server;
before(async () => {
  server = await startServer({ env: { REGION: 'eu-1' }, otherTenants: { busy: {}, idle: {} } });
});
after(async () => assert.equal(await server.stop(), 0));

const scrape = (path = '/metrics') =>
  request(server, { path, headers: { Authorization: `Bearer ${server.token({}, { secret: server.metricsSecret })}` } });

// {name, labels, value} of each series, in two parts: of the node and of its tenants. `types`: of the metrics.
async function parts() {
  const { body } = await scrape();
  const texts = body.split('# EOF\n');
  assert.equal(texts.length, 3, 'two parts, each with an end');
  assert.equal(texts[2], '');
  return texts.slice(0, 2).map((text) => {
    const series = text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => {
      const [, name, labels, value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? assert.fail(line);
      return { name, labels: Object.fromEntries([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text])), value: Number(value) };
    });
    series.types = Object.fromEntries([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]));
    return series;
  });
}

// The sum of the series of that name with these labels; undefined when there is none.
function sumOf(series, name, labels = {}) {
  const found = series.filter((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value));
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}

const BUSY = { headers: { host: 'busy.rt.example.test' } };
const ENDPOINT = 'RealtimeWeb.Endpoint';

const valueOf = (series, name, tenant) => series.find((one) => one.name === name && one.labels.tenant === tenant)?.value;

test('a tenant has series of its own once there is something to say, and the node has none of a tenant [M-002] [M-003] [M-005] [M-007] [M-008] [M-013]', async () => {
  const member = await connect(server, BUSY);
  await member.join('realtime:a');
  const [node, tenants] = await parts();
  for (const { name, labels } of [...node, ...tenants]) {
    assert.deepEqual([labels.region, typeof labels.host, typeof labels.id], ['eu-1', 'string', 'string'], name);
    const sorted = Object.keys(labels).filter((label) => label !== 'le').sort();
    assert.deepEqual(Object.keys(labels), 'le' in labels ? [...sorted, 'le'] : sorted, name);
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
  const clients = [];
  for (let i = 0; i < 4; ++i) clients.push(await connect(server, BUSY));
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
    return ['ok', 'error'].map((result) => metrics.value('phoenix_channel_joined_total', { result, transport: 'websocket', endpoint: ENDPOINT }));
  };
  const [ok, refused] = await counted();
  const client = await connect(server);
  await client.join('realtime:a');
  await client.join('realtime:b');
  assert.equal((await client.tryJoin('realtime:c', { config: {}, access_token: 'no token' })).payload.status, 'error');
  assert.deepEqual(await counted(), [ok + 2, refused + 1]);
  client.socket.terminate();
});

test('payload sizes fall into the buckets of the reference server, for the tenant and for the node [M-006] [M-010]', async () => {
  const client = await connect(server, BUSY);
  await client.join('realtime:sizes', { config: { broadcast: { ack: true } } });
  const [nodeBefore, tenantsBefore] = await parts();
  // {"type","event","payload":{"text"}} measures 1 + 5 + 62 bytes of names and words around the text.
  for (const length of [10, 300, 4_000]) await client.request('realtime:sizes', 'broadcast', { type: 'broadcast', event: 'x', payload: { text: 'x'.repeat(length) } });
  const [node, tenants] = await parts();
  const labels = { message_type: 'broadcast' };
  for (const [before, now, name, more] of [[nodeBefore, node, 'realtime_payload_size', {}], [tenantsBefore, tenants, 'realtime_tenants_payload_size', { tenant: 'busy' }]]) {
    assert.equal(now.types[name], 'histogram');
    const grown = (suffix, extra = {}) => sumOf(now, name + suffix, { ...labels, ...more, ...extra }) - (sumOf(before, name + suffix, { ...labels, ...more, ...extra }) ?? 0);
    const bounds = now.filter((one) => one.name === `${name}_bucket` && (!more.tenant || one.labels.tenant === more.tenant)).map((one) => one.labels.le);
    assert.deepEqual(bounds, ['250.0', '500.0', '1.0e3', '3.0e3', '5.0e3', '1.0e4', '2.5e4', '1.0e5', '5.0e5', '1.0e6', '3.0e6', '+Inf']);
    assert.deepEqual(bounds.map((le) => grown('_bucket', { le })), [1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert.equal(grown('_count'), 3);
    assert.ok(grown('_sum') > 4_310 && grown('_sum') < 4_310 + 3 * 100, `${grown('_sum')} bytes`);
  }
  client.socket.terminate();
});

test('errors of sockets and channels are counted by code, also when their log lines are left out [M-011] [E-007]', async () => {
  const before = await parts();
  const client = await connect(server, BUSY);
  const grown = async (code) => {
    const now = await parts();
    const count = (series, name, labels) => sumOf(series, name, labels) ?? 0;
    return [
      count(now[0], 'realtime_channel_global_error', { code }) - count(before[0], 'realtime_channel_global_error', { code }),
      count(now[1], 'realtime_channel_error', { code, tenant: 'busy' }) - count(before[1], 'realtime_channel_error', { code, tenant: 'busy' }),
    ];
  };
  const FLOOD = 50; // more than the lines of a kind that are written in a second
  for (let i = 0; i < FLOOD; ++i) client.send('no message');
  await client.heartbeat();
  assert.deepEqual(await grown('MalformedWebSocketMessage'), [FLOOD, FLOOD]);
  assert.equal((await client.tryJoin('realtime:x', { config: {}, access_token: 'no token' })).payload.status, 'error');
  assert.deepEqual(await grown('MalformedJWT'), [1, 1]);
  assert.equal((await client.tryJoin('realtime:x', { config: { private: true } })).payload.status, 'error');
  assert.deepEqual(await grown('UnableToConnectToProject'), [1, 1]);
  // An expired token is the client's affair: a warning, and no error.
  const expired = server.token({ exp: Math.floor(Date.now() / 1000) - 10 });
  assert.equal((await client.tryJoin('realtime:x', { config: {}, access_token: expired })).payload.status, 'error');
  assert.deepEqual(await grown('InvalidJWTToken'), [0, 0]);
  assert.equal((await request(server, { path: '/socket/websocket?vsn=2.0.0', headers: { ...upgradeHeaders(), Host: BUSY.headers.host } })).status, 401);
  assert.deepEqual(await grown('MissingAPIKey'), [1, 1]);
  client.socket.terminate();
});

test('bytes of a tenant are those of its sockets, and the node counts the same [M-010] [M-015]', async () => {
  const [nodeBefore, tenantsBefore] = await parts();
  const raw = await openConnection(server);
  let received = 0;
  raw.socket.on('data', (data) => (received += data.length));
  const path = `/socket/websocket?vsn=2.0.0&apikey=${server.token()}`;
  raw.write(requestText({ path, headers: { ...upgradeHeaders(), Host: BUSY.headers.host } }));
  await until(() => raw.received.includes('\r\n\r\n'), 'the handshake');
  let sent = 0;
  const send = (text) => {
    const bytes = frame(1, text);
    sent += bytes.length;
    raw.socket.write(bytes);
  };
  send(JSON.stringify(['1', '1', 'realtime:bytes', 'phx_join', { config: { broadcast: { self: true } } }]));
  const COUNT = 40;
  for (let i = 0; i < COUNT; ++i) send(JSON.stringify(['1', '2', 'realtime:bytes', 'broadcast', { type: 'broadcast', event: 'x', payload: { text: 'x'.repeat(5_000) } }]));
  send(JSON.stringify([null, 'last', 'phoenix', 'heartbeat', {}]));
  await until(() => raw.received.includes('"last"'), 'the reply to the heartbeat');
  const [node, tenants] = await parts();
  for (const [direction, bytes] of [['input', sent], ['output', received]]) {
    const ofTenant = (series) => sumOf(series, `realtime_channel_${direction}_bytes`, { tenant: 'busy' }) ?? 0;
    const ofNode = (series) => sumOf(series, `realtime_channel_global_${direction}_bytes`) ?? 0;
    const grown = ofTenant(tenants) - ofTenant(tenantsBefore);
    assert.ok(Math.abs(grown - bytes) < bytes * 0.01, `${direction}: ${grown} counted, ${bytes} on the wire`);
    assert.equal(ofNode(node) - ofNode(nodeBefore), grown);
    assert.equal(ofNode(node), sumOf(tenants, `realtime_channel_${direction}_bytes`));
  }
  raw.close();
});

test('handling times count each message of a channel and each handshake', async () => {
  const counts = async () => {
    const [node] = await parts();
    const handshakes = (result, serializer) =>
      sumOf(node, 'phoenix_socket_connected_duration_milliseconds_count', { result, serializer, transport: 'websocket', endpoint: ENDPOINT }) ?? 0;
    return {
      messages: sumOf(node, 'phoenix_channel_handled_in_duration_milliseconds_count', { endpoint: ENDPOINT }) ?? 0,
      v1: handshakes('ok', 'Elixir.Phoenix.Socket.V1.JSONSerializer'),
      v2: handshakes('ok', 'Elixir.RealtimeWeb.Socket.V2Serializer'),
      refused: handshakes('error', 'Elixir.RealtimeWeb.Socket.V2Serializer'),
    };
  };
  const before = await counts();
  const clients = [await connect(server, { vsn: '1.0.0' }), await connect(server), await connect(server)];
  await request(server, { path: '/socket/websocket?vsn=2.0.0', headers: upgradeHeaders() });
  for (const client of clients) {
    await client.join('realtime:handled');
    for (let i = 0; i < 5; ++i) client.broadcast('realtime:handled', 'x');
    await client.heartbeat(); // is for no channel
  }
  const after = await counts();
  assert.deepEqual(Object.fromEntries(Object.entries(after).map(([name, count]) => [name, count - before[name]])), { messages: 15, v1: 1, v2: 2, refused: 1 });
  for (const client of clients) client.socket.terminate();
});

test('what waits in the queues of a worker shows while it waits, and is gone after it', async () => {
  const sum = async (name) => sumOf((await parts())[0], name);
  const client = await connect(server, BUSY);
  await client.join('realtime:queue', { config: { broadcast: { self: true } } });
  client.socket.pause();
  for (let i = 0; i < 8; ++i) client.broadcast('realtime:queue', 'x', { text: 'x'.repeat(1_000_000) });
  await until(async () => (await sum('realtime_worker_send_queue_bytes')) > 1_000_000, 'the queue to fill');
  client.socket.resume();
  for (let i = 0; i < 8; ++i) await client.next();
  await until(async () => (await sum('realtime_worker_send_queue_bytes')) < 100_000, 'the queue to empty');
  // Incomplete input.
  const raw = await openConnection(server);
  const body = 100_000;
  raw.write(requestText({ method: 'POST', path: '/api/broadcast', headers: { Host: BUSY.headers.host, 'Content-Length': body + 1 }, body: 'x'.repeat(body) }));
  await until(async () => (await sum('realtime_worker_receive_bytes')) >= body, 'the body to be held');
  raw.close();
  await until(async () => (await sum('realtime_worker_receive_bytes')) < body, 'the body to be let go of');
  client.socket.terminate();
});

// What the reference server's dashboards ask for and has a meaning here; each is to be in its part with this type and
// these labels besides host, id and region.
const OF_NODE = {
  realtime_connections_global_connected: ['gauge'],
  realtime_connections_global_connected_cluster: ['gauge'],
  phoenix_connections_total: ['gauge'],
  phoenix_connections_active: ['gauge'],
  phoenix_connections_max: ['gauge'],
  realtime_channel_global_events: ['counter'],
  realtime_channel_global_joins: ['counter'],
  realtime_channel_global_input_bytes: ['counter'],
  realtime_channel_global_output_bytes: ['counter'],
  realtime_channel_global_error: ['counter', 'code'],
  realtime_payload_size: ['histogram', 'message_type'],
  realtime_dropped_total: ['counter', 'reason'],
  phoenix_channel_joined_total: ['counter', 'endpoint', 'result', 'transport'],
  phoenix_channel_handled_in_duration_milliseconds: ['histogram', 'endpoint'],
  phoenix_socket_connected_duration_milliseconds: ['histogram', 'endpoint', 'result', 'serializer', 'transport'],
  process_cpu_seconds_total: ['counter'],
  process_resident_memory_bytes: ['gauge'],
  process_open_fds: ['gauge'],
  process_max_fds: ['gauge'],
  process_start_time_seconds: ['gauge'],
};
const OF_TENANTS = {
  realtime_connections_connected: ['gauge'],
  realtime_connections_connected_cluster: ['gauge'],
  realtime_channel_events: ['counter'],
  realtime_channel_joins: ['counter'],
  realtime_channel_input_bytes: ['counter'],
  realtime_channel_output_bytes: ['counter'],
  realtime_channel_error: ['counter', 'code'],
  realtime_tenants_payload_size: ['histogram', 'message_type'],
};

test('metrics of the reference server have its names, types and labels, and none before something happened [M-001] [M-002]', async () => {
  const fresh = await startServer();
  const read = async () => {
    const { body } = await request(fresh, { path: '/metrics', headers: { Authorization: `Bearer ${fresh.token({}, { secret: fresh.metricsSecret })}` } });
    return body;
  };
  const quiet = await read();
  const counters = [...Object.entries(OF_NODE), ...Object.entries(OF_TENANTS)].filter(([name, [type]]) => type !== 'gauge' && !/^process_|^realtime_dropped/.test(name));
  for (const [name] of counters) assert.doesNotMatch(quiet, new RegExp(`\\b${name}(_count)?[{ ]`), name);
  const client = await connect(fresh);
  await client.join('realtime:a', { config: { broadcast: { self: true } } });
  client.broadcast('realtime:a', 'x');
  await client.next();
  client.send('no message');
  await client.heartbeat();
  const texts = (await read()).split('# EOF\n');
  for (const [text, expected, extra] of [[texts[0], OF_NODE, []], [texts[1], OF_TENANTS, ['tenant']]]) {
    for (const [name, [type, ...labels]] of Object.entries(expected)) {
      assert.match(text, new RegExp(`^# TYPE ${name} ${type}$`, 'm'));
      const sample = new RegExp(`^${name}${type === 'histogram' ? '_count' : ''}\\{(.*)\\} \\d`, 'm').exec(text) ?? assert.fail(`no sample of ${name}`);
      assert.deepEqual([...sample[1].matchAll(/(\w+)=/g)].map(([, label]) => label), [...labels, ...extra, 'host', 'id', 'region'].sort(), name);
    }
  }
  assert.match(texts[0], /^realtime_build_info\{.*version="\d+\.\d+\.\d+"\} 1$/m);
  const started = Number(/^process_start_time_seconds\{.*\} (\S+)$/m.exec(texts[0])[1]);
  assert.ok(Math.abs(started - Date.now() / 1000) < 60, `started at ${started}`);
  assert.equal(await fresh.stop(), 0);
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
  assert.match((await scrape('/metrics/eu-1')).body, /realtime_worker_turn_microseconds/);
  const elsewhere = await scrape('/metrics/us-1');
  assert.deepEqual([elsewhere.status, elsewhere.body], [200, '']);
  assert.equal((await scrape('/metrics/eu-1/more')).status, 404);
  const authorization = `Bearer ${server.token({}, { secret: server.metricsSecret })}`;
  const head = await fetch(`${server.url}/metrics`, { method: 'HEAD', headers: { authorization } });
  assert.deepEqual([head.status, await head.text()], [200, '']);
  assert.equal((await request(server, { path: '/metrics/eu-1' })).status, 403);
});
