// What a join asks for, what it is answered, and from when on rows come. postgres-changes.md 4, protocol.md 7.1 and 7.5

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answerTo, exception, freshTable, listen, Listener, makeWatched, notEnabled, refusal, startWatched, SUBSCRIBED, tableSql } from '../harness/changes.mjs';
import { assertFrame, bothVersions } from '../harness/phoenix.mjs';
import { identifier } from '../harness/sql.mjs';

let projects;
let project;
before(async () => {
  projects = await startWatched();
  project = await makeWatched(projects, { tables: { todos: 'id int PRIMARY KEY, title text, details text' } });
});
after(() => projects.stop());

const insertInto = (table, id) => project.sql(`INSERT INTO ${table} (id) VALUES (${id});`);
const ids = (told) => told.map(({ data }) => (data.record ?? data.old_record).id);

bothVersions('the reply to a join has the entries as they came, each with an id that equal ones share [PC-001]', async (vsn) => {
  const entries = [
    { event: 'INSERT', schema: 'public', table: 'todos', filter: 'id=eq.1', note: { of: ['mine', 1.5, null] } },
    { table: 'todos', schema: 'public', event: '*' },
    { event: 'INSERT', schema: 'public', table: 'todos', filter: 'id=eq.1', note: { of: ['mine', 1.5, null] } },
    { event: 'insert', schema: 'public', table: 'todos', filter: 'id=eq.1' },
    { schema: 'public' },
  ];
  const [one, other] = [await listen(project, entries, { vsn }), await listen(project, [entries[1]], { vsn })];
  assert.deepEqual(one.echo.map(({ id, ...entry }) => entry), entries);
  const given = one.echo.map(({ id }) => id);
  for (const id of given) assert.ok(Number.isInteger(id) && id > 0 && id < 2 ** 27, `${id}`);
  assert.equal(given[0], given[2]);
  assert.equal(new Set(given).size, 4);
  assert.equal(other.echo[0].id, given[1], 'whatever the channel');
});

test('nulls among the entries are left out, and who asks for nothing is told nothing [PC-002]', async () => {
  const some = await listen(project, [null, { schema: 'public' }, null]);
  assert.deepEqual(some.echo.map(({ id, ...entry }) => entry), [{ schema: 'public' }]);
  const client = await project.connect();
  for (const [n, entries] of [[null], [], undefined].entries()) {
    const reply = await client.join(`realtime:nothing ${n}`, { config: { postgres_changes: entries } });
    assert.deepEqual(reply.payload.response, { postgres_changes: [] });
  }
  await insertInto('todos', 1);
  assert.equal((await some.told()).length, 1);
  await client.expectQuiet();
});

bothVersions('a subscription is confirmed by a system frame of four members [PC-003] [P-176]', async (vsn) => {
  const listener = await Listener.join(project, [{ event: '*', schema: 'public', table: 'todos' }], { vsn });
  const payload = { channel: listener.topic.slice(9), extension: 'postgres_changes', status: 'ok', message: SUBSCRIBED };
  assertFrame(await listener.notice(), { joinRef: listener.client.joinRefs.get(listener.topic), ref: null, topic: listener.topic, payload });
});

test('a row that is committed right after the confirmation comes, also the first of a project [PC-004]', async () => {
  const fresh = await Promise.all([1, 2, 3].map(() => makeWatched(projects, { tables: { todos: 'id int PRIMARY KEY' } })));
  for (const each of fresh) {
    const session = await each.postgres.openSession(each.name);
    for (const id of [1, 2]) {
      const listener = await listen(each, [{ schema: 'public', table: 'todos' }]);
      await session.run(`INSERT INTO todos VALUES (${id});`);
      assert.deepEqual(ids(await listener.told()), [id]);
    }
    await session.close();
  }
});

