// What private channels cost a tenant's database: crowds that join at once, and tenants where nothing happens.
// authorization.md 9, database.md 10

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, PRIVATE, WAITING, assertUnauthorized, maySee, privately, startProjects } from '../harness/private.mjs';
import { startRelay } from '../harness/relay.mjs';
import { until } from '../harness/server.mjs';

let projects;
before(async () => (projects = await startProjects({ workers: 2 })));
after(() => projects.stop());

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

test('a thousand users who join at once each get the answer of their own, in few transactions [A-032]', async (t) => {
  const project = await projects.make({
    // Of three users one is allowed, one denied, and for one the policy fails.
    sql: NOTED_PROBES + maySee("topic = auth.jwt() ->> 'room' AND CASE (auth.jwt() ->> 'n')::int % 3 WHEN 0 THEN true WHEN 1 THEN false ELSE 1 / ((auth.jwt() ->> 'n')::int % 3 - 2) = 0 END"),
  });
  const sockets = await Promise.all(numbers(10).map(() => project.connect()));
  const users = numbers(1000).map((n) => ({ n, topic: `realtime:room of ${n}`, socket: sockets[n % 10], access_token: project.token({ n, sub: `user ${n}`, room: `room of ${n}` }) }));
  const started = performance.now();
  const probes = await project.probes(async () => {
    const replies = await Promise.all(users.map(({ topic, socket, access_token }) => socket.tryJoin(topic, { ...PRIVATE, access_token })));
    for (const [n, reply] of replies.entries()) {
      if (n % 3 === 0) assert.equal(reply.payload.status, 'ok', users[n].topic);
      else assertUnauthorized(reply, users[n].topic);
    }
  });
  const transactions = new Set(probes.map(({ transaction }) => transaction)).size;
  t.diagnostic(`${transactions} transactions in ${Math.round(performance.now() - started)} ms`);
  assert.deepEqual(probes.map(({ topic }) => topic).sort(), users.map(({ topic }) => topic.slice(9)).sort(), 'each was asked about once');
  assert.ok(transactions < 250, `${transactions} transactions`);
  assert.equal(await project.sql('SELECT count(*) FROM realtime.messages;'), '0');
});

test('who asks the same at the same time is asked about once, and whoever comes later anew [A-033]', async () => {
  const project = await projects.make({ sql: WAITING + NOTED_PROBES + maySee("topic <> 'slow' OR public.waited(1.5)") });
  const token = project.token({ sub: 'ann' });
  const clients = await Promise.all(numbers(20).map(() => project.connect({ token })));
  const probes = await project.probes(async () => {
    const slow = (await project.connect()).tryJoin('realtime:slow', PRIVATE);
    await project.whoWaits(); // the only connection is taken
    const replies = await Promise.all(clients.map((client) => client.tryJoin('realtime:same', PRIVATE)));
    for (const reply of replies) assert.equal(reply.payload.status, 'ok');
    await slow;
  });
  assert.deepEqual(probes.map(({ topic }) => topic).sort(), ['same', 'slow']);
  const again = await project.probes(() => clients[0].join('realtime:same', PRIVATE));
  assert.equal(again.length, 1);
});

test('who differs in any claim, the topic or a header is asked about for himself [A-033]', async () => {
  const project = await projects.make({ sql: WAITING + NOTED_PROBES + maySee(`CASE topic WHEN 'slow' THEN public.waited(1.5)
    ELSE auth.jwt() ->> 'n' = '1' AND current_setting('request.headers')::json ->> 'x-team' = 'red' END`) });
  const asked = async (n, team) => (await project.connect({ claims: { n, sub: 'ann' }, headers: { 'x-team': team } })).tryJoin('realtime:same', PRIVATE);
  const slow = (await project.connect()).tryJoin('realtime:slow', PRIVATE);
  await project.whoWaits();
  const replies = await Promise.all([asked(1, 'red'), asked(2, 'red'), asked(1, 'blue'), asked(1, 'red')]);
  assert.deepEqual(replies.map(({ payload }) => payload.status), ['ok', 'error', 'error', 'ok']);
  await slow;
});

