// Which rows a filter lets through, compared with what Postgres itself says of the same values. postgres-changes.md 5
//
// Each filter is an entry of one channel: the ids of a message say which of them let its row through.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answerTo, freshTable, listen, Listener, makeWatched, startWatched, SUBSCRIBED } from '../harness/changes.mjs';
import { cpuSeconds } from '../harness/process.mjs';
import { seededRandom } from '../harness/random.mjs';
import { until } from '../harness/server.mjs';
import { quoted } from '../harness/sql.mjs';

const TYPES = `
  CREATE EXTENSION citext; CREATE EXTENSION hstore;
  CREATE TYPE size AS ENUM ('small', 'medium', 'large');
  CREATE TYPE pair AS (a int, b text);
  CREATE DOMAIN amount AS numeric(10, 2);`;

let projects;
let project;
before(async () => {
  projects = await startWatched();
  project = await makeWatched(projects, { sql: TYPES });
});
after(() => projects.stop());

const full = (name) => `ALTER TABLE ${name} REPLICA IDENTITY FULL;`;
const idOf = ({ data }) => (data.record ?? data.old_record).id;

// A listener with an entry for each filter. letThrough(): [[what happened to which row, the filters that let it through]].
async function filtered(table, filters, { of = project } = {}) {
  const listener = await listen(of, filters.map((filter) => ({ event: '*', schema: 'public', table, filter })));
  const all = await listen(of, [{ schema: 'public', table }]);
  return {
    letThrough: async () => {
      const told = new Map((await listener.told()).map((change) => [`${change.data.type} ${idOf(change)}`, change.ids.map((id) => listener.entry(id).filter).sort()]));
      return (await all.told()).map((change) => `${change.data.type} ${idOf(change)}`).map((what) => [what, told.get(what) ?? []]);
    },
  };
}

// [filter, whether a row lets through that fits, one that does not, one of nulls]
const OPERATORS = [
  ['n=eq.5', 1, 0, 0], ['n=not.eq.5', 0, 1, 0],
  ['n=neq.7', 1, 0, 0], ['n=not.neq.7', 0, 1, 0],
  ['n=lt.6', 1, 0, 0], ['n=not.lt.6', 0, 1, 0],
  ['n=lte.5', 1, 0, 0], ['n=not.lte.5', 0, 1, 0],
  ['n=gt.6', 0, 1, 0], ['n=not.gt.6', 1, 0, 0],
  ['n=gte.7', 0, 1, 0], ['n=not.gte.7', 1, 0, 0],
  ['n=in.(4,5,6)', 1, 0, 0], ['n=not.in.(4,5,6)', 0, 1, 0],
  ['t=like.ap%', 1, 0, 0], ['t=not.like.ap%', 0, 1, 0], ['t=like.AP%', 0, 0, 0],
  ['t=ilike.AP%', 1, 0, 0], ['t=not.ilike.AP%', 0, 1, 0],
  ['t=match.^a.+e$', 1, 0, 0], ['t=not.match.^a.+e$', 0, 1, 0], ['t=match.^A', 0, 0, 0],
  ['t=imatch.^A', 1, 0, 0], ['t=not.imatch.^A', 0, 1, 0],
  ['n=is.null', 0, 0, 1], ['n=not.is.null', 1, 1, 0],
  ['b=is.true', 1, 0, 0], ['b=not.is.true', 0, 1, 1],
  ['b=is.false', 0, 1, 0], ['b=not.is.false', 1, 0, 1],
  ['b=is.unknown', 0, 0, 1], ['b=not.is.unknown', 1, 1, 0],
  ['n=isdistinct.5', 0, 1, 1], ['n=not.isdistinct.5', 1, 0, 0],
  ['t=eq.apple', 1, 0, 0], ['t=neq.apple', 0, 1, 0], ['b=eq.true', 1, 0, 0],
  ['n=gt.1,n=lt.6', 1, 0, 0], ['n=gt.1,t=eq.apple,b=is.true', 1, 0, 0], ['n=eq.5,t=eq.Pear', 0, 0, 0],
];