test('the first subscription of a project is confirmed at once, and without an error before [PC-005] [P-203]', async () => {
  const times = [];
  for (let n = 0; n < 3; n += 1) {
    const fresh = await makeWatched(projects, { tables: { todos: 'id int PRIMARY KEY' } });
    const client = await fresh.connect();
    const began = performance.now();
    const listener = await Listener.join(fresh, [{ schema: 'public', table: 'todos' }], { client });
    const isNotice = ({ event }) => event === 'system';
    assert.equal((await listener.client.next(isNotice)).payload.message, SUBSCRIBED);
    times.push(performance.now() - began);
  }
  assert.ok(Math.min(...times) < 1000, `${times}`);
});

const NO_PARAMETERS = 'No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: ';
const SELECT_IS_TEXT = 'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]';
const SELECT_OF_ALL = 'Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.';

test('schema and table are what an entry needs, and what is missing is public or everything [PC-006] [P-182] [P-183] [P-196]', async () => {
  for (const [entry, parameters] of [
    [{ table: 'nowhere' }, 'event: *, schema: public, table: nowhere, filters: [], select: nil'],
    [{ schema: 'nowhere' }, 'event: *, schema: nowhere, table: *, filters: [], select: nil'],
    [{ schema: 'nowhere', table: '*' }, 'event: *, schema: nowhere, table: *, filters: [], select: nil'],
    [{ schema: 'public', table: 'nowhere', event: 'DELETE' }, 'event: DELETE, schema: public, table: nowhere, filters: [], select: nil'],
    [{ schema: 'public', table: 'nowhere', filter: 'id=eq.5' }, 'event: *, schema: public, table: nowhere, filters: [{"id", "eq", "5", false}], select: nil'],
    [{ schema: 'public', table: 'nowhere', select: ['id', 5, null, 'title'] }, 'event: *, schema: public, table: nowhere, filters: [], select: ["id", "title"]'],
    [{ schema: 'public', table: 'nowhere', select: [] }, 'event: *, schema: public, table: nowhere, filters: [], select: nil'],
    [{ schema: 'public', table: 'nowhere', select: { id: 1 } }, 'event: *, schema: public, table: nowhere, filters: [], select: nil'],
  ]) {
    assert.equal(await refusal(project, entry), notEnabled(parameters), JSON.stringify(entry));
  }
  for (const [entry, message] of [
    [{}, `${NO_PARAMETERS}%{}`],
    [{ event: 'INSERT' }, `${NO_PARAMETERS}%{"event" => "INSERT"}`],
    [{ filter: 'id=eq.1' }, `${NO_PARAMETERS}%{"filter" => "id=eq.1"}`],
    [{ table: 'todos', filter: 'id=eq.1' }, `${NO_PARAMETERS}%{"filter" => "id=eq.1", "table" => "todos"}`],
    [{ schema: 'public', filter: 'id=eq.1', event: '*' }, `${NO_PARAMETERS}%{"event" => "*", "filter" => "id=eq.1", "schema" => "public"}`],
    [{ schema: 'public', table: null }, `${NO_PARAMETERS}%{"schema" => "public", "table" => nil}`],
    [{ schema: 5, table: 'todos' }, `${NO_PARAMETERS}%{"schema" => 5, "table" => "todos"}`],
    [{ schema: 'public', table: 'todos', filter: null }, `${NO_PARAMETERS}%{"filter" => nil, "schema" => "public", "table" => "todos"}`],
    [{ event: 'INSERT', user_token: 'x' }, `${NO_PARAMETERS}<redacted>`],
    [{ event: 'INSERT', auth_token: 'x' }, `${NO_PARAMETERS}<redacted>`],
    [{ schema: 'public', table: 'todos', select: 'title' }, SELECT_IS_TEXT],
    [{ schema: 'public', select: ['title'] }, SELECT_OF_ALL],
    [{ schema: 'public', table: '*', select: ['title'] }, SELECT_OF_ALL],
    [{ schema: '*', table: 'todos', select: ['title'] }, SELECT_OF_ALL],
  ]) {
    assert.equal(await refusal(project, entry), message, JSON.stringify(entry));
  }
});

