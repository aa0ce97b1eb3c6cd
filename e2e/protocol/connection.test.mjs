// From the TCP connection to an open WebSocket: tenants, tokens, refusals, limits of the listener, time-outs.
// protocol.md 1

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openConnection, request, requestText, upgradeHeaders } from '../harness/http.mjs';
import { V1, V2, assertFrame, bothVersions, connect, encodeText, isReplyTo } from '../harness/phoenix.mjs';
import { mintToken, secondsFromNow, startServer } from '../harness/server.mjs';

const ACME = 'acme.rt.example.test:4000';
const LOCAL_SECRET = 'the secret of the tenant named localhost';
const ACME_SECRET = 'the secret of the tenant named acme, no other';

// Two tenants with secrets of their own, and no default tenant.
let server;
before(async () => {
  server = await startServer({
    tenant: 'acme',
    defaultTenant: null,
    otherTenants: { localhost: { secret: LOCAL_SECRET } },
    env: { API_JWT_SECRET: ACME_SECRET },
  });
});
after(async () => assert.equal(await server.stop(), 0));

const open = (options) => connect(server, { ...options, headers: { Host: ACME, ...options?.headers } });

// A WebSocket handshake by hand. `token` goes into the query, as it stands.
function handshake(options = {}, to = server) {
  const { token = server.token(), query = 'vsn=2.0.0', path = '/socket/websocket', host = ACME, headers } = options;
  const apikey = token === null ? '' : `&apikey=${token}`;
  return request(to, { path: `${path}?${query}${apikey}`, headers: upgradeHeaders({ Host: host, ...headers }) });
}

async function assertRefused(response, status, error) {
  const { status: got, body, headers } = await response;
  assert.deepEqual({ status: got, body: JSON.parse(body) }, { status, body: { error } });
  assert.equal(headers['content-type'], 'application/json; charset=utf-8');
}

const isHeartbeatReply = (frame) => frame.topic === 'phoenix' && frame.event === 'phx_reply';

