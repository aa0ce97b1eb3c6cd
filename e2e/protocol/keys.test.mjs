// Tokens signed with the keys of a JWKS: which key verifies which token. protocol.md 1.6
//
// The tokens are made by the npm package jose, which knows nothing of our server. Where it also verifies tokens of a key set,
// the two have to agree.

import assert from 'node:assert/strict';
import { KeyObject, generateKeyPairSync, sign } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { SignJWT, createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { request, upgradeHeaders } from '../harness/http.mjs';
import { assertError, assertFrame, bothVersions, connect } from '../harness/phoenix.mjs';
import { secondsFromNow, startServer, until } from '../harness/server.mjs';

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const HMAC = ['HS256', 'HS384', 'HS512'];
const OCT = Buffer.from('a secret that only the key set has, long enough for each of the three');

const BAD_SIGNATURE = 'Failed to validate JWT signature';
const NO_KEY = 'Failed to generate JWT signer, check your JWT secret or JWKS configuration';
const noKey = (kid) => `Failed to generate JWT signer for key ID (kid) "${kid}", check your JWT secret or JWKS configuration`;

// Each algorithm has a pair of its own, whose kid is the name of the algorithm.
const pairs = Object.fromEntries(
  await Promise.all(ASYMMETRIC.map(async (alg) => [alg, await generateKeyPair(alg, { extractable: true })])),
);
const publicJwk = async (alg, more = {}) => ({ ...(await exportJWK(pairs[alg].publicKey)), kid: alg, ...more });
const jwks = {
  keys: [
    ...(await Promise.all(ASYMMETRIC.map((alg) => publicJwk(alg, { alg, use: 'sig' })))),
    { kty: 'oct', kid: 'oct', k: OCT.toString('base64url') },
    await publicJwk('RS256', { kid: 'for-encryption', use: 'enc' }),
    await publicJwk('RS256', { kid: 'wraps', key_ops: ['wrapKey'] }),
    await publicJwk('ES256', { kid: 'broken', y: 'AAAA' }),
    { ...(await exportJWK(pairs.ES256.privateKey)), kid: 'private', key_ops: ['sign', 'verify'] },
  ],
};

let server;
before(async () => {
  server = await startServer({
    env: { API_JWT_JWKS: JSON.stringify(jwks) },
    otherTenants: { keysonly: { columns: { jwt_jwks: JSON.stringify(jwks), jwt_secret: null } } },
  });
});
after(async () => assert.equal(await server.stop(), 0));

const jwt = (header, claims = {}) => new SignJWT({ role: 'authenticated', exp: secondsFromNow(3600), ...claims }).setProtectedHeader(header);
const signed = (alg, { kid = alg, key = pairs[alg].privateKey, claims } = {}) => jwt({ alg, kid }, claims).sign(key);
const secret = () => Buffer.from(server.secret);

const handshake = (token, host = server.host) =>
  request(server, { path: `/socket/websocket?vsn=2.0.0&apikey=${token}`, headers: upgradeHeaders({ Host: host }) });

async function assertAccepted(token, host) {
  assert.equal((await handshake(token, host)).status, 101, token);
}

async function assertRefused(token, error, host) {
  const { status, body } = await handshake(token, host);
  assert.deepEqual({ status, body }, { status: 401, body: JSON.stringify({ error }) }, token);
}

// The same token under another header; its signature stays.
function withHeader(token, header) {
  return [Buffer.from(JSON.stringify(header)).toString('base64url'), ...token.split('.').slice(1)].join('.');
}

suite('which key verifies', () => {
  test('tokens of RSA, EC and Edwards keys open the socket, and only of the key that the kid names [P-023]', async () => {
    for (const alg of ASYMMETRIC) {
      await assertAccepted(await signed(alg));
      await assertRefused(await signed(alg, { key: (await generateKeyPair(alg)).privateKey }), BAD_SIGNATURE);
    }
  });

  test('Ed448 is the other Edwards curve', async (t) => {
    const { publicKey, privateKey } = generateKeyPairSync('ed448');
    const keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'ed448' }];
    const other = await startServer({ env: { API_JWT_JWKS: JSON.stringify({ keys }) } });
    t.after(() => other.stop());
    for (const [alg, status] of [['EdDSA', 101], ['Ed448', 101], ['Ed25519', 401]]) {
      const text = withHeader(other.token(), { alg, kid: 'ed448' }).split('.').slice(0, 2).join('.');
      const token = `${text}.${sign(null, Buffer.from(text), privateKey).toString('base64url')}`;
      assert.equal((await request(other, { path: `/socket/websocket?apikey=${token}`, headers: upgradeHeaders() })).status, status, alg);
    }
  });

  test('a kid that the tenant does not have is named [P-021]', async () => {
    for (const alg of ASYMMETRIC) {
      for (const kid of ['absent', 'oct', '']) await assertRefused(await signed(alg, { kid }), noKey(kid));
    }
    await assertRefused(await signed('RS256', { kid: '"\\é' }), noKey('\\"\\\\é'));
  });

  test('an asymmetric token without a kid has no key', async () => {
    for (const alg of ASYMMETRIC) await assertRefused(await jwt({ alg }).sign(pairs[alg].privateKey), NO_KEY);
    await assertRefused(withHeader(await signed('RS256'), { alg: 'RS256', kid: 7 }), NO_KEY);
  });

  test('HMAC tokens use the secret, unless the key set has a secret of their kid [P-022]', async () => {
    for (const alg of HMAC) {
      for (const header of [{ alg }, { alg, kid: 'absent' }, { alg, kid: 'RS256' }]) {
        await assertAccepted(await jwt(header).sign(secret()));
        await assertRefused(await jwt(header).sign(OCT), BAD_SIGNATURE);
      }
      await assertAccepted(await signed(alg, { kid: 'oct', key: OCT }));
      await assertRefused(await signed(alg, { kid: 'oct', key: secret() }), BAD_SIGNATURE);
    }
  });

  test('a tenant may have keys only', async () => {
    for (const alg of ASYMMETRIC) await assertAccepted(await signed(alg), 'keysonly');
    for (const alg of HMAC) {
      await assertAccepted(await signed(alg, { kid: 'oct', key: OCT }), 'keysonly');
      for (const kid of ['absent', undefined]) await assertRefused(await jwt({ alg, kid }).sign(secret()), NO_KEY, 'keysonly');
    }
  });

  test('a key is not used against what it says about itself', async () => {
    const claimed = { 'for-encryption': 'RS256', wraps: 'RS256', broken: 'ES256' };
    for (const [kid, alg] of Object.entries(claimed)) await assertRefused(await signed(alg, { kid }), noKey(kid));
    await assertAccepted(await signed('ES256', { kid: 'private' }));
    for (const kid of Object.keys(claimed)) await until(() => server.log.includes(`the key "${kid}" cannot be used: `), `a warning about ${kid}`);
    assert.doesNotMatch(server.log, /the key "(RS256|EdDSA|oct|private)"/);
  });

  test('claims are checked behind every kind of signature', async () => {
    for (const alg of ASYMMETRIC) {
      await assertRefused(await signed(alg, { claims: { exp: secondsFromNow(-5) } }), 'Token has expired');
      await assertRefused(await signed(alg, { claims: { role: undefined } }), 'Fields `role` and `exp` are required in JWT');
    }
  });
});

