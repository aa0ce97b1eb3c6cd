// Who may join a private channel: what the policies on realtime.messages make of a token. authorization.md 3, 5 and 6

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { assertError, bothVersions, connect, isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, NO_DATABASE, PRIVATE, assertUnauthorized, maySee, privately, startProjects } from '../harness/private.mjs';

let projects;
before(async () => (projects = await startProjects({ workers: 2 })));
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `realtime:room ${++topics}`;

bothVersions('without a policy no user gets in, and backends do [A-001] [P-111]', async (vsn) => {
  const project = await projects.make();
  for (const role of ['authenticated', 'anon']) {
    const client = await project.connect({ vsn, claims: { role, sub: 'ann' } });
    for (const payload of [PRIVATE, privately({ presence: true })]) {
      const refused = await client.tryJoin('realtime:room', payload);
      assert.deepEqual(refused.payload, {
        status: 'error',
        response: { reason: 'Unauthorized: You do not have permissions to read from this Channel topic: room' },
      });
    }
    await client.expectQuiet();
  }
  await project.expectLogged('Unauthorized', /room/);
  const backend = await project.backend('realtime:room', { vsn });
  await backend.expectQuietAndJoined('realtime:room');
});

test('a policy opens a channel at once, to whom it names, and the next one closes it again', async () => {
  const project = await projects.make();
  const topic = freshTopic();
  const statuses = async () => {
    const replies = [await project.asked(topic, { role: 'authenticated' }), await project.asked(topic, { role: 'anon' })];
    return replies.map(({ payload }) => payload.status);
  };
  assert.deepEqual(await statuses(), ['error', 'error']);
  await project.sql('CREATE POLICY p ON realtime.messages FOR SELECT TO authenticated USING (true);');
  assert.deepEqual(await statuses(), ['ok', 'error']);
  await project.sql('ALTER POLICY p ON realtime.messages TO anon;');
  assert.deepEqual(await statuses(), ['error', 'ok']);
});

test('a policy on broadcasts is enough for any channel, one on presence where presence is enabled, by the client or the tenant [P-112]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const topic = freshTopic();
  assert.equal((await project.asked(topic, { see: ['broadcast'] })).payload.status, 'ok');
  assert.equal((await project.asked(topic, { see: ['broadcast'] }, { presence: true })).payload.status, 'ok');
  assert.equal((await project.asked(topic, { see: ['presence'] }, { presence: true })).payload.status, 'ok');
  assertUnauthorized(await project.asked(topic, { see: ['presence'] }), topic);
  await project.change({ presence_enabled: true });
  assert.equal((await project.asked(topic, { see: ['presence'] })).payload.status, 'ok');
});

test('a join asks for what it needs: of broadcasts, and of presence only where that is enabled [A-004]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS + NOTED_PROBES });
  const probed = async (presence) => {
    const probes = await project.probes(() => project.asked('realtime:asked', { see: ['broadcast'] }, { presence }));
    return probes.map(({ topic, extension }) => `${topic}, ${extension}`).sort();
  };
  assert.deepEqual(await probed(false), ['asked, broadcast']);
  assert.deepEqual(await probed(true), ['asked, broadcast', 'asked, presence']);
  assert.deepEqual(await project.probes(async () => (await project.connect()).join('realtime:public')), [], 'a public channel asks for nothing');
});

test('a policy sees the topic letter by letter, whatever it is made of [A-005]', async () => {
  const project = await projects.make({ sql: maySee("topic = auth.jwt() ->> 'room' AND realtime.topic() = topic") });
  const rooms = ['a', 'a:b:c', ':', 'realtime:a', ' ', "o'clock", '"quoted"', 'back\\slash', '$1', '%s', ';--', '{}', 'zwölf 🕛', '\n\t', 'x'.repeat(2000)];
  for (const room of rooms) {
    const topic = `realtime:${room}`;
    assert.equal((await project.asked(topic, { room })).payload.status, 'ok', topic.slice(0, 30));
    assertUnauthorized(await project.asked(topic, { room: `${room}.` }), topic);
  }
});

