// What a join may say, which token the channel then runs under, and why a join is refused.
// protocol.md 4

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { V2, assertError, assertFrame, bothVersions, connect, encodePush, isReplyTo } from '../harness/phoenix.mjs';
import { secondsFromNow, startServer } from '../harness/server.mjs';

const NO_DATABASE = 'UnableToConnectToProject: Realtime was unable to connect to the project database';
const MALFORMED = 'MalformedJWT: The token provided is not a valid JWT';
const STRUCTURE = /^UnknownErrorOnChannel: ./;
const JOINED = { status: 'ok', response: { postgres_changes: [] } };

let server;
before(async () => (server = await startServer()));
after(async () => assert.equal(await server.stop(), 0));

let topics = 0;
const freshTopic = () => `realtime:join ${++topics}`;

// Which of its broadcast settings a channel took, seen from what its own broadcast brings back.
async function broadcastSettings(client, topic) {
  client.broadcast(topic, 'probe');
  await client.request(topic, 'presence');
  const events = client.inbox.splice(0).map((frame) => frame.event);
  return { self: events.includes('broadcast'), ack: events.includes('phx_reply') };
}

suite('topic and payload', () => {
  bothVersions('a topic needs a name [P-080] [E-002]', async (vsn) => {
    const client = await connect(server, { vsn });
    assertError(await client.tryJoin('realtime:'), 'TopicNameRequired: You must provide a topic name');
  });

  bothVersions('a name may have colons, any script, spaces, and more than 255 bytes [P-081]', async (vsn) => {
    const client = await connect(server, { vsn });
    for (const name of ['a:b::c:', ' ', 'комната', '部屋 😀', '"quoted\\"', 'x'.repeat(1_000), 'realtime:', '\u0000']) {
      const topic = `realtime:${name}`;
      assertFrame(await client.join(topic), { topic, payload: JOINED });
    }
  });

  for (const [name, payload] of [
    ['an empty config is a join with all defaults [P-082]', { config: {} }],
    ['a config of null is a join with all defaults [P-083]', { config: null }],
    ['null for broadcast and presence means their defaults [P-086]', { config: { broadcast: null, presence: null } }],
    ['private null is a public channel [P-090]', { config: { private: null } }],
    ['what is no boolean leaves its field at the default', { config: { private: 'yes', broadcast: { ack: 1, self: [] }, presence: [] } }],
    ['a blank string is the default too', { config: { private: ' ', broadcast: { ack: '', self: '\t' } } }],
    ['keys that nobody knows are ignored at every level [P-091]', {
      config: { more: 1, broadcast: { more: {} }, presence: { more: [] } }, version: 'x/1.0', more: null,
    }],
    ['entries that are null subscribe to nothing [P-118]', { config: { postgres_changes: [null] } }],
    ['entries that come as an object subscribe to nothing [P-119]', { config: { postgres_changes: {} } }],
    ['entries of null subscribe to nothing [P-119]', { config: { postgres_changes: null } }],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await connect(server, { vsn });
      const topic = freshTopic();
      assertFrame(await client.join(topic, payload), { topic, payload: JOINED });
      assert.deepEqual(await broadcastSettings(client, topic), { self: false, ack: false });
      await client.expectQuietAndJoined(topic);
    });
  }

  for (const [name, ...payloads] of [
    ['a payload that is no object fails the join [P-084] [E-002]', null, [], 'text', 7, true],
    ['config and its broadcast must be objects [P-085]',
      { config: 'text' }, { config: [] }, { config: { broadcast: 'text' } }, { config: { broadcast: [] } }],
    ['an entry must be an object [P-120]',
      { config: { postgres_changes: ['x'] } }, { config: { postgres_changes: [{ table: 't' }, 7] } }],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await connect(server, { vsn });
      for (const payload of payloads) {
        const topic = freshTopic();
        const reply = await client.tryJoin(topic, payload);
        assertFrame(reply, { topic, joinRef: reply.ref });
        assertError(reply, STRUCTURE);
        assertError(await client.request(topic, 'broadcast'), 'unmatched topic');
      }
    });
  }

  test('opaque bytes fail the join [P-084]', async () => {
    const client = await connect(server);
    client.send(encodePush({ joinRef: '1', ref: '1', topic: freshTopic(), event: 'phx_join', payload: '{"config":{}}' }));
    assertError(await client.next(), STRUCTURE);
  });

  for (const [name, broadcast, expected] of [
    ['booleans may come as words in any letter case [P-087]', { self: 'TRUE' }, { self: true, ack: false }],
    ['the word false means false [P-087]', { self: 'false', ack: 'True' }, { self: false, ack: true }],
    ['a field that is wrong does not spoil the others [P-088]', { self: true, ack: 'yes' }, { self: true, ack: false }],
    ['plain booleans work as well', { self: true, ack: true }, { self: true, ack: true }],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await connect(server, { vsn });
      const topic = freshTopic();
      await client.join(topic, { config: { broadcast } });
      assert.deepEqual(await broadcastSettings(client, topic), expected);
    });
  }

  bothVersions('a private channel needs the database of the project, whether private is said as boolean or word [P-089] [E-002]', async (vsn) => {
    const client = await connect(server, { vsn });
    for (const value of [true, 'true', 'TRUE']) {
      assertError(await client.tryJoin(freshTopic(), { config: { private: value } }), NO_DATABASE);
    }
    await client.expectQuiet();
  });

  bothVersions('public channels work for a tenant without a database', async (vsn) => {
    const [sender, receiver] = [await connect(server), await connect(server, { vsn })];
    const topic = freshTopic();
    for (const client of [sender, receiver]) await client.join(topic);
    sender.broadcast(topic, 'hello', { n: 1 });
    assertFrame(await receiver.next(), { topic, payload: { type: 'broadcast', event: 'hello', payload: { n: 1 } } });
  });
});

