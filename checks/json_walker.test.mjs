// The JSON walker accepts what JSON.parse accepts. Texts are made from a seed and then damaged, so that most are nearly right.
//
// JSON.parse works on strings and is generous in two ways, so three differences are meant: texts that are not UTF-8, escapes of
// half a surrogate pair, and nesting beyond 512 are refused. RT_SEED repeats a run, RT_TEXTS sets how many texts it has.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ORACLE = fileURLToPath(new URL('../build/release/fuzz/json_walker_oracle', import.meta.url));
const SEED = Number(process.env.RT_SEED ?? Date.now() % 2 ** 31);
const TEXTS = Number(process.env.RT_TEXTS ?? 200_000);
const DEPTH_MAX = 512;

// mulberry32: small, and good enough to make texts.
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = randomFrom(SEED);
const below = (limit) => Math.floor(random() * limit);
const one = (choices) => choices[below(choices.length)];
const many = (limit, make) => Array.from({ length: below(limit) }, make);

const SPACES = ['', '', '', '', '', ' ', '\n', '\r\n\t', '  '];
const PIECES = ['a', 'room', ' ', 'é', '日本', '😀', '\x7f', '\u2028', '\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t', '\\u0041',
  '\\u00E9', '\\uFFFF', '\\u0000', '\\ud83d\\ude00', '\\uD834\\uDD1E', '\\ud83d', '\\ude00', '\\ud83d\\u0041', '\\\\ud83d', '01234567'];
const NUMBERS = ['0', '-0', '7', '-12', '255', '256', '1.5', '-0.25', '1e9', '1E+2', '2e-7', '0.0', '0e0', '9007199254740993',
  '18446744073709551616', '1e400', '123456789012345678901234567890'];
// What a damaged text gets in the place of something else.
const SPLINTERS = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '0', '-', '+', '.', 'e', 't', 'true', 'nul', 'NaN', '01', '1.', '.5', "'", '/',
  '/**/', ' ', '\t', '\n', '\v', '\f', '\0', '\x1f', '\x7f', '\u00a0', '\ufeff', 'é', '😀', ',,', '[]', '{}', '""', '\\x', '\\ud800'];
const BAD_BYTES = [[0x80], [0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff], [0xc3], [0xf0, 0x9f]];

const space = () => one(SPACES);
const string = () => `"${many(5, () => one(PIECES)).join('')}"`;
const listed = (open, items, close) => open + space() + items.join(space() + ',' + space()) + space() + close;

function value(depth) {
  const kind = below(depth > 0 ? 9 : 5);
  if (kind < 2) return string();
  if (kind === 2) return one(NUMBERS);
  if (kind === 3) return `${one(['', '-'])}${below(2 ** 31)}${one(['', '', `.${below(1000)}`, `e${below(20)}`])}`;
  if (kind === 4) return one(['true', 'false', 'null']);
  if (kind < 7) return listed('[', many(5, () => value(depth - 1)), ']');
  return listed('{', many(5, () => string() + space() + ':' + space() + value(depth - 1)), '}');
}

function nested() {
  const depth = DEPTH_MAX - 3 + below(6);
  return one([() => '['.repeat(depth) + ']'.repeat(depth), () => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)])();
}

function damaged(text) {
  const at = below(text.length + 1);
  const until = Math.min(text.length, at + below(3));
  switch (below(4)) {
    case 0:
      return text.slice(0, at) + text.slice(until + 1);
    case 1:
      return text.slice(0, at);
    case 2:
      return text.slice(0, at) + text.slice(below(at + 1), until) + text.slice(at);
    default:
      return text.slice(0, at) + one(SPLINTERS) + text.slice(until);
  }
}

function makeText() {
  let text = below(2000) === 0 ? nested() : space() + value(4) + space();
  for (let times = one([0, 0, 1, 1, 1, 2, 3]); times > 0; --times) text = damaged(text);
  const bytes = Buffer.from(text);
  if (below(20) !== 0) return bytes;
  const at = below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(one(BAD_BYTES)), bytes.subarray(at)]);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function isAcceptedByParse(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// Both for texts that JSON.parse accepts.
function hasLoneSurrogate(text) {
  const escapes = text.matchAll(/\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\./g);
  return [...escapes].some(([, lone]) => lone !== undefined);
}

function depthOf(text) {
  let depth = 0;
  let deepest = 0;
  for (const [bracket] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (bracket === '[' || bracket === '{') deepest = Math.max(deepest, ++depth);
    if (bracket === ']' || bracket === '}') --depth;
  }
  return deepest;
}

function shouldAccept(bytes) {
  let text;
  try {
    text = utf8.decode(bytes);
  } catch {
    return false;
  }
  return isAcceptedByParse(text) && !hasLoneSurrogate(text) && depthOf(text) <= DEPTH_MAX;
}

// One verdict for each text, as the walker gives them.
async function askWalker(texts) {
  const oracle = spawn(ORACLE, { stdio: ['pipe', 'pipe', 'inherit'] });
  const framed = texts.flatMap((text) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    return [length, text];
  });
  oracle.stdin.end(Buffer.concat(framed));
  let verdicts = '';
  for await (const chunk of oracle.stdout) verdicts += chunk;
  return verdicts;
}

test('the walker and JSON.parse accept the same texts', async (t) => {
  assert.ok(existsSync(ORACLE), 'build it first: ninja -C build/release json_walker_oracle, or ./dev test');
  t.diagnostic(`RT_SEED=${SEED} RT_TEXTS=${TEXTS}`);
  const texts = Array.from({ length: TEXTS }, makeText);
  const verdicts = await askWalker(texts);
  assert.equal(verdicts.length, texts.length, `the walker ended early; RT_SEED=${SEED}`);

  let accepted = 0;
  texts.forEach((bytes, index) => {
    const expected = shouldAccept(bytes);
    accepted += expected;
    if (verdicts[index] === (expected ? '1' : '0')) return;
    assert.fail(`the walker should ${expected ? 'accept' : 'refuse'} ${JSON.stringify(bytes.toString('latin1'))}; RT_SEED=${SEED}`);
  });
  t.diagnostic(`${accepted} accepted, ${TEXTS - accepted} refused`);
  // Neither kind may have become rare.
  assert.ok(accepted > TEXTS / 5 && accepted < (TEXTS * 4) / 5, `${accepted} of ${TEXTS} were accepted; RT_SEED=${SEED}`);
});