test('a policy asks for the user, the role, any claim, rows of tables and headers of the connection [A-006] [P-216]', async () => {
  const project = await projects.make({
    sql: `CREATE TABLE public.members (user_id text, topic text); INSERT INTO public.members VALUES ('ann', 'team');
      GRANT SELECT ON public.members TO authenticated;
      ${maySee("realtime.topic() = 'of ' || auth.uid()")}
      ${maySee("realtime.topic() = 'role' AND auth.role() = 'authenticated' AND current_user = 'authenticated'")}
      ${maySee("realtime.topic() = 'level' AND (current_setting('request.jwt.claims', true)::jsonb ->> 'level')::int > 3")}
      ${maySee("realtime.topic() = 'deep' AND auth.jwt() #>> '{app,teams,1}' = 'réd'")}
      ${maySee('EXISTS (SELECT FROM public.members m WHERE m.user_id = (SELECT auth.uid()) AND m.topic = (SELECT realtime.topic()))')}
      ${maySee("realtime.topic() = 'header' AND current_setting('request.headers', true)::json ->> 'x-team' = 'réd \"1\"'")}
      ${maySee("realtime.topic() = 'others' AND (SELECT string_agg(k, ',') FROM json_object_keys(current_setting('request.headers', true)::json) k) !~ '^(x-[a-z-]+,?)*$'")}`,
  });
  const asked = async (topic, claims, headers) => (await project.asked(`realtime:${topic}`, claims, { headers })).payload.status;
  assert.equal(await asked('of ann', { sub: 'ann' }), 'ok');
  assert.equal(await asked('of ann', { sub: 'bob' }), 'error');
  assert.equal(await asked('role', {}), 'ok');
  assert.equal(await asked('level', { level: 4 }), 'ok');
  assert.equal(await asked('level', { level: 3 }), 'error');
  assert.equal(await asked('deep', { app: { teams: ['blue', 'réd'] } }), 'ok');
  assert.equal(await asked('team', { sub: 'ann' }), 'ok');
  assert.equal(await asked('team', { sub: 'bob' }), 'error');
  assert.equal(await asked('header', {}, { 'x-team': Buffer.from('réd "1"').toString('latin1') }), 'ok');
  assert.equal(await asked('header', {}, { 'x-team': 'blue' }), 'error');
  assert.equal(await asked('header', {}), 'error');
  assert.equal(await asked('others', {}, { 'x-one': '1', cookie: 'secret' }), 'error', 'only those whose names begin with x-');
});

test('a user without a name has the empty one [A-007] [D-035]', async () => {
  const project = await projects.make({
    sql: `${maySee("realtime.topic() = 'empty' AND current_setting('request.jwt.claim.sub') = ''")}
      ${maySee("realtime.topic() = 'named' AND current_setting('request.jwt.claim.sub') = 'ann'")}`,
  });
  for (const sub of [undefined, 'ann']) {
    assert.equal((await project.asked('realtime:empty', { sub })).payload.status, sub ? 'error' : 'ok');
    assert.equal((await project.asked('realtime:named', { sub })).payload.status, sub ? 'ok' : 'error');
  }
});

test('times in claims that have fractions are whole ones to policies, and numbers are kept as they were written', async () => {
  const project = await projects.make({
    sql: maySee("(auth.jwt() ->> 'exp') !~ '[.e]' AND auth.jwt() ->> 'account' = '12345678901234567890' AND (auth.jwt() ->> 'ratio')::numeric = 0.1"),
  });
  const exp = Math.floor(Date.now() / 1000) + 600.25;
  const claims = JSON.stringify({ role: 'authenticated', exp, ratio: 0.1 }).replace('{', '{"account":12345678901234567890,');
  const signed = ['{"alg":"HS256","typ":"JWT"}', claims].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const token = `${signed}.${createHmac('sha256', projects.server.secret).update(signed).digest('base64url')}`;
  const client = await project.connect({ token });
  await client.join('realtime:numbers', PRIVATE);
});

test('a policy that fails is a denial with a line in the log, and costs nobody else anything [A-018] [P-113]', async () => {
  const project = await projects.make({ sql: maySee("extension <> '' AND (1 / (auth.jwt() ->> 'n')::int) = 1") });
  const topic = freshTopic();
  const [failing, fine] = [await project.connect({ claims: { n: 0 } }), await project.connect({ claims: { n: 1 } })];
  const replies = await Promise.all([failing, fine, failing, fine].map((client, i) => client.tryJoin(`${topic} ${i}`, PRIVATE)));
  for (const [i, reply] of replies.entries()) {
    if (i % 2 === 0) assertUnauthorized(reply, `${topic} ${i}`);
    else assert.equal(reply.payload.status, 'ok');
  }
  await project.expectLogged('RlsPolicyError', /division by zero/);
});

