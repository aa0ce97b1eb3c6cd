// Who is told of a row: policies, privileges and roles, as they are when it is told. postgres-changes.md 7

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answerTo, freshTable, listen, Listener, makeWatched, startWatched, SUBSCRIBED } from '../harness/changes.mjs';
import { psql } from '../harness/doctor.mjs';
import { LOGIN } from '../harness/private.mjs';
import { until } from '../harness/server.mjs';
import { identifier, quoted } from '../harness/sql.mjs';

const CUSTOM_ROLES = ['editor', 'a-role-with-hyphens', 'MixedCase', "it's odd"];

let projects;
let project;
before(async () => {
  // Commits wait for a standby only where a session says so.
  projects = await startWatched({ postgres: { shared_preload_libraries: 'pg_stat_statements', synchronous_commit: 'local' } });
  const roles = CUSTOM_ROLES.map(identifier);
  await psql(projects.postgres, 'postgres', `${roles.map((role) => `CREATE ROLE ${role} NOLOGIN; GRANT ${role} TO ${LOGIN};`).join('')} CREATE ROLE stranger NOLOGIN;`);
  project = await makeWatched(projects, { sql: 'CREATE EXTENSION pg_stat_statements;' });
});
after(() => projects.stop());

const [ANN, BOB] = ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'];
const secured = (policies) => (name) => `ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY; ${policies.replaceAll('%', name)}`;
const policy = (condition, { to = 'authenticated', name = 'see' } = {}) => `CREATE POLICY ${name} ON % FOR SELECT TO ${to} USING (${condition});`;
const ofTheirOwn = secured(policy('owner = auth.uid()'));
const as = (role, claims = {}) => ({ claims: { role, ...claims } });
const watch = (table, options = {}, entry = {}) => listen(project, [{ schema: 'public', table, ...entry }], options);
const data = async (listener) => (await listener.told()).map(({ data }) => data);
const brief = async (listener) => (await data(listener)).map(({ type, record, old_record }) => `${type} ${(record ?? old_record).id}`);

test('a row is told to those whose claims may see it, and to nobody else [PC-060] [PC-061] [P-197]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid, team text', secured(policy("owner = auth.uid() OR team = auth.jwt() -> 'app' ->> 'team'")));
  const ann = await watch(table, { claims: { sub: ANN } });
  const bob = await watch(table, { claims: { sub: BOB, app: { team: 'red' } } });
  const nobody = await watch(table);
  const anon = await watch(table, as('anon', { sub: ANN }));
  const expectTold = async (wanted) => {
    const told = { ann: await brief(ann), bob: await brief(bob), nobody: await brief(nobody), anon: await brief(anon) };
    assert.deepEqual(told, { nobody: [], anon: [], ...wanted });
  };
  await project.sql(`INSERT INTO ${table} VALUES (1, '${ANN}', NULL), (2, '${BOB}', 'red'), (3, NULL, 'red'), (4, NULL, 'blue'), (5, '${ANN}', 'red');`);
  await expectTold({ ann: ['INSERT 1', 'INSERT 5'], bob: ['INSERT 2', 'INSERT 3', 'INSERT 5'] });
  await project.sql(`UPDATE ${table} SET team = 'red' WHERE id = 4; UPDATE ${table} SET owner = '${BOB}' WHERE id = 1; UPDATE ${table} SET id = 10 WHERE id = 5;`);
  await expectTold({ ann: ['UPDATE 10'], bob: ['UPDATE 4', 'UPDATE 1', 'UPDATE 10'] });
  await project.sql(`DELETE FROM ${table} WHERE id = 1;`);
  await expectTold(Object.fromEntries(['ann', 'bob', 'nobody', 'anon'].map((who) => [who, ['DELETE 1']])));
});