test('actions are named in letters of any case, and an unknown one is all of them [PC-007] [P-181]', async () => {
  const table = await freshTable(project);
  const events = ['insert', 'Update', 'DELETE', 'FOO', '*', 5, null, undefined];
  const listener = await listen(project, events.map((event, n) => ({ event, schema: 'public', table, n })));
  await project.sql(`INSERT INTO ${table} VALUES (1); UPDATE ${table} SET body = 'x'; DELETE FROM ${table};`);
  const wanted = (await listener.told()).map(({ data, ids }) => [data.type, ids.map((id) => listener.entry(id).n).sort()]);
  assert.deepEqual(wanted, [['INSERT', [0, 3, 4, 5, 6, 7]], ['UPDATE', [1, 3, 4, 5, 6, 7]], ['DELETE', [2, 3, 4, 5, 6, 7]]]);
});

test('filters are read as they are meant, quotes, commas and parentheses included [PC-008] [PC-009] [P-190]', async () => {
  for (const [filter, ...conditions] of [
    ['id=eq.1', ['id', 'eq', '1']],
    ['id=gt.0,id=lt.100', ['id', 'gt', '0'], ['id', 'lt', '100']],
    ['name=not.like.A%', ['name', 'like', 'A%', true]],
    ['id=in.(1,2,3)', ['id', 'in', '{1,2,3}']],
    ['id=not.in.(1,2)', ['id', 'in', '{1,2}', true]],
    ['tag=in.("a,b",c)', ['tag', 'in', '{"a,b",c}']],
    ['tag=in.("a)b",c),id=eq.1', ['tag', 'in', '{"a)b",c}'], ['id', 'eq', '1']],
    ['name=eq."a,b",id=gt.0', ['name', 'eq', 'a,b'], ['id', 'gt', '0']],
    [String.raw`name=eq."she said \"hi\""`, ['name', 'eq', 'she said "hi"']],
    [String.raw`path=eq."C:\\tmp"`, ['path', 'eq', 'C:\\tmp']],
    ['name=eq."ab"cd', ['name', 'eq', '"ab"cd']],
    ['name=eq."unterminated', ['name', 'eq', '"unterminated']],
    ['name=eq.""', ['name', 'eq', '']],
    ['name=eq.', ['name', 'eq', '']],
    ['desc=eq.5" tall,id=gt.0', ['desc', 'eq', '5" tall'], ['id', 'gt', '0']],
    ['a=eq.x),b=eq.y', ['a', 'eq', 'x)'], ['b', 'eq', 'y']],
    ['a=eq.x),b=eq.y)', ['a', 'eq', 'x)'], ['b', 'eq', 'y)']],
    ['t=eq.12:30=x.y', ['t', 'eq', '12:30=x.y']],
    [' a=eq.1 , b=is.null ', ['a', 'eq', '1'], ['b', 'is', 'null']],
    ['a =eq.1', ['a ', 'eq', '1']],
    [''],
    ['  '],
  ]) {
    const listed = conditions.map(([column, op, value, negated = false]) => `{"${column}", "${op}", ${JSON.stringify(value)}, ${negated}}`).join(', ');
    const parameters = `event: *, schema: public, table: nowhere, filters: [${listed}], select: nil`;
    assert.equal(await refusal(project, { schema: 'public', table: 'nowhere', filter }), notEnabled(parameters), filter);
  }
});

test('a filter that cannot be read is refused in these words [PC-008] [PC-010] [P-184] [P-185] [P-186] [P-187] [E-013]', async () => {
  const STRAY = 'filter must not contain empty segments (check for extra commas)';
  const PARENTHESES = '`in` filter value must be wrapped by parentheses';
  for (const [filter, reason] of [
    ['wrong', '["wrong"]'],
    ['undefined', '["undefined"]'],
    ['id=eq', '["eq"]'],
    ['id=not.eq', '["eq"]'],
    ['subject=foo.hey', '["foo", "hey"]'],
    ['id=EQ.1', '["EQ", "1"]'],
    ['id=not.not.eq.1', '["not", "eq.1"]'],
    ['id=gt.0,', STRAY],
    [',id=gt.0', STRAY],
    ['id=gt.0,,id=lt.5', STRAY],
    ['id=in.1,2', PARENTHESES],
    ['id=in.(1', PARENTHESES],
  ]) {
    assert.equal(await refusal(project, { schema: 'public', table: 'todos', filter }), `Error parsing \`filter\` params: ${reason}`, filter);
  }
});

