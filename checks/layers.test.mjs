// The arrows between the folders of src/ point downwards only. The link lines of the build refuse most wrong arrows; this refuses
// all of them, those between headers too, and names the line.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

// Lowest first. A folder of a layer with several (`domain/auth`) is a sibling of the others.
const LAYERS = [['base'], ['libpq'], ['model'], ['protocol'], ['domain', 'io'], ['services'], ['main']];
const RANK = new Map(LAYERS.flatMap((names, rank) => names.map((name) => [name, rank])));
const HAS_SIBLINGS = ['domain', 'io', 'services'];

// What the domain decides with has no event loop, logger or database driver.
const NOT_IN_DOMAIN = /^(boost\/(asio|beast)|spdlog\/|sqlite3|libpq|liburing|nats)/;
// Two siblings share it; what they offer hides it.
const SHARED_DRIVER = 'libpq/libpq.h';
// They cost seconds in each compilation that includes them.
const HEAVY = /^(boost\/(asio|beast|json)|openssl\/|sqlite3|libpq|liburing|spdlog\/)/;

const files = readdirSync(SRC, { recursive: true }).filter((file) => /\.(cc|h)$/.test(file)).sort();

const isTest = (file) => file.endsWith('_test.cc') || file.startsWith('testing/');

// `domain/auth/jwt.h` belongs to `domain/auth`, `protocol/json/value.h` to `protocol`.
function folderOf(path) {
  const parts = dirname(path).split('/');
  return HAS_SIBLINGS.includes(parts[0]) ? parts.slice(0, 2).join('/') : parts[0];
}

const includes = files.flatMap((file) =>
  readFileSync(join(SRC, file), 'utf8')
    .split('\n')
    .map((line, index) => ({ match: /^\s*#\s*include\s*(["<])([^">]+)[">]/.exec(line), at: `src/${file}:${index + 1}` }))
    .filter(({ match }) => match)
    .map(({ match: [, quote, path], at }) => ({ file, path, at, ours: quote === '"' })),
);

// Fails with a line for each include that `isWrong`.
function refuse(isWrong, why) {
  const wrong = includes.filter(isWrong).map(({ at, path }) => `${at} includes ${path}`);
  assert.deepEqual(wrong, [], why);
}

test('the scan sees the sources', () => {
  assert.ok(files.length > 20 && includes.length > 100, `${files.length} files, ${includes.length} includes`);
});

test('our own headers are included by their path below src, in quotes, and exist', () => {
  refuse(({ path, ours }) => ours && !existsSync(join(SRC, path)), 'no such file below src/');
  refuse(({ path, ours }) => !ours && existsSync(join(SRC, path)), 'ours are included in quotes');
});

test('includes point downwards only', () => {
  const pointsUp = ({ file, path }) => RANK.get(path.split('/')[0]) > RANK.get(file.split('/')[0]);
  refuse((include) => include.ours && pointsUp(include), 'a lower layer may not know a higher one');
});

test('domain and io never see each other, and no sibling includes another', () => {
  const areSiblings = ({ file, path }) =>
    RANK.get(path.split('/')[0]) === RANK.get(file.split('/')[0]) && folderOf(path) !== folderOf(file);
  refuse((include) => include.ours && areSiblings(include), 'state what you need as a small interface of your own');
});

test('every source lies in a layer', () => {
  const strays = files.filter((file) => !RANK.has(file.split('/')[0]) && !file.startsWith('testing/'));
  assert.deepEqual(strays, []);
});

test('what is for tests is included by tests only', () => {
  refuse(({ file, path, ours }) => ours && path.startsWith('testing/') && !isTest(file), 'only *_test.cc may');
  refuse(({ file, path, ours }) => !ours && path.startsWith('doctest') && !isTest(file), 'only *_test.cc may');
});

test('the domain does no input or output', () => {
  refuse(({ file, path, ours }) => file.startsWith('domain/') && NOT_IN_DOMAIN.test(path), 'decide there, act in services');
});

// A few private headers of io have Asio in them; what they hold is split over several .cc files of one folder.
test('no header that other folders include brings a heavy library along', () => {
  const isHeavy = (file) => includes.some((include) => include.file === file && (include.ours ? isHeavy(include.path) : HEAVY.test(include.path)));
  const heavyHeaders = new Set(files.filter((file) => file.endsWith('.h') && isHeavy(file)));
  const isShared = ({ file, path }) => path === SHARED_DRIVER && file.startsWith('io/');
  refuse((include) => heavyHeaders.has(include.path) && folderOf(include.file) !== folderOf(include.path) && !isShared(include), 'hide it behind a type of ours');
});

test('each folder of src has a README', () => {
  const folders = new Set(files.map(folderOf));
  const without = [...folders].filter((folder) => !existsSync(join(SRC, folder, 'README.md')));
  assert.deepEqual(without, []);
});
