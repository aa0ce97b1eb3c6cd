// What policies and triggers on realtime.messages live with while rights are asked: the row, the settings, and that no trace stays.
// authorization.md 1 to 4, 9; database.md 9

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { LOGIN_PASSWORD, psql } from '../harness/doctor.mjs';
import { isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, LOGIN, NOTED_PROBES, assertUnauthorized, maySee, maySend, privately, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';

let projects;
before(async () => (projects = await startProjects()));
after(() => projects.stop());

const rowsOf = (project) => project.sql('SELECT count(*) FROM realtime.messages;');

// A condition that holds, and tells the log of Postgres what it sees.
const WITNESS = `
  CREATE FUNCTION public.witnessed(m realtime.messages) RETURNS boolean LANGUAGE plpgsql AS $$
  DECLARE settings json;
  BEGIN
    SELECT json_object_agg(name, current_setting(name, true)) INTO settings FROM unnest(ARRAY['role', 'realtime.topic', 'request.jwt.claims',
      'request.jwt.claim.sub', 'request.jwt.claim.role', 'request.headers', 'request.jwt.claim.exp', 'request.jwt.claim.email', 'request.method',
      'request.path', 'request.cookies', 'DateStyle', 'row_security', 'bytea_output', 'client_encoding', 'standard_conforming_strings']) name;
    RAISE LOG 'witness %', json_build_object('user', current_user, 'row', row_to_json(m), 'settings', settings);
    RETURN true;
  END $$;`;

async function witnessed({ postgres }, what) {
  const lines = () => [...postgres.log.matchAll(/ LOG: {2}witness (\{.*\})$/gm)].map(([, json]) => JSON.parse(json));
  return until(() => lines().find(({ row }) => row.topic === what.topic && row.extension === what.extension), JSON.stringify(what));
}

test('policies see one row and exactly six settings [D-034]', async () => {
  const project = await projects.make({ sql: WITNESS + maySee('public.witnessed(messages)') + maySend('public.witnessed(messages)') });
  const claims = { sub: 'ann', role: 'authenticated', exp: 4_000_000_000, app: { list: [1, null, 'é'] } };
  const reader = await project.member('realtime:seen', { claims, presence: true, headers: { 'x-one': '1', 'X-Two': 'zwei', accept: '*/*' } });
  const writer = await project.member('realtime:sent', { claims, ack: true });
  await writer.next(isReplyTo(writer.broadcast('realtime:sent', 'e')));
  for (const [topic, extension, headers] of [['seen', 'broadcast', { 'x-one': '1', 'x-two': 'zwei' }], ['seen', 'presence', { 'x-one': '1', 'x-two': 'zwei' }], ['sent', 'broadcast', {}]]) {
    const { user, row, settings } = await witnessed(projects, { topic, extension });
    assert.equal(user, 'authenticated');
    const { id, inserted_at, updated_at, ...rest } = row;
    assert.match(id, /^[0-9a-f-]{36}$/);
    for (const time of [inserted_at, updated_at]) assert.ok(Math.abs(Date.parse(`${time}Z`) - Date.now()) < 60_000, `UTC: ${time}`);
    assert.deepEqual(rest, { topic, extension, payload: null, event: null, private: false, binary_payload: null });
    const { 'request.jwt.claims': all, 'request.headers': seen, ...others } = settings;
    assert.deepEqual(JSON.parse(all), claims);
    assert.deepEqual(JSON.parse(seen), headers);
    assert.deepEqual(others, {
      ...{ role: 'authenticated', 'realtime.topic': topic, 'request.jwt.claim.sub': 'ann', 'request.jwt.claim.role': 'authenticated' },
      ...{ 'request.jwt.claim.exp': null, 'request.jwt.claim.email': null, 'request.method': null, 'request.path': null, 'request.cookies': null },
      ...{ DateStyle: 'ISO, MDY', row_security: 'on', bytea_output: 'hex', client_encoding: 'UTF8', standard_conforming_strings: 'on' },
    });
  }
  await reader.next((frame) => frame.event === 'presence_state');
});

test('no setting, no role and no row stays on the connection, after a yes, a no or a failure [A-024] [A-025] [D-034]', async () => {
  const project = await projects.make({ sql: `${NOTED_PROBES} ${maySee("extension <> '' AND (12 / (auth.jwt() ->> 'n')::int) > 3")} ${maySend("(12 / (auth.jwt() ->> 'n')::int) > 3")}` });
  const pid = () => project.postgres.sql(`SELECT pid FROM pg_stat_activity WHERE datname = '${project.name}' AND application_name = 'realtime_connect'`);
  await project.asked('realtime:first', { n: 1 });
  const before = await pid();
  for (const n of [1, 6, 0]) {
    const topic = `realtime:n ${n}`;
    const reply = await project.asked(topic, { n, sub: 'secret' }, { headers: { 'x-secret': 'secret' } });
    assert.equal(reply.payload.status, n === 1 ? 'ok' : 'error');
    await project.sendOne(topic, 'e', { claims: { n, sub: 'secret' } });
    const probes = await project.probes(() => project.asked('realtime:next', { n: 1 }));
    assert.deepEqual(probes.map(({ role, settings }) => ({ role, settings })), [{ role: 'none', settings: {} }], 'our own probe, before any setting');
  }
  assert.equal(await pid(), before, 'it is the same connection');
  assert.equal(await rowsOf(project), '0');
});

test('nobody is ever sent a probe, and after any number of them there is none [A-024]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const topic = 'realtime:quiet';
  const listener = await project.backend(topic, { presence: true });
  await listener.next((frame) => frame.event === 'presence_state');
  for (let n = 0; n < 20; n += 1) {
    const member = await project.member(topic, { see: ['broadcast'] });
    member.broadcast(topic, 'denied');
    await member.expectQuietAndJoined(topic);
    await member.close();
  }
  await listener.expectQuietAndJoined(topic);
  assert.equal(await rowsOf(project), '0');
});