test('a role that does not exist, or that the login may not become, or that may not use the table, is a denial [A-019]', async () => {
  const project = await projects.make({ sql: `${maySee('true', { to: 'public' })} CREATE ROLE stranger NOLOGIN; CREATE ROLE visitor NOLOGIN; GRANT visitor TO realtime_login;` });
  const topic = freshTopic();
  const refused = { nobody: /"nobody" does not exist/, Authenticated: /does not exist/, 'authenticated ': /does not exist/, stranger: /permission denied/, visitor: /permission denied/ };
  for (const [role, why] of Object.entries(refused)) {
    assertUnauthorized(await project.asked(topic, { role }), topic);
    await project.expectLogged('RlsPolicyError', why);
  }
  await project.sql('GRANT USAGE ON SCHEMA realtime TO visitor; GRANT SELECT ON realtime.messages TO visitor;');
  assert.equal((await project.asked(topic, { role: 'visitor' })).payload.status, 'ok');
});

test('no token gets the rights of our own login: a role that is none, null, empty or no text is refused, unseen by the database [A-020] [D-036]', async () => {
  const project = await projects.make({ sql: maySee('true', { to: 'public' }) + NOTED_PROBES });
  const client = await project.connect();
  const asked = (role) => client.tryJoin('realtime:login', { ...PRIVATE, access_token: project.token({ role }) });
  const probes = await project.probes(async () => {
    for (const role of ['none', 'NONE', 'None', 'nOnE', null]) assertUnauthorized(await asked(role), 'realtime:login');
  });
  assert.deepEqual(probes, []);
  assertUnauthorized(await asked(''), 'realtime:login');
  for (const role of [5, true, ['authenticated'], { authenticated: true }]) assertError(await asked(role), NO_DATABASE);
  await project.expectLogged('UnableToSetPolicies');

  const { postgres } = projects;
  const ofSuperuser = await projects.make({ sql: maySee(), settings: { db_user: 'postgres', db_password: postgres.password } });
  assertUnauthorized(await ofSuperuser.asked('realtime:login', { role: 'postgres' }), 'realtime:login');
  assert.equal((await ofSuperuser.asked('realtime:login', { role: 'authenticated' })).payload.status, 'ok');
});

test('what no database can store is refused, and nothing breaks', async () => {
  const project = await projects.make({ sql: maySee("topic <> 'no' AND auth.jwt() ->> 'x' IS NOT NULL") });
  assertUnauthorized(await project.asked('realtime:nul \u0000', { x: 1 }), 'realtime:nul \u0000');
  assertUnauthorized(await project.asked('realtime:claim', { x: '\u0000' }), 'realtime:claim');
  assertUnauthorized(await project.asked('realtime:role', { x: 1, role: 'authenticated\u0000' }), 'realtime:role');
  assert.equal((await project.asked('realtime:good', { x: 1 })).payload.status, 'ok');
});

test('a refusal waits for the back-off, and the rest of the socket does not [A-037]', async (t) => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const patient = await projects.serverOf(project, { env: { CHANNEL_ERROR_BACKOFF_MS: 700 } });
  t.after(() => patient.stop());
  const client = await connect(patient, { token: patient.token({ see: [] }) });
  await client.tryJoin('realtime:warm up', PRIVATE);
  const start = performance.now();
  const ref = client.push('realtime:denied', 'phx_join', PRIVATE, { ref: '7', joinRef: '7' });
  await client.join('realtime:public');
  const allowed = patient.token({ see: ['broadcast'] });
  await client.join('realtime:allowed', { ...PRIVATE, access_token: allowed });
  assert.deepEqual(client.inbox, [], 'the others did not wait');
  assertUnauthorized(await client.next(isReplyTo(ref)), 'realtime:denied');
  assert.ok(performance.now() - start >= 695, 'it waited');
});
