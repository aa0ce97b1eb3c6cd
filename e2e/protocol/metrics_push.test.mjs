// Pushing metrics to a receiver. metrics.md 6
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'realtime-push-'));
const receivers = [];
after(() => {
  rmSync(scratch, { recursive: true, force: true });
  for (const receiver of receivers) receiver.stop();
});

// Gathers what is pushed. `answer(response, push)` decides what the pusher gets; by default 204.
class Receiver {
  pushes = [];
  answer = (response) => response.writeHead(204).end();

  static async start(tls) {
    const receiver = new Receiver();
    const handler = async (request, response) => {
      const chunks = await request.toArray();
      const push = { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks), at: performance.now() };
      receiver.pushes.push(push);
      receiver.answer(response, push);
    };
    receiver.server = tls ? https.createServer(tls, handler) : http.createServer(handler);
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    receivers.push(receiver);
    receiver.url = `${tls ? 'https' : 'http'}://127.0.0.1:${receiver.server.address().port}`;
    return receiver;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

const text = ({ headers, body }) => (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
const isOfTenants = (push) => !text(push).includes('process_cpu_seconds_total');
const linesWith = (server, code) => server.log.split('\n').filter((line) => line.includes(code));

async function start(receiver, env = {}, path = '/push') {
  return startServer({ env: { METRICS_PUSHER_ENABLED: 'true', METRICS_PUSHER_URL: receiver ? receiver.url + path : undefined, METRICS_PUSHER_INTERVAL_MS: 50, ...env } });
}

test('each push is two requests at a time, of the node and of its tenants, compressed, without a name or password [M-023]', async () => {
  const receiver = await Receiver.start();
  // Neither is answered before both are there.
  const pairs = []; // {pushes, answeredAt}
  let first;
  receiver.answer = (response, push) => {
    if (!first) return void (first = { response, push });
    pairs.push({ pushes: [first.push, push], answeredAt: performance.now() });
    for (const one of [first.response, response]) one.writeHead(200).end('thank you');
    first = undefined;
  };
  const server = await start(receiver);
  const client = await connect(server);
  await client.join('realtime:a');
  const pair = await until(() => pairs.find(({ pushes }) => pushes.some((push) => text(push).includes('realtime_channel_joins{'))), 'the join to be pushed');
  assert.deepEqual(pair.pushes.map(isOfTenants).sort(), [false, true]);
  for (const push of pair.pushes) {
    const { method, url, headers } = push;
    assert.deepEqual([method, url, headers['content-type'], headers['content-encoding'], headers.authorization], ['POST', '/push', 'text/plain', 'gzip', undefined]);
    assert.equal(Number(headers['content-length']), push.body.length);
    assert.equal(text(push).match(/# EOF\n/g).length, 1);
    assert.match(text(push), /# EOF\n$/);
    assert.equal(/[{,]tenant="/.test(text(push)), isOfTenants(push));
  }
  await until(() => pairs.length >= 3, 'the next pushes');
  for (let i = 1; i < pairs.length; ++i) assert.ok(pairs[i].pushes[0].at - pairs[i - 1].answeredAt >= 45, 'an interval lies between a push and the next');
  assert.ok((await server.metrics()).value('realtime_metrics_pushes_total', { part: 'tenants', result: 'ok' }) > 0);
  assert.deepEqual(linesWith(server, 'MetricsPusher'), []);
  client.socket.terminate();
  assert.equal(await server.stop(), 0);
  receiver.stop();
});

test('a password is sent by basic authentication and is in no log, and compression can be switched off [M-023]', async () => {
  const receiver = await Receiver.start();
  receiver.answer = (response) => response.writeHead(401).end();
  const server = await start(receiver, { METRICS_PUSHER_USER: 'me', METRICS_PUSHER_AUTH: 's3cret', METRICS_PUSHER_COMPRESS: 'false', LOG_LEVEL: 'debug' });
  await until(() => receiver.pushes.length >= 2, 'a push');
  const [{ headers, body }] = receiver.pushes;
  assert.equal(headers.authorization, `Basic ${Buffer.from('me:s3cret').toString('base64')}`);
  assert.equal(headers['content-encoding'], undefined);
  assert.match(body.toString(), /# EOF\n$/);
  await until(() => linesWith(server, 'MetricsPusherFailed').length === 2, 'the refusal to be logged');
  assert.equal(await server.stop(), 0);
  assert.doesNotMatch(server.log, new RegExp(`s3cret|${Buffer.from('me:s3cret').toString('base64')}`));
  receiver.stop();
});

test('extra labels are parameters behind those that the URL has [M-024] [C-026]', async () => {
  const receiver = await Receiver.start();
  const server = await start(receiver, { METRICS_PUSHER_EXTRA_LABELS: 'a=b=c, zone=x y&z' }, '/push?job=one');
  await until(() => receiver.pushes.length >= 2, 'a push');
  for (const { url } of receiver.pushes) {
    const query = new URL(url, receiver.url).searchParams;
    assert.equal(query.get('job'), 'one');
    assert.deepEqual(query.getAll('extra_label'), ['a=b=c', 'zone=x y&z']);
  }
  assert.equal(await server.stop(), 0);
  receiver.stop();
});

test('a receiver that fails, hangs or is not there is logged once, pushing goes on, and its return is logged [M-025]', async () => {
  const receiver = await Receiver.start();
  const server = await start(receiver, { METRICS_PUSHER_TIMEOUT_MS: 100 });
  receiver.answer = (response) => response.writeHead(500).end();
  await until(() => linesWith(server, 'MetricsPusherFailed').length === 2, 'the failure of both requests');
  const count = receiver.pushes.length;
  await until(() => receiver.pushes.length >= count + 6, 'pushes to go on');
  assert.equal(linesWith(server, 'MetricsPusherFailed').length, 2);
  assert.match(linesWith(server, 'MetricsPusherFailed')[0], /error_code=MetricsPusherFailed .*the receiver answered 500/);
  // It takes the request and says nothing.
  receiver.answer = () => {};
  await until(() => linesWith(server, 'MetricsPusherFailed').length === 4, 'the time-outs');
  const hanging = receiver.pushes.length;
  await until(() => receiver.pushes.length >= hanging + 4, 'pushes to go on');
  receiver.answer = (response) => response.writeHead(204).end();
  await until(() => linesWith(server, 'are pushed again').length === 2, 'the return');
  // Nobody listens any more.
  receiver.stop();
  await until(() => linesWith(server, 'MetricsPusherFailed').length === 6, 'the refused connections');
  assert.ok((await server.metrics()).value('realtime_metrics_pushes_total', { result: 'error' }) >= 10);
  assert.equal(await server.stop(), 0);
});

test('a hanging receiver does not delay the end of the server', async () => {
  const receiver = await Receiver.start();
  receiver.answer = () => {};
  const server = await start(receiver);
  await until(() => receiver.pushes.length === 2, 'a push');
  const began = performance.now();
  assert.equal(await server.stop(), 0);
  assert.ok(performance.now() - began < 5_000, `${performance.now() - began} ms`);
  receiver.stop();
});

test('nothing is pushed unless it is switched on and told where to, and a missing URL is a warning [M-026] [C-025]', async () => {
  const receiver = await Receiver.start();
  const silent = await start(receiver, { METRICS_PUSHER_ENABLED: undefined });
  const lost = await start(null);
  const pushing = await start(receiver, { REGION: 'pushing' });
  await until(() => receiver.pushes.length >= 6, 'pushes of the one that does push');
  assert.ok(receiver.pushes.every((push) => isOfTenants(push) || text(push).includes('region="pushing"')));
  assert.match(lost.log, /METRICS_PUSHER_ENABLED is set and METRICS_PUSHER_URL is not/);
  assert.doesNotMatch(silent.log, /METRICS_PUSHER/);
  for (const server of [silent, lost, pushing]) {
    assert.equal((await server.metrics()).some(({ name }) => name === 'realtime_metrics_pushes_total'), server === pushing);
    assert.equal(await server.stop(), 0);
  }
  receiver.stop();
});

test('over https the receiver must have a certificate of its name that the system trusts', async () => {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(scratch, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=receiver', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const receiver = await Receiver.start({ key: readFileSync(key), cert: readFileSync(cert) });
  const wary = await start(receiver);
  await until(() => linesWith(wary, 'MetricsPusherFailed').length === 2, 'the certificate to be refused');
  assert.match(linesWith(wary, 'MetricsPusherFailed')[0], /certificate verify failed/);
  assert.deepEqual(receiver.pushes, []);
  assert.equal(await wary.stop(), 0);
  const trusting = await start(receiver, { SSL_CERT_FILE: cert });
  await until(() => receiver.pushes.length >= 2, 'a push');
  assert.equal(await trusting.stop(), 0);
  receiver.stop();
});
