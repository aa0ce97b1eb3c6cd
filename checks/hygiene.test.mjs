// What the repository promises to everybody who clones it: it runs anywhere, it says what it does, and nothing is left lying.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

// Those that git has or would add.
const names = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  .split('\0')
  .filter((name) => name && lstatSync(join(ROOT, name), { throwIfNoEntry: false })?.isFile());

const files = [...new Set(names)]
  .map((name) => ({ name, bytes: readFileSync(join(ROOT, name)) }))
  .filter(({ name, bytes }) => !bytes.includes(0) && !name.startsWith('fuzz/seeds/'))
  .map(({ name, bytes }) => ({ name, lines: bytes.toString('utf8').split('\n') }));

const read = (name) => files.find((file) => file.name === name)?.lines.join('\n') ?? assert.fail(`there is no ${name}`);

// `file:line: text` of each line that matches.
function linesWith(pattern, among = files) {
  return among.flatMap(({ name, lines }) =>
    lines.flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1}: ${line.trim()}`] : [])),
  );
}

test('no file names a folder of somebody\'s machine', () => {
  const folders = ['work', 'root', 'home'].join('|');
  assert.deepEqual(linesWith(new RegExp(`(^|[^\\w.~/:-])/(${folders})/\\w`)), []);
});

test('no work is announced in a comment: it is done, or it is an issue', () => {
  const words = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|');
  assert.deepEqual(linesWith(new RegExp(`\\b(${words})\\b`)), []);
});

test('the lock file names no place to download from', () => {
  const locks = files.filter(({ name }) => name.endsWith('package-lock.json'));
  assert.ok(locks.length > 0);
  assert.deepEqual(linesWith(/"resolved"|"https?:\/\//, locks), []);
});

test('scripts that start with #! can be executed', () => {
  const scripts = files.filter(({ lines }) => lines[0].startsWith('#!'));
  assert.ok(scripts.some(({ name }) => name === 'dev'));
  const inert = scripts.filter(({ name }) => (lstatSync(join(ROOT, name)).mode & 0o111) === 0);
  assert.deepEqual(inert.map(({ name }) => name), []);
});

test('each command that a text tells people to type exists', () => {
  const commands = [...read('dev').matchAll(/^ {2}([a-z][a-z-]*)(?: \||\))/gm)].map(([, command]) => command);
  for (const command of ['run', 'test', 'help']) assert.ok(commands.includes(command), command);
  const told = files
    .filter(({ name }) => name.endsWith('.md') || name.startsWith('.ci/'))
    .flatMap(({ name, lines }) => [...lines.join('\n').matchAll(/\.\/dev ([a-z][a-z-]*)/g)].map(([, command]) => ({ name, command })));
  assert.deepEqual(told.filter(({ command }) => !commands.includes(command)), []);
});

test('the README tells how to run it and how to test it', () => {
  for (const command of ['./dev run', './dev test']) assert.ok(read('README.md').includes(command), command);
});

test('texts end with a newline and have no white space at the ends of lines', () => {
  const unended = files.filter(({ lines }) => lines.at(-1) !== '').map(({ name }) => name);
  assert.deepEqual(unended, []);
  assert.deepEqual(linesWith(/[ \t\r]$/), []);
});
