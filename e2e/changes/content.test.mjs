// What a message says of a row: its keys, its columns and each value. postgres-changes.md 8 and 9

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { freshTable, listen, makeWatched, notEnabled, PUBLICATION, refusal, startWatched, tableSql } from '../harness/changes.mjs';
import { quoted } from '../harness/sql.mjs';

let projects;
let project;
before(async () => {
  projects = await startWatched({ postgres: { track_commit_timestamp: 'on', max_prepared_transactions: 5 } });
  project = await makeWatched(projects, { sql: TYPES });
});
after(() => projects.stop());

const TYPES = `
  CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
  CREATE TYPE mood AS ENUM ('glad', 'Very "Glad"', 'so, so');
  CREATE DOMAIN positive AS int CHECK (value > 0);
  CREATE DOMAIN ratio AS float8;
  CREATE DOMAIN raw AS bytea;
  CREATE DOMAIN words AS text[];
  CREATE TYPE place AS (a int, "b c" text, at timestamptz, f float8, n bytea);
  CREATE TYPE nest AS (p place, list place[], d words, m mood, h hstore, j json);
  CREATE DOMAIN placed AS place;
  CREATE TYPE span AS RANGE (subtype = float8);`;

// Everything that happened to the table, for one who may see all of it.
const watch = (table, { of = project, entry = {}, ...options } = {}) => listen(of, [{ schema: 'public', table, ...entry }], options);
const data = async (listener) => (await listener.told()).map(({ data }) => data);

// A table with columns of the types in a row, and what is told of the values: `record` as it came, letter for letter.
async function recordsOf(types, rows, { of = project } = {}) {
  const columns = types.map((type, n) => `c${n} ${type}`);
  const table = await freshTable(of, `id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${columns}`);
  const listener = await watch(table, { of });
  for (const row of rows) await of.sql(`INSERT INTO ${table} (${row.map((_, n) => `c${n}`)}) VALUES (${row});`);
  const told = await listener.told();
  assert.equal(told.length, rows.length);
  return { table, told, texts: told.map(({ frame }) => sourceOf(frame.raw, 'record')) };
}

// The source of a member of `data`.
function sourceOf(raw, member) {
  const at = raw.indexOf(`"${member}":`) + member.length + 3;
  let [depth, isText, end] = [0, false, at];
  do {
    const character = raw[end];
    if (isText) {
      if (character === '\\') end += 1;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === '{') depth += 1;
    else if (character === '}') depth -= 1;
    end += 1;
  } while (depth > 0 || raw[end - 1] === ' ');
  return raw.slice(at, end).trim();
}

// One value of a type, as it came.
async function shown(type, ...literals) {
  const { texts } = await recordsOf([type], literals.map((literal) => [`${literal}::${type}`]));
  return texts.map((text) => /^\{"c0": (.*), "id": \d+\}$/.exec(text)[1]);
}

