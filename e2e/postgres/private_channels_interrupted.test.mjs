// What happens while the policies are still being asked: the client leaves, joins again or is gone, the tenant changes or is deleted, the
// node stops. Nothing of the question outlives whoever asked it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, PRIVATE, WAITING, lateReply, maySee, maySend, privately, startProjects } from '../harness/private.mjs';
import { startRelay } from '../harness/relay.mjs';
import { until } from '../harness/server.mjs';

let projects;
before(async () => (projects = await startProjects({ workers: 2 })));
after(() => projects.stop());

const SLOWLY = `${WAITING} ${maySee("topic NOT LIKE 'slow%' OR public.waited((auth.jwt() ->> 'wait')::float8)")} ${maySend('public.waited(0.3)')}`;
const join = (client, topic, ref) => client.push(topic, 'phx_join', PRIVATE, { ref, joinRef: ref });

test('a client that is gone before the answer costs nobody anything', async () => {
  const project = await projects.make({ sql: SLOWLY });
  const clients = await Promise.all([1, 2, 3].map(() => project.connect({ claims: { wait: 1 } })));
  clients.forEach((client, n) => join(client, `realtime:slow ${n}`, '1'));
  await project.whoWaits();
  for (const client of clients) client.socket.terminate();
  assert.equal((await project.asked('realtime:quick', {})).payload.status, 'ok');
  await until(async () => (await project.health()).connected_cluster === 0, 'nobody to be counted');
});

test('a channel that is left before the answer is not joined by it', async () => {
  const project = await projects.make({ sql: SLOWLY });
  const client = await project.connect({ claims: { wait: 1 } });
  const topic = 'realtime:slow';
  join(client, topic, '1');
  await project.whoWaits();
  const left = client.push(topic, 'phx_leave', {}, { ref: '2', joinRef: '1' });
  await lateReply(client, left);
  client.inbox.length = 0;
  const backend = await project.backend(topic, { ack: true });
  await backend.next(isReplyTo(backend.broadcast(topic, 'nobody is there')));
  await client.expectQuiet();
  assert.equal((await client.request(topic, 'broadcast', { event: 'e', payload: {} }, { joinRef: '1' })).payload.response.reason, 'unmatched topic');
});

test('a topic that is joined again before the answer is joined once, by the later join', async () => {
  const project = await projects.make({ sql: SLOWLY });
  const client = await project.connect({ claims: { wait: 0.5 } });
  const topic = 'realtime:slow';
  join(client, topic, '1');
  await project.whoWaits();
  join(client, topic, '2');
  assert.equal((await lateReply(client, '2')).payload.status, 'ok');
  client.inbox.length = 0;
  const backend = await project.backend(topic, { ack: true });
  await backend.next(isReplyTo(backend.broadcast(topic, 'once')));
  assert.equal((await client.next()).payload.event, 'once');
  client.joinRefs.set(topic, '2');
  await client.expectQuietAndJoined(topic);
});

test('other channels of the socket, public and private, go on while one waits', async () => {
  const project = await projects.make({ sql: SLOWLY, settings: { db_pool: 2 } });
  const client = await project.connect({ claims: { wait: 2 } });
  join(client, 'realtime:slow', '1');
  await project.whoWaits();
  await client.join('realtime:public', { config: { broadcast: { self: true } } }, { ref: '5', joinRef: '5' });
  client.broadcast('realtime:public', 'heard');
  assert.equal((await client.next((frame) => frame.event === 'broadcast')).payload.event, 'heard');
  await client.join('realtime:quick', PRIVATE, { ref: '6', joinRef: '6' });
  assert.ok(!client.inbox.some(isReplyTo('1')));
  assert.equal((await lateReply(client, '1')).payload.status, 'ok');
});

test('a tenant that gets another database, or is suspended or deleted meanwhile, leaves nobody without an answer', async () => {
  const answered = async (change) => {
    const project = await projects.make({ sql: SLOWLY });
    const client = await project.connect({ claims: { wait: 60 } });
    join(client, 'realtime:slow', '1');
    await project.whoWaits();
    const started = performance.now();
    assert.ok((await change(project)).status < 300);
    const isAnswered = () => client.inbox.find(isReplyTo('1'))?.payload.status ?? (client.socket.readyState === 3 && 'closed');
    const outcome = await until(isAnswered, 'an answer');
    assert.ok(performance.now() - started < 5000, 'it does not wait for the policy');
    return outcome;
  };
  assert.equal(await answered((project) => project.change({ extensions: project.extensions() })), 'error');
  assert.equal(await answered((project) => project.admin('POST', '/shutdown')), 'error');
  assert.equal(await answered((project) => project.change({ suspend: true })), 'closed');
  assert.equal(await answered((project) => project.admin('DELETE')), 'closed');
});

test('a node that is told to stop waits for no policy, and not beyond its time for a database that says nothing', async (t) => {
  const project = await projects.make({ sql: SLOWLY });
  for (const silentFrom of ['never', 'the question', 'the connection']) {
    const relay = await startRelay(projects.postgres);
    t.after(() => relay.stop());
    const server = await projects.serverOf(project, { env: { DB_HOST: relay.host, DB_PORT: relay.port, DRAIN_TIMEOUT_MS: 4000 } });
    t.after(() => server.ended || server.stop({ signal: 'SIGKILL' }));
    await until(() => server.log.includes('Tenant set-up successfully'), 'the tenant to be set up');
    const client = await connect(server, { token: server.token({ wait: 60 }) });
    if (silentFrom !== 'the connection') await client.join('realtime:quick', PRIVATE, { ref: '8', joinRef: '8' });
    if (silentFrom !== 'never') relay.silence();
    join(client, 'realtime:slow', '1');
    if (silentFrom === 'never') await project.whoWaits();
    else await client.heartbeat();
    const started = performance.now();
    assert.equal(await server.stop(), 0);
    assert.ok(performance.now() - started < 6000, `silent from ${silentFrom}: ${performance.now() - started} ms`);
  }
});

test('what many members send while they are asked is not mixed up', async () => {
  const project = await projects.make({ sql: WAITING + BY_CLAIMS + maySee('public.waited(0.01)', { as: 'restrictive' }) });
  const topic = 'realtime:room';
  const reader = await project.member(topic, { see: ['broadcast'] });
  const clients = await Promise.all(Array.from({ length: 12 }, (_, n) => project.connect({ see: ['broadcast'], send: n % 2 ? ['broadcast'] : [], claims: { n } })));
  for (const [n, client] of clients.entries()) {
    client.push(topic, 'phx_join', privately(), { ref: '1', joinRef: '1' });
    for (let k = 0; k < 3; k += 1) client.push(topic, 'broadcast', { type: 'broadcast', event: `${n}`, payload: { k } }, { ref: `${k}`, joinRef: '1' });
  }
  const heard = [];
  while (heard.length < 18) heard.push((await reader.next((frame) => frame.event === 'broadcast')).payload);
  for (let n = 0; n < 12; n += 1) {
    const ofOne = heard.filter(({ event }) => event === `${n}`).map(({ payload }) => payload.k);
    assert.deepEqual(ofOne, n % 2 ? [0, 1, 2] : [], `of ${n}`);
  }
  await reader.expectQuietAndJoined(topic);
});