test('a policy decides of each row by itself, and sees the claims and nothing of the channel [PC-060] [PC-061]', async () => {
  const nothingElse = ['realtime.topic', 'request.jwt.claim.sub', 'request.jwt.claim.role', 'request.headers'].map((name) => `coalesce(current_setting('${name}', true), '') = ''`).join(' AND ');
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid', secured(policy(`owner = auth.uid() AND current_user = 'authenticated' AND auth.jwt() ->> 'role' = 'authenticated' AND auth.jwt() -> 'n' = '1.50' AND ${nothingElse}`)));
  const claims = { n: 1.5, exp: Math.floor(Date.now() / 1000) + 3600 };
  const [ann, bob] = [await watch(table, { claims: { sub: ANN, ...claims }, headers: { 'x-mine': 'yes' } }), await watch(table, { claims: { sub: BOB, ...claims } })];
  const rows = Array.from({ length: 50 }, (_, n) => `(${n}, '${n % 3 === 0 ? ANN : BOB}')`);
  await project.sql(`INSERT INTO ${table} VALUES ${rows};`);
  const of = (wanted) => rows.map((_, n) => n).filter((n) => (n % 3 === 0) === wanted).map((n) => `INSERT ${n}`);
  assert.deepEqual(await brief(ann), of(true));
  assert.deepEqual(await brief(bob), of(false));
});

test('an update is told to those who may see the row as it is now, with all that is known of the old one [PC-060]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid', (name) => `${ofTheirOwn(name)} ALTER TABLE ${name} REPLICA IDENTITY FULL;`);
  const [ann, bob] = [await watch(table, { claims: { sub: ANN } }), await watch(table, { claims: { sub: BOB } })];
  await project.sql(`INSERT INTO ${table} VALUES (1, '${ANN}');`);
  assert.deepEqual(await brief(ann), ['INSERT 1']);
  await project.sql(`UPDATE ${table} SET owner = '${BOB}', id = 2;`);
  assert.deepEqual(await brief(ann), []);
  assert.deepEqual((await data(bob)).map(({ record, old_record }) => [record, old_record]), [[{ id: 2, owner: BOB }, { id: 1, owner: ANN }]]);
});

test('keys of any type, and of several columns, find their rows [PC-054] [PC-060]', async () => {
  await project.sql("CREATE TYPE colour AS ENUM ('red', 'dark \"blue\"'); CREATE DOMAIN code AS char(4);");
  const keys = {
    'char(5)': "'ab'", bytea: "'\\x00ff'", 'bit(3)': "'101'", 'numeric(10,2)': '1.5', timestamptz: "'2024-02-29 12:34:56.1+02'", timestamp: "'infinity'", uuid: `'${ANN}'`,
    text: quoted("it's \"a\", {b} \\ c"), 'int[]': "'{1,2}'", 'text[]': `'{"a,b","c\\"d"}'`, colour: `'dark "blue"'`, date: "'0044-03-15 BC'", float8: "'0.1'", jsonb: `'{"a": [1]}'`,
    'varchar(3)': "''", interval: "'1 day'", inet: "'10.0.0.1'", int4range: "'[1,5)'", code: "'x'", boolean: 'true', '"char"': "'c'", bigint: '9223372036854775807', time: "'12:34:56.7'",
  };
  const tables = [];
  for (const [type, literal] of Object.entries(keys)) {
    const table = await freshTable(project, `id int, k ${type}, PRIMARY KEY (k, id)`, secured(policy('true')));
    tables.push([table, `INSERT INTO ${table} VALUES (1, ${literal});`, type]);
  }
  const listener = await listen(project, tables.map(([table]) => ({ event: 'INSERT', schema: 'public', table })));
  await project.sql(tables.map(([, insert]) => insert).join(''));
  const told = new Set((await data(listener)).map(({ table }) => table));
  assert.deepEqual(tables.filter(([table]) => !told.has(table)).map(([, , type]) => type), []);

  const table = await freshTable(project, 'id int, part text, owner uuid, PRIMARY KEY (id, part)', ofTheirOwn);
  const ann = await watch(table, { claims: { sub: ANN } });
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a', '${ANN}'), (1, 'b', '${BOB}'), (2, 'a', '${BOB}'), (2, 'b', '${ANN}');`);
  assert.deepEqual((await data(ann)).map(({ record }) => record.id + record.part), ['1a', '2b']);
});

