// docs/conformance.md says which test covers which check of the specification. This keeps it true in both directions:
// each test that it names exists and carries the id, and each test that carries an id is named there.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
// Of these families each check is listed: numbers from, to.
const CHECKS = {
  P: [[1, 227]],
  H: [[1, 90]],
  E: [[1, 27]],
  T: [[1, 54]],
  C: [[1, 30]],
  D: [[1, 40]],
  A: [[1, 38]],
  B: [[1, 45]],
  PC: [[1, 26], [30, 47], [50, 58], [60, 75], [80, 91], [100, 107], [110, 123]],
};
const ID = '(?:PC|[PHTMECDAB])-\\d{3}';

const read = (file) => readFileSync(join(ROOT, file), 'utf8');

// | P-001 | sentence | `file`: name of a test<br>`file`: name of another |
function listed() {
  const rows = [...read('docs/conformance.md').matchAll(new RegExp(`^\\| (${ID}) \\| [^|]+ \\| ([^|]+) \\|$`, 'gm'))];
  return rows.map(([, id, coverage]) => ({ id, coverage: coverage.split('<br>') }));
}

function filesUnder(folder, suffix) {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .filter((file) => file.endsWith(suffix) && !file.includes('node_modules'))
    .map((file) => `${folder}/${file}`);
}

// A test name is a string that ends in one or more ids. C++ may break it over several lines.
function coveredBy(file) {
  const source = read(file).replace(file.endsWith('.cc') ? /"\s*\n\s*"/g : /$^/, '');
  const names = source.matchAll(new RegExp(`(['"\`])((?:(?!\\1)[^\\n])*?)((?: \\[${ID}\\])+)\\1`, 'g'));
  return [...names].flatMap(([, , name, ids]) => ids.match(new RegExp(ID, 'g')).map((id) => `${id} \`${file}\`: ${name}`));
}

test('each check of the protocol, of the HTTP API, of errors, tenants, rights, broadcasts from the database, row changes and the configuration is listed once, with tests or the reason why there are none', () => {
  for (const [family, ranges] of Object.entries(CHECKS)) {
    const numbers = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, n) => from + n));
    const ids = numbers.map((number) => `${family}-${String(number).padStart(3, '0')}`);
    assert.deepEqual(listed().map(({ id }) => id).filter((id) => id.startsWith(`${family}-`)), ids);
  }
  assert.equal(new Set(listed().map(({ id }) => id)).size, listed().length, 'each is listed once');
  for (const { id, coverage } of listed()) {
    for (const text of coverage) assert.match(text, /^(`[^`]+`: .+|untested: .+|not yet: .+)$/, id);
  }
});

test('the tests that the list names and the tests that carry an id are the same', () => {
  const claimed = new Set(
    listed().flatMap(({ id, coverage }) => coverage.filter((text) => text.startsWith('`')).map((text) => `${id} ${text}`)),
  );
  const found = new Set([...filesUnder('e2e', '.test.mjs'), ...filesUnder('checks', '.test.mjs'), ...filesUnder('src', '_test.cc')].flatMap(coveredBy));
  assert.deepEqual([...claimed].filter((text) => !found.has(text)), [], 'named in docs/conformance.md, but there is no such test');
  assert.deepEqual([...found].filter((text) => !claimed.has(text)), [], 'missing in docs/conformance.md');
});