test('each operator, and its negation, matches or not, for new and for old rows; NULL is a match for few [PC-080] [PC-081] [P-188] [P-189] [P-191]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int, t text, b bool, note text', full);
  const { letThrough } = await filtered(table, OPERATORS.map(([filter]) => filter));
  await project.sql(`INSERT INTO ${table} VALUES (1, 5, 'apple', true), (2, 7, 'Pear', false), (3, NULL, NULL, NULL);`);
  await project.sql(`UPDATE ${table} SET note = 'x'; DELETE FROM ${table};`);
  const wanted = (n) => OPERATORS.filter((row) => row[n]).map(([filter]) => filter).sort();
  const told = await letThrough();
  assert.equal(told.length, 9);
  for (const [what, filters] of told) assert.deepEqual(filters, wanted(Number(what.split(' ')[1])), what);
});

test('of a deletion only what identifies the row can be asked for [PC-082]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int');
  const filters = ['id=eq.1', 'n=eq.5', 'n=is.null', 'n=isdistinct.5', 'n=not.eq.7', 'id=eq.1,n=eq.5'];
  const { letThrough } = await filtered(table, filters);
  await project.sql(`INSERT INTO ${table} VALUES (1, 5); DELETE FROM ${table};`);
  assert.deepEqual(await letThrough(), [['INSERT 1', ['id=eq.1', 'id=eq.1,n=eq.5', 'n=eq.5', 'n=not.eq.7']], ['DELETE 1', ['id=eq.1']]]);
  await project.sql(`${full(table)} INSERT INTO ${table} VALUES (1, 5); DELETE FROM ${table};`);
  assert.deepEqual((await letThrough())[1], ['DELETE 1', ['id=eq.1', 'id=eq.1,n=eq.5', 'n=eq.5', 'n=not.eq.7']]);
});

test('a filter on a large value that did not change does not match [PC-083]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int, big text', (name) => `ALTER TABLE ${name} ALTER COLUMN big SET STORAGE EXTERNAL;`);
  const { letThrough } = await filtered(table, ['big=like.x%', 'big=not.like.y%', 'big=is.null', 'big=not.is.null', 'n=gt.0']);
  const big = `repeat('x', 9000)`;
  const seen = ['big=like.x%', 'big=not.is.null', 'big=not.like.y%', 'n=gt.0'];
  await project.sql(`INSERT INTO ${table} VALUES (1, 1, ${big}); UPDATE ${table} SET n = 2;`);
  assert.deepEqual(await letThrough(), [['INSERT 1', seen], ['UPDATE 1', ['n=gt.0']]]);
  await project.sql(`${full(table)} UPDATE ${table} SET n = 3;`);
  assert.deepEqual(await letThrough(), [['UPDATE 1', ['n=gt.0']]]);
  await project.sql(`UPDATE ${table} SET big = big || 'z';`);
  assert.deepEqual(await letThrough(), [['UPDATE 1', seen]]);
});

// What Postgres says of the same: {column: type without length}, rows of SQL, filters as [column, operator, value, negated].
async function compare(columns, rows, filters, { of = project, declared = columns } = {}) {
  const table = await freshTable(of, `id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${Object.entries(declared).map(([name, type]) => `${name} ${type}`)}`);
  const inQuotes = (op, value) => (op === 'in' || op === 'is' ? value : `"${value.replace(/["\\]/g, '\\$&')}"`);
  const spelled = filters.map(([column, op, value, negated]) => `${column}=${negated ? 'not.' : ''}${op}.${inQuotes(op, value)}`);
  const conditions = filters.map(([column, op, value, negated]) => `${negated ? 'NOT ' : ''}(${conditionOf(column, columns[column], op, value)})`);
  const { letThrough } = await filtered(table, spelled, { of });
  await of.sql(rows.map((row) => `INSERT INTO ${table} (${Object.keys(columns)}) VALUES (${row});`).join('\n'));
  const truth = (await of.sql(`SELECT ${conditions.map((condition) => `coalesce(${condition}, false)::int`).join(" || '' || ")} FROM ${table} ORDER BY id`)).split('\n');
  const told = await letThrough();
  assert.equal(told.length, rows.length);
  for (const [n, [, matching]] of told.entries()) {
    const wanted = spelled.filter((_, m) => truth[n][m] === '1').sort();
    assert.deepEqual(matching, wanted, `row ${n + 1}: ${rows[n]}`);
  }
}