test('triggers of users fire for probes, and what they do is undone [A-026]', async () => {
  const project = await projects.make({
    sql: `${maySee()} ${maySend()} ${NOTED_PROBES}
      CREATE TABLE public.audit (topic text); GRANT INSERT ON public.audit TO authenticated, ${LOGIN};
      CREATE FUNCTION public.audited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit VALUES (new.topic); RETURN null; END $$;
      CREATE TRIGGER audited AFTER INSERT ON realtime.messages FOR EACH ROW EXECUTE FUNCTION public.audited();`,
  });
  const topic = 'realtime:audited';
  const probes = await project.probes(async () => {
    const member = await project.member(topic, { ack: true });
    await member.next(isReplyTo(member.broadcast(topic, 'e')));
  });
  assert.deepEqual([...new Set(probes.map(({ extension, role }) => `${extension} as ${role}`))], ['broadcast as none', 'broadcast as authenticated', 'presence as authenticated']);
  assert.equal(await project.sql('SELECT count(*) FROM public.audit;'), '0');
  assert.equal(await project.sql("SELECT realtime.send('{}', 'e', 'audited'); SELECT count(*) FROM public.audit;"), '\n1', 'a real message stays');
});

test('a trigger that fails is a denial, one that swallows the row hides it and lets it be sent', async () => {
  const project = await projects.make({
    sql: `${maySee()} ${maySend()}
      CREATE FUNCTION public.strange() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.topic = 'failing' THEN RAISE EXCEPTION 'not this one'; END IF;
        IF new.extension = 'broadcast' AND new.topic = 'swallowed' THEN RETURN null; END IF;
        RETURN new; END $$;
      CREATE TRIGGER strange BEFORE INSERT ON realtime.messages FOR EACH ROW EXECUTE FUNCTION public.strange();`,
  });
  const failing = 'realtime:failing';
  assertUnauthorized(await project.asked(failing, {}), failing);
  await project.expectLogged('RlsPolicyError', /not this one/);
  const swallowed = 'realtime:swallowed';
  assertUnauthorized(await project.asked(swallowed, {}), swallowed);
  const member = await project.member(swallowed, { presence: true, ack: true, self: true });
  await member.next((frame) => frame.event === 'presence_state');
  assert.deepEqual((await member.next(isReplyTo(member.broadcast(swallowed, 'e')))).payload, { status: 'ok', response: {} });
  await member.expectQuietAndJoined(swallowed);
});

