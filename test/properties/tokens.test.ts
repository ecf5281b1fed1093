// Tokens that somebody has worked on: whatever is changed of a sound one, or made up, nobody is let in by it, and the
// refusal has a code of its own. `FC_RUNS` sets the number of runs.
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { base64url, createLocalJWKSet, exportJWK, SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { STATUS_OF } from '../../functions/http/problem.ts';
import { isCmkError } from '../../shared/domain/errors.ts';
import { makeVerifyToken } from '../../shared/jose/verify-token.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 300);
const now = new Date('2030-01-01T00:00:00Z');
const rules = {
  issuer: 'https://issuer.example',
  audiences: ['api://pg-cmk'],
  jwksUri: null,
  rolesClaim: 'roles',
  principalClaim: 'oid',
};

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const keySet = exportJWK(publicKey).then((jwk) => createLocalJWKSet({ keys: [{ ...jwk, kid: 'k' }] }));
const verify = keySet.then((getKey) =>
  makeVerifyToken(rules, { getKey, check: () => Promise.resolve(null) }, () => now),
);
const HEADER = { alg: 'RS256', typ: 'JWT', kid: 'k' };
const CLAIMS = {
  ...{ iss: rules.issuer, aud: 'api://pg-cmk', oid: 'anna', roles: ['Dek.Assign'] },
  ...{ iat: 1_893_455_000, nbf: 1_893_455_000, exp: 1_893_459_600 },
};
const sound = new SignJWT(CLAIMS).setProtectedHeader(HEADER).sign(privateKey);

const json = fc.jsonValue({ maxDepth: 2 });
const member = fc.oneof(
  fc.constantFrom('none', 'HS256', 'PS256', 'ES256', 'RS256', 'JWT', 'k', '', null, 0),
  json,
);
const changed = (object: object, names: readonly string[]) =>
  fc
    .dictionary(fc.constantFrom(...names), member, { minKeys: 1, noNullPrototype: true })
    .map((change): string => base64url.encode(JSON.stringify({ ...object, ...change })))
    .filter((part) => part !== base64url.encode(JSON.stringify(object)));

const parts = fc.oneof(
  changed(HEADER, ['alg', 'kid', 'typ', 'crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c', 'zip', 'enc', 'cty']).map(
    (header) => ({ header }),
  ),
  changed(CLAIMS, ['iss', 'aud', 'oid', 'roles', 'iat', 'nbf', 'exp', 'sub']).map((payload) => ({ payload })),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ signature: base64url.encode(bytes) })),
  fc.string({ unit: 'binary', maxLength: 40 }).map((header) => ({ header })),
  fc
    .constantFrom('a.b', 'a.b.c.d.e', '..', '.', 'null', 'e30.e30.', 'W10.W10.W10')
    .map((whole) => ({ whole })),
);

test('what was not signed like that lets nobody in', { timeout: 600_000 }, async () => {
  const verifyToken = await verify;
  const token = await sound;
  expect(await verifyToken(`Bearer ${token}`)).toEqual({ principalId: 'anna', roles: ['Dek.Assign'] });
  const [header = '', payload = '', signature = ''] = token.split('.');
  await fc.assert(
    fc.asyncProperty(parts, async (change) => {
      const all = { header, payload, signature, ...change };
      const forged = 'whole' in all ? all.whole : `${all.header}.${all.payload}.${all.signature}`;
      const error = await verifyToken(`Bearer ${forged}`).catch((thrown: unknown) => thrown);
      if (!isCmkError(error)) throw new Error(`let in: ${JSON.stringify(error)}`);
      expect(STATUS_OF[error.code]).toBe(401);
      expect(error.retryable).toBe(false);
    }),
    { numRuns },
  );
});

test('what the issuer signed, whatever it says, gives a known caller or a refusal', {
  timeout: 600_000,
}, async () => {
  const verifyToken = await verify;
  const names = fc.constantFrom('aud', 'oid', 'roles', 'iat', 'nbf', 'exp', 'sub', 'azp', '__proto__');
  await fc.assert(
    fc.asyncProperty(fc.dictionary(names, member, { noNullPrototype: true }), async (change) => {
      const bytes = new SignJWT({ ...CLAIMS, ...change }).setProtectedHeader(HEADER);
      const caller = await verifyToken(`Bearer ${await bytes.sign(privateKey)}`).catch(
        (thrown: unknown) => thrown,
      );
      if (isCmkError(caller)) expect(STATUS_OF[caller.code]).toBe(401);
      else expect(caller).toMatchObject({ principalId: change['oid'] ?? 'anna', roles: expect.any(Array) });
    }),
    { numRuns: Math.ceil(numRuns / 3) },
  );
});
