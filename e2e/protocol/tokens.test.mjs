// The token of a channel after the join: refreshed, refused, expired.
// protocol.md 8

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { assertFrame, bothVersions, connect } from '../harness/phoenix.mjs';
import { secondsFromNow, startServer } from '../harness/server.mjs';

let server;
before(async () => (server = await startServer({ workers: 2 })));
after(async () => assert.equal(await server.stop(), 0));

let topics = 0;

async function joined(vsn, { token, access_token } = {}) {
  const topic = `realtime:token ${++topics}`;
  const client = await connect(server, { vsn, token });
  await client.join(topic, { config: { broadcast: { self: true } }, access_token });
  const refresh = (payload) => client.push(topic, 'access_token', payload);
  return { client, topic, refresh };
}

async function assertWorks(client, topic) {
  client.broadcast(topic, 'hello');
  assertFrame(await client.next(), { topic, event: 'broadcast' });
}

suite('refresh', () => {
  bothVersions('a new token is taken without a word and the channel works on [P-204]', async (vsn) => {
    const { client, topic, refresh } = await joined(vsn);
    for (const sub of ['ann', 'bob']) {
      refresh({ access_token: server.token({ sub }) });
      await client.expectQuietAndJoined(topic);
    }
    await assertWorks(client, topic);
  });

  bothVersions('the same token again, null and opaque keys change nothing [P-205]', async (vsn) => {
    const token = server.token();
    const { client, topic, refresh } = await joined(vsn, { token });
    for (const access_token of [token, null, 'sb_publishable_x', 'sb_']) refresh({ access_token });
    await client.expectQuietAndJoined(topic);
    await assertWorks(client, topic);
  });

  bothVersions('a token message without a token, or with one that is no string, changes nothing [P-206]', async (vsn) => {
    const { client, topic, refresh } = await joined(vsn);
    for (const payload of [{}, { access_token: 17 }, { access_token: {} }, { access_token: true }, [], 'text', null]) refresh(payload);
    await client.expectQuietAndJoined(topic);
    await assertWorks(client, topic);
  });

  for (const [name, message, ...tokens] of [
    ['a malformed token closes the channel [P-207]', 'The token provided is not a valid JWT', () => 'wrong', () => '', () => 'a.b.c'],
    ['an expired token closes the channel and says since when [P-208]', /^Token has expired 10\d seconds ago$/,
      () => server.token({ exp: secondsFromNow(-100) })],
    ['a token without role or expiry closes the channel [P-209]', 'Fields `role` and `exp` are required in JWT',
      () => server.token({ role: undefined }), () => server.token({ exp: undefined })],
    ['a token signed with another secret closes the channel', ':signature_error', () => server.token({}, { secret: 'another secret' })],
  ]) {
    bothVersions(name, async (vsn) => {
      for (const token of tokens) {
        const { client, topic, refresh } = await joined(vsn);
        refresh({ access_token: token() });
        await client.expectShutdown(topic, message);
        await client.expectQuiet();
      }
    });
  }
});

suite('expiry', { concurrency: true }, () => {
  const EXPIRED = /^Token has expired [01] seconds ago$/;

  bothVersions('a channel closes when its token expires, and the socket stays [P-214]', async (vsn) => {
    const exp = secondsFromNow(2);
    const { client, topic } = await joined(vsn, { access_token: server.token({ exp }) });
    await client.join('realtime:token that lasts');
    await client.expectShutdown(topic, EXPIRED);
    assert.ok(Date.now() >= exp * 1_000, 'it closed too soon');
    await client.expectQuietAndJoined('realtime:token that lasts');
  });

  // One channel is let expire to know that the time has come for the others.
  bothVersions('the token of the socket may expire where each channel has a good one [P-204] [P-215]', async (vsn) => {
    const token = server.token({ exp: secondsFromNow(2) });
    const { client, topic } = await joined(vsn, { token, access_token: server.token() });
    await client.join(`${topic} refreshed`);
    client.push(`${topic} refreshed`, 'access_token', { access_token: server.token({ sub: 'ann' }) });
    await client.join(`${topic} expiring`);
    await client.expectShutdown(`${topic} expiring`, EXPIRED);
    assert.equal((await request(server, { path: `/socket/websocket?apikey=${token}`, headers: upgradeHeaders() })).status, 401);
    await assertWorks(client, topic);
    await client.expectQuietAndJoined(`${topic} refreshed`);
  });
});

test('a token is confirmed again and again without harm', async (t) => {
  const eager = await startServer({ env: { TOKEN_CONFIRM_INTERVAL_MS: 20 } });
  t.after(() => eager.stop());
  const client = await connect(eager);
  await client.join('realtime:confirmed');
  await client.join('realtime:expiring', { config: {}, access_token: eager.token({ exp: secondsFromNow(1) }) });
  await client.expectShutdown('realtime:expiring', /^Token has expired [01] seconds ago$/);
  await client.expectQuietAndJoined('realtime:confirmed');
});