test('a table that is not published cannot be subscribed to, and its channel stays [PC-011] [P-193] [E-013]', async () => {
  await project.sql('CREATE TABLE unpublished (id int PRIMARY KEY); GRANT SELECT ON unpublished TO authenticated;');
  const listener = await Listener.join(project, [{ event: 'INSERT', schema: 'public', table: 'unpublished', filter: 'id=eq.1' }]);
  const { payload } = await listener.notice();
  assert.deepEqual(payload, {
    channel: listener.topic.slice(9),
    extension: 'postgres_changes',
    status: 'error',
    message: notEnabled('event: INSERT, schema: public, table: unpublished, filters: [{"id", "eq", "1", false}], select: nil'),
  });
  await listener.expectQuiet();
});

test('a filter or selection needs a column that is there, and that the role may read [PC-012] [PC-018] [P-192]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, shown text, secret text', (name) => `GRANT SELECT (id, shown) ON ${name} TO authenticated;`, { to: 'service_role' });
  const parameters = (filters, select = 'nil') => `event: *, schema: public, table: ${table}, filters: [${filters}], select: ${select}`;
  for (const column of ['secret', 'missing']) {
    const byFilter = exception(parameters(`{"${column}", "eq", "hey", false}`), `P0001 (raise_exception) invalid column for filter ${column}`);
    assert.equal(await refusal(project, { schema: 'public', table, filter: `${column}=eq.hey` }), byFilter);
    const bySelection = exception(parameters('', `["shown", "${column}"]`), `P0001 (raise_exception) invalid column for select ${column}`);
    assert.equal(await refusal(project, { schema: 'public', table, select: ['shown', column] }), bySelection);
  }
  const shown = { schema: 'public', table, filter: 'shown=eq.hey', select: ['shown'] };
  const secret = { schema: 'public', table, filter: 'secret=eq.hey', select: ['secret'] };
  assert.equal((await answerTo(project, [shown])).message, SUBSCRIBED);
  assert.equal((await answerTo(project, [secret], { claims: { role: 'service_role' } })).message, SUBSCRIBED);
});

test('a value that its column cannot have is refused, as Postgres says it [PC-013]', async () => {
  const parameters = 'event: *, schema: public, table: todos, filters: [{"id", "eq", "hey", false}], select: nil';
  const error = '22P02 (invalid_text_representation) invalid input syntax for type integer: "hey"';
  assert.equal(await refusal(project, { schema: 'public', table: 'todos', filter: 'id=eq.hey' }), exception(parameters, error));
  const outOfRange = await refusal(project, { schema: 'public', table: 'todos', filter: 'id=gt.99999999999' });
  assert.match(outOfRange, /ERROR 22003 \(numeric_value_out_of_range\) value "99999999999" is out of range for type integer$/);
});

test('a list has up to 100 values [PC-014]', async () => {
  const filter = (count) => `id=in.(${Array.from({ length: count }, (_, n) => n)})`;
  assert.equal((await answerTo(project, [{ schema: 'public', table: 'todos', filter: filter(100) }])).message, SUBSCRIBED);
  const message = await refusal(project, { schema: 'public', table: 'todos', filter: filter(101) });
  assert.ok(message.endsWith('Exception: ERROR P0001 (raise_exception) too many values for `in` filter. Maximum 100'), message);
});

