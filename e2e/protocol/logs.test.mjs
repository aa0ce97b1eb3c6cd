// What an operator reads in the log. errors.md, http-api.md 1.7

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { assertError, connect } from '../harness/phoenix.mjs';
import { secondsFromNow, startServer, until } from '../harness/server.mjs';

const linesWith = (server, text) => server.log.split('\n').filter((line) => line.includes(text));

let ids = 0;
// A request with an id of its own: {response, lines}, where lines are all that the log says of it.
async function exchange(server, { headers = {}, ...options } = {}) {
  const id = `an-id-that-is-long-enough-${++ids}`;
  const response = await request(server, { ...options, headers: { 'x-request-id': id, ...headers } });
  assert.ok(response.headers['x-request-id'] === id || options.path.startsWith('/socket/'), 'the answer repeats the id');
  await until(() => linesWith(server, `request_id=${id} `).some((line) => line.includes(' sent ')), 'the last line of the request');
  return { response, lines: linesWith(server, `request_id=${id} `).map((line) => line.replace(/^\S+ request_id=\S+ /, '')) };
}

const json = (body) => ({ body, headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) } });
const post = (server, path, body, more = {}) => {
  const { headers, ...rest } = json(body);
  return exchange(server, { method: 'POST', path, ...rest, headers: { ...headers, apikey: server.token(), Host: 'dev.example.test', ...more } });
};