test('a row that is gone before anybody looks is told where there are no policies only [PC-062]', async () => {
  const [free, bound] = [await freshTable(project), await freshTable(project, 'id int PRIMARY KEY, body text', secured(policy('true')))];
  const listener = await listen(project, [free, bound].map((table) => ({ schema: 'public', table })));
  for (const table of [free, bound]) await project.sql(`BEGIN; INSERT INTO ${table} VALUES (1); UPDATE ${table} SET body = 'x'; DELETE FROM ${table}; INSERT INTO ${table} VALUES (2); COMMIT;`);
  const told = (await data(listener)).map(({ type, table, record, old_record }) => [table, `${type} ${(record ?? old_record).id}`]);
  assert.deepEqual(told, [...['INSERT 1', 'UPDATE 1', 'DELETE 1', 'INSERT 2'].map((line) => [free, line]), ...['DELETE 1', 'INSERT 2'].map((line) => [bound, line])]);
});

test('a deletion is told to everybody; where there are policies, only the key is [PC-063] [P-197]', async () => {
  const full = (name) => `ALTER TABLE ${name} REPLICA IDENTITY FULL;`;
  const bound = await freshTable(project, 'id int PRIMARY KEY, body text', (name) => `${secured('')(name)} ${full(name)}`, { to: 'authenticated' });
  const free = await freshTable(project, 'id int PRIMARY KEY, body text', full, { to: 'authenticated' });
  for (const [table, shown] of [[bound, { id: 1 }], [free, { id: 1, body: 'secret' }]]) {
    const [reader, stranger] = [await watch(table), await watch(table, as('anon'))];
    const [matching, other] = [await watch(table, {}, { filter: 'body=eq.secret' }), await watch(table, {}, { filter: 'body=eq.other' })];
    await project.sql(`INSERT INTO ${table} VALUES (1, 'secret');`);
    for (const each of [reader, stranger, matching, other]) await each.told();
    await project.sql(`DELETE FROM ${table};`);
    const [deletion, ...more] = await data(reader);
    assert.deepEqual([deletion.old_record, deletion.columns.length, deletion.errors, more], [shown, 2, null, []]);
    assert.deepEqual((await data(stranger)).map(({ type, columns, old_record, errors }) => [type, columns, old_record, errors]), [['DELETE', [], {}, null]]);
    assert.deepEqual((await data(matching)).map(({ old_record }) => old_record), [shown]);
    assert.deepEqual(await data(other), []);
  }
});

test('an index that identifies rows is told of a deletion without policies, and its key columns with them [PC-063] [PC-053]', async () => {
  const columns = 'id int, k int NOT NULL, body text, PRIMARY KEY (id), UNIQUE (k)';
  const byIndex = (name) => `ALTER TABLE ${name} REPLICA IDENTITY USING INDEX ${name}_k_key;`;
  const [free, bound] = [await freshTable(project, columns, byIndex), await freshTable(project, columns, (name) => `${byIndex(name)} ${secured('')(name)}`)];
  const listener = await listen(project, [free, bound].map((table) => ({ event: 'DELETE', schema: 'public', table })));
  for (const table of [free, bound]) await project.sql(`INSERT INTO ${table} VALUES (1, 7); DELETE FROM ${table};`);
  assert.deepEqual((await data(listener)).map(({ old_record }) => old_record), [{ k: 7 }, {}]);
});

test('who may not read the whole key is told that he may not, whatever the filter [PC-064]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, body text', (name) => `GRANT SELECT (body) ON ${name} TO authenticated;`, { to: 'service_role' });
  const listeners = [await watch(table), await watch(table, {}, { filter: 'body=eq.nothing' })];
  const service = await watch(table, as('service_role'));
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a'); UPDATE ${table} SET body = 'b';`);
  const error = { schema: 'public', table, commit_timestamp: null, columns: [], record: {}, errors: ['Error 401: Unauthorized'] };
  for (const listener of listeners) assert.deepEqual(await data(listener), [{ ...error, type: 'INSERT' }, { ...error, type: 'UPDATE', old_record: {} }]);
  assert.deepEqual((await data(service)).map(({ record, errors }) => [record, errors]), [[{ id: 1, body: 'a' }, null], [{ id: 1, body: 'b' }, null]]);
});