suite('opening a socket', () => {
  for (const [name, path] of [
    ['a client with a valid token gets a socket on which the server speaks second [P-001]', '/socket/websocket'],
    ['a slash at the end of the path does no harm [P-002]', '/socket/websocket/'],
    ['SDKs that are configured without a gateway find the socket under /realtime/v1 [P-003]', '/realtime/v1/websocket'],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await open({ vsn, path });
      client.push('phoenix', 'heartbeat');
      await client.expectNothingBefore(isHeartbeatReply);
      await client.join(`realtime:${path}`, { config: { broadcast: { self: true } } });
      client.broadcast(`realtime:${path}`, 'hello');
      assertFrame(await client.next(), { event: 'broadcast', payload: { type: 'broadcast', event: 'hello', payload: {} } });
    });
  }

  test('the alias under /realtime/v1 refuses as the socket endpoint does [P-003]', async () => {
    await assertRefused(handshake({ path: '/realtime/v1/websocket', token: null }), 401, 'API key is missing');
  });

  for (const [name, vsn, spoken] of [
    ['a client that names no version is spoken to in V1 [P-004]', null, V1],
    ['a client that asks for 2.0.0 is spoken to in V2 [P-005]', '2.0.0', V2],
    ['later patch levels of 1.0 are V1 [P-006]', '1.0.7', V1],
    ['later patch levels of 2.0 are V2 [P-006]', '2.0.9', V2],
  ]) {
    test(name, async () => {
      const client = await open({ vsn });
      const heartbeat = { joinRef: null, ref: '1', topic: 'phoenix', event: 'heartbeat', payload: {} };
      client.send(encodeText(spoken === V1 ? 1 : 2, heartbeat));
      const reply = JSON.parse((await client.next()).raw);
      assert.equal(Array.isArray(reply), spoken === V2);
    });
  }

  test('the tenant is the first label of the host, or all of it where there is no dot [P-008]', async () => {
    const forAcme = server.token();
    const forLocalhost = server.token({}, { secret: LOCAL_SECRET });
    assert.equal((await handshake({ host: ACME, token: forAcme })).status, 101);
    assert.equal((await handshake({ host: 'localhost:4000', token: forLocalhost })).status, 101);
    await assertRefused(handshake({ host: ACME, token: forLocalhost }), 401, 'Failed to validate JWT signature');
    await assertRefused(handshake({ host: 'localhost', token: forAcme }), 401, 'Failed to validate JWT signature');
  });

  test('the letter case of the host does not matter [P-009]', async () => {
    assert.equal((await handshake({ host: 'ACME.RT.example.test' })).status, 101);
  });

  test('the Origin of a page neither opens nor closes the door [P-029]', async () => {
    for (const origin of ['https://elsewhere.example', 'null', 'file://']) {
      assert.equal((await handshake({ headers: { Origin: origin } })).status, 101);
      await assertRefused(handshake({ token: null, headers: { Origin: origin } }), 401, 'API key is missing');
    }
  });

  bothVersions('log_level, known or not, changes nothing on the wire [P-030]', async (vsn) => {
    const transcripts = [];
    for (const log_level of ['error', 'info', 'warning', 'debug']) {
      const client = await open({ vsn, params: { log_level } });
      await client.join('realtime:log level', { config: { broadcast: { self: true, ack: true } } });
      client.broadcast('realtime:log level', 'hello');
      client.push('realtime:log level', 'access_token', { access_token: 'wrong' });
      transcripts.push([await client.next(), await client.next(), await client.next(), await client.next()]);
      await client.close(1000);
    }
    for (const transcript of transcripts) assert.deepEqual(transcript, transcripts[0]);
    assert.deepEqual(transcripts[0].map((frame) => frame.event), ['broadcast', 'phx_reply', 'system', 'phx_close']);
  });

  test('query parameters that nobody knows are ignored [P-031]', async () => {
    const client = await open({ params: { eventsPerSecond: '10', nonsense: '', 'a[b]': 'c' } });
    await client.heartbeat();
  });

  test('of an apikey given twice the last one counts', async () => {
    assert.equal((await handshake({ query: 'apikey=wrong' })).status, 101);
    const goodThenBad = handshake({ query: `apikey=${server.token()}`, token: 'wrong' });
    await assertRefused(goodThenBad, 401, 'The token provided is not a valid JWT');
  });

  test('the answer selects no subprotocol', async () => {
    const { status, headers } = await handshake({ headers: { 'Sec-WebSocket-Protocol': 'phoenix, other' } });
    assert.equal(status, 101);
    assert.equal(headers['sec-websocket-protocol'], undefined);
  });
});

