// What the log says for those who bill tenants by what they use. metrics.md 7

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from '../harness/phoenix.mjs';
import { startServer, until } from '../harness/server.mjs';

let server;
before(async () => {
  server = await startServer({ env: { PROM_POLL_RATE: 200, LOG_FORMAT: 'json' }, otherTenants: { busy: {}, idle: {} } });
});
after(async () => assert.equal(await server.stop(), 0));

// {project, measurements} of the lines with that name, in order.
const billed = (event) =>
  server.log
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
    .filter(({ level, message }) => level === 'info' && message === `Billing metrics: [:realtime, ${event}]`)
    .map(({ project, measurements }) => ({ project, measurements }));

const channelEvents = (kind) => `:rate_counter, :channel, :${kind}`;

test('the connections of each connected tenant are told again and again, beside its limit, until they are gone [M-027]', async () => {
  const members = await Promise.all([1, 2].map(() => connect(server, { headers: { host: 'busy.rt.example.test' } })));
  for (const member of members) await member.join('realtime:a');
  const ofTwo = { project: 'busy', measurements: { connected: 2, connected_cluster: 2, limit: 1_000_000 } };
  const withTwo = () => billed(':connections').filter(({ measurements }) => measurements.connected === 2);
  await until(() => withTwo().length >= 3, 'three lines');
  assert.deepEqual([...new Set(withTwo().map((line) => JSON.stringify(line)))], [JSON.stringify(ofTwo)]);
  members[0].socket.terminate();
  await until(() => billed(':connections').at(-1).measurements.connected === 1, 'one to be left');
  members[1].socket.terminate();
  // A tenant that has nobody has no lines: those of another one go on.
  await until(async () => (await server.metrics()).value('realtime_connections_global_connected') === 0, 'nobody to be left');
  const before = billed(':connections').filter(({ project }) => project === 'busy').length;
  const other = await connect(server, { headers: { host: 'idle.rt.example.test' } });
  await other.join('realtime:a');
  await until(() => billed(':connections').filter(({ project }) => project === 'idle').length >= 3, 'lines of the other tenant');
  const since = billed(':connections').filter(({ project }) => project === 'busy').length - before;
  assert.ok(since <= 1, `${since} lines of a tenant without connections`); // one may have been on its way
  other.socket.terminate();
});

test('broadcasts and presence are told as they were counted, and nothing of a tenant that did nothing [M-027]', async () => {
  const [sender, receiver] = await Promise.all([1, 2].map(() => connect(server, { headers: { host: 'busy.rt.example.test' } })));
  await sender.join('realtime:b');
  await receiver.join('realtime:b', { config: { presence: { enabled: true, key: 'me' } } });
  for (let n = 0; n < 3; ++n) sender.broadcast('realtime:b', `x${n}`);
  receiver.push('realtime:b', 'presence', { type: 'presence', event: 'track', payload: {} });
  const sums = (kind) => billed(channelEvents(kind)).reduce((sum, { measurements }) => sum + measurements.sum, 0);
  await until(() => sums('events') >= 6 && sums('presence_events') > 0, 'both to be told', 20_000);
  assert.equal(sums('events'), 6, 'three sent, three delivered');
  const counted = (await server.metrics()).value('realtime_channel_presence_events', { tenant: 'busy' });
  assert.equal(sums('presence_events'), counted);
  for (const kind of ['events', 'presence_events']) {
    for (const { project, measurements } of billed(channelEvents(kind))) {
      assert.equal(project, 'busy');
      assert.deepEqual(Object.keys(measurements), ['limit', 'sum']);
      assert.equal(measurements.limit, 10_000_000);
    }
  }
  for (const client of [sender, receiver]) client.socket.terminate();
});
