// Rights that are asked without writing: of a tenant that says so, or of all on a node that does. authorization.md 9

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, isReplyTo } from '../harness/phoenix.mjs';
import { BY_CLAIMS, NOTED_PROBES, assertUnauthorized, startProjects } from '../harness/private.mjs';

let projects;
before(async () => (projects = await startProjects()));
after(() => projects.stop());

const byExpression = async (server) => (await server.metrics()).value('realtime_policy_questions_by_expression_total');
// Grows with each transaction that writes.
const transactionIds = (project) => project.sql('SELECT pg_snapshot_xmax(pg_current_snapshot());');

// Joins, a broadcast, a track and a refusal.
async function useRights(project, topic) {
  const reader = await project.member(topic, { see: ['broadcast'] });
  const writer = await project.member(topic, { see: ['broadcast', 'presence'], send: ['broadcast', 'presence'], ack: true, presence: true });
  await writer.next(isReplyTo(writer.broadcast(topic, 'hello')));
  assert.equal((await reader.next((frame) => frame.event === 'broadcast')).payload.event, 'hello');
  assertUnauthorized(await project.asked(topic, { see: [] }), topic);
  assert.equal((await project.sendOne(topic.replace('realtime:', ''), 'e', { claims: { send: ['broadcast'] } })).status, 202);
  assert.equal((await project.sendOne(topic.replace('realtime:', ''), 'e', { claims: { send: [] } })).status, 403);
}

test('a tenant can ask for its rights to be asked without writing, and clients see no difference [A-036]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS, settings: { policy_checks: 'expressions' } });
  await project.asked('realtime:first', { see: ['broadcast'] });
  const [answered, ids] = [await byExpression(projects.server), await transactionIds(project)];
  await useRights(project, 'realtime:room');
  assert.ok((await byExpression(projects.server)) >= answered + 6);
  assert.equal(await transactionIds(project), ids);
});

test('triggers of users fire as ever, because then there are probes [A-026] [A-036]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS + NOTED_PROBES, settings: { policy_checks: 'expressions' } });
  const answered = await byExpression(projects.server);
  const probes = await project.probes(() => useRights(project, 'realtime:room'));
  assert.ok(probes.some(({ topic }) => topic === 'room'));
  assert.equal(await byExpression(projects.server), answered);
});

test('a node can do so for all tenants that do not say [A-036]', async () => {
  const project = await projects.make({ sql: BY_CLAIMS });
  const answered = await byExpression(projects.server);
  await useRights(project, 'realtime:room');
  assert.equal(await byExpression(projects.server), answered);
  const server = await projects.serverOf(project, { env: { POLICY_CHECKS: 'expressions' } });
  try {
    const client = await connect(server, { token: server.token({ see: ['broadcast'] }) });
    await client.join('realtime:room', { config: { private: true } });
    assert.ok((await byExpression(server)) > 0);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});