test('each action has its keys, and none besides [PC-030] [PC-033] [P-177] [P-178] [P-179]', async () => {
  const table = await freshTable(project, 'id bigint PRIMARY KEY, title text');
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} VALUES (5, 'milk');`);
  await project.sql(`UPDATE ${table} SET title = 'oat milk';`);
  await project.sql(`DELETE FROM ${table};`);
  const common = { schema: 'public', table, columns: [{ name: 'id', type: 'int8' }, { name: 'title', type: 'text' }], errors: null };
  const told = await listener.told();
  for (const { data, ids, frame } of told) {
    assert.match(data.commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    delete data.commit_timestamp;
    assert.deepEqual(ids, [listener.echo[0].id]);
    assert.deepEqual(Object.keys(frame.payload).sort(), ['data', 'ids']);
  }
  assert.deepEqual(told.map(({ data }) => data), [
    { ...common, type: 'INSERT', record: { id: 5, title: 'milk' } },
    { ...common, type: 'UPDATE', record: { id: 5, title: 'oat milk' }, old_record: { id: 5 } },
    { ...common, type: 'DELETE', old_record: { id: 5 } },
  ]);
});

test('the time of a row is that of its commit, in UTC and cut to milliseconds, for all rows of a transaction [PC-031]', async () => {
  const table = await freshTable(project);
  const listener = await watch(table);
  for (let n = 0; n < 5; n += 1) await project.sql(`BEGIN; INSERT INTO ${table} VALUES (${2 * n}); SELECT pg_sleep(0.002); INSERT INTO ${table} VALUES (${2 * n + 1}); COMMIT;`);
  const written = await project.sql(`SELECT to_char(date_trunc('milliseconds', pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC'), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM ${table} ORDER BY id`);
  assert.deepEqual((await data(listener)).map(({ commit_timestamp }) => commit_timestamp), written.split('\n'));
});

test('columns come in their order with the names of their types, and those that were dropped do not [PC-032]', async () => {
  const table = await freshTable(project, 'z int, gone text, id int PRIMARY KEY, a text[], m mood, p positive, c char(3), v varchar(5), t timestamptz, j json, pl place, b bit(4), n numeric(10,2)', (name) => `
    ALTER TABLE ${name} DROP COLUMN gone; ALTER TABLE ${name} ADD COLUMN last "char";`);
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} (id) VALUES (1);`);
  const [{ columns, record }] = await data(listener);
  const types = { z: 'int4', id: 'int4', a: '_text', m: 'mood', p: 'positive', c: 'bpchar', v: 'varchar', t: 'timestamptz', j: 'json', pl: 'place', b: 'bit', n: 'numeric', last: 'char' };
  assert.deepEqual(columns, Object.entries(types).map(([name, type]) => ({ name, type })));
  assert.deepEqual(record, { ...Object.fromEntries(Object.keys(types).map((name) => [name, null])), id: 1 });
});

// Types with values that Postgres' own conversion to JSON shows in the same way.
const AS_POSTGRES_HAS_THEM = {
  smallint: ['-32768', '0'],
  int: ['2147483647'],
  bigint: ['9223372036854775807', '-9223372036854775808'],
  numeric: ['1.10', '0.00', '-0.5', '12345678901234567890123456789.123456789', '1e40', '1e-20'],
  'numeric(10,2)': ['7', '1.005'],
  'numeric(5,-2)': ['1234'],
  real: ['1.5', '0.1', '1e-10', '3e38', '-0'],
  'double precision': ['0.1', '1e300', '1e-7', '-0', '123456789012345680', '5e-324', '1.7976931348623157e308'],
  boolean: ['true', 'false'],
  text: ["'a''b\"c\\d/'", "'line\nbreak\ttab'", "E'\\x01\\x1f\\x7f'", "'ключ 🔑'", "''", "E'\\b\\f\\n\\r\\t'"],
  varchar: ["'x  '"],
  name: ["'a name'"],
  '"char"': ["'c'"],
  'char(5)': ["'ab'", "''"],
  char: ["'q'"],
  citext: ["'MixED'"],
  xml: ["'<a b=\"c\">d</a>'"],
  uuid: ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
  mood: ["'glad'", `'Very "Glad"'`],
  inet: ["'192.168.1.5/24'", "'::1'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2B:01:02:03'"],
  macaddr8: ["'08:00:2b:01:02:03:04:05'"],
  'bit(4)': ["'1010'"],
  bit: ["'1'"],
  'varbit(8)': ["'101'", "''"],
  money: ['12.5', '-1234567.89'],
  pg_lsn: ["'16/B374D848'"],
  tid: ["'(1,2)'"],
  xid: ["'7'"],
  xid8: ["'70000000000'"],
  oid: ["'4294967295'"],
  regclass: ["'pg_class'"],
  regtype: ["'timestamp with time zone'"],
  regproc: ["'now'"],
  regrole: ["'anon'"],
  tsvector: ["'fat & rat:3A'::tsvector"],
  tsquery: ["'fat & rat'"],
  jsonpath: ["'$.a[*] ? (@ > 1)'"],
  point: ["'(1,2.5)'"],
  line: ["'{1,2,3}'"],
  lseg: ["'[(1,2),(3,4)]'"],
  box: ["'(3,4),(1,2)'"],
  path: ["'[(1,2),(3,4)]'"],
  polygon: ["'((0,0),(1,1),(1,0))'"],
  circle: ["'<(1,2),3>'"],
  int4range: ["'[1,5)'", "'empty'", "'(,3]'"],
  tstzrange: ["'[2024-01-01 00:00+00,)'"],
  span: ["'[1.5,2]'"],
  int8multirange: ["'{[1,3),[5,9)}'"],
  date: ["'2024-02-29'", "'infinity'", "'0044-03-15 BC'", "'12345-01-02'"],
  time: ["'12:34:56.789'", "'24:00'"],
  'time(0)': ["'12:34:56.789'"],
  timetz: ["'12:34:56+02'", "'12:34:56.5-03:30'"],
  timestamp: ["'2024-02-29 12:34:56.123456'", "'-infinity'", "'0044-03-15 BC'", "'2024-02-29'"],
  timestamptz: ["'2024-02-29 12:34:56.1+02'", "'infinity'", "'0044-03-15 01:02:03+00 BC'", "'20240-01-01 00:00+00'"],
  interval: ["'1 year 2 mons 3 days 04:05:06.7'", "'-3 days'", "'0'"],
  json: [`'{"b": 1, "a": [1, 2,{"x":null}], "bb":"\\u00e9\\ud83d\\ude00", "b": 2}'`, "'1e5'", `' "x" '`, "'null'", "'[ ]'", "'1.10'", "'1E-3'", `'{"é":1,"zz":2,"z":3}'`],
  jsonb: [`'{"b": 1, "a": {"c": [true, false]}}'`, "'null'", "'{}'", "'-0.50'"],
  hstore: [`'a=>1, b=>NULL, "c d"=>"e\\"f"'`, "''"],
  ltree: ["'a.b.c'"],
  positive: ['7'],
  ratio: ["'NaN'", "'-Infinity'", '1e10'],
  raw: ["'\\xdeadbeef'"],
  words: [`'{a,"b c",NULL}'`],
  place: ["ROW(1, 'x y', '2024-01-01 00:00+00', 'NaN', '\\x01')", "ROW(NULL, '', NULL, NULL, NULL)", `ROW(-5, 'q"uo\\te,(b)', NULL, 1e20, '\\x')`],
  placed: ["ROW(1, 'x', NULL, 0.5, NULL)::place"],
  nest: [`ROW(ROW(1, 'x', NULL, 2, NULL), ARRAY[ROW(2, 'a,"b"', NULL, NULL, NULL), NULL]::place[], '{x,"y z"}', 'so, so', 'k=>v', '{"b":1,"a":2}')`],
  'int[]': ["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={5,6}'", "'{{{1},{2}}}'"],
  'text[]': [`'{a,"b,c","d\\"e",NULL,"NULL","","{x}","\\\\"}'`],
  'numeric[]': ["'{1.10,NaN,Infinity}'"],
  'float8[]': ["'{1e300,NaN,-Infinity,0.1}'"],
  'bool[]': ["'{t,f,NULL}'"],
  'bytea[]': ["ARRAY['\\x01'::bytea, '\\x', NULL]"],
  'date[]': ["'{2024-02-29,infinity}'"],
  'timestamp[]': ["'{2024-02-29 12:34:56,-infinity}'"],
  'timestamptz[]': ["'{2024-02-29 12:34:56+00}'"],
  'json[]': [`ARRAY['{"b":1,"a":2}'::json, '[1]', NULL]`],
  'jsonb[]': [`ARRAY['{"b":1,"a":2}'::jsonb]`],
  'mood[]': [`'{glad,"Very \\"Glad\\"","so, so"}'`],
  'box[]': ["'{(3,4),(1,2);(7,8),(5,6)}'"],
  'point[]': [`'{"(1,2)","(3,4)"}'`],
  'int4range[]': [`'{"[1,5)",empty}'`],
  'place[]': ["ARRAY[ROW(1, 'x y', NULL, 'Infinity', '\\xff')::place, NULL]"],
  'hstore[]': ["ARRAY['a=>1'::hstore]"],
  'positive[]': ["'{1,2}'"],
  'char(3)[]': ["'{a,bb}'"],
  'oid[]': ["'{1,4294967295}'"],
  int2vector: ["'1 2 3'", "''"],
  oidvector: ["'1 4294967295'"],
};

test('values of every type come as Postgres itself turns them into JSON, letter for letter [PC-034] [PC-041] [PC-042] [PC-043] [PC-047]', async () => {
  const types = Object.keys(AS_POSTGRES_HAS_THEM);
  const values = Object.values(AS_POSTGRES_HAS_THEM);
  const rows = Array.from({ length: Math.max(...values.map(({ length }) => length)) + 1 }, (_, row) => types.map((type, n) => (row < values[n].length ? castOf(values[n][row], type) : 'NULL')));
  const { table, told, texts } = await recordsOf(types, rows);
  const expected = await project.sql(`SELECT to_jsonb(t)::text FROM ${table} t ORDER BY id`);
  for (const [n, text] of expected.split('\n').entries()) {
    if (texts[n] !== text) {
      const [ours, theirs] = [JSON.parse(texts[n]), JSON.parse(text)];
      for (const [m, type] of types.entries()) assert.deepEqual(ours[`c${m}`], theirs[`c${m}`], `${type}: ${values[m][n]}`);
    }
    assert.equal(texts[n], text);
  }
  for (const { data } of told) assert.equal(data.errors, null);

  // The same as what they were.
  await project.sql(`ALTER TABLE ${table} REPLICA IDENTITY FULL;`);
  const listener = await watch(table);
  await project.sql(`DELETE FROM ${table};`);
  assert.deepEqual((await listener.told()).map(({ frame }) => sourceOf(frame.raw, 'old_record')), texts);
});

// Literals are of the type that they stand for; a cast of its own would cut char to one letter.
const castOf = (literal, type) => (/^'/.test(literal) && !/::/.test(literal) ? `${literal}::${type}` : literal);

test('whole numbers and decimals have all their digits, and no quotes [PC-035]', async () => {
  assert.deepEqual(await shown('bigint', '9223372036854775807', "'-9223372036854775808'"), ['9223372036854775807', '-9223372036854775808']);
  assert.deepEqual(await shown('numeric', '1.10', '0.00', '123456789012345678901234567890.5', "'1e3'"), ['1.10', '0.00', '123456789012345678901234567890.5', '1000']);
  assert.deepEqual(await shown('numeric(10,2)', '1.5'), ['1.50']);
});

test('floating point numbers have no exponent [PC-036]', async () => {
  assert.deepEqual(await shown('double precision', "'1e300'", "'1e-7'", "'-0'", "'1.5e10'"), [`1${'0'.repeat(300)}`, '0.0000001', '0', '15000000000']);
  assert.deepEqual(await shown('real', "'1e10'", "'1.17e-5'"), ['10000000000', '0.0000117']);
});

test('what is no finite number is null by itself, and a string within arrays, composites and domains [PC-037]', async () => {
  for (const type of ['real', 'double precision', 'numeric']) assert.deepEqual(await shown(type, "'NaN'", "'Infinity'", "'-Infinity'"), ['null', 'null', 'null'], type);
  assert.deepEqual(await shown('float8[]', "'{NaN,Infinity,-Infinity,1}'"), ['["NaN", "Infinity", "-Infinity", 1]']);
  assert.deepEqual(await shown('numeric[]', "'{NaN}'"), ['["NaN"]']);
  assert.deepEqual(await shown('ratio', "'NaN'", "'Infinity'"), ['"NaN"', '"Infinity"']);
  assert.deepEqual(await shown('place', "'(1,x,,-Infinity,)'"), ['{"a": 1, "f": "-Infinity", "n": null, "at": null, "b c": "x"}']);
});

test('bytes are hexadecimal, and have their prefix only within arrays, composites and domains [PC-038] [P-200]', async () => {
  assert.deepEqual(await shown('bytea', "'\\x0102030405'", "'\\xDEADBEEF'", "''"), ['"0102030405"', '"deadbeef"', '""']);
  assert.deepEqual(await shown('bytea[]', "ARRAY['\\x01'::bytea]"), ['["\\\\x01"]']);
  assert.deepEqual(await shown('raw', "'\\x01'::bytea"), ['"\\\\x01"']);
});

test('values follow the time zone of their database, and not how it writes dates, bytes and numbers [PC-039] [D-038]', async () => {
  const settings = { datestyle: 'SQL, DMY', bytea_output: 'escape', timezone: 'Asia/Tokyo', extra_float_digits: '-5', intervalstyle: 'iso_8601' };
  const values = {
    bytea: ["'\\x005c0a27ff'", '005c0a27ff'],
    date: ["'2026-02-01'", '2026-02-01'],
    timestamp: ["'2026-02-01 03:04:05'", '2026-02-01T03:04:05'],
    timestamptz: ["'2026-01-02 03:04:05+00'", '2026-01-02T12:04:05+09:00'],
    'timestamptz[]': ["'{2026-01-02 03:04:05+00}'", ['2026-01-02T12:04:05+09:00']],
    'double precision': ["'0.1'", 0.1],
    interval: ["'1 day 2 hours'", 'P1DT2H'],
    'date[]': ["'{2026-02-01}'", ['2026-02-01']],
    daterange: ["'[2026-02-01,2026-02-03)'", '[2026-02-01,2026-02-03)'],
  };
  for (const whose of ['DATABASE %', 'ROLE realtime_login IN DATABASE %']) {
    const other = await makeWatched(projects);
    for (const [name, value] of Object.entries(settings)) await other.sql(`ALTER ${whose.replace('%', other.name)} SET ${name} = '${value}';`);
    const { told } = await recordsOf(Object.keys(values), [Object.values(values).map(([literal]) => literal)], { of: other });
    assert.deepEqual(told[0].data.record, { id: 1, ...Object.fromEntries(Object.values(values).map(([, shown], n) => [`c${n}`, shown])) }, whose);
  }
});

test('JSON is nested and in its normal form, and what has none comes as it is written and disturbs nothing [PC-040]', async () => {
  assert.deepEqual(await shown('json', `'{"b" : 1e5,"a":[ 1,2 ], "b":1.10, "\\u00e9":"\\u00e9\\/"}'`, `'[{"zz":1,"z":2}]'`), ['{"a": [1, 2], "b": 1.10, "é": "é/"}', '[{"z": 2, "zz": 1}]']);
  assert.deepEqual(await shown('jsonb', `'{"bb":1,"a":2}'`), ['{"a": 2, "bb": 1}']);
  const strange = '{"b":1, "a" : "x\\u0000y"}';
  const { told, texts } = await recordsOf(['json'], [[quoted(strange)], ["'{}'"]]);
  assert.ok(texts[0].includes(strange), texts[0]);
  assert.deepEqual(told.map(({ data }) => data.record.c0), [{ b: 1, a: 'x\0y' }, {}]);
});

test('stored generated columns are part of the record [PC-044]', async () => {
  const table = await freshTable(project, `id int PRIMARY KEY, name text, loud text GENERATED ALWAYS AS (upper(name)) STORED, twice int GENERATED ALWAYS AS (id * 2) STORED, hash text GENERATED ALWAYS AS (md5(name) || '!') STORED`);
  const listener = await watch(table);
  const filtered = await watch(table, { entry: { filter: 'loud=eq.B' } });
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a'), (2, NULL); UPDATE ${table} SET name = 'b' WHERE id = 1;`);
  const records = (await data(listener)).map(({ record }) => record);
  assert.deepEqual(records, [
    { id: 1, name: 'a', loud: 'A', twice: 2, hash: '0cc175b9c0f1b6a831c399e269772661!' },
    { id: 2, name: null, loud: null, twice: 4, hash: null },
    { id: 1, name: 'b', loud: 'B', twice: 2, hash: '92eb5ffee6ae2fec3ad71c777531578f!' },
  ]);
  assert.deepEqual((await data(filtered)).map(({ type }) => type), ['UPDATE']);
});