test('columns that a role may not read are in nothing that it is told [PC-065] [PC-069]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, shown text, secret text', (name) => `
    GRANT SELECT (id, shown) ON ${name} TO authenticated; GRANT SELECT ON ${name} TO anon; ALTER TABLE ${name} REPLICA IDENTITY FULL;`, { to: 'service_role' });
  const [some, all] = [await watch(table), await watch(table, as('anon'))];
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a', 'x'); UPDATE ${table} SET shown = 'b'; DELETE FROM ${table};`);
  const [a, b] = [{ id: 1, shown: 'a' }, { id: 1, shown: 'b' }];
  const told = (await data(some)).map(({ columns, record, old_record }) => [columns.map(({ name }) => name), record, old_record]);
  assert.deepEqual(told, [[['id', 'shown'], a, undefined], [['id', 'shown'], b, a], [['id', 'shown'], undefined, b]]);
  const [wholeA, wholeB] = [{ ...a, secret: 'x' }, { ...b, secret: 'x' }];
  assert.deepEqual((await data(all)).map(({ record, old_record }) => [record, old_record]), [[wholeA, undefined], [wholeB, wholeA], [undefined, wholeB]]);
});

// Inserts rows until one was committed so long after `change` that it must count. Gives the rows that were told: {id, age, ...}.
async function afterwards(listener, table, change) {
  await project.sql(change);
  const began = Date.now();
  const ages = [];
  await until(async () => {
    const age = Date.now() - began;
    await project.sql(`INSERT INTO ${table} (id) SELECT coalesce(max(id), 0) + 1 FROM ${table};`);
    ages.push(age);
    return age > 1200;
  }, 'time to pass');
  const first = Number(await project.sql(`SELECT count(*) FROM ${table}`)) - ages.length + 1;
  const told = new Map((await data(listener)).map(({ record, columns }) => [record.id, { record, columns }]));
  return ages.map((age, n) => ({ age, told: told.get(first + n) })).filter(({ age }) => age >= 1000);
}

test('a column that is revoked is gone a second later, and one that is granted is there [PC-066]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, body text');
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} VALUES (1);`);
  assert.equal((await data(listener))[0].columns.length, 2);
  const names = (rows) => new Set(rows.map(({ told }) => `${told.columns.map(({ name }) => name)}|${Object.keys(told.record)}`));
  assert.deepEqual(names(await afterwards(listener, table, `REVOKE SELECT ON ${table} FROM authenticated; GRANT SELECT (id) ON ${table} TO authenticated;`)), new Set(['id|id']));
  assert.deepEqual(names(await afterwards(listener, table, `GRANT SELECT ON ${table} TO authenticated;`)), new Set(['id,body|id,body']));
});

test('row level security counts a second after it was switched on or off [PC-067]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, body text');
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} VALUES (1);`);
  assert.deepEqual(await brief(listener), ['INSERT 1']);
  const areTold = (rows) => rows.map(({ told }) => told !== undefined);
  assert.ok(areTold(await afterwards(listener, table, `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;`)).every((isTold) => !isTold));
  assert.ok(areTold(await afterwards(listener, table, `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY;`)).every((isTold) => isTold));
});

test('service_role is told every row [PC-068]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid', ofTheirOwn);
  const [service, nobody] = [await watch(table, as('service_role')), await watch(table)];
  await project.sql(`INSERT INTO ${table} VALUES (1, '${ANN}'), (2, NULL);`);
  assert.deepEqual(await brief(service), ['INSERT 1', 'INSERT 2']);
  assert.deepEqual(await brief(nobody), []);
});

test('each role is told what it may see [PC-069]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, body text', secured(`${policy('id > 1')} ${policy('id < 3', { to: 'anon', name: 'less' })}`));
  const [user, anon, both] = [await watch(table), await watch(table, as('anon')), await watch(table, as('service_role'))];
  await project.sql(`INSERT INTO ${table} VALUES (1), (2), (3);`);
  assert.deepEqual(await brief(user), ['INSERT 2', 'INSERT 3']);
  assert.deepEqual(await brief(anon), ['INSERT 1', 'INSERT 2']);
  assert.deepEqual(await brief(both), ['INSERT 1', 'INSERT 2', 'INSERT 3']);
});