const SQL_OPERATORS = { eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=', like: 'LIKE', ilike: 'ILIKE', match: '~', imatch: '~*', isdistinct: 'IS DISTINCT FROM' };

function conditionOf(column, type, op, value) {
  const ofText = /text|citext/.test(type) ? ' COLLATE "default"' : '';
  if (op === 'is') return `${column} IS ${value}`;
  if (op === 'in') return `${column}${ofText} = ANY (${quoted(`{${value.slice(1, -1)}}`)}::${type}[])`;
  return `${column}${ofText} ${SQL_OPERATORS[op]} ${quoted(value)}::${type}`;
}

test('values are compared as their type does it: 1.5 is 1.50, times are instants, letter case of a uuid is nothing [PC-084]', async () => {
  const columns = { n: 'numeric', ts: 'timestamptz', u: 'uuid', f: 'float8', bp: 'bpchar', bits: 'pg_catalog."bit"', e: 'size', ci: 'citext', i: 'inet', r: 'int4range', j: 'jsonb', iv: 'interval', d: 'date', ti: 'time', m: 'money', a: 'amount', big: 'bigint', nm: 'name', vc: 'varchar', tz: 'timetz', o: 'oid', c: 'cidr', mac: 'macaddr', lsn: 'pg_lsn' };
  const declared = { ...columns, n: 'numeric(10,2)', bp: 'char(5)', bits: 'bit(3)', vc: 'varchar(20)' };
  const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
  const row = (values) => Object.keys(columns).map((name) => (name in values ? quoted(values[name]) : 'NULL'));
  const rows = [
    row({ n: '1.50', ts: '2024-02-29 12:00+00', u: uuid, f: '0.1', bp: 'ab', bits: '101', e: 'small', ci: 'MixED', i: '10.0.0.5/24', r: '[1,5)', j: '{"a": 1, "b": [1.0]}', iv: '1 day', d: '2024-02-29', ti: '12:00', m: '12.50', a: '3', big: '9007199254740993', nm: 'name', vc: 'x', tz: '12:00+00', o: '5', c: '10.0.0.0/8', mac: '08:00:2b:01:02:03', lsn: '0/16' }),
    row({ n: '-2', ts: '2023-01-01', u: uuid.replace('a', 'b'), f: '-0', bp: 'a', bits: '100', e: 'large', ci: 'other', i: '::1', r: 'empty', j: '"x"', iv: '-3 days', d: 'infinity', ti: '00:00', m: '-5', a: '2.5', big: '-1', nm: 'other', vc: 'X', tz: '13:00+01', o: '4000000000', c: '11.0.0.0/8', mac: 'ff:00:2b:01:02:03', lsn: '16/0' }),
    row({ d: '0044-03-15 BC', ts: 'infinity', bp: '' }),
    row({}),
  ];
  const values = {
    n: ['1.5', '1.500', '-2.00', '15e-1'], ts: ['2024-02-29 14:00+02', '2024-02-29T12:00:00Z', 'infinity', '2023-06-01'], u: [uuid.toUpperCase(), `{${uuid}}`], f: ['0.1', '1e-1', '0', '-0'],
    bp: ['ab', 'ab  ', 'az', 'a', ''], bits: ['101', '100'], e: ['small', 'medium'], ci: ['MIXED', 'mixed', 'OTHER'], i: ['10.0.0.5/24', '10.0.0.6', '::1'], r: ['[1,4]', 'empty', '[2,3)'],
    j: ['{"b":[1.00],"a":1}', '"x"', '1'], iv: ['24:00', '1 day', '2 days'], d: ['2024-02-29', '20240229', 'infinity', '0044-03-15 BC'], ti: ['12:00:00.0', '11:59'], m: ['12.5', '$12.50', '0'],
    a: ['3.00', '2.5', '2.51'], big: ['9007199254740993', '9007199254740992', '0'], nm: ['name'], vc: ['x', 'x '], tz: ['12:00+00', '14:00+02', '12:30+00'], o: ['5', '4000000000'], c: ['10/8', '10.0.0.0/8'], mac: ['08-00-2b-01-02-03'], lsn: ['0/16', '1/0'],
  };
  const filters = Object.entries(values).flatMap(([column, list]) => list.flatMap((value) => ['eq', 'neq', 'lt', 'gte', 'isdistinct'].map((op) => [column, op, value, false])));
  const lists = Object.entries(values).map(([column, list]) => [column, 'in', `(${list.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`)})`, false]);
  await compare(columns, rows, [...filters, ...lists, ...lists.map(([column, op, value]) => [column, op, value, true])], { declared });
});

// A database whose text is in another order than that of its bytes.
const icu = (locale) => makeWatched(projects, { like: `TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '${locale}' LOCALE 'C.UTF-8' ENCODING 'UTF8'` });

const LETTERS = ['a', 'B', 'b', 'A', 'z', 'Z', 'ä', 'Ä', 'é', 'ß', 'i', 'I', 'ı', 'İ', 'ö', ' ', '-', '_', '%', '\\', '1', 'ﬁ', '🔑', '.', '(', '*', '\n'];
const word = (random, max = 5) => Array.from({ length: random.below(max + 1) }, () => random.pick(LETTERS)).join('');

test('text is in the order that its database has, whatever its columns have [PC-085]', async (t) => {
  const random = seededRandom(t);
  const rows = Array.from({ length: 40 }, () => Array(3).fill(quoted(word(random))));
  const columns = { t: 'text', v: 'text', own: 'text' };
  const declared = { t: 'text', v: 'varchar(20)', own: 'text COLLATE "C"' };
  const filters = Array.from({ length: 60 }, () => [random.pick(Object.keys(columns)), random.pick(['lt', 'lte', 'gt', 'gte', 'eq', 'neq']), word(random), random.chance(0.2)]);
  for (const of of [project, await icu('en-US'), await icu('sv')]) await compare(columns, rows, unique(filters), { of, declared });
});

const unique = (filters) => [...new Map(filters.map((filter) => [JSON.stringify(filter), filter])).values()];

test('patterns and regular expressions match what they match in Postgres [PC-086]', async (t) => {
  const random = seededRandom(t);
  const pattern = () => Array.from({ length: random.below(5) }, () => random.pick(['%', '_', '\\%', '\\_', '\\\\', '\\a', ...LETTERS.filter((letter) => letter !== '\\')])).join('');
  const expression = () => Array.from({ length: 1 + random.below(3) }, () => random.pick(['a', 'b+', '[a-z]', '\\w', '.', 'i?', '(a|B)', '^', '$', '[[:upper:]]', 'é', '\\s', 'Z{1,2}', '\\d'])).join('');
  const filters = Array.from({ length: 80 }, () => {
    const op = random.pick(['like', 'ilike', 'match', 'imatch']);
    return ['t', op, op.endsWith('like') ? pattern() : expression(), random.chance(0.25)];
  });
  const rows = Array.from({ length: 40 }, () => [quoted(word(random))]);
  for (const of of [project, await icu('en-US'), await icu('tr')]) {
    await compare({ t: 'text' }, rows, await regular(of, unique(filters)), { of });
  }
});

// Random expressions may be none: `^+`.
async function regular(of, filters) {
  const patterns = filters.map(([, op, value]) => (op.endsWith('like') ? '' : value));
  const answers = await of.sql(`
    CREATE OR REPLACE FUNCTION is_regular(pattern text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM '' ~ pattern; RETURN 1; EXCEPTION WHEN OTHERS THEN RETURN 0; END $$;
    SELECT string_agg(is_regular(p)::text, '' ORDER BY n) FROM unnest(ARRAY[${patterns.map(quoted)}]) WITH ORDINALITY u (p, n);`);
  return filters.filter((_, n) => answers[n] === '1');
}

test('a pattern that ends in its escape matches nothing, and disturbs nobody', async () => {
  const table = await freshTable(project);
  const { letThrough } = await filtered(table, ['body=like.a\\', 'body=ilike.a\\', 'body=not.like.a\\', 'id=eq.1']);
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a'), (2, E'a\\\\');`);
  assert.deepEqual(await letThrough(), [['INSERT 1', ['id=eq.1']], ['INSERT 2', []]]);
});