suite('refusing a socket', () => {
  test('a version we do not speak is refused without a word, whatever else is wrong [P-007]', async () => {
    for (const vsn of ['2.1.0', '3.0.0', '2', 'abc', '', '1.0', '2.0.0-']) {
      const { status, body } = await handshake({ query: `vsn=${vsn}`, host: 'nobody.example', token: null });
      assert.deepEqual({ vsn, status, body }, { vsn, status: 403, body: '' });
    }
  });

  test('a host without a tenant is not found, with or without a token [P-010] [E-001]', async () => {
    await assertRefused(handshake({ host: 'nobody.example.test' }), 404, 'Tenant not found');
    await assertRefused(handshake({ host: 'nobody.example.test', token: null }), 404, 'Tenant not found');
    await assertRefused(handshake({ host: `127.0.0.1:${server.port}` }), 404, 'Tenant not found');
  });

  test('a client without a token is told so [P-012] [E-001]', async () => {
    await assertRefused(handshake({ token: null }), 401, 'API key is missing');
    await assertRefused(handshake({ token: null, query: `apikey[]=${server.token()}` }), 401, 'API key is missing');
  });

  test('a token in the x-api-key header wins over the query parameter, right or wrong [P-013] [P-014]', async () => {
    const good = server.token();
    const malformed = 'The token provided is not a valid JWT';
    assert.equal((await handshake({ token: 'wrong', headers: { 'x-api-key': good } })).status, 101);
    assert.equal((await handshake({ token: null, headers: { 'X-API-Key': good } })).status, 101);
    await assertRefused(handshake({ token: good, headers: { 'x-api-key': 'wrong' } }), 401, malformed);
    await assertRefused(handshake({ token: good, headers: { 'x-api-key': '' } }), 401, malformed);
  });

  test('a bearer token is for the REST API and opens no socket [P-015]', async () => {
    const headers = { Authorization: `Bearer ${server.token()}` };
    await assertRefused(handshake({ token: null, headers }), 401, 'API key is missing');
  });

  const withoutRole = () => server.token({ role: undefined });
  const withoutExpiry = () => server.token({ exp: undefined });
  const required = 'Fields `role` and `exp` are required in JWT';
  for (const [name, status, error, ...tokens] of [
    ['what is not a JWT is called so, opaque keys too [P-016] [E-001]', 401, 'The token provided is not a valid JWT',
      () => 'not-a-jwt', () => 'sb_publishable_x', () => '', () => 'a.b.c', () => `${server.token()}.more`],
    ['a token signed with another secret is refused [P-017] [E-001]', 401, 'Failed to validate JWT signature',
      () => server.token({}, { secret: 'another secret' }), () => `${server.token()}A`],
    ['an expired token is refused [P-018] [E-001]', 401, 'Token has expired',
      () => server.token({ exp: secondsFromNow(-1) }), () => server.token({ exp: 0 })],
    ['a token must say its role and when it expires [P-019] [E-001]', 401, required, withoutRole, withoutExpiry],
    ['a token signed with a key that the tenant does not have is refused [E-001]', 401,
      'Failed to generate JWT signer, check your JWT secret or JWKS configuration',
      () => withHeader({ alg: 'RS256' }), () => withHeader({ alg: 'none' }), () => withHeader({ alg: 'EdDSA', kid: 'k' })],
    ['a token whose times are no numbers is an error that says little [E-001]', 500, 'Error connecting to Realtime',
      () => server.token({ exp: 'soon' }), () => server.token({ iat: 'today' })],
    ['a token with a broken percent sequence is an error that says little', 500, 'Error connecting to Realtime',
      () => `${server.token()}%25zz`],
  ]) {
    test(name, async () => {
      for (const token of tokens) await assertRefused(handshake({ token: token() }), status, error);
    });
  }

  // Only the header of the JWT is replaced: the key is chosen before the signature is looked at.
  function withHeader(header) {
    return [Buffer.from(JSON.stringify(header)).toString('base64url'), ...server.token().split('.').slice(1)].join('.');
  }

  test('times in a token may have fractions [P-020]', async () => {
    const token = server.token({ exp: secondsFromNow(60) + 0.5, iat: secondsFromNow(-60) + 0.25 });
    assert.equal((await handshake({ token })).status, 101);
  });

  test('HS384 and HS512 use the secret of the tenant as HS256 does', async () => {
    for (const alg of ['HS384', 'HS512']) assert.equal((await handshake({ token: server.token({}, { alg }) })).status, 101);
  });

  test('spaces in a token and one more percent-encoding are forgiven', async () => {
    const [header, claims, signature] = server.token().split('.');
    assert.equal((await handshake({ token: `${header}%252E${claims}.%20%0A${signature}+` })).status, 101);
  });

  test('a request that is no upgrade gets 400, but only once its token is good [P-027]', async () => {
    const path = `/socket/websocket?apikey=${server.token()}`;
    assert.equal((await request(server, { path, headers: { Host: ACME } })).status, 400);
    await assertRefused(request(server, { path: '/socket/websocket', headers: { Host: ACME } }), 401, 'API key is missing');

    const headers = upgradeHeaders({ Host: ACME, 'Content-Length': '0' });
    const post = await request(server, { path, method: 'POST', headers });
    assert.deepEqual({ status: post.status, body: post.body }, { status: 400, body: '' });
  });

  test('each header of the upgrade is needed', async () => {
    for (const headers of [
      { Connection: undefined },
      { Connection: 'keep-alive' },
      { Upgrade: 'h2c' },
      { 'Sec-WebSocket-Key': undefined },
      { 'Sec-WebSocket-Version': '8' },
    ]) {
      assert.equal((await handshake({ headers })).status, 400, JSON.stringify(headers));
    }
    assert.equal((await handshake({ headers: { Connection: 'keep-alive, UPGRADE', Upgrade: 'WebSocket' } })).status, 101);
  });
});

