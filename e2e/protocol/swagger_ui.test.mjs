// The page that shows the description of the HTTP API, and the files it loads. http-api.md 10

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { openConnection, request, requestText } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

let server;
before(async () => (server = await startServer()));
after(async () => assert.equal(await server.stop(), 0));

const SCRIPT = '/swaggerui/swagger-ui-bundle.js';

// The body as the bytes that came, which fetch() would decompress.
async function get(path, headers = {}, method = 'GET') {
  const connection = await openConnection(server);
  connection.write(requestText({ method, path, headers: { Host: 'dev', Connection: 'close', ...headers } }));
  await connection.ended;
  const end = connection.received.indexOf('\r\n\r\n') + 4;
  const head = connection.received.subarray(0, end).toString('latin1');
  const header = (name) => new RegExp(`^${name}: (.*)\r$`, 'mi').exec(head)?.[1];
  return { status: Number(head.split(' ')[1]), head, header, body: connection.received.subarray(end) };
}

test('a page shows the description of the API, and what it loads comes from this server [H-083]', async () => {
  for (const prefix of ['', '/realtime/v1']) {
    const page = await get(`${prefix}/swaggerui`);
    assert.equal(page.status, 200);
    assert.match(page.header('content-type'), /^text\/html/);
    assert.equal(page.header('content-security-policy'), "base-uri 'self'; frame-ancestors 'self';");
    assert.equal(page.header('referrer-policy'), 'strict-origin-when-cross-origin');
    assert.equal(page.header('x-content-type-options'), 'nosniff');
    assert.equal(page.header('x-permitted-cross-domain-policies'), 'none');
    assert.match(page.header('x-request-id'), /./);
    assert.equal(page.header('set-cookie'), undefined, 'nothing uses one');
    const html = page.body.toString();
    assert.match(html, /<title>Swagger UI<\/title>/);
    const loaded = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, url]) => new URL(url, `${server.url}${prefix}/swaggerui`));
    assert.equal(loaded.length, 4);
    const types = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', png: 'image/png' };
    for (const { host, pathname } of loaded) {
      assert.equal(host, `${server.host}:${server.port}`);
      const file = await get(pathname);
      assert.deepEqual([pathname, file.status, file.header('content-type')], [pathname, 200, types[pathname.split('.').at(-1)]]);
      assert.ok(file.body.length > 500);
    }
  }
  const slash = await get('/realtime/v1/swaggerui/');
  assert.equal(slash.status, 302);
  assert.equal(new URL(slash.header('location'), `${server.url}/realtime/v1/swaggerui/`).pathname, '/realtime/v1/swaggerui');
  assert.equal((await get('/swaggerui', { Accept: 'application/json' })).status, 406);
  assert.equal((await get('/swaggerui/nothing')).status, 404);
  assert.equal((await get('/swaggerui/../../etc/passwd')).status, 404);
  assert.match((await get(`${SCRIPT}.LICENSE.txt`)).body.toString(), /License/);
});

test('its files are sent compressed to those who take that, and not again to those who have them', async () => {
  const plain = await get(SCRIPT);
  const packed = await get(SCRIPT, { 'Accept-Encoding': 'gzip' });
  assert.equal(plain.header('content-encoding'), undefined);
  assert.equal(packed.header('content-encoding'), 'gzip');
  assert.ok(packed.body.length < plain.body.length / 3, `${packed.body.length} of ${plain.body.length}`);
  assert.deepEqual(gunzipSync(packed.body), plain.body);
  for (const one of [plain, packed]) {
    assert.equal(Number(one.header('content-length')), one.body.length);
    assert.equal(one.header('vary'), 'accept-encoding');
    assert.equal(one.header('cache-control'), 'public, max-age=3600');
  }
  assert.notEqual(plain.header('etag'), packed.header('etag'));
  const again = await get(SCRIPT, { 'Accept-Encoding': 'gzip', 'If-None-Match': packed.header('etag') });
  assert.deepEqual([again.status, again.body.length, again.header('etag')], [304, 0, packed.header('etag')]);
  assert.equal((await get(SCRIPT, { 'If-None-Match': packed.header('etag') })).status, 200);
  const head = await get(SCRIPT, {}, 'HEAD');
  assert.deepEqual([head.status, head.body.length, Number(head.header('content-length'))], [200, 0, plain.body.length]);
});

test('a crowd that asks for the largest file and reads nothing costs its worker one copy, and others nothing', async (t) => {
  const small = await startServer({ env: { WORKER_SEND_QUEUE_BYTES_MAX: 20_000_000 } });
  t.after(() => small.stop());
  const [sender, receiver] = [await connect(small), await connect(small)];
  for (const client of [sender, receiver]) await client.join('realtime:room');
  const rss = async () => (await small.metrics()).value('process_resident_memory_bytes');
  const { body } = await request(small, { path: SCRIPT, headers: { Host: 'dev' } });
  const before = await rss();
  const COUNT = 100;
  const deaf = await Promise.all(Array.from({ length: COUNT }, () => openConnection(small)));
  t.after(() => deaf.forEach((connection) => connection.close()));
  for (const connection of deaf) {
    connection.socket.pause();
    connection.write(requestText({ path: SCRIPT, headers: { Host: 'dev' } }));
  }
  const cut = async () => (await small.metrics()).value('realtime_slow_consumers_total', { cause: 'worker_cap' });
  await until(async () => (await cut()) > 0, 'those who hold most to be cut');
  assert.ok((await rss()) - before < (COUNT * body.length) / 4, 'memory for one copy, not for each');
  for (let n = 0; n < 50; ++n) {
    sender.broadcast('realtime:room', 'tick', { n });
    assert.equal((await receiver.next()).payload.payload.n, n);
  }
});