test('numbers that are not finite count as NULL [PC-080]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, f float8, n numeric');
  const { letThrough } = await filtered(table, ['f=is.null', 'n=is.null', 'f=gt.0', 'n=gt.0', 'f=eq.NaN', 'n=eq.NaN', 'f=neq.1', 'f=isdistinct.1', 'f=eq.Infinity']);
  await project.sql(`INSERT INTO ${table} VALUES (1, 'NaN', 'NaN'), (2, 'Infinity', 'Infinity'), (3, 1.5, 1.5);`);
  const asNull = ['f=is.null', 'f=isdistinct.1', 'n=is.null'];
  assert.deepEqual(await letThrough(), [['INSERT 1', asNull], ['INSERT 2', asNull], ['INSERT 3', ['f=gt.0', 'f=isdistinct.1', 'f=neq.1', 'n=gt.0']]]);
});

test('arrays, composites and hstores are compared as they are, and what cannot be compared matches nothing and harms nobody [PC-087]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, a int[], ta text[], p pair, h hstore, j json, x xml, pt point');
  const good = ['a=eq."{1,2}"', 'ta=eq."{\\"x y\\",z}"', 'p=eq."(1,x)"', 'h=eq."a=>1"', 'a=gt."{1,1}"', 'a=not.eq.{3}'];
  const { letThrough } = await filtered(table, good);
  const bad = [];
  for (const filter of ['j=eq."{\\"a\\":1}"', 'x=eq.<a/>', 'pt=eq."(1,2)"', 'pt=lt."(1,2)"', 'j=not.eq."{}"', 'p=in.("(1,x)")']) {
    const listener = await Listener.join(project, [{ schema: 'public', table, filter }]);
    if ((await listener.notice()).payload.status === 'ok') bad.push([filter, listener]);
  }
  await project.sql(`INSERT INTO ${table} VALUES (1, '{1,2}', '{x y,z}', '(1,x)', 'a=>1', '{"a":1}', '<a/>', '(1,2)'); INSERT INTO ${table} (id) VALUES (2); INSERT INTO ${table} (id, a) VALUES (3, '{3}');`);
  assert.deepEqual(await letThrough(), [['INSERT 1', [...good].sort()], ['INSERT 2', []], ['INSERT 3', ['a=gt."{1,1}"']]]);
  for (const [filter, listener] of bad) {
    const told = (await listener.told()).map(idOf);
    assert.deepEqual(told, /^[jx]|^pt/.test(filter) ? [] : [1], filter);
  }
});