test('a large value that did not change is left out of an update, unless the whole old row is known [PC-045]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int, big text', (name) => `ALTER TABLE ${name} ALTER COLUMN big SET STORAGE EXTERNAL;`);
  const listener = await watch(table);
  const big = 'x'.repeat(9000);
  await project.sql(`INSERT INTO ${table} VALUES (1, 1, '${big}'); UPDATE ${table} SET n = 2; UPDATE ${table} SET n = 3, big = '${big}y';`);
  await project.sql(`ALTER TABLE ${table} REPLICA IDENTITY FULL; UPDATE ${table} SET n = 4;`);
  const [insert, unchanged, changed, full] = await data(listener);
  assert.deepEqual(insert.record, { id: 1, n: 1, big });
  assert.deepEqual(unchanged.record, { id: 1, n: 2 });
  assert.equal(unchanged.columns.length, 3);
  assert.deepEqual(changed.record, { id: 1, n: 3, big: `${big}y` });
  assert.deepEqual([full.record, full.old_record], [{ id: 1, n: 4, big: `${big}y` }, { id: 1, n: 3, big: `${big}y` }]);
});

test('a column that is added, renamed, dropped or gets another type is so in the next row [PC-046] [PC-032]', async () => {
  const table = await freshTable(project);
  const listener = await watch(table);
  const told = async (sql) => {
    await project.sql(sql);
    const [{ record, columns }, ...more] = await data(listener);
    assert.deepEqual(more, []);
    return [record, columns.map(({ name, type }) => `${name} ${type}`).join()];
  };
  const alter = (how, values) => told(`ALTER TABLE ${table} ${how}; INSERT INTO ${table} VALUES (${values});`);
  assert.deepEqual(await told(`INSERT INTO ${table} VALUES (1, 'a');`), [{ id: 1, body: 'a' }, 'id int4,body text']);
  assert.deepEqual(await alter('ADD COLUMN more int DEFAULT 7', "2, 'b'"), [{ id: 2, body: 'b', more: 7 }, 'id int4,body text,more int4']);
  assert.deepEqual(await alter('RENAME COLUMN body TO text', "3, 'c', 8"), [{ id: 3, text: 'c', more: 8 }, 'id int4,text text,more int4']);
  assert.deepEqual(await alter('DROP COLUMN more', "4, 'd'"), [{ id: 4, text: 'd' }, 'id int4,text text']);
  assert.deepEqual(await alter('ALTER COLUMN text TYPE jsonb USING to_jsonb(text)', `5, '{"x": 1}'`), [{ id: 5, text: { x: 1 } }, 'id int4,text jsonb']);
});