test('a join costs one round trip to the database, and so does a first broadcast [A-035]', async (t) => {
  const relay = await startRelay({ host: projects.postgres.host, port: projects.postgres.port });
  t.after(() => relay.stop());
  const project = await projects.make({ sql: BY_CLAIMS, settings: { db_port: String(relay.port) } });
  const trips = async (body) => {
    const before = relay.roundTrips;
    await body();
    return relay.roundTrips - before;
  };
  const join = (n) => project.member(`realtime:room ${n}`, { see: ['broadcast', 'presence'], send: ['broadcast'], presence: n % 2 === 1, ack: true });
  const [first, second] = [await join(0), await join(1)]; // they open the connection
  assert.equal(await trips(() => join(2)), 1);
  assert.equal(await trips(() => join(3)), 1, 'with presence, too');
  const sent = (client, n) => client.next(isReplyTo(client.broadcast(`realtime:room ${n}`, 'e')));
  assert.equal(await trips(() => sent(first, 0)), 1);
  assert.equal(await trips(() => sent(first, 0)), 0, 'the next one is not asked about');
  assert.equal(await trips(() => sent(second, 1)), 1);
});

test('each question is measured, reading and writing for themselves [M-016]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const counts = async () => {
    const metrics = await projects.server.metrics();
    return ['read', 'write'].map((what) => metrics.value(`realtime_tenants_${what}_authorization_check_count`, { tenant: project.name }));
  };
  const client = await project.member('realtime:a', { see: ['broadcast'], send: ['broadcast'], ack: true });
  await project.asked('realtime:denied', {});
  assert.deepEqual(await counts(), [2, 0]);
  for (let n = 0; n < 2; n += 1) await client.next(isReplyTo(client.broadcast('realtime:a', 'e')));
  assert.deepEqual(await counts(), [2, 1]);
});

test('a database where nothing happens is asked nothing, with members or without', async (t) => {
  const relay = await startRelay({ host: projects.postgres.host, port: projects.postgres.port });
  t.after(() => relay.stop());
  const { postgres } = projects;
  const project = await projects.make({ sql: BY_CLAIMS, settings: { db_port: String(relay.port) } });
  const unused = await projects.make({ sql: BY_CLAIMS });
  await until(async () => Object.keys(await unused.sessions()).length === 0, 'what made the tenant to be gone');
  const client = await project.member('realtime:a', { see: ['broadcast'], send: ['broadcast'], ack: true });
  await client.next(isReplyTo(client.broadcast('realtime:a', 'e')));
  const open = await project.connect();
  await open.join('realtime:public');

  const state = () => postgres.sql(`SELECT string_agg(concat_ws(' ', pid, application_name, state, xact_start, query_start, state_change), ', ' ORDER BY pid)
    FROM pg_stat_activity WHERE datname = '${project.name}' AND application_name LIKE 'realtime%'`);
  // What the last work leaves behind is over when nothing has moved for a second.
  let seen;
  let at = 0;
  await until(async () => {
    const now = `${await state()} ${relay.bytes}`;
    if (now !== seen) [seen, at] = [now, performance.now()];
    return performance.now() - at > 1000;
  }, 'the database to be left alone', 30_000);
  const from = await postgres.sql('SELECT clock_timestamp()');
  await until(async () => (await postgres.sql(`SELECT clock_timestamp() > '${from}'::timestamptz + interval '6 s'`)) === 't', 'six seconds of Postgres');
  assert.equal(`${await state()} ${relay.bytes}`, seen);
  assert.deepEqual(await unused.sessions(), {});
  assert.equal((await project.asked('realtime:b', { see: ['broadcast'] })).payload.status, 'ok');
});

test('sessions stay within the budget, whatever the crowd [D-039]', async () => {
  const project = await projects.make({ sql: WAITING + maySee('public.waited(0.05)'), settings: { db_pool: 3 } });
  const client = await project.connect();
  const joins = Promise.all(numbers(150).map((n) => client.tryJoin(`realtime:room ${n}`, { ...privately(), access_token: project.token({ n }) })));
  const most = {};
  let areDone = false;
  joins.finally(() => (areDone = true));
  await until(async () => {
    for (const [name, count] of Object.entries(await project.sessions())) most[name] = Math.max(most[name] ?? 0, count);
    return areDone;
  }, 'all joins', 60_000);
  for (const reply of await joins) assert.equal(reply.payload.status, 'ok');
  const { realtime_connect: pool, ...others } = most;
  assert.ok(pool >= 1 && pool <= 3, JSON.stringify(most));
  for (const [name, count] of Object.entries(others)) {
    const isShort = ['realtime_connect_probe', 'realtime_migrations'].includes(name) && count <= 2;
    assert.ok(isShort || (name === 'realtime_replication_connection' && count === 1), JSON.stringify(most));
  }
});
