// Policies that cannot be asked: too slow, cancelled, cut off, without a table to write to. Each client is told which it was, and
// all is well again without a restart. authorization.md 7, protocol.md 9.8

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { assertError, isReplyTo } from '../harness/phoenix.mjs';
import { AWAY, NO_DATABASE, PRIVATE, WAITING, lateJoin, lateReply, maySee, maySend, privately, startProjects } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';

let projects;
let postgres;
before(async () => {
  projects = await startProjects();
  ({ postgres } = projects);
});
after(() => projects.stop());

// Topics that begin with slow wait, those that tell a token to are waited for by its claim `wait`.
const SLOWLY = `${WAITING} ${maySee("topic NOT LIKE 'slow%' OR public.waited(coalesce((auth.jwt() ->> 'wait')::float8, 0))")}
  ${maySend("topic NOT LIKE 'slow%' OR public.waited(coalesce((auth.jwt() ->> 'wait')::float8, 0))")}`;
const refresh = (client, topic, access_token) => client.push(topic, 'access_token', { access_token });
const track = async (client, topic) => (await client.request(topic, 'presence', { event: 'track', payload: {} })).payload;
const signal = async (what, project) => postgres.sql(`SELECT ${what}(${await project.whoWaits()})`);

// Cancels whatever waits in a policy until there is an answer: one question may be several statements.
async function cancelled(project, answer) {
  let isThere = false;
  answer.finally(() => (isThere = true)).catch(() => {});
  await until(async () => {
    await postgres.sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = '${project.name}' AND wait_event = 'PgSleep'`);
    return isThere;
  }, 'an answer');
  return answer;
}

test('without a partition a private join is refused and says so, until there is one again [A-021] [E-022]', async () => {
  const project = await projects.make({ sql: maySee() + maySend() });
  const [member, other] = [await project.member('realtime:room', { ack: true, presence: true }), await project.member('realtime:room')];
  await member.next((frame) => frame.event === 'presence_state');
  await project.sql(`DO $$ DECLARE p regclass; BEGIN
    FOR p IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'realtime.messages'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$;`);
  assertError(await project.asked('realtime:room', {}), 'MissingPartition: Realtime was unable to find the expected messages partition');
  await project.expectLogged('MissingPartition');
  assert.deepEqual(await track(member, 'realtime:room'), { status: 'error', response: {} });
  member.broadcast('realtime:room', 'lost');
  await member.expectQuietAndJoined('realtime:room');
  refresh(member, 'realtime:room', project.token({ sub: 'ann' }));
  await member.expectShutdown('realtime:room', NO_DATABASE);
  await other.expectQuietAndJoined('realtime:room');

  await project.sql("SELECT realtime.send('{}', 'event', 'room');"); // makes the one of today
  assert.equal((await member.tryJoin('realtime:room', PRIVATE)).payload.status, 'ok');
});

test('without a partition a new connection makes them', async () => {
  const project = await projects.make({ sql: maySee() });
  await project.sql(`DO $$ DECLARE p regclass; BEGIN
    FOR p IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'realtime.messages'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$;`);
  await project.admin('POST', '/shutdown');
  assert.equal((await project.asked('realtime:room', {})).payload.status, 'ok');
  assert.equal(await project.sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'realtime.messages'::regclass;"), '32');
});

test('a question that an operator cancels is told as that, in each place, and asked again if one asks again [A-022]', async () => {
  const project = await projects.make({ sql: SLOWLY });
  const waiting = { claims: { wait: 30 } };
  const client = await project.connect(waiting);
  const joining = client.tryJoin('realtime:slow join', PRIVATE);
  await signal('pg_cancel_backend', project);
  assertError(await joining, /^QueryCanceled: .*canceling statement due to user request/);
  await project.expectLogged('QueryCanceled', /canceling statement/);

  const topic = 'realtime:slow channel';
  const backend = await project.backend(topic);
  const member = await project.member(topic, { ack: true });
  refresh(member, topic, project.token({ wait: 30 }));
  await signal('pg_cancel_backend', project);
  await member.expectShutdown(topic, 'Query was cancelled, please try again');

  await member.join(topic, privately({ ack: true, presence: true }));
  await member.next((frame) => frame.event === 'presence_state');
  await project.sql('CREATE POLICY s ON realtime.messages AS RESTRICTIVE FOR INSERT TO authenticated WITH CHECK (public.waited(30));');
  assert.deepEqual(await cancelled(project, track(member, topic)), { status: 'error', response: {} });
  member.broadcast(topic, 'lost');
  await cancelled(project, member.expectQuietAndJoined(topic));
  await project.sql('DROP POLICY s ON realtime.messages;');
  await member.next(isReplyTo(member.broadcast(topic, 'found')));
  assert.equal((await backend.next()).payload.event, 'found');
});

test('a policy that takes too long is stopped; whoever waits for it too long is told so, then all at once, and it passes [A-022] [A-023]', { timeout: 120_000 }, async () => {
  const project = await projects.make({ sql: SLOWLY });
  const stuck = await project.connect({ claims: { wait: 60 } });
  const waiting = await project.connect();
  const [refreshed, member] = [await project.member('realtime:a'), await project.member('realtime:b', { ack: true })];
  const POOL = 'IncreaseConnectionPool: Please increase your connection pool size';

  const started = performance.now();
  const slow = stuck.push('realtime:slow', 'phx_join', PRIVATE, { ref: '5', joinRef: '5' });
  await project.whoWaits();
  const late = await lateJoin(waiting, 'realtime:waits');
  assertError(late, POOL);
  assert.ok(late.elapsed > 4000 && late.elapsed < 9000, `about five seconds: ${late.elapsed}`);
  const at = performance.now();
  for (let n = 0; n < 3; n += 1) assertError(await lateJoin(waiting, `realtime:at once ${n}`), POOL);
  assert.ok(performance.now() - at < 3000, 'nobody waits any more');
  await project.expectLogged('IncreaseConnectionPool', /Too many database timeouts/);
  refresh(refreshed, 'realtime:a', project.token({ sub: 'new' }));
  await refreshed.expectShutdown('realtime:a', ':increase_connection_pool');
  member.broadcast('realtime:b', 'lost');
  await member.expectQuietAndJoined('realtime:b');
  assert.deepEqual(await track(member, 'realtime:b'), { status: 'error', response: {} });
  const answer = await project.sendOne('a', 'e');
  assert.deepEqual([answer.status, answer.json], [429, { message: 'Connection pool exhausted' }]);
  await waiting.join('realtime:public');

  const stopped = await lateReply(stuck, slow);
  assertError(stopped, /^QueryCanceled: .*statement timeout/);
  assert.ok(performance.now() - started > 9000, 'after ten seconds');
  await until(async () => (await waiting.tryJoin('realtime:waits', PRIVATE)).payload.status === 'ok', 'the count of errors to fall', 45_000);
  assert.equal(project.logged('IncreaseConnectionPool', /Too many database timeouts/).length, 1, 'one line');
});

test('a policy to send that takes too long is stopped as soon as one to see', async () => {
  const project = await projects.make({ sql: `${WAITING} ${maySee()} ${maySend('public.waited(60)')}` });
  const member = await project.member('realtime:room');
  const started = performance.now();
  const tracking = member.push('realtime:room', 'presence', { event: 'track', payload: {} });
  assert.deepEqual((await lateReply(member, tracking)).payload, { status: 'error', response: {} });
  assert.ok(performance.now() - started < 15_000, `${performance.now() - started}`);
  await project.expectLogged('UnableToHandlePresence', /QueryCanceled: .*statement timeout/);
});

test('a larger pool lets others pass who wait in a policy', async () => {
  const project = await projects.make({ sql: SLOWLY, settings: { db_pool: 2 } });
  const stuck = await project.connect({ claims: { wait: 4 } });
  const slow = stuck.push('realtime:slow', 'phx_join', PRIVATE, { ref: '5', joinRef: '5' });
  await project.whoWaits();
  assert.equal((await project.asked('realtime:quick', {})).payload.status, 'ok');
  assert.ok(!stuck.inbox.some(isReplyTo(slow)), 'before the slow one');
  assert.equal((await lateReply(stuck, slow)).payload.status, 'ok');
});

test('a connection that ends between questions is opened again, and members notice nothing', async () => {
  const project = await projects.make({ sql: maySee() + maySend() });
  const member = await project.member('realtime:room', { ack: true });
  for (let n = 0; n < 3; n += 1) {
    assert.equal(await project.terminate("application_name = 'realtime_connect'"), 1);
    await until(async () => (await project.asked(`realtime:other ${n}`, {})).payload.status === 'ok', 'a join to go through');
  }
  await project.expectLogged('DatabaseConnectionDown');
  await member.next(isReplyTo(member.broadcast('realtime:room', 'still there')));
});

test('a question whose connection ends is told so, in each place, and the next one goes through', async () => {
  const project = await projects.make({ sql: SLOWLY });
  const client = await project.connect({ claims: { wait: 30 } });
  const joining = client.tryJoin('realtime:slow', PRIVATE);
  await signal('pg_terminate_backend', project);
  assertError(await joining, AWAY);
  await project.expectLogged('UnableToConnectToProject');
  const member = await project.member('realtime:slow too', { ack: true });
  refresh(member, 'realtime:slow too', project.token({ wait: 30 }));
  await signal('pg_terminate_backend', project);
  await member.expectShutdown('realtime:slow too', NO_DATABASE);
  await member.join('realtime:slow too', privately({ ack: true }));
  await member.next(isReplyTo(member.broadcast('realtime:slow too', 'e')));
});

test('connections that end at any moment cost single answers, each with a name, and nothing lasts', async (t) => {
  const seed = Number(process.env.RT_TEST_SEED ?? randomInt(1 << 30));
  t.diagnostic(`seed ${seed}`);
  const random = (n) => ((Math.imul(seed + n, 2654435761) >>> 0) % 1000) / 1000;
  const project = await projects.make({ sql: `${WAITING} ${maySee('public.waited(0.002)')} ${maySend('public.waited(0.002)')}`, settings: { db_pool: 2 } });
  const clients = await Promise.all([0, 1, 2, 3].map(() => project.connect()));
  const NAMED = /^(UnableToConnectToProject|DatabaseConnectionRateLimitReached|InitializingProjectConnection|IncreaseConnectionPool): /;
  let isOver = false;
  const outcomes = { ok: 0, refused: 0 };
  const joining = clients.map(async (client, c) => {
    for (let n = 0; !isOver; n += 1) {
      const { payload } = await client.tryJoin(`realtime:${c} ${n}`, { ...privately(), access_token: project.token({ c, n }) });
      if (payload.status === 'ok') outcomes.ok += 1;
      else outcomes.refused += 1;
      if (payload.status !== 'ok') assert.match(payload.response.reason, NAMED);
    }
  });
  for (let n = 0; n < 25; n += 1) {
    await postgres.sql(`SELECT pg_sleep(${0.2 * random(n)})`);
    await project.terminate(`random() < ${0.5 + random(1000 + n)}`);
  }
  isOver = true;
  await Promise.all(joining);
  t.diagnostic(JSON.stringify(outcomes));
  await until(async () => (await project.asked('realtime:end', {})).payload.status === 'ok', 'a join to go through', 20_000);
  for (let n = 0; n < 5; n += 1) assert.equal((await project.asked(`realtime:end ${n}`, {})).payload.status, 'ok');
  assert.equal(await project.sql('SELECT count(*) FROM realtime.messages;'), '0');
});
