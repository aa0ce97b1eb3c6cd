// Tokens that were not made by whoever knows the secret. protocol.md 1.5 and 1.6.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { seededRandom } from '../ws-conformance/random.mjs';
import { disturbingNobody } from './witness.mjs';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'rsa-1', alg: 'RS256', use: 'sig' };
const server = await startServer({ env: { API_JWT_JWKS: JSON.stringify({ keys: [jwk] }) } });
after(() => server.stop());

const connect = (token) => request(server, { path: `/socket/websocket?vsn=2.0.0&apikey=${encodeURIComponent(token)}`, headers: upgradeHeaders() });

const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const claims = { role: 'authenticated', exp: Math.floor(Date.now() / 1000) + 3600 };
const HS256 = { alg: 'HS256', typ: 'JWT' };
const hmac = (signed, secret = server.secret, hash = 'sha256') => createHmac(hash, secret).update(signed).digest('base64url');

// A token of any header and claims, text or JSON, with a signature by `signer`.
function token(header, body = claims, signer = hmac) {
  const signed = `${base64url(header)}.${base64url(body)}`;
  return `${signed}.${signer(signed)}`;
}
const unsigned = () => '';
const rsa = (signed) => sign('sha256', Buffer.from(signed), privateKey).toString('base64url');
const good = token(HS256);

const MALFORMED = 'The token provided is not a valid JWT';
const NO_KEY = 'Failed to generate JWT signer, check your JWT secret or JWKS configuration';
const BAD_SIGNATURE = 'Failed to validate JWT signature';
const OTHER = 'Error connecting to Realtime';

test('tokens signed by the tenant’s secret or by the key of its JWKS are accepted', async () => {
  assert.equal((await connect(good)).status, 101);
  assert.equal((await connect(token({ alg: 'RS256', kid: 'rsa-1' }, claims, rsa))).status, 101);
});

const forged = {
  'without algorithm and signature': [[token({ alg: 'none' }, claims, unsigned), token({ alg: 'None' }, claims, unsigned), token({ alg: 'NONE' }, claims, unsigned), token({ alg: 'nOnE' })], NO_KEY],
  'that name no known algorithm': [[token({ typ: 'JWT' }), token({ alg: 'hs256' }), token({ alg: 'HS1' }), token({ alg: '' }), token({ alg: null }), token({ alg: 256 }), token({ alg: ['HS256'] }), token({ alg: { HS256: 1 } })], NO_KEY],
  'of an asymmetric algorithm without a key id': [[token({ alg: 'RS256' }), token({ alg: 'RS256' }, claims, rsa), token({ alg: 'ES256' }), token({ alg: 'EdDSA' })], NO_KEY],
  'signed by HMAC with the public RSA key as the secret': [
    ['pem', 'der'].flatMap((format) => ['spki', 'pkcs1'].map((type) => {
      const secret = publicKey.export({ format, type });
      return token({ ...HS256, kid: 'rsa-1' }, claims, (signed) => hmac(signed, secret));
    })).concat(token({ ...HS256, kid: 'rsa-1' }, claims, (signed) => hmac(signed, jwk.n))), BAD_SIGNATURE],
  'that call their HMAC signature RS256': [[token({ alg: 'RS256', kid: 'rsa-1' })], BAD_SIGNATURE],
  'signed with an empty, a wrong or a longer secret': [['', 'wrong', `${server.secret}x`, server.secret.slice(1)].map((secret) => token(HS256, claims, (signed) => hmac(signed, secret))), BAD_SIGNATURE],
  'signed with another hash than they say': [[token({ alg: 'HS256' }, claims, (signed) => hmac(signed, undefined, 'sha512')), token({ alg: 'HS512' }), token({ alg: 'HS384' })], BAD_SIGNATURE],
  'with a shortened, a lengthened or no signature': [[good.slice(0, -4), `${good}AAAA`, good.slice(0, good.lastIndexOf('.') + 1)], BAD_SIGNATURE],
  'whose claims were changed after they were signed': [[`${base64url(HS256)}.${base64url({ ...claims, role: 'service_role' })}.${good.split('.')[2]}`], BAD_SIGNATURE],
  'of too few or too many parts': [['.', 'a', 'a.b', '....', `${good}.`, `.${good}`, `${good}.x`, good.replaceAll('.', ''), 'not-a-jwt', 'sb_publishable_x'], MALFORMED],
  'of empty parts': [['..', `..${good.split('.')[2]}`, `${good.split('.')[0]}..${good.split('.')[2]}`], MALFORMED],
  'whose claims are no base64 or no JSON': [['*.*.*', token(HS256, '{'), token(HS256, ''), token(HS256, 'role'), token(HS256, '{"role":"a","exp":1}x'), `${base64url(HS256)}.${'='.repeat(8)}.x`], MALFORMED],
  'that are five thousand letters long': [['x'.repeat(5000), '.'.repeat(5000)], MALFORMED],
};
for (const [what, [tokens, error]] of Object.entries(forged)) {
  test(`tokens ${what} are refused with 401`, async () => {
    for (const one of tokens) {
      const { status, body } = await connect(one);
      assert.deepEqual({ status, body }, { status: 401, body: JSON.stringify({ error }) }, one);
    }
  });
}

test('a token whose header or claims are JSON but no object is refused with 401 or 500', async () => {
  for (const value of ['[]', '"x"', '1', 'null', 'true', '[{"role":"a"}]']) {
    for (const one of [token(value), token(HS256, value)]) assert.ok([401, 500].includes((await connect(one)).status), one);
  }
});

test('a token whose times are no numbers is refused with 500', async () => {
  for (const time of ['"9999999999"', 'null', '[]', '{}', 'true']) {
    for (const body of [`{"role":"authenticated","exp":${time}}`, `{"role":"authenticated","exp":${claims.exp},"iat":${time}}`]) {
      const { status, body: text } = await connect(token(HS256, body));
      assert.deepEqual({ status, text }, { status: 500, text: JSON.stringify({ error: OTHER }) }, body);
    }
  }
});

test('a token of a megabyte is refused before it is read to its end', async () => {
  const { status } = await connect('x'.repeat(1e6));
  assert.equal(status, 414);
});

test('tokens that a random change has spoilt never get in', (t) => disturbingNobody(t, server, { growthMiB: 8 }, async () => {
  const random = seededRandom(t);
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=/!{}"\\\u0001\u00e9';
  const means = (text) => text.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex')).join('.');
  for (let i = 0; i < 500; i += 1) {
    let spoilt = good;
    for (let changes = random.below(3); changes >= 0; changes -= 1) {
      const at = random.below(spoilt.length);
      const insert = random.chance(0.8) ? random.pick(letters) : '';
      spoilt = spoilt.slice(0, at) + insert + spoilt.slice(at + random.below(3));
    }
    if (means(spoilt) === means(good)) continue;  // base64 has bits without meaning
    const { status } = await connect(spoilt);
    assert.ok(status === 401 || status === 500, `${status} for ${spoilt}`);
  }
}));