test('a policy that looks at the table itself sees the rows of its own question and not those of others who ask at the same time', async () => {
  const project = await projects.make({ sql: maySee() + maySend("(SELECT count(*) FROM realtime.messages m WHERE m.topic <> realtime.topic()) = 0") });
  const members = await Promise.all(Array.from({ length: 30 }, (_, n) => project.member(`realtime:room ${n}`, { claims: { n }, ack: true })));
  const late = await project.connect();
  const joins = Array.from({ length: 30 }, (_, n) => late.tryJoin(`realtime:late ${n}`, privately()));
  await Promise.all(members.map((member, n) => member.next(isReplyTo(member.broadcast(`realtime:room ${n}`, 'e')), `the ack of ${n}`)));
  for (const reply of await Promise.all(joins)) assert.equal(reply.payload.status, 'ok');
});

// --- The same as plain SQL, for policies of any make.

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

// {see: [...], send: [...]} of a session with these settings, or 'failure' in place of a list.
async function bySql(project, topic, claims) {
  const set = { role: claims.role, 'realtime.topic': topic, 'request.jwt.claims': JSON.stringify(claims), 'request.jwt.claim.sub': claims.sub ?? '', 'request.jwt.claim.role': claims.role, 'request.headers': '{}' };
  const settings = `\\o /dev/null\nSELECT ${Object.entries(set).map(([name, value]) => `set_config('${name}', ${quoted(value)}, true)`).join(', ')};\n\\o\n`;
  const insert = (extension) => `INSERT INTO realtime.messages (topic, extension) VALUES (${quoted(topic)}, '${extension}');\n`;
  const script = `\\set ON_ERROR_STOP off\n\\set ON_ERROR_ROLLBACK on\n
    BEGIN;\n${insert('broadcast')}${insert('presence')}${settings}SELECT 'see ' || extension FROM realtime.messages WHERE topic = ${quoted(topic)};\n\\echo read :SQLSTATE\nROLLBACK;
    BEGIN;\n${settings}${['broadcast', 'presence'].map((extension) => `${insert(extension)}\\echo send ${extension} :SQLSTATE\n`).join('')}ROLLBACK;`;
  const { output } = await psql(project.postgres, project.name, script, { env: { PGUSER: LOGIN, PGPASSWORD: LOGIN_PASSWORD } });
  const lines = output.split('\n');
  const see = lines.includes('read 00000') ? lines.filter((line) => line.startsWith('see ')).map((line) => line.slice(4)).sort() : 'failure';
  const sends = lines.filter((line) => line.startsWith('send ')).map((line) => line.split(' ').slice(1));
  const isFailure = sends.some(([, state]) => state !== '00000' && state !== '42501');
  return { see, send: isFailure ? 'failure' : sends.filter(([, state]) => state === '00000').map(([extension]) => extension) };
}

// The same as far as clients can find out: whether they may track is told to those who could join only.
async function byServer(project, topic, claims, backend, expected) {
  const status = (await project.sendOne(topic, 'written', { claims })).status;
  const mayWrite = { 202: true, 403: false, 422: 'failure' }[status];
  const client = await project.connect({ claims });
  const reply = await client.tryJoin(`realtime:${topic}`, privately({ presence: true }));
  if (reply.payload.status !== 'ok') {
    assertUnauthorized(reply, topic);
    await client.close();
    return { see: [], mayWrite };
  }
  const tracked = (await client.request(`realtime:${topic}`, 'presence', { event: 'track', payload: {} })).payload.status === 'ok';
  await backend.next(isReplyTo(backend.broadcast(`realtime:${topic}`, 'read')));
  // States are told in the order in which they were asked for.
  const late = await project.backend(`realtime:${topic}`, { presence: true });
  await late.next((frame) => frame.event === 'presence_state');
  await late.close();
  await client.heartbeat();
  if (expected.see.includes('presence')) await until(() => client.inbox.some((frame) => frame.event === 'presence_state'), 'the state');
  const has = (event) => client.inbox.some((frame) => frame.event === event);
  const see = [has('broadcast') && 'broadcast', has('presence_state') && 'presence'].filter(Boolean);
  await client.close();
  return { see, mayWrite, tracked };
}