suite('tokens', () => {
  const expired = () => server.token({ exp: secondsFromNow(-100) });
  const valid = () => server.token({ sub: 'somebody' });

  // Good answers say only that the chosen token is valid, so what must not be chosen is expired.
  for (const [name, tokens, api] of [
    ['without a token of its own the channel runs under that of the socket [P-092]', () => ({})],
    ['an opaque key as access_token means the token of the socket [P-093]', () => ({ access_token: 'sb_publishable_x' })],
    ['an opaque key as access_token wins over a user_token', () => ({ access_token: 'sb_publishable_x', user_token: expired() })],
    ['an opaque key as user_token alone means the token of the socket [P-094]', () => ({ user_token: 'sb_secret_x' })],
    ['of two tokens the user_token counts [P-095]', () => ({ user_token: valid(), access_token: expired() })],
    ['a token that is no string is ignored [P-096]', () => ({ access_token: 17, user_token: [] })],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await connect(server, { vsn });
      assertFrame(await client.join(freshTopic(), { config: {}, ...tokens() }), { payload: JOINED });
    });
  }

  const EXPIRED = /^InvalidJWTToken: Token has expired 10\d seconds ago$/;
  for (const [name, reason, ...tokens] of [
    ['an empty access_token is a malformed one [P-097]', MALFORMED,
      () => ({ access_token: '' }), () => ({ access_token: 'a.b' })],
    ['an opaque user_token beside a JWT is a malformed token', MALFORMED,
      () => ({ access_token: valid(), user_token: 'sb_secret_x' })],
    ['an expired token says for how long it has been [P-098] [E-002]', EXPIRED,
      () => ({ access_token: expired() })],
    ['an expired user_token is not saved by a valid access_token [P-095]', EXPIRED,
      () => ({ user_token: expired(), access_token: valid() })],
    ['a token must say its role and when it expires [P-099]', 'InvalidJWTToken: Fields `role` and `exp` are required in JWT',
      () => ({ access_token: server.token({ role: undefined }) }), () => ({ access_token: server.token({ exp: undefined }) })],
    ['a token signed with another secret is refused [P-100] [E-002]', 'JwtSignatureError: Failed to validate JWT signature',
      () => ({ access_token: server.token({}, { secret: 'another secret' }) })],
    ['a token whose expiry is no number fails without details', 'Unknown Error on Channel',
      () => ({ access_token: server.token({ exp: 'soon' }) })],
    ['a token with a broken percent sequence fails the join', STRUCTURE,
      () => ({ access_token: '%zz' })],
  ]) {
    bothVersions(name, async (vsn) => {
      const client = await connect(server, { vsn });
      for (const token of tokens) {
        const topic = freshTopic();
        assertError(await client.tryJoin(topic, { config: {}, ...token() }), reason);
        await client.join(topic, { config: {}, access_token: valid() }); // the socket is as good as before
      }
    });
  }
});