test('patterns, regular expressions and truth values are for columns that can have them [PC-015] [PC-016] [PC-017]', async () => {
  await project.sql('CREATE EXTENSION citext;');
  const table = await freshTable(project, 'id int PRIMARY KEY, t text, v varchar(20), c char(5), ci citext, b bool, j jsonb, ts timestamptz');
  const refused = {
    'v=like.a%': 'operator like requires a text-compatible column type, got character varying',
    'id=ilike.1%': 'operator ilike requires a text-compatible column type, got integer',
    'v=match.a': 'operator match requires a text-compatible column type, got character varying',
    'c=imatch.a': 'operator imatch requires a text-compatible column type, got character',
    't=match.(': 'invalid regular expression for match filter: invalid regular expression: parentheses () not balanced',
    't=imatch.[a': 'invalid regular expression for imatch filter: invalid regular expression: brackets [] not balanced',
    't=is.true': 'is true filter requires a boolean column, got text',
    'id=is.unknown': 'is unknown filter requires a boolean column, got integer',
    'b=is.NULL': 'invalid value for is filter: must be null, true, false, or unknown',
    't=is.nothing': 'invalid value for is filter: must be null, true, false, or unknown',
  };
  for (const [filter, error] of Object.entries(refused)) {
    const message = await refusal(project, { schema: 'public', table, filter });
    assert.ok(message.endsWith(`Exception: ERROR P0001 (raise_exception) ${error}`), message);
  }
  const likes = ['t', 'c', 'ci'].flatMap((column) => [`${column}=like.a%`, `${column}=ilike.a%`]);
  const matches = ['t', 'ci'].flatMap((column) => [`${column}=match.^a`, `${column}=imatch.^a`]);
  const truths = ['null', 'true', 'false', 'unknown'].map((value) => `b=is.${value}`);
  const nulls = ['id', 't', 'v', 'c', 'ci', 'b', 'j', 'ts'].map((column) => `${column}=is.null`);
  const entries = [...likes, ...matches, ...truths, ...nulls].map((filter) => ({ schema: 'public', table, filter }));
  assert.equal((await answerTo(project, entries)).message, SUBSCRIBED);
});

test('the entries of a channel are accepted together or not at all [PC-019] [P-194]', async () => {
  const [table, witness] = [await freshTable(project), await listen(project, [{ schema: 'public' }])];
  const good = { schema: 'public', table };
  for (const bad of [{ schema: 'public', table, filter: 'wrong' }, { schema: 'public', table, filter: 'missing=eq.1' }, { schema: 'public', table: 'nowhere' }]) {
    const listener = await Listener.join(project, [good, bad, good]);
    assert.equal((await listener.notice()).payload.status, 'error');
    await project.sql(`INSERT INTO ${table} VALUES (1); DELETE FROM ${table};`);
    assert.deepEqual(await listener.told(), []);
  }
  assert.equal((await witness.told()).length, 6, 'who asked for something else is told');
});

test('names of tables are patterns, in which a backslash is no more than itself [PC-020]', async () => {
  const fresh = await makeWatched(projects);
  const names = ['a_b', 'axb', 'ab', 'long name', String.raw`a\_b`, String.raw`a\xb`];
  for (const name of names) await fresh.sql(tableSql(identifier(name), 'id int PRIMARY KEY'));
  const patterns = ['a_b', 'a%b', '%name', 'A_B', String.raw`a\_b`, 'ab'];
  const known = [['a_b', 'axb'], ['a_b', 'axb', 'ab', String.raw`a\_b`, String.raw`a\xb`], ['long name'], null, [String.raw`a\_b`, String.raw`a\xb`], ['ab']];
  for (const [n, table] of patterns.entries()) {
    const entry = { event: 'INSERT', schema: 'pub_ic', table };
    if (known[n] === null) {
      assert.equal(await refusal(fresh, entry), notEnabled(`event: INSERT, schema: pub_ic, table: ${table}, filters: [], select: nil`));
      continue;
    }
    const listener = await listen(fresh, [entry]);
    for (const name of names) await fresh.sql(`INSERT INTO ${identifier(name)} VALUES (1); DELETE FROM ${identifier(name)};`);
    assert.deepEqual((await listener.told()).map(({ data }) => data.table), known[n], table);
  }
});