test('a policy that fails for a row hides that row from those whom it is for, and nothing else from anybody [PC-070]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int', secured(`${policy('10 / n > 0')} ${policy('true', { to: 'anon', name: 'all_of_it' })}`));
  const [user, anon, service] = [await watch(table), await watch(table, as('anon')), await watch(table, as('service_role'))];
  await project.sql(`INSERT INTO ${table} SELECT n, CASE WHEN n % 3 = 0 THEN 1 ELSE 0 END FROM generate_series(1, 9) n; UPDATE ${table} SET n = 1 WHERE id = 1; UPDATE ${table} SET n = 0 WHERE id = 3;`);
  const all = Array.from({ length: 9 }, (_, n) => `INSERT ${n + 1}`);
  for (const each of [anon, service]) assert.deepEqual(await brief(each), [...all, 'UPDATE 1', 'UPDATE 3']);
  // 1 and 3 may be looked at before they are updated, or after that.
  const told = (await brief(user)).filter((line) => !/^INSERT [13]$/.test(line));
  assert.deepEqual(told, ['INSERT 6', 'INSERT 9', 'UPDATE 1'], project.server.log.slice(-1000));
  await project.expectLogged('RlsPolicyError', /division by zero/);
});

test('a role that may not use the schema, or that the login may not become, misses its own rows only [PC-071]', async () => {
  await project.sql('CREATE SCHEMA locked; GRANT USAGE ON SCHEMA locked TO anon, service_role;');
  const table = await freshTable(project, 'id int PRIMARY KEY', secured(policy('true', { to: 'authenticated, anon, stranger' })), { to: 'authenticated, anon, service_role, stranger' });
  await project.sql(`ALTER TABLE ${table} SET SCHEMA locked;`);
  const listeners = Object.fromEntries(await Promise.all(['authenticated', 'stranger', 'anon', 'service_role'].map(async (role) => [role, await Listener.join(project, [{ schema: 'locked', table }], as(role))])));
  for (const role of ['anon', 'service_role']) await listeners[role].subscribed();
  for (const role of ['authenticated', 'stranger']) await listeners[role].notice(); // either way
  await project.sql(`INSERT INTO locked.${table} VALUES (1), (2);`);
  for (const role of ['anon', 'service_role']) assert.deepEqual(await brief(listeners[role]), ['INSERT 1', 'INSERT 2'], role);
  for (const role of ['authenticated', 'stranger']) {
    await listeners[role].client.heartbeat();
    assert.deepEqual(listeners[role].taken(), [], role);
  }
  await project.sql(`INSERT INTO locked.${table} VALUES (3);`);
  assert.deepEqual(await brief(listeners.anon), ['INSERT 3']);
});