suite('postgres_changes of a tenant without a database', () => {
  async function joinWith(entries, vsn = V2) {
    const client = await connect(server, { vsn });
    const topic = freshTopic();
    const reply = await client.join(topic, { config: { postgres_changes: entries } });
    return { client, topic, reply, echoed: reply.payload.response.postgres_changes };
  }

  bothVersions('equal entries are echoed with equal ids [P-114]', async (vsn) => {
    const entry = { event: '*', schema: 'public', table: 'todos' };
    const { echoed } = await joinWith([entry, { ...entry }], vsn);
    assert.deepEqual(echoed, [{ ...entry, id: echoed[0].id }, { ...entry, id: echoed[0].id }]);
  });

  bothVersions('different entries get different ids and keep their order [P-115]', async (vsn) => {
    const entriesOf = (event) => ['a', 'b', 'c'].map((table) => ({ event, schema: 'public', table }));
    const entries = ['INSERT', 'UPDATE', 'DELETE', '*'].flatMap(entriesOf);
    const { echoed } = await joinWith(entries, vsn);
    assert.deepEqual(echoed.map(({ id, ...entry }) => entry), entries);
    assert.equal(new Set(echoed.map(({ id }) => id)).size, entries.length);
    for (const { id } of echoed) assert.ok(Number.isSafeInteger(id) && id > 0, `id ${id}`);
  });

  test('an id depends on its entry alone, not on channel or socket', async () => {
    const entry = { event: 'INSERT', schema: 'public', table: 'todos', filter: 'id=eq.1' };
    const [first, second] = [await joinWith([entry]), await joinWith([{ event: '*', schema: 's' }, entry])];
    assert.equal(first.echoed[0].id, second.echoed[1].id);
  });

  bothVersions('an entry comes back with its own keys and an id, nothing else [P-116]', async (vsn) => {
    const entry = { event: 'INSERT', schema: 'public', foo: 1 };
    const { echoed } = await joinWith([entry], vsn);
    assert.deepEqual(echoed, [{ ...entry, id: echoed[0].id }]);
  });

  bothVersions('an id that the client made up is replaced by ours [P-117]', async (vsn) => {
    const entry = { event: '*', schema: 'public' };
    const plain = await joinWith([entry], vsn);
    const { echoed, reply } = await joinWith([{ id: 123456, ...entry }], vsn);
    assert.deepEqual(echoed, plain.echoed);
    assert.equal(reply.raw.match(/"id"/g).length, 1, reply.raw);
  });

  test('values that no double can hold are echoed digit by digit', async () => {
    const client = await connect(server);
    const config = '{"postgres_changes":[{"schema":"s","n":12345678901234567890.10}]}';
    client.send(`["1","1","${freshTopic()}","phx_join",{"config":${config}}]`);
    const { raw } = await client.next();
    assert.ok(raw.includes('12345678901234567890.10'), raw);
  });

  bothVersions('the client is told once that there will be no changes, and the channel works', async (vsn) => {
    const { client, topic, reply } = await joinWith([{ event: '*', schema: 'public' }, { event: '*', schema: 'other' }], vsn);
    const system = await client.next();
    assertFrame(system, { joinRef: reply.ref, ref: null, topic, event: 'system' });
    assert.ok(system.payload.message.length > 0);
    assert.deepEqual(system.payload, {
      extension: 'postgres_changes',
      status: 'error',
      message: system.payload.message,
      channel: topic.replace('realtime:', ''),
    });
    await client.expectQuietAndJoined(topic);
  });
});

suite('one channel per socket', { concurrency: true }, () => {
  let brisk; // answers a refused join after a short while
  let patient; // with the back-off that it comes with
  before(async () => {
    const start = (backoff) => startServer({ env: { CHANNEL_ERROR_BACKOFF_MS: backoff, TENANT_MAX_CHANNELS_PER_CLIENT: 1 } });
    [brisk, patient] = await Promise.all([start(300), start(undefined)]);
  });
  after(() => Promise.all([brisk.stop(), patient.stop()]));

  bothVersions('one channel more than allowed is refused until another is left [P-108] [E-002]', async (vsn) => {
    const client = await connect(brisk, { vsn });
    await client.join('realtime:one');
    assertError(await client.tryJoin('realtime:two'), 'ChannelRateLimitReached: Too many channels');
    await client.request('realtime:one', 'phx_leave');
    await client.next((frame) => frame.event === 'phx_close');
    await client.join('realtime:two');
  });

  test('a refused join holds its slot until its reply is out', async () => {
    const client = await connect(brisk);
    const bad = client.push('realtime:bad', 'phx_join', { config: {}, access_token: 'x' });
    assertError(await client.tryJoin('realtime:good'), 'ChannelRateLimitReached: Too many channels');
    await client.next(isReplyTo(bad));
    await client.join('realtime:good');
  });

  test('every refusal of a join waits five seconds by default [P-102] [E-002] [C-018]', async () => {
    const refusals = [
      ['realtime:', {}, 'TopicNameRequired: You must provide a topic name'],
      ['realtime:a', [], STRUCTURE],
      ['realtime:b', { config: 7 }, STRUCTURE],
      ['realtime:c', { config: {}, access_token: 'x' }, MALFORMED],
      ['realtime:d', { config: {}, access_token: patient.token({}, { secret: 'x' }) }, /^JwtSignatureError/],
      ['realtime:e', { config: {}, access_token: patient.token({ exp: 1 }) }, /^InvalidJWTToken/],
      ['realtime:f', { config: { private: true } }, NO_DATABASE],
    ];
    const assertDelayed = async (client, topic, payload, reason) => {
      const started = performance.now();
      assertError(await client.tryJoin(topic, payload), reason);
      const elapsed = performance.now() - started;
      assert.ok(elapsed >= 5_000, `${reason} after ${elapsed} ms`);
    };
    const member = await connect(patient);
    await member.join('realtime:first');
    await Promise.all([
      ...refusals.map(async (refusal) => assertDelayed(await connect(patient), ...refusal)),
      assertDelayed(member, 'realtime:second', {}, 'ChannelRateLimitReached: Too many channels'),
    ]);
  });
});