suite('of requests', () => {
  let server;
  before(async () => (server = await startServer()));
  after(async () => assert.equal(await server.stop(), 0));

  test('tells begin and end of each under its id, by the level of its outcome, and nothing that is secret', async () => {
    const secret = server.token();
    const { lines } = await exchange(server, { path: `/api/ping?apikey=${secret}`, headers: { Host: 'dev.example.test' } });
    assert.equal(lines.length, 2);
    assert.equal(lines[0], 'client=127.0.0.1 [info] GET /api/ping');
    assert.match(lines[1], /^client=127\.0\.0\.1 \[info\] sent 200 in \d+\.\d{3} ms$/);
    const unauthorized = await exchange(server, { method: 'GET', path: '/metrics?x=1', headers: { Authorization: `Bearer ${secret}` } });
    assert.match(unauthorized.lines[1], /^client=127\.0\.0\.1 \[warning\] sent 403 in \d+\.\d{3} ms to GET \/metrics$/);
    assert.ok(!server.log.includes(secret));
  });

  test('counts handshakes among them, with their refusals and their upgrades', async () => {
    const path = `/socket/websocket?vsn=2.0.0&apikey=${server.token()}`;
    const opened = await exchange(server, { path, headers: upgradeHeaders({ Host: 'dev.example.test' }) });
    assert.match(opened.lines.join('\n'), /^client=\S+ \[info\] GET \/socket\/websocket\nclient=\S+ \[info\] sent 101 in /);
    const refused = await exchange(server, { path: '/socket/websocket?apikey=wrong', headers: upgradeHeaders({ Host: 'dev.example.test' }) });
    assert.equal(refused.lines.length, 3);
    assert.match(refused.lines[1], /^project=dev external_id=dev error_code=MalformedJWT client=\S+ \[error\] MalformedJWT: /);
    assert.match(refused.lines[2], /\[warning\] sent 401 in .* to GET \/socket\/websocket$/);
  });

  test('gives what the REST API cannot make sense of a code, and neither those who may not nor those who are too fast [E-015]', async (t) => {
    const faulty = await post(server, '/api/broadcast', '{"messages":[]}');
    assert.equal(faulty.response.status, 422);
    assert.match(faulty.lines[1], /^project=dev external_id=dev error_code=UnprocessableEntity client=\S+ \[error\] UnprocessableEntity: .*can't be blank/);
    const authorization = { Authorization: `Bearer ${server.token({ role: 'service_role' })}` };
    const tenant = await post(server, '/api/tenants/acme', '{}', authorization);
    assert.equal(tenant.response.status, 404, 'there is no such route');
    const { headers, body } = json('{"tenant":{"max_events_per_second":"many"}}');
    const put = await exchange(server, { method: 'PUT', path: '/api/tenants/acme', body, headers: { ...headers, ...authorization } });
    assert.equal(put.response.status, 422);
    assert.match(put.lines[1], /^project=acme external_id=acme error_code=UnprocessableEntity .*max_events_per_second/);

    const strict = await startServer({ env: { TENANT_MAX_EVENTS_PER_SECOND: 1 }, otherTenants: { gone: { columns: { suspend: 1 } } } });
    t.after(() => strict.stop());
    const message = '{"topic":"a","event":"e","payload":{}}';
    const tooMany = await post(strict, '/api/broadcast', `{"messages":[${message},${message}]}`);
    const suspended = await post(strict, '/api/broadcast', `{"messages":[${message}]}`, { Host: 'gone.example.test' });
    assert.deepEqual([tooMany.response.status, suspended.response.status], [429, 403]);
    for (const { lines } of [tooMany, suspended]) assert.equal(lines.length, 2);
    assert.deepEqual(linesWith(strict, 'UnprocessableEntity'), []);
  });

  test('warns of requests that go nowhere, and tells errors of our own [E-016]', async () => {
    const nowhere = await exchange(server, { path: '/nowhere?secret=1' });
    assert.equal(nowhere.lines[1], 'error_code=HttpClientError client=127.0.0.1 [warning] HttpClientError: Sent 404 response: "Not Found" to GET /nowhere');
    const broken = await post(server, '/api/broadcast', '{');
    assert.match(broken.lines[1], /error_code=HttpClientError .*Sent 400 response/);

    const store = new DatabaseSync(join(server.dataDir, 'control.sqlite'));
    store.exec('ALTER TABLE tenants RENAME TO elsewhere');
    const { headers, body } = json('{"tenant":{"suspend":false}}');
    const authorization = { Authorization: `Bearer ${server.token({ role: 'service_role' })}` };
    const failed = await exchange(server, { method: 'PATCH', path: '/api/tenants/dev', body, headers: { ...headers, ...authorization } });
    store.exec('ALTER TABLE elsewhere RENAME TO tenants');
    store.close();
    assert.equal(failed.response.status, 503);
    assert.match(failed.lines[1], /^project=dev external_id=dev error_code=HttpServerError client=\S+ \[error\] HttpServerError: Sent 503 response: /);
    assert.match(failed.lines[2], /\[error\] sent 503 in .* to PATCH \/api\/tenants\/dev$/);
    const missing = await exchange(server, { path: '/api/tenants/nobody', headers: authorization });
    assert.match(missing.lines[1], /^project=nobody external_id=nobody error_code=TenantNotFound .*\[error\] TenantNotFound: /);
  });

  test('leaves health checks out when it is told to [H-079]', async (t) => {
    const probe = async (one) => {
      await request(one, { path: '/healthcheck' });
      await request(one, { path: '/api/tenants/nobody/health' });
      await exchange(one, { path: '/readyz' }); // what comes before it in the log is there too
      return linesWith(one, 'health');
    };
    const lines = await probe(server);
    assert.equal(lines.filter((line) => /\[info\] GET \/(healthcheck|api\/tenants\/nobody\/health)$/.test(line)).length, 2);
    assert.ok(linesWith(server, ' sent 403 ').some((line) => line.includes('[info]')), 'information, whatever they find');
    const quiet = await startServer({ env: { DISABLE_HEALTHCHECK_LOGGING: 'true' } });
    t.after(() => quiet.stop());
    assert.deepEqual(await probe(quiet), []);
    assert.deepEqual(linesWith(quiet, ' sent 403 '), []);
  });
});

suite('of sockets', () => {
  let server;
  before(async () => (server = await startServer({ env: { TENANT_MAX_CHANNELS_PER_CLIENT: 2 } })));
  after(async () => assert.equal(await server.stop(), 0));

  test('an error names code, tenant, topic and the claims of the token [E-005]', async () => {
    const exp = secondsFromNow(600);
    const client = await connect(server, { token: server.token({ sub: 'ann', iss: 'https://issuer.test/a b', exp }) });
    await client.tryJoin('realtime:', {});
    const line = await until(() => linesWith(server, 'TopicNameRequired')[0], 'the line');
    assert.match(line, new RegExp(`^\\S+Z project=dev external_id=dev error_code=TopicNameRequired exp=${exp} sub=ann iss="https://issuer.test/a b" topic=realtime: \\[error\\] TopicNameRequired: You must provide a topic name$`));
  });

  test('a bad join is logged without its tokens and goes on with what is good in it [E-004]', async () => {
    const client = await connect(server);
    const access_token = server.token({ sub: 'bob' });
    await client.join('realtime:lenient', { config: { broadcast: { self: 'what' }, private: access_token }, access_token });
    await until(() => linesWith(server, 'error_code=InvalidJoinPayload').length === 1, 'the line');
    assert.ok(!server.log.includes(access_token));
  });

  test('a bad token is worth a line only to sockets that ask for warnings [E-006]', async () => {
    const refuse = (level) => request(server, {
      path: `/socket/websocket?log_level=${level}&apikey=${server.token({ exp: secondsFromNow(-5) })}`,
      headers: upgradeHeaders({ Host: 'dev.example.test' }),
    });
    for (const level of ['error', 'nonsense', '']) assert.equal((await refuse(level)).status, 401);
    assert.equal((await refuse('warning')).status, 401);
    await until(() => linesWith(server, 'InvalidJWTToken').length > 0, 'the line');
    assert.equal(linesWith(server, 'InvalidJWTToken').length, 1);
    assert.match(linesWith(server, 'InvalidJWTToken')[0], /\[warning\] InvalidJWTToken: Token has expired [5-9] seconds ago$/);
  });

  test('the last channel that a socket may have is logged, and the next one is refused [E-009]', async () => {
    const client = await connect(server);
    await client.join('realtime:1');
    const before = linesWith(server, 'ChannelRateLimitReached').length;
    await client.join('realtime:2');
    await until(() => linesWith(server, 'ChannelRateLimitReached').length === before + 1, 'the line of the last one');
    assertError(await client.tryJoin('realtime:3'), 'ChannelRateLimitReached: Too many channels');
  });
});