test('a row from before its column got another type is told with its value [PC-046]', async () => {
  const table = await freshTable(project, 'id int PRIMARY KEY, n int');
  const [all, some] = [await watch(table), await watch(table, { entry: { filter: 'n=eq.1' } })];
  await project.sql(`BEGIN; INSERT INTO ${table} VALUES (1, 1); ALTER TABLE ${table} ALTER COLUMN n TYPE bigint; INSERT INTO ${table} VALUES (2, 2); COMMIT;`);
  assert.deepEqual((await data(all)).map(({ record }) => record), [{ id: 1, n: 1 }, { id: 2, n: 2 }]);
  assert.deepEqual((await data(some)).map(({ record }) => record), [{ id: 1, n: 1 }]);
});

test('the members of a record are in the order of jsonb: short names first [PC-047]', async () => {
  const table = await freshTable(project, '"ccc" int, "B" int, "a" int, "é" int, "bb" int, "id" int PRIMARY KEY, "Z9" int', (name) => `ALTER TABLE ${name} REPLICA IDENTITY FULL;`);
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} (id) VALUES (1); UPDATE ${table} SET a = 1;`);
  const order = ['B', 'a', 'Z9', 'bb', 'id', 'é', 'ccc'];
  const [insert, update] = await data(listener);
  for (const object of [insert.record, update.record, update.old_record]) assert.deepEqual(Object.keys(object), order);
  assert.deepEqual(insert.columns.map(({ name }) => name), ['ccc', 'B', 'a', 'é', 'bb', 'id', 'Z9']);
});

test('what is told of an old row is what identifies it [PC-050] [PC-051] [PC-052] [PC-053] [PC-054]', async () => {
  const cases = {
    'PRIMARY KEY (id)': { identity: 'DEFAULT', update: { id: 1 }, moved: { id: 1 }, deleted: { id: 9 } },
    'PRIMARY KEY (id, k)': { identity: 'DEFAULT', update: { id: 1, k: 'x' }, moved: { id: 1, k: 'x' }, deleted: { id: 9, k: 'x' } },
    'PRIMARY KEY (id), UNIQUE (k, u)': { identity: 'USING INDEX %_k_u_key', update: { k: 'x', u: 1 }, moved: { k: 'x', u: 1 }, deleted: { k: 'x', u: 1 } },
    ' PRIMARY KEY (id)': { identity: 'FULL', update: { id: 1, k: 'x', u: 1, body: null }, moved: { id: 1, k: 'x', u: 1, body: 'b' }, deleted: { id: 9, k: 'x', u: 1, body: 'b' } },
  };
  for (const [keys, { identity, update, moved, deleted }] of Object.entries(cases)) {
    const table = await freshTable(project, `id int, k text NOT NULL, u int NOT NULL, body text, ${keys}`, (name) => `ALTER TABLE ${name} REPLICA IDENTITY ${identity.replace('%', name)};`);
    const listener = await watch(table);
    await project.sql(`INSERT INTO ${table} VALUES (1, 'x', 1); UPDATE ${table} SET body = 'b'; UPDATE ${table} SET id = 9; DELETE FROM ${table};`);
    const told = await data(listener);
    assert.deepEqual(told.map(({ old_record }) => old_record), [undefined, update, moved, deleted], `${keys}, ${identity}`);
    assert.deepEqual(told.map(({ record }) => record?.id), [1, 1, 9, undefined]);
  }
});

test('of a table without key inserts and updates are told as errors to everybody, whatever the filter, and deletes as they are [PC-055] [P-199]', async () => {
  const table = await freshTable(project, 'id int, body text, UNIQUE (id)', (name) => `ALTER TABLE ${name} REPLICA IDENTITY FULL;`);
  const [listener, filtered] = [await watch(table), await watch(table, { entry: { filter: 'id=eq.77' } })];
  const inserts = await watch(table, { entry: { event: 'INSERT' } });
  await project.sql(`INSERT INTO ${table} VALUES (1, 'a'); UPDATE ${table} SET body = 'b'; DELETE FROM ${table};`);
  const error = { schema: 'public', table, commit_timestamp: null, columns: [], record: {}, errors: ['Error 400: Bad Request, no primary key'] };
  const [insert, update, deletion, ...more] = await data(listener);
  assert.deepEqual([insert, update, more], [{ ...error, type: 'INSERT' }, { ...error, type: 'UPDATE', old_record: {} }, []]);
  assert.deepEqual([deletion.type, deletion.old_record, deletion.errors, deletion.columns.length], ['DELETE', { id: 1, body: 'b' }, null, 2]);
  assert.deepEqual(await data(filtered), [insert, update]);
  assert.deepEqual(await data(inserts), [insert]);
});

test('a truncation is not told, and what comes after it is [PC-056] [P-202]', async () => {
  const [table, other] = [await freshTable(project), await freshTable(project)];
  const listener = await watch(table);
  await project.sql(`INSERT INTO ${table} VALUES (1); TRUNCATE ${table}; TRUNCATE ${table}, ${other}; INSERT INTO ${table} VALUES (2);`);
  assert.deepEqual((await data(listener)).map(({ type, record }) => [type, record.id]), [['INSERT', 1], ['INSERT', 2]]);
});

const PARTITIONED = (name) => `
  CREATE TABLE ${name} (id int, kind text, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
  CREATE TABLE ${name}_a PARTITION OF ${name} FOR VALUES IN ('a'); CREATE TABLE ${name}_b PARTITION OF ${name} FOR VALUES IN ('b');
  GRANT SELECT ON ${name}, ${name}_a, ${name}_b TO authenticated; ALTER PUBLICATION ${PUBLICATION} ADD TABLE ${name};`;

test('partitions are told under their own names, and a row that moves leaves one and enters the other [PC-057]', async () => {
  await project.sql(PARTITIONED('leaves'));
  const listener = await watch('leaves%');
  const one = await watch('leaves_b');
  await project.sql("INSERT INTO leaves VALUES (1, 'a'); UPDATE leaves SET id = 2; UPDATE leaves SET kind = 'b';");
  const told = (await data(listener)).map(({ type, table, record, old_record }) => [type, table, record ?? old_record]);
  assert.deepEqual(told, [
    ['INSERT', 'leaves_a', { id: 1, kind: 'a' }],
    ['UPDATE', 'leaves_a', { id: 2, kind: 'a' }],
    ['DELETE', 'leaves_a', { id: 2, kind: 'a' }],
    ['INSERT', 'leaves_b', { id: 2, kind: 'b' }],
  ]);
  assert.deepEqual((await data(one)).map(({ type }) => type), ['INSERT']);
  assert.equal(await refusal(project, { schema: 'public', table: 'leaves' }), notEnabled('event: *, schema: public, table: leaves, filters: [], select: nil'));
});

test('where a publication says so partitions are told under the name of their table [PC-058]', async () => {
  const other = await makeWatched(projects, { sql: `${PARTITIONED('whole')} ALTER PUBLICATION ${PUBLICATION} SET (publish_via_partition_root = true);` });
  const [listener, schema] = [await watch('whole', { of: other }), await listen(other, [{ schema: 'public' }])];
  await other.sql("INSERT INTO whole VALUES (1, 'a'); UPDATE whole SET kind = 'b'; DELETE FROM whole;");
  for (const each of [listener, schema]) {
    const told = (await data(each)).map(({ type, table, record, old_record }) => [type, table, record ?? old_record]);
    assert.deepEqual([told[0], told.at(-1)], [['INSERT', 'whole', { id: 1, kind: 'a' }], ['DELETE', 'whole', { id: 1, kind: 'b' }]]);
    for (const [, table] of told) assert.equal(table, 'whole');
  }
});

test('the publication decides which actions, rows and columns are told', async () => {
  const other = await makeWatched(projects, { sql: `
    CREATE TABLE parts (id int PRIMARY KEY, a text, b text); GRANT SELECT ON parts TO authenticated;
    ALTER PUBLICATION ${PUBLICATION} ADD TABLE parts (id, a) WHERE (id > 10); ALTER PUBLICATION ${PUBLICATION} SET (publish = 'insert, delete');` });
  const listener = await watch('parts', { of: other });
  await other.sql("INSERT INTO parts VALUES (1, 'x', 'y'), (11, 'x', 'y'); UPDATE parts SET a = 'z'; DELETE FROM parts;");
  const told = await data(listener);
  assert.deepEqual(told.map(({ type, record, old_record }) => [type, record ?? old_record]), [['INSERT', { id: 11, a: 'x' }], ['DELETE', { id: 11 }]]);
  assert.deepEqual(told[0].columns.map(({ name }) => name), ['id', 'a', 'b'], 'as the table has them');
});

test('tables of ours are told to nobody, even where everything is published [D-037]', async () => {
  const other = await makeWatched(projects, { sql: `DROP PUBLICATION ${PUBLICATION}; CREATE PUBLICATION ${PUBLICATION} FOR ALL TABLES;
    CREATE TABLE mine (id int PRIMARY KEY); GRANT SELECT ON mine TO service_role;` });
  const listener = await listen(other, [{ schema: '*' }], { claims: { role: 'service_role' } });
  const bare = await listen(other, null, { claims: { role: 'service_role' }, topic: 'realtime:*:*' });
  await other.sql(`INSERT INTO realtime.subscription (subscription_id, entity, claims) VALUES (gen_random_uuid(), 'public.mine', '{"role": "authenticated"}');
    UPDATE realtime.subscription SET claims = '{"role": "service_role"}'; DELETE FROM realtime.subscription;
    UPDATE realtime.schema_migrations SET inserted_at = now(); DELETE FROM realtime.schema_migrations WHERE version = 20211116024918;
    INSERT INTO realtime.schema_migrations VALUES (20211116024918, now()); INSERT INTO mine VALUES (1);`);
  for (const each of [listener, bare]) assert.deepEqual((await data(each)).map(({ table }) => table), ['mine']);
  for (const table of ['subscription', 'schema_migrations']) {
    const pointed = await refusal(other, { schema: 'realtime', table }, { claims: { role: 'service_role' } });
    assert.equal(pointed, notEnabled(`event: *, schema: realtime, table: ${table}, filters: [], select: nil`));
  }
});