suite('on the open socket', () => {
  test('compression is declined by default and frames come uncompressed [P-028]', async () => {
    const offer = 'permessage-deflate; client_max_window_bits';
    const { status, headers } = await handshake({ headers: { 'Sec-WebSocket-Extensions': offer } });
    assert.deepEqual([status, headers['sec-websocket-extensions']], [101, undefined]);
    // The ws library ends the connection at a compressed frame that was not negotiated.
    const client = await open({ perMessageDeflate: true });
    assert.equal(client.socket.extensions, '');
    await client.join('realtime:plain', { config: { broadcast: { self: true } } });
    client.broadcast('realtime:plain', 'long', { text: 'a'.repeat(100_000) });
    assertFrame(await client.next(), { event: 'broadcast' });
  });

  // A heartbeat frame of exactly that many bytes.
  function heartbeatOf(bytes, version) {
    const fields = { joinRef: null, ref: '1', topic: 'phoenix', event: 'heartbeat' };
    const frame = (filler) => encodeText(version, { ...fields, payload: { filler } });
    return frame('x'.repeat(bytes - frame('').length));
  }

  bothVersions('a message may have five million bytes and not one more [P-034]', async (vsn) => {
    const client = await open({ vsn });
    client.send(heartbeatOf(5_000_000, client.version));
    await client.next(isReplyTo('1'));
    client.send(heartbeatOf(5_000_001, client.version));
    assert.deepEqual(await client.waitForClose(), { code: 1009, reason: '' });
  });

  test('the bound of a message holds for the sum of its fragments [P-034]', async () => {
    const client = await open();
    const sendHalves = (text) => {
      client.socket.send(text.slice(0, 2_500_000), { fin: false });
      client.socket.send(text.slice(2_500_000), { fin: true });
    };
    sendHalves(heartbeatOf(5_000_000, client.version));
    await client.next(isReplyTo('1'));
    sendHalves(heartbeatOf(5_000_001, client.version));
    assert.deepEqual(await client.waitForClose(), { code: 1009, reason: '' });
  });

  for (const [name, firstByte, secondByte] of [
    ['a client that does not mask its frames is cut off with 1002 [P-035]', 0x81, 0x02],
    ['a reserved opcode closes with 1002', 0x83, 0x82],
    ['a reserved bit closes with 1002', 0xc1, 0x82],
  ]) {
    test(name, async () => {
      const connection = await openConnection(server);
      const path = `/socket/websocket?apikey=${server.token()}`;
      connection.write(requestText({ path, headers: upgradeHeaders({ Host: ACME }) }));
      assert.equal((await connection.response()).status, 101);
      connection.write(Buffer.from([firstByte, secondByte, ...(secondByte & 0x80 ? [0, 0, 0, 0] : []), 0x7b, 0x7d]));
      const { opcode, payload } = await connection.frame();
      assert.deepEqual({ opcode, code: payload.readUInt16BE() }, { opcode: 8, code: 1002 });
      connection.close();
    });
  }

  test('a ping comes back as a pong with the same data [P-036]', async () => {
    const client = await open();
    for (const data of ['', 'are you there?', 'x'.repeat(125)]) {
      const pong = new Promise((resolve) => client.socket.once('pong', resolve));
      client.socket.ping(data);
      assert.equal((await pong).toString(), data);
    }
  });

  test('a frame that comes along with the handshake is heard', async () => {
    const connection = await openConnection(server);
    const path = `/socket/websocket?vsn=2.0.0&apikey=${server.token()}`;
    const text = Buffer.from('[null,"1","phoenix","heartbeat",{}]');
    const frame = Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0, ...text]);
    connection.write(Buffer.from([...Buffer.from(requestText({ path, headers: upgradeHeaders({ Host: ACME }) })), ...frame]));
    assert.equal((await connection.response()).status, 101);
    const { opcode, payload } = await connection.frame();
    assert.equal(opcode, 1);
    assert.deepEqual(JSON.parse(payload), [null, '1', 'phoenix', 'phx_reply', { status: 'ok', response: {} }]);
    connection.close();
  });

  test('the code of a client that closes is confirmed, without a reason', async () => {
    const client = await open();
    assert.deepEqual(await client.close(4321, 'good bye'), { code: 4321, reason: '' });
  });
});

