// Private broadcasts by REST: who may send them, what each failure is answered, and that policies see the request. http-api.md 5 and 6

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { V1, assertFrame } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, WAITING, maySee, maySend, startProjects } from '../harness/private.mjs';
import { startRelay } from '../harness/relay.mjs';
import { until } from '../harness/server.mjs';

const SENDS = { claims: { send: ['broadcast'] } };

let projects;
let project; // in which claims decide
before(async () => {
  projects = await startProjects();
  project = await projects.make({ sql: BY_CLAIMS + NOTED_PROBES });
});
after(() => projects.stop());

let topics = 0;
const freshTopic = () => `room ${++topics}`;
const read = (topic, options) => project.member(`realtime:${topic}`, { see: ['broadcast'], ...options });
const message = (topic, event, isPrivate = true) => ({ topic, event, payload: { event }, private: isPrivate });

suite('a single message', () => {
  test('reaches the private channel and no public one, where its sender may send [H-044] [H-047]', async () => {
    const topic = freshTopic();
    const [v1, v2, open] = [await read(topic, { vsn: V1 }), await read(topic), await project.connect()];
    await open.join(`realtime:${topic}`);
    assert.equal((await project.sendOne(topic, 'secret', { ...SENDS, body: '{"n": 1.0}' })).status, 202);
    assertFrame(await v1.next(), { event: 'broadcast', payload: { type: 'broadcast', event: 'secret', payload: { n: 1 } } });
    const binary = await v2.next();
    assert.deepEqual([binary.userEvent, binary.payload.toString()], ['secret', '{"n": 1.0}']);
    await open.expectQuietAndJoined(`realtime:${topic}`);
  });

  test('is 403 where a policy denies it, and is not heard [A-027] [H-056]', async () => {
    const topic = freshTopic();
    const reader = await read(topic);
    const answer = await project.sendOne(topic, 'denied', { claims: { send: ['presence'] } });
    assert.deepEqual([answer.status, answer.json], [403, { message: 'Unauthorized' }]);
    await reader.expectQuietAndJoined(`realtime:${topic}`);
  });

  test('asks for each request anew [A-028]', async () => {
    const one = await projects.make();
    const status = async () => (await one.sendOne('room', 'e')).status;
    assert.equal(await status(), 403);
    await one.sql('CREATE POLICY s ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);');
    assert.equal(await status(), 202);
    await one.sql('DROP POLICY s ON realtime.messages;');
    assert.equal(await status(), 403);
  });

  test('of a role that does not exist, or where a policy fails, is 422 [H-056]', async () => {
    const one = await projects.make({ sql: maySend('1 / length(extension) / 0 = 1') });
    for (const role of ['nobody', 'authenticated']) {
      const answer = await one.sendOne('room', 'e', { claims: { role } });
      assert.deepEqual([answer.status, answer.json], [422, { message: 'RLS policy error' }]);
    }
    await one.expectLogged('RlsPolicyError', /"nobody" does not exist/);
    await one.expectLogged('RlsPolicyError', /division by zero/);
  });

  test('of a role that is none of a database is never sent', async () => {
    for (const role of ['none', 'NONE', null, '', 5]) {
      const answer = await project.sendOne('room', 'e', { claims: { role, send: ['broadcast'] } });
      assert.ok(answer.status === 403 || answer.status === 422 || answer.status === 500, `${role}: ${answer.status} ${answer.body}`);
    }
  });

  test('lets policies see all headers of the request, the claims and the topic [A-006] [D-034]', async () => {
    const one = await projects.make({
      sql: maySend(`realtime.topic() = 'a:b' AND auth.uid() = 'ann' AND current_setting('request.headers', true)::json ->> 'x-team' = 'red'
        AND current_setting('request.headers', true)::json ->> 'user-agent' = 'test' AND current_setting('request.jwt.claim.role') = 'authenticated'`),
    });
    const status = async (headers, topic = 'a:b') => (await one.sendOne(topic, 'e', { claims: { sub: 'ann' }, headers })).status;
    assert.equal(await status({ 'X-Team': 'red', 'User-Agent': 'test' }), 202);
    assert.equal(await status({ 'X-Team': 'blue', 'User-Agent': 'test' }), 403);
    assert.equal(await status({ 'User-Agent': 'test' }), 403);
    assert.equal(await status({ 'X-Team': 'red', 'User-Agent': 'test' }, 'a'), 403);
  });
});

