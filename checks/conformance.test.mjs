// docs/conformance.md says which test covers which check of the specification. This keeps it true in both directions:
// each test that it names exists and carries the id, and each test that carries an id is named there.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CHECKS = { P: 227, H: 90, E: 27, T: 54, C: 30, D: 40, A: 38, B: 45 }; // of these families each check is listed

const read = (file) => readFileSync(join(ROOT, file), 'utf8');

// | P-001 | sentence | `file`: name of a test<br>`file`: name of another |
function listed() {
  const rows = [...read('docs/conformance.md').matchAll(/^\| ([PHTMECDAB]-\d{3}) \| [^|]+ \| ([^|]+) \|$/gm)];
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
  const names = source.matchAll(/(['"`])((?:(?!\1)[^\n])*?)((?: \[[PHTMECDAB]-\d{3}\])+)\1/g);
  return [...names].flatMap(([, , name, ids]) => ids.match(/[PHTMECDAB]-\d{3}/g).map((id) => `${id} \`${file}\`: ${name}`));
}

test('each check of the protocol, of the HTTP API, of errors, tenants, rights, broadcasts from the database and the configuration is listed once, with tests or the reason why there are none', () => {
  for (const [family, count] of Object.entries(CHECKS)) {
    const ids = Array.from({ length: count }, (_, n) => `${family}-${String(n + 1).padStart(3, '0')}`);
    assert.deepEqual(listed().map(({ id }) => id).filter((id) => id.startsWith(family)), ids);
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