test('bytes may be spelled with their prefix or without [PC-088]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, b bytea');
  const { letThrough } = await filtered(table, ['b=eq.0102', 'b=eq.\\x0102', 'b=eq.\\xDEADBEEF', 'b=eq.deadbeef', 'b=neq.\\x0102', 'b=in.(0102,ff)', 'b=eq.']);
  await project.sql(`INSERT INTO ${table} VALUES (1, '\\x0102'), (2, '\\xdeadbeef'), (3, '\\xff'), (4, ''), (5, NULL);`);
  assert.deepEqual(await letThrough(), [
    ['INSERT 1', ['b=eq.0102', 'b=eq.\\x0102', 'b=in.(0102,ff)']],
    ['INSERT 2', ['b=eq.\\xDEADBEEF', 'b=eq.deadbeef', 'b=neq.\\x0102'].sort()],
    ['INSERT 3', ['b=in.(0102,ff)', 'b=neq.\\x0102']],
    ['INSERT 4', ['b=eq.', 'b=neq.\\x0102']],
    ['INSERT 5', []],
  ]);
});

test('now is when the row is looked at, each time [PC-089]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, at timestamptz, day date');
  const { letThrough } = await filtered(table, ['at=gt.now', 'at=lt.now', 'day=eq.today', 'day=eq.tomorrow', 'day=gt.yesterday']);
  await project.sql(`INSERT INTO ${table} VALUES (1, clock_timestamp() + interval '2 seconds', now());`);
  const today = ['day=eq.today', 'day=gt.yesterday'];
  assert.deepEqual(await letThrough(), [['INSERT 1', ['at=gt.now', ...today]]]);
  await until(async () => (await project.sql(`SELECT at < clock_timestamp() FROM ${table}`)) === 't', 'the time to come');
  await project.sql(`UPDATE ${table} SET at = at;`);
  assert.deepEqual(await letThrough(), [['UPDATE 1', ['at=lt.now', ...today]]]);
});