suite('limits of the listener', () => {
  const healthcheck = (headers = {}, query = '') =>
    requestText({ path: `/healthcheck${query}`, headers: Array.isArray(headers) ? headers : { Host: ACME, ...headers } });

  async function exchange(text, to = server) {
    const connection = await openConnection(to);
    connection.write(text);
    const response = await connection.response();
    connection.close();
    return response.status;
  }

  test('a request line of more than 8000 bytes gets 414', async () => {
    assert.equal(await exchange(healthcheck({}, `?${'x'.repeat(7_900)}`)), 200);
    assert.equal(await exchange(healthcheck({}, `?${'x'.repeat(8_000)}`)), 414);
  });

  test('a header value of more than 4096 bytes gets 431, and a host of more than 255 [H-011]', async () => {
    assert.equal(await exchange(healthcheck({ 'X-Long': 'x'.repeat(4096) })), 200);
    assert.equal(await exchange(healthcheck({ 'X-Long': 'x'.repeat(4097) })), 431);
    assert.equal(await exchange(healthcheck({ Host: 'h'.repeat(255) })), 200);
    assert.equal(await exchange(healthcheck({ Host: 'h'.repeat(256) })), 431);
  });

  test('a request with more than 100 headers gets 431', async () => {
    const headers = (count) => [['Host', ACME], ...Array.from({ length: count - 1 }, (_, n) => [`X-${n}`, 'x'])];
    assert.equal(await exchange(healthcheck(headers(100))), 200);
    assert.equal(await exchange(healthcheck(headers(101))), 431);
  });

  test('headers of more than 64 KiB together get 431', async () => {
    const headers = (count) => [['Host', ACME], ...Array.from({ length: count }, (_, n) => [`X-${n}`, 'x'.repeat(4_000)])];
    assert.equal(await exchange(healthcheck(headers(15))), 200);
    assert.equal(await exchange(healthcheck(headers(17))), 431);
  });

  test('what is not HTTP gets 400', async () => {
    assert.equal(await exchange('good morning\r\n\r\n'), 400);
    assert.equal(await exchange('GET /healthcheck HTTP/1.1\r\nno colon\r\n\r\n'), 400);
  });

  test('one connection serves many requests, also when they come all at once', async () => {
    const connection = await openConnection(server);
    for (let n = 0; n < 3; n++) {
      connection.write(healthcheck());
      const { status, body } = await connection.response();
      assert.deepEqual({ status, body }, { status: 200, body: 'ok' });
    }
    connection.write(healthcheck() + requestText({ path: '/socket/websocket', headers: { Host: ACME } }) + healthcheck());
    const statuses = [];
    for (let n = 0; n < 3; n++) statuses.push((await connection.response()).status);
    assert.deepEqual(statuses, [200, 401, 200]);
    const post = requestText({ method: 'POST', path: '/socket/websocket', headers: { Host: ACME, 'Content-Length': '5' }, body: 'GET /' });
    connection.write(post + healthcheck());
    assert.equal((await connection.response()).status, 400);
    assert.equal((await connection.response()).status, 200);
    connection.write(healthcheck({ Connection: 'close' }));
    assert.equal((await connection.response()).status, 200);
    await connection.ended;
  });
});

