// The Grafana dashboard asks only for what a server tells.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { parser } from '@prometheus-io/lezer-promql';
import { freshTable, listen, makeWatched, startWatched } from '../harness/changes.mjs';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { connect } from '../harness/phoenix.mjs';
import { until } from '../harness/server.mjs';

const dashboard = JSON.parse(readFileSync(new URL('../../deploy/grafana/realtime.json', import.meta.url), 'utf8'));
const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })));
const variables = dashboard.templating.list;

// Prometheus adds them to what it scrapes.
const OF_THE_TARGET = ['instance', 'job'];

let projects;
let series; // {name, labels} of a scrape after everything that the dashboard shows has happened
before(async () => {
  projects = await startWatched();
  const { server } = projects;
  const client = await connect(server);
  await client.join('realtime:a', { config: { broadcast: { self: true } } });
  client.broadcast('realtime:a', 'x');
  await client.next();
  client.send('no message');
  await client.heartbeat();
  await request(server, { path: '/socket/websocket?vsn=2.0.0', headers: upgradeHeaders() });
  const project = await makeWatched(projects);
  const table = await freshTable(project);
  const listener = await listen(project, [{ event: '*', schema: 'public', table }]);
  await project.sql(`INSERT INTO ${table} VALUES (1);`);
  await until(async () => (await server.metrics()).value('realtime_replication_poller_query_duration_count') > 0, 'the row to be told and counted');
  series = [...(await server.metrics())];
  client.socket.terminate();
  await listener.client.close();
});
after(() => projects.stop());

const labelsOf = (metric) => new Set(series.filter(({ name }) => name === metric).flatMap(({ labels }) => Object.keys(labels)));

// The metrics and labels of an expression, and whether it is PromQL at all. Grafana's own variables stand for something.
function read(expr) {
  const text = expr.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1h');
  const uses = []; // {metric, labels}
  const groupings = [];
  parser.parse(text).iterate({
    enter(node) {
      const source = text.slice(node.from, node.to);
      if (node.type.isError) assert.fail(`not PromQL at ${node.from}: ${text}`);
      if (node.name === 'VectorSelector') uses.push({ metric: undefined, labels: [] });
      if (node.name === 'Identifier' && node.node.parent.name === 'VectorSelector') uses.at(-1).metric = source;
      if (node.name === 'LabelName') {
        const isMatcher = ['UnquotedLabelMatcher', 'QuotedLabelMatcher', 'LabelMatchers'].includes(node.node.parent.name);
        if (isMatcher) uses.at(-1).labels.push(source);
        else groupings.push(source);
      }
    },
  });
  return { uses, groupings };
}

// What is wrong with an expression; empty: nothing.
function faultsOf(expr, legend = '') {
  const { uses, groupings } = read(expr);
  const faults = uses.length === 0 ? ['it asks for no metric'] : [];
  const known = new Set(OF_THE_TARGET);
  for (const { metric, labels } of uses) {
    const its = labelsOf(metric);
    if (its.size === 0) faults.push(`no metric ${metric}`);
    for (const label of its) known.add(label);
    for (const label of labels) if (!its.has(label) && !OF_THE_TARGET.includes(label)) faults.push(`${metric} has no label ${label}`);
  }
  const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
  for (const label of groupings) if (!known.has(label)) faults.push(`no label ${label} to group by`);
  for (const label of shown) if (!groupings.includes(label)) faults.push(`the legend shows ${label}, which is aggregated away`);
  return faults;
}

test('every query of the dashboard asks for metrics and labels that a server has', () => {
  assert.ok(queries.length >= 50, `${queries.length} queries`);
  const faults = queries.flatMap(({ title, expr, legendFormat }) => faultsOf(expr, legendFormat).map((fault) => `${title}: ${fault}`));
  assert.deepEqual(faults, []);
});

test('a wrong metric, label or legend in a query is found', () => {
  assert.deepEqual(faultsOf('sum(realtime_chanel_joins)'), ['no metric realtime_chanel_joins']);
  assert.deepEqual(faultsOf('rate(realtime_dropped_total{raison="x"}[$__rate_interval])'), ['realtime_dropped_total has no label raison']);
  assert.deepEqual(faultsOf('sum by (raison) (realtime_dropped_total)'), ['no label raison to group by']);
  assert.deepEqual(faultsOf('sum(realtime_dropped_total)', '{{reason}}'), ['the legend shows reason, which is aggregated away']);
  assert.throws(() => faultsOf('sum(realtime_dropped_total'), /not PromQL/);
});

test('its variables ask for labels that are there, and queries use no other variables', () => {
  const names = variables.map(({ name }) => name);
  assert.deepEqual([...new Set(names)], names);
  for (const name of ['datasource', 'region', 'instance', 'tenant']) assert.ok(names.includes(name), name);
  for (const { name, type, query } of variables.filter((one) => one.type === 'query')) {
    const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(query.query) ?? assert.fail(`${name}: ${query.query}`);
    assert.deepEqual(faultsOf(selector), [], name);
    const [{ metric }] = read(selector).uses;
    assert.ok(labelsOf(metric).has(label) || OF_THE_TARGET.includes(label), `${name} (${type}): ${metric} has no label ${label}`);
  }
  const used = new Set(JSON.stringify(dashboard).match(/\$\{?[a-z_]+\}?/gi).map((name) => name.replace(/[${}]/g, '')));
  for (const name of used) assert.ok(names.includes(name) || ['__rate_interval', '__all'].includes(name), `$${name}`);
});

test('panels have ids and titles of their own, a place of their own and a data source that can be chosen', () => {
  const ids = panels.map(({ id }) => id);
  const titles = panels.map(({ title }) => title);
  assert.deepEqual([...new Set(ids)], ids);
  assert.deepEqual([...new Set(titles)], titles);
  const places = new Set();
  for (const { title, type, gridPos, targets = [], datasource } of panels) {
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; ++x) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; ++y) {
        assert.ok(!places.has(`${x} ${y}`), `${title} lies over another panel`);
        places.add(`${x} ${y}`);
      }
    }
    if (type === 'row') continue;
    assert.ok(targets.length > 0, title);
    assert.deepEqual([...new Set(targets.map(({ refId }) => refId))], targets.map(({ refId }) => refId), title);
    for (const source of [datasource, ...targets.map((target) => target.datasource)]) assert.deepEqual(source, { type: 'prometheus', uid: '${datasource}' }, title);
  }
});