test('a list may have quoted commas, and a NULL in it that equals nothing [PC-090]', async () => {
  const table = await freshTable(project);
  const filters = ['body=in.("a,b",c)', 'body=in.(a,NULL)', 'body=not.in.(a,NULL)', 'body=not.in.(a)', 'body=in.("NULL")', 'body=in.("a\\"b","c\\\\d")', 'id=in.()', 'id=not.in.()'];
  const { letThrough } = await filtered(table, filters);
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a,b'), (2, 'c'), (3, 'a'), (4, 'NULL'), (5, 'a"b'), (6, E'c\\\\d'), (7, NULL);`);
  const [outside, always] = ['body=not.in.(a)', 'id=not.in.()'];
  assert.deepEqual(await letThrough(), [
    ['INSERT 1', ['body=in.("a,b",c)', outside, always]],
    ['INSERT 2', ['body=in.("a,b",c)', outside, always]],
    ['INSERT 3', ['body=in.(a,NULL)', always]],
    ['INSERT 4', ['body=in.("NULL")', outside, always]],
    ['INSERT 5', ['body=in.("a\\"b","c\\\\d")', outside, always]],
    ['INSERT 6', ['body=in.("a\\"b","c\\\\d")', outside, always]],
    ['INSERT 7', [always]],
  ]);
});

test('filters see what is not selected, and outlive changes of their table [PC-046]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int, body text');
  const listener = await listen(project, [{ schema: 'public', table, filter: 'n=gt.1', select: ['body'] }]);
  await project.sql(`INSERT INTO ${table} VALUES (1, 1, 'a'), (2, 2, 'b'); ALTER TABLE ${table} ALTER COLUMN n TYPE bigint; INSERT INTO ${table} VALUES (3, 3, 'c');`);
  assert.deepEqual((await listener.told()).map(({ data }) => data.record), [{ id: 2, body: 'b' }, { id: 3, body: 'c' }]);
  const other = await listen(project, [{ schema: 'public', table }]);
  await project.sql(`ALTER TABLE ${table} RENAME COLUMN n TO m; INSERT INTO ${table} VALUES (4, 4, 'd');`);
  assert.deepEqual((await listener.told()).map(idOf), [], 'a filter on a column that is gone matches nothing');
  assert.deepEqual((await other.told()).map(idOf), [4]);
});

test('very many subscriptions that ask for other values cost a row next to nothing [PC-091]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int');
  const witness = await listen(project, [{ schema: 'public', table, filter: 'n=eq.-1' }]);
  const cpu = async (from, count) => {
    const before = await cpuSeconds(projects.server.pid);
    await project.sql(`INSERT INTO ${table} SELECT n, n FROM generate_series(${from}, ${from + count - 1}) n; INSERT INTO ${table} VALUES (${from + count}, -1);`);
    assert.deepEqual((await witness.told()).length, 1);
    return (await cpuSeconds(projects.server.pid)) - before;
  };
  const [channels, each, rows] = [20, 1000, 10_000];
  const few = Math.min(await cpu(1e6, rows), await cpu(2e6, rows));
  const client = await project.connect();
  for (let n = 0; n < channels; n += 1) {
    const entries = Array.from({ length: each }, (_, m) => ({ schema: 'public', table, filter: `n=eq.${n * each + m + 1e8}` }));
    await listen(project, entries, { client });
  }
  const many = Math.min(await cpu(3e6, rows), await cpu(4e6, rows));
  assert.ok(many < 2 * few + 0.05, `${few} s of CPU with one subscription, ${many} s with ${channels * each}`);
});

test('a filter that Postgres accepts is accepted [PC-080]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, e size, a amount');
  assert.equal((await answerTo(project, [{ schema: 'public', table, filter: 'e=gt.small,a=eq.1.005' }])).message, SUBSCRIBED);
});