suite('time-outs', { concurrency: true }, () => {
  const IDLE_MS = 1_000;
  let impatient; // short time-outs, sweeps often
  let slow; // answers refused handshakes late
  let standard; // with the back-off that it comes with
  before(async () => {
    [impatient, slow, standard] = await Promise.all([
      startServer({ env: { SOCKET_IDLE_TIMEOUT_MS: IDLE_MS, NO_CHANNEL_TIMEOUT_IN_MS: 500, HTTP_HEADER_TIMEOUT_MS: 500 } }),
      startServer({ env: { CONNECT_ERROR_BACKOFF_MS: 400 }, defaultTenant: null }),
      startServer({ env: { CONNECT_ERROR_BACKOFF_MS: undefined } }),
    ]);
  });
  after(() => Promise.all([impatient.stop(), slow.stop(), standard.stop()]));

  // Repeats a step, several times within the idle time-out, until the client is closed; gives how.
  async function repeatUntilClosed(client, step) {
    let open = true;
    const closed = client.waitForClose().finally(() => (open = false));
    closed.catch(() => {}); // reported at the end
    while (open) {
      await step();
      await sleep(IDLE_MS / 8);
    }
    return closed;
  }

  test('a refused client waits two seconds by default [P-024]', async () => {
    const { status, elapsed } = await handshake({ token: null }, standard);
    assert.equal(status, 401);
    assert.ok(elapsed >= 2_000, `${elapsed} ms`);
  });

  test('every refusal waits for the back-off but those of the version and of the upgrade [P-007] [P-024] [E-001] [C-018]', async () => {
    const host = 'dev.example.test';
    const answered = [];
    const note = async (what, response) => {
      const { status, elapsed } = await response;
      answered.push(what);
      return { status, elapsed };
    };
    const token = slow.token();
    const delayed = [
      note('tenant', handshake({ host: 'nobody.example.test', token }, slow)),
      note('missing', handshake({ host, token: null }, slow)),
      note('malformed', handshake({ host, token: 'wrong' }, slow)),
      note('signature', handshake({ host, token: mintToken('wrong', { role: 'r' }) }, slow)),
      note('other', handshake({ host, token: slow.token({ exp: 'soon' }) }, slow)),
    ];
    const immediate = [
      note('version', handshake({ host, token, query: 'vsn=3.0.0' }, slow)),
      note('upgrade', handshake({ host, token, headers: { Upgrade: undefined } }, slow)),
    ];
    assert.deepEqual((await Promise.all(immediate)).map(({ status }) => status), [403, 400]);
    assert.deepEqual(answered.toSorted(), ['upgrade', 'version']);
    for (const { status, elapsed } of await Promise.all(delayed)) assert.ok(elapsed >= 400, `${status} after ${elapsed} ms`);
  });

  test('a refusal that waits holds up the requests behind it on its connection, in order', async () => {
    const connection = await openConnection(slow);
    const headers = { Host: 'dev.example.test' };
    connection.write(requestText({ path: '/socket/websocket', headers }) + requestText({ path: '/healthcheck', headers }));
    assert.equal((await connection.response()).status, 401);
    assert.equal((await connection.response()).status, 200);
    connection.close();
  });

  bothVersions('a silent client is closed with 1000, even while it is being sent to [P-032]', async (vsn) => {
    const silent = await connect(impatient, { vsn });
    const sender = await connect(impatient, { vsn });
    const topic = `realtime:silent ${vsn}`;
    await sender.join(topic);
    const from = performance.now();
    await silent.join(topic);
    const closed = await repeatUntilClosed(silent, async () => {
      sender.broadcast(topic, 'wake up');
      await sender.heartbeat();
    });
    assert.deepEqual(closed, { code: 1000, reason: '' });
    assert.ok(performance.now() - from >= IDLE_MS);
    assert.ok(silent.inbox.length > 0);
  });

  test('heartbeats keep a socket with a channel open past the idle time-out [P-033]', async () => {
    const client = await connect(impatient);
    await client.join('realtime:alive');
    for (const from = performance.now(); performance.now() - from < 2.5 * IDLE_MS; await sleep(IDLE_MS / 8)) {
      await client.heartbeat();
    }
  });

  test('the sweep cuts a socket that left its last channel, and no other [P-037] [P-038] [C-019]', async () => {
    const [never, member, left] = await Promise.all([1, 2, 3].map(() => connect(impatient)));
    await member.join('realtime:room');
    await member.join('realtime:other room');
    await member.request('realtime:other room', 'phx_leave');
    await left.join('realtime:room');
    await left.request('realtime:room', 'phx_leave');
    const lastBeat = () => left.heartbeat().catch(() => {}); // has no answer
    const closed = await repeatUntilClosed(left, () => Promise.all([never.heartbeat(), member.heartbeat(), lastBeat()]));
    assert.deepEqual(closed, { code: 1006, reason: '' });
    for (const client of [never, member]) await client.heartbeat();
  });

  test('a socket whose only join failed is swept as well [P-037]', async () => {
    const client = await connect(impatient);
    await client.tryJoin('realtime:');
    const closed = await repeatUntilClosed(client, () => client.heartbeat().catch(() => {}));
    assert.deepEqual(closed, { code: 1006, reason: '' });
  });

  test('headers that do not arrive in time get 408', async () => {
    const from = performance.now();
    const connection = await openConnection(impatient);
    connection.write('GET /healthcheck HTTP/1.1\r\nHost: ');
    assert.equal((await connection.response()).status, 408);
    assert.ok(performance.now() - from >= 500);
    await connection.ended;
  });
});