suite('no algorithm is taken for another', () => {
  const keySet = createLocalJWKSet({ keys: jwks.keys.filter(({ kty }) => kty !== 'oct') });
  const verifiesInJose = (token) => jwtVerify(token, keySet).then(() => true, () => false);

  // Signed for the header that it has, with a key that need not be of that algorithm: jose itself would refuse to.
  function forged(header, signer) {
    const text = withHeader(server.token(), header).split('.').slice(0, 2).join('.');
    const digest = /^Ed/.test(signer) ? null : `sha${/384|512/.exec(header.alg) ?? 256}`;
    const key = KeyObject.from(pairs[signer].privateKey);
    return `${text}.${sign(digest, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  test('of every algorithm with every kid by every key only the real one verifies, here as in jose', async () => {
    const isEdwards = (alg) => alg.startsWith('Ed');
    for (const signer of ASYMMETRIC) {
      for (const alg of [...ASYMMETRIC, ...HMAC, 'none', 'PS256', 'ES256K']) {
        for (const kid of [...ASYMMETRIC, 'oct']) {
          if (alg !== signer && kid === signer && isEdwards(alg) && isEdwards(signer)) continue; // two names for one algorithm
          const token = forged({ alg, kid }, signer);
          const isReal = alg === signer && kid === signer;
          assert.equal((await handshake(token)).status, isReal ? 101 : 401, `${alg} of ${kid} by ${signer}`);
          assert.equal(await verifiesInJose(token), isReal, `jose: ${alg} of ${kid} by ${signer}`);
        }
      }
    }
  });

  test('a public key in any form is no secret to sign with', async () => {
    for (const jwk of jwks.keys.filter(({ kid }) => ASYMMETRIC.includes(kid))) {
      const { publicKey } = pairs[jwk.kid];
      const der = Buffer.from(await crypto.subtle.exportKey('spki', publicKey));
      const pem = `-----BEGIN PUBLIC KEY-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PUBLIC KEY-----`;
      const secrets = [der, pem, `${pem}\n`, JSON.stringify(jwk), jwk.n ?? jwk.x, Buffer.from(jwk.n ?? jwk.x, 'base64url')];
      for (const alg of HMAC) {
        for (const key of secrets.map((one) => Buffer.from(one)).filter(({ length }) => length >= 32)) {
          const token = await jwt({ alg, kid: jwk.kid }).sign(key);
          await assertRefused(token, BAD_SIGNATURE);
          await assertRefused(token, NO_KEY, 'keysonly');
          assert.equal((await handshake(withHeader(token, { alg: jwk.alg, kid: jwk.kid }))).status, 401);
        }
      }
    }
  });

  test('a key that the token brings along is not looked at', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    await assertRefused(await jwt({ alg: 'ES256', jwk }).sign(privateKey), NO_KEY);
    await assertRefused(await jwt({ alg: 'ES256', jwk, kid: 'ES256' }).sign(privateKey), BAD_SIGNATURE);
    await assertRefused(await jwt({ alg: 'ES256', jwk, kid: 'mine' }).sign(privateKey), noKey('mine'));
  });

  test('an ECDSA signature is refused in ASN.1, cut, lengthened or zero', async () => {
    const [header, claims, signature] = (await signed('ES256')).split('.');
    const raw = Buffer.from(signature, 'base64url');
    const der = sign('sha256', Buffer.from(`${header}.${claims}`), KeyObject.from(pairs.ES256.privateKey));
    for (const bad of [der, raw.subarray(1), raw.subarray(0, 63), Buffer.concat([raw, Buffer.alloc(1)]), Buffer.alloc(64), Buffer.alloc(0)]) {
      await assertRefused(`${header}.${claims}.${bad.toString('base64url')}`, BAD_SIGNATURE);
    }
  });
});

suite('on channels', () => {
  bothVersions('a channel runs under a token of a key, and takes another one', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = `realtime:keys ${vsn}`;
    await client.join(topic, { config: { broadcast: { self: true } }, access_token: await signed('ES256') });
    client.push(topic, 'access_token', { access_token: await signed('EdDSA') });
    await client.expectQuietAndJoined(topic);
    client.broadcast(topic, 'hello');
    assertFrame(await client.next(), { topic, event: 'broadcast' });
  });

  bothVersions('a join whose kid is unknown is refused by name, and the socket stays [P-101]', async (vsn) => {
    const client = await connect(server, { vsn, token: await signed('RS256') });
    const topic = `realtime:unknown kid ${vsn}`;
    const refused = [
      [await signed('RS256', { kid: 'absent' }), `JwtSignerError: ${noKey('absent')}`],
      [await jwt({ alg: 'RS256' }).sign(pairs.RS256.privateKey), `JwtSignerError: ${NO_KEY}`],
      [await signed('RS256', { key: (await generateKeyPair('RS256')).privateKey }), `JwtSignatureError: ${BAD_SIGNATURE}`],
    ];
    for (const [access_token, reason] of refused) assertError(await client.tryJoin(topic, { config: {}, access_token }), reason);
    await client.join(topic);
  });

  bothVersions('a new token whose key cannot be found closes the channel', async (vsn) => {
    const client = await connect(server, { vsn });
    const topic = `realtime:refreshed ${vsn}`;
    for (const [access_token, message] of [
      [await signed('ES256', { kid: 'absent' }), noKey('absent')],
      [await jwt({ alg: 'ES256' }).sign(pairs.ES256.privateKey), ':error_generating_signer'],
      [await signed('ES256', { key: (await generateKeyPair('ES256')).privateKey }), ':signature_error'],
    ]) {
      await client.join(topic);
      client.push(topic, 'access_token', { access_token });
      await client.expectShutdown(topic, message);
    }
  });
});