const ATOMS = [
  'true', 'false', "extension = 'broadcast'", "messages.extension = 'presence'", "realtime.topic() = 'a'", "topic LIKE 'a%'", "auth.role() = 'anon'",
  "auth.uid() = 'ann'", "(SELECT auth.jwt()) ->> 'level' = '3'", 'private', 'NOT private', 'payload IS NULL', "current_user = 'authenticated'", 'event IS NOT NULL',
  'EXISTS (SELECT FROM public.members m WHERE m.name = (SELECT auth.uid()) AND m.topic = realtime.topic())', "inserted_at > now() - interval '2 days'",
];

function randomPolicies(seed) {
  const random = (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  const pick = (list) => list[random(list.length)];
  const condition = () => (random(2) ? pick(ATOMS) : `(${random(3) ? '' : 'NOT '}(${pick(ATOMS)}) ${pick(['AND', 'OR'])} (${pick(ATOMS)}))`);
  return Array.from({ length: 1 + random(4) }, (_, n) => {
    const command = pick(['ALL', 'SELECT', 'SELECT', 'INSERT']);
    const checks = [command !== 'INSERT' && `USING (${condition()})`, command !== 'SELECT' && random(4) && `WITH CHECK (${condition()})`].filter(Boolean);
    const wanted = command === 'INSERT' && checks.length === 0 ? ['WITH CHECK (true)'] : checks;
    return `CREATE POLICY r${n} ON realtime.messages AS ${random(3) ? 'PERMISSIVE' : 'RESTRICTIVE'} FOR ${command} TO ${pick(['public', 'authenticated', 'authenticated', 'anon, authenticated'])} ${wanted.join(' ')};`;
  }).join('\n');
}

const RESTRICTED = [
  maySee() + maySee("extension = 'broadcast'", { as: 'restrictive' }),
  maySee('true', { to: 'public' }) + maySend('true', { to: 'public' }) + maySee("auth.uid() = 'ann'", { as: 'restrictive', to: 'anon' }),
  "CREATE POLICY everything ON realtime.messages FOR ALL TO authenticated USING (auth.uid() = 'ann');",
  maySee('true', { as: 'restrictive' }), // nothing permits
  'CREATE POLICY failing ON realtime.messages FOR INSERT TO public WITH CHECK (1 / length(extension) / 0 = 1);',
];

test('policies of any make give the answers of a plain SQL session: restrictive, to public, for all commands [A-034]', async (t) => {
  const seed = Number(process.env.RT_TEST_SEED ?? randomInt(1 << 30));
  t.diagnostic(`seed ${seed}`);
  const project = await projects.make({
    sql: "CREATE TABLE public.members (name text, topic text); INSERT INTO public.members VALUES ('bob', 'a'); GRANT SELECT ON public.members TO anon, authenticated;",
  });
  const backends = {};
  for (const topic of ['a', 'b']) backends[topic] = await project.backend(`realtime:${topic}`, { ack: true });
  for (const policies of [...RESTRICTED, ...Array.from({ length: 25 }, (_, n) => randomPolicies(seed + n))]) {
    await project.sql(`DO $$ DECLARE p record; BEGIN
      FOR p IN SELECT polname FROM pg_policy WHERE polrelid = 'realtime.messages'::regclass LOOP EXECUTE format('DROP POLICY %I ON realtime.messages', p.polname); END LOOP; END $$; ${policies}`);
    for (const [topic, claims] of [['a', { sub: 'ann' }], ['a', { sub: 'bob', level: 3 }], ['b', { role: 'anon', sub: 'ann' }]]) {
      const all = { role: 'authenticated', exp: 4_000_000_000, ...claims };
      const expected = await bySql(project, topic, all);
      const found = await byServer(project, topic, all, backends[topic], expected);
      const why = `${topic}, ${JSON.stringify(claims)}, ${policies}`;
      assert.deepEqual(found.see, expected.see === 'failure' ? [] : expected.see, why);
      assert.equal(found.mayWrite, expected.send === 'failure' ? 'failure' : expected.send.includes('broadcast'), why);
      if (found.tracked !== undefined) assert.equal(found.tracked, expected.send !== 'failure' && expected.send.includes('presence'), why);
    }
  }
  assert.equal(await rowsOf(project), '0');
});