test('a row whose commit waits for a standby is told when it may be seen, and not lost [PC-072]', async () => {
  const [free, bound] = [await freshTable(project), await freshTable(project, 'id int PRIMARY KEY, body text', secured(policy('true')))];
  const listener = await listen(project, [free, bound].map((table) => ({ schema: 'public', table })));
  const session = await project.postgres.openSession(project.name);
  await session.run('SET synchronous_commit = on;');
  const asks = (name, condition) => project.postgres.sql(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${project.name}' AND ${name} LIKE '${condition}'`);
  await project.postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  await project.postgres.sql('SELECT pg_reload_conf()');
  await until(async () => (await project.postgres.sql('SHOW synchronous_standby_names')) === 'nobody', 'the setting');
  try {
    const waiting = session.run(`INSERT INTO ${bound} VALUES (1);`, 60_000);
    await until(async () => (await asks('wait_event', 'SyncRep')) === '1', 'the commit to wait');
    const since = await project.postgres.sql('SELECT clock_timestamp()');
    // Somebody looked for the row, in vain.
    await until(async () => (await project.postgres.sql(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${project.name}' AND usename = '${LOGIN}'
      AND backend_type = 'client backend' AND state_change > '${since}'`)) !== '0', 'a question of the server');
    assert.equal(listener.taken().length, 0);
    await project.postgres.sql('ALTER SYSTEM RESET synchronous_standby_names');
    await project.postgres.sql('SELECT pg_reload_conf()');
    await waiting;
    assert.deepEqual(await brief(listener), ['INSERT 1']);
  } finally {
    await project.postgres.sql('ALTER SYSTEM RESET synchronous_standby_names');
    await project.postgres.sql('SELECT pg_reload_conf()');
    await session.close();
  }
});

test('roles of any name work, and none is never one [PC-073]', async () => {
  const roles = CUSTOM_ROLES.map(identifier);
  const table = await freshTable(project, 'id int PRIMARY KEY, who text', secured(policy('who = current_user', { to: 'PUBLIC' })), { to: `authenticated, ${roles}` });
  const free = await freshTable(project, 'id int PRIMARY KEY, who text', () => '', { to: 'PUBLIC' });
  const entries = [table, free].map((name) => ({ schema: 'public', table: name }));
  const listeners = [];
  for (const role of CUSTOM_ROLES) listeners.push([role, await listen(project, entries, as(role))]);
  const witness = await listen(project, entries);
  const nobodies = [];
  for (const role of ['none', 'NONE', 'no such role']) {
    const client = await project.connect({ claims: { role } });
    const reply = await client.tryJoin(`realtime:nobody ${role}`, { config: { postgres_changes: entries } });
    nobodies.push(client);
    if (reply.payload.status !== 'ok') continue;
    const { payload } = await client.next(({ event }) => event === 'system');
    assert.equal(payload.status, 'error', `${role}: ${payload.message}`);
  }
  await project.sql(CUSTOM_ROLES.map((role, n) => `INSERT INTO ${table} VALUES (${n}, ${quoted(role)});`).join('') + `INSERT INTO ${free} VALUES (100); DELETE FROM ${free};`);
  for (const [n, [role, listener]] of listeners.entries()) assert.deepEqual(await brief(listener), [`INSERT ${n}`, 'INSERT 100', 'DELETE 100'], role);
  assert.deepEqual(await brief(witness), ['INSERT 100', 'DELETE 100']);
  for (const client of nobodies) await client.expectQuiet();
});

test('many rows of a transaction cost a user one question, not one for each [PC-074]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid', ofTheirOwn);
  const [ann, bob] = [await watch(table, { claims: { sub: ANN } }), await watch(table, { claims: { sub: BOB } })];
  await project.sql(`INSERT INTO ${table} VALUES (0, '${ANN}');`);
  await ann.told();
  const asked = async () => Number(await project.sql(`SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query LIKE '%${table}%' AND userid IN ('${LOGIN}'::regrole, 'authenticated'::regrole)`));
  const before = await asked();
  await project.sql(`INSERT INTO ${table} SELECT n, '${ANN}' FROM generate_series(1, 400) n;`);
  assert.equal((await ann.told()).length, 400);
  assert.deepEqual(await bob.told(), []);
  const questions = (await asked()) - before;
  assert.ok(questions >= 2 && questions <= 20, `${questions} questions for 400 rows and two users`);
});

test('a question leaves no role, no claims and no transaction behind [PC-075]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid', secured(`${policy('owner = auth.uid()')} ${policy("coalesce(auth.jwt() ->> 'sub', '') = ''", { to: 'anon', name: 'without_a_name' })}`));
  const users = [];
  for (let n = 0; n < 4; n += 1) users.push([await watch(table, { claims: { sub: [ANN, BOB][n % 2] } }), n % 2]);
  const anon = await watch(table, as('anon'));
  for (let n = 0; n < 10; n += 1) await project.sql(`INSERT INTO ${table} VALUES (${n}, '${[ANN, BOB][n % 2]}');`);
  for (const [listener, rest] of users) assert.deepEqual(await brief(listener), Array.from({ length: 5 }, (_, n) => `INSERT ${2 * n + rest}`));
  assert.equal((await brief(anon)).length, 10);
  const states = await project.postgres.sql(`SELECT DISTINCT state FROM pg_stat_activity WHERE datname = '${project.name}' AND usename = '${LOGIN}' AND backend_type = 'client backend'`);
  assert.equal(states, 'idle');
});

test('a role without any right on a table is told so, and may subscribe', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY', () => '', { to: 'service_role' });
  assert.equal((await answerTo(project, [{ schema: 'public', table }])).message, SUBSCRIBED);
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} VALUES (1);`);
  assert.deepEqual((await data(listener)).map(({ errors, record }) => [errors, record]), [[['Error 401: Unauthorized'], {}]]);
});
