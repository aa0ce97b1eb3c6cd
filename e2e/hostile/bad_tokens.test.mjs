// Tokens that were not made by whoever knows the secret. protocol.md 1.5 and 1.6.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { seededRandom } from '../harness/random.mjs';
import { hostileTo } from './witness.mjs';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'rsa-1', alg: 'RS256', use: 'sig' };
const server = await startServer({ env: { API_JWT_JWKS: JSON.stringify({ keys: [jwk] }) } });
after(() => server.stop());
const hostile = hostileTo(server);

const path = (token) => `/socket/websocket?vsn=2.0.0&apikey=${encodeURIComponent(token)}`;
const connect = (token) => request(server, { path: path(token), headers: upgradeHeaders() });

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
const sha512 = (signed) => hmac(signed, server.secret, 'sha512');
const rsa = (signed) => sign('sha256', Buffer.from(signed), privateKey).toString('base64url');
const good = token(HS256);

const MALFORMED = 'The token provided is not a valid JWT';
const NO_KEY = 'Failed to generate JWT signer, check your JWT secret or JWKS configuration';
const noKey = (kid) => `Failed to generate JWT signer for key ID (kid) "${kid}", check your JWT secret or JWKS configuration`;
const BAD_SIGNATURE = 'Failed to validate JWT signature';
const OTHER = 'Error connecting to Realtime';

test('tokens signed by the tenant’s secret or its key are accepted', async () => {
  for (const one of [good, token({ alg: 'RS256', kid: 'rsa-1' }, claims, rsa)]) assert.equal((await connect(one)).status, 101);
});

const signedWith = (secret) => token(HS256, claims, (signed) => hmac(signed, secret));
const keyAsSecret = (secret) => token({ ...HS256, kid: 'rsa-1' }, claims, (signed) => hmac(signed, secret));
const [header, , signature] = good.split('.');

// What is wrong, tokens of that kind, and the answer.
const forged = [
  ['without algorithm and signature', ['none', 'None', 'NONE', 'nOnE'].map((alg) => token({ alg }, claims, unsigned)), NO_KEY],
  ['that name no known algorithm', ['none', 'hs256', 'HS1', '', null, 256, ['HS256'], {}, undefined].map((alg) => token({ alg })), NO_KEY],
  ['of an asymmetric algorithm without a key id', ['RS256', 'ES256', 'EdDSA'].map((alg) => token({ alg }, claims, rsa)), NO_KEY],
  ['signed by HMAC with the public RSA key as the secret', [
    ...['spki', 'pkcs1'].flatMap((type) => ['pem', 'der'].map((format) => keyAsSecret(publicKey.export({ format, type })))),
    ...[keyAsSecret(jwk.n), keyAsSecret(JSON.stringify(jwk))],
  ], BAD_SIGNATURE],
  ['that call their HMAC signature RS256', [token({ alg: 'RS256', kid: 'rsa-1' })], BAD_SIGNATURE],
  ['that want the key for something else', ['RS384', 'RS512', 'ES256', 'EdDSA'].map((alg) => token({ alg, kid: 'rsa-1' }, claims, rsa)), noKey('rsa-1')],
  ['signed with a key that is not there', [token({ alg: 'RS256', kid: 'rsa-2' }, claims, rsa)], noKey('rsa-2')],
  ['whose kid is hostile itself', [token({ alg: 'RS256', kid: '"\\' }, claims, rsa)], noKey('\\"\\\\')],
  ['signed with another secret', ['', 'wrong', `${server.secret}x`, server.secret.slice(1)].map(signedWith), BAD_SIGNATURE],
  ['signed with another hash than they say', [token({ alg: 'HS512' }), token({ alg: 'HS384' }), token(HS256, claims, sha512)], BAD_SIGNATURE],
  ['with a shortened, a lengthened or no signature', [good.slice(0, -4), `${good}AAAA`, good.slice(0, -signature.length)], BAD_SIGNATURE],
  ['whose claims were changed', [`${header}.${base64url({ ...claims, role: 'service_role' })}.${signature}`], BAD_SIGNATURE],
  ['of too few or too many parts', ['.', 'a', 'a.b', '....', `${good}.`, `.${good}`, good.replaceAll('.', ''), 'sb_publishable_x'], MALFORMED],
  ['of empty parts', ['..', `..${signature}`, `${header}..${signature}`], MALFORMED],
  ['whose claims are no base64', ['*.*.*', `${header}.====.${signature}`], MALFORMED],
  ['whose claims are no JSON', ['{', '', 'role', '{"role":"a","exp":1}x'].map((text) => token(HS256, text)), MALFORMED],
  ['that are five thousand letters long', ['x'.repeat(5000), '.'.repeat(5000)], MALFORMED],
];
for (const [what, tokens, error] of forged) {
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

hostile('tokens that a random change has spoilt never get in', { growthMiB: 8 }, async (t) => {
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
});