test('names with spaces, quotes, backslashes, dots and letters of any script work [PC-021]', async () => {
  const names = ['a space', 'a,comma', 'a.dot', 'a\ttab', 'a"quote', String.raw`a\backslash`, 'ключ 🔑', "it's", 'UPPER'];
  await project.sql('CREATE SCHEMA "odd, schema"; GRANT USAGE ON SCHEMA "odd, schema" TO authenticated;');
  for (const name of names) await project.sql(tableSql(`"odd, schema".${identifier(name)}`, `${identifier(`${name} id`)} int PRIMARY KEY`));
  const listener = await listen(project, names.map((table) => ({ event: '*', schema: 'odd, schema', table, filter: `${table} id=eq.7` })).filter(({ filter }) => !/[,"]/.test(filter)));
  const all = await listen(project, [{ schema: 'odd, schema' }]);
  for (const name of names) await project.sql(`INSERT INTO "odd, schema".${identifier(name)} VALUES (7);`);
  const told = (await all.told()).map(({ data }) => data);
  assert.deepEqual(told.map(({ schema, table, record, columns }) => [schema, table, record, columns]),
    names.map((name) => ['odd, schema', name, { [`${name} id`]: 7 }, [{ name: `${name} id`, type: 'int4' }]]));
  assert.deepEqual((await listener.told()).map(({ data }) => data.table), names.filter((name) => !/[,"]/.test(name)));
});

test('stars stand for every schema and table, whose filter has to fit all of them [PC-022] [P-182]', async () => {
  const fresh = await makeWatched(projects, { tables: { one: 'id int PRIMARY KEY', two: 'id int PRIMARY KEY, title text' }, sql: `CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO authenticated; ${tableSql('other.three', 'id int PRIMARY KEY')}` });
  const anywhere = { one: 1, two: 1, three: 1 };
  const counted = async (listener) => Object.fromEntries((await listener.told()).map(({ data }) => [data.table, 1]));
  const listeners = [];
  for (const [entry, wanted] of [
    [{ schema: '*' }, anywhere],
    [{ schema: '*', table: '*' }, anywhere],
    [{ schema: 'public', table: '*' }, { one: 1, two: 1 }],
    [{ schema: 'public' }, { one: 1, two: 1 }],
    [{ schema: '*', table: 'three' }, { three: 1 }],
    [{ table: '*' }, { one: 1, two: 1 }],
    [{ schema: '*', table: '*', filter: 'id=gt.0' }, anywhere],
  ]) {
    listeners.push([await listen(fresh, [entry]), wanted]);
  }
  await fresh.sql('INSERT INTO one VALUES (1); INSERT INTO two VALUES (1); INSERT INTO other.three VALUES (1);');
  for (const [listener, wanted] of listeners) assert.deepEqual(await counted(listener), wanted, JSON.stringify(listener.echo));
  const message = await refusal(fresh, { schema: 'public', table: '*', filter: 'title=eq.x' });
  assert.equal(message, exception('event: *, schema: public, table: *, filters: [{"title", "eq", "x", false}], select: nil', 'P0001 (raise_exception) invalid column for filter title'));
});

test('a selection is told with the key, by records, old records and columns alike [PC-023] [P-195]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, title text, details text', (name) => `ALTER TABLE ${name} REPLICA IDENTITY FULL;`);
  const listener = await listen(project, [{ schema: 'public', table, select: ['title'] }]);
  const empty = await listen(project, [{ schema: 'public', table, select: [] }]);
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a', 'x'); UPDATE ${table} SET title = 'b'; DELETE FROM ${table};`);
  const columns = [{ name: 'id', type: 'int4' }, { name: 'title', type: 'text' }];
  const [a, b] = [{ id: 1, title: 'a' }, { id: 1, title: 'b' }];
  const shown = (await listener.told()).map(({ data }) => [data.columns, data.record, data.old_record]);
  assert.deepEqual(shown, [[columns, a, undefined], [columns, b, a], [columns, undefined, b]]);
  assert.deepEqual((await empty.told()).map(({ data }) => data.columns.length), [3, 3, 3]);
});

test('a new token is confirmed under the same ids, and its claims decide from then on [PC-024] [P-213]', async () => {
  const [ann, bob] = ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'];
  const table = await freshTable(project, 'id int PRIMARY KEY, owner uuid', (name) => `
    ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON ${name} FOR SELECT TO authenticated USING (owner = auth.uid());`);
  const listener = await listen(project, [{ schema: 'public', table }], { claims: { sub: ann } });
  const insert = (id) => project.sql(`INSERT INTO ${table} VALUES (${id}, '${ann}'), (${id + 1}, '${bob}');`);
  await insert(1);
  const before = await listener.told();
  assert.deepEqual(ids(before), [1]);
  listener.refresh({ sub: bob });
  await listener.subscribed();
  await insert(3);
  const told = await listener.told();
  assert.deepEqual(ids(told), [4]);
  assert.deepEqual(told[0].ids, before[0].ids);

  // The same again has no effect, and gives no answer.
  const token = project.token({ sub: ann });
  listener.client.push(listener.topic, 'access_token', { access_token: token });
  await listener.subscribed();
  listener.client.push(listener.topic, 'access_token', { access_token: token });
  listener.client.push(listener.topic, 'access_token', { access_token: null });
  await listener.expectQuiet();
  await insert(5);
  assert.deepEqual(ids(await listener.told()), [5]);
  await listener.expectQuiet();
});

test('a new token under which an entry is refused is told so [PC-024]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, secret text', () => '', { to: 'service_role' });
  const listener = await listen(project, [{ schema: 'public', table, filter: 'secret=eq.x' }], { claims: { role: 'service_role' } });
  listener.refresh({ role: 'authenticated' });
  const { payload } = await listener.notice();
  assert.equal(payload.status, 'error');
  assert.match(payload.message, /invalid column for filter secret$/);
  await project.sql(`INSERT INTO ${table} VALUES (1, 'x');`);
  assert.deepEqual(await listener.told(), []);
  listener.refresh({ role: 'service_role', again: true });
  await listener.subscribed();
  await project.sql(`INSERT INTO ${table} VALUES (2, 'x');`);
  assert.deepEqual(ids(await listener.told()), [2]);
});

bothVersions('a join of the old form is told the bare changes of what its topic names [PC-025] [P-121] [P-201]', async (vsn) => {
  const table = await freshTable(project);
  const topic = `realtime:public:${table}`;
  const [all, some, schema] = [await listen(project, null, { vsn, topic }), await listen(project, null, { vsn, topic: `${topic}:id=eq.2` }), await listen(project, null, { vsn, topic: 'realtime:public' })];
  assert.deepEqual(some.echo.map(({ id, ...entry }) => entry), [{ schema: 'public', table, filter: 'id=eq.2' }]);
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a'), (2, 'b'); UPDATE ${table} SET body = 'c'; DELETE FROM ${table};`);
  const told = await all.told();
  assert.deepEqual(told.map(({ event }) => event), ['INSERT', 'INSERT', 'UPDATE', 'UPDATE', 'DELETE', 'DELETE']);
  assert.deepEqual(ids(await some.told()), [2, 2, 2]);
  assert.deepEqual((await schema.told()).filter(({ data }) => data.table === table).length, 6);
  const [{ frame, data }] = told;
  assertFrame(frame, { joinRef: null, ref: null, topic, event: 'INSERT' });
  assert.deepEqual(data, {
    schema: 'public',
    table,
    type: 'INSERT',
    commit_timestamp: data.commit_timestamp,
    columns: [{ name: 'id', type: 'int4' }, { name: 'body', type: 'text' }],
    record: { id: 1, body: 'a' },
    errors: null,
  });
});

test('a join of the old form whose topic names no table is told so, and broadcasts work [P-122]', async () => {
  const topic = 'realtime:room1';
  const listener = await Listener.join(project, null, { topic });
  assert.equal((await listener.notice()).payload.message, notEnabled('event: *, schema: room1, table: *, filters: [], select: nil'));
  const other = await Listener.join(project, null, { topic });
  await other.notice();
  other.client.push(topic, 'broadcast', { hello: 1 });
  assertFrame(await listener.client.next(), { topic, event: 'broadcast', payload: { hello: 1 } });
});

test('a subscription that is refused is in the log of who asks for warnings [PC-011]', async () => {
  await answerTo(project, [{ schema: 'public', table: 'nowhere' }], { params: { log_level: 'warning' } });
  await project.expectLogged('RealtimeDisabledForConfiguration', /nowhere/);
});