suite('a batch', () => {
  test('sends what may be sent, topic by topic, and is accepted all the same [A-027] [H-044] [H-047]', async () => {
    const [good, bad] = [freshTopic(), freshTopic()];
    const one = await projects.make({ sql: maySee() + maySend(`realtime.topic() = '${good}'`) });
    const readers = await Promise.all([good, bad].map((topic) => one.member(`realtime:${topic}`)));
    const open = await one.connect();
    for (const topic of [good, bad]) await open.join(`realtime:${topic}`);
    const answer = await one.sendBatch([message(bad, 'no'), message(good, '1'), message(bad, 'open', false), message(good, '2'), message(bad, 'no')]);
    assert.deepEqual([answer.status, answer.body], [202, '']);
    for (const event of ['1', '2']) assert.equal((await readers[0].next()).payload.event, event);
    assert.equal((await open.next()).payload.event, 'open');
    for (const client of [...readers, open]) await client.expectQuiet();
  });

  test('asks once for each of its topics [A-028] [H-045]', async () => {
    const [one, two] = [freshTopic(), freshTopic()];
    const probes = await project.probes(() => project.sendBatch([one, two, one, one, two].map((topic) => message(topic, 'e')), SENDS));
    const broadcasts = probes.filter(({ extension }) => extension === 'broadcast').map(({ topic }) => topic);
    assert.deepEqual(broadcasts.sort(), [one, two].sort());
  });

  test('counts as events only what was sent [H-048]', async () => {
    const events = async () => (await projects.server.metrics()).value('realtime_channel_events', { tenant: project.name });
    const before = await events();
    await project.sendBatch([message(freshTopic(), 'denied'), message(freshTopic(), 'denied')], { claims: {} });
    await project.sendBatch([message(freshTopic(), 'sent')], SENDS);
    assert.equal((await events()) - before, 1);
  });
});

suite('where the database fails', () => {
  test('what waits for a slow one is bounded, and who is over it is told to come again', async () => {
    const slow = await projects.make({ sql: WAITING + maySend('public.waited(2)') });
    const refusals = async () => (await projects.server.metrics()).value('realtime_rest_requests_refused_total', { reason: 'tenant_waiting' });
    const before = await refusals();
    const body = JSON.stringify({ text: 'x'.repeat(2_900_000) });
    const answers = await Promise.all(Array.from({ length: 30 }, () => slow.sendOne('large', 'e', { body })));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length > 0);
    for (const { json } of refused)
      assert.equal(json.message, 'Too many private messages wait for the tenant database, please send them again later');
    assert.ok(answers.some(({ status }) => status === 202));
    assert.equal(await refusals(), before + refused.length);
    assert.equal((await slow.sendOne('large', 'e', { body })).status, 202);
    const waiting = async () => (await projects.server.metrics()).value('realtime_rest_waiting_bytes');
    await until(async () => (await waiting()) === 0, 'nothing to be held');
  });

  let relay;
  let remote;
  before(async () => {
    relay = await startRelay({ host: projects.postgres.host, port: projects.postgres.port });
    remote = await projects.make({ sql: WAITING + maySee() + maySend("topic NOT LIKE 'slow%' OR public.waited(20)"), settings: { db_port: String(relay.port) } });
  });
  after(() => relay.stop());

  test('a statement that is cancelled is 422 [H-057]', async () => {
    const answer = remote.sendOne('slow', 'e');
    await projects.postgres.sql(`SELECT pg_cancel_backend(${await remote.whoWaits()})`);
    const { status, json } = await answer;
    assert.deepEqual([status, json], [422, { message: 'Query canceled' }]);
    await remote.expectLogged('QueryCanceled');
    assert.equal((await remote.sendOne('quick', 'e')).status, 202);
  });

  test('a connection that is lost meanwhile is 422, and the next message goes through [H-057]', async () => {
    const answer = remote.sendOne('slow', 'e');
    await projects.postgres.sql(`SELECT pg_terminate_backend(${await remote.whoWaits()})`);
    const { status, json } = await answer;
    assert.deepEqual([status, json], [422, { message: 'Tenant database unavailable' }]);
    assert.equal((await remote.sendOne('quick', 'e')).status, 202);
  });

  test('a missing partition is 422 [H-057]', async () => {
    const one = await projects.make({ sql: maySend() });
    assert.equal((await one.sendOne('room', 'e')).status, 202);
    await one.sql(`DO $$ DECLARE p regclass; BEGIN
      FOR p IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'realtime.messages'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$;`);
    const answer = await one.sendOne('room', 'e');
    assert.deepEqual([answer.status, answer.json], [422, { message: 'Missing messages partition' }]);
  });

  test('private messages of a batch are dropped and public ones sent; a single one is 422, then throttled, until it is back [H-046] [H-057]', async () => {
    const topic = freshTopic();
    const open = await remote.connect();
    await open.join(`realtime:${topic}`);
    const reader = await remote.member(`realtime:${topic}`);
    await remote.disconnect();
    await relay.vanish();
    const answers = [];
    for (let n = 0; n < 5; n += 1) answers.push(await remote.sendOne(topic, 'lost'));
    assert.deepEqual([answers[0].status, answers[0].json], [422, { message: 'Tenant database unavailable' }]);
    assert.ok(answers.some(({ status, json }) => status === 422 && json.message === 'Connect rate limit reached'), answers.map(({ body }) => body).join());
    const batch = await remote.sendBatch([message(topic, 'lost'), message(topic, 'open', false)]);
    assert.equal(batch.status, 202);
    assert.equal((await open.next()).payload.event, 'open');
    await reader.expectQuiet();

    await relay.listen();
    await until(async () => (await remote.sendOne(topic, 'back')).status === 202, 'the database to be back', 30_000);
    assert.equal((await reader.next()).userEvent, 'back');
  });
});
