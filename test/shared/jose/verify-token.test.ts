// Against a real issuer over HTTP, with keys of its own and of strangers.
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { inspect } from 'node:util';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { makeIssuerKeys } from '../../../shared/jose/issuer-keys.ts';
import { makeVerifyToken, type TokenRules } from '../../../shared/jose/verify-token.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');

const answers = new Map<string, { status: number; body: unknown }>();
const asked: string[] = [];
let server: Server;
let issuer: string;
let rules: TokenRules;

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    const { status, body } = answers.get(path) ?? { status: 404, body: {} };
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  issuer = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const KEYS = '/keys';
const DISCOVERY = '/.well-known/openid-configuration';

beforeEach(async () => {
  asked.length = 0;
  answers.clear();
  const jwk = async (kid: string, key: KeyObject) => ({ ...(await exportJWK(key)), kid, use: 'sig' });
  const keys = [
    await jwk('rsa', rsa.publicKey),
    await jwk('ec', ec.publicKey),
    await jwk('ed', ed.publicKey),
  ];
  answers.set(KEYS, { status: 200, body: { keys } });
  answers.set(DISCOVERY, { status: 200, body: { issuer, jwks_uri: `${issuer}${KEYS}` } });
  rules = {
    issuer,
    audiences: ['api://pg-cmk', 'c0ffee'],
    jwksUri: null,
    rolesClaim: 'roles',
    principalClaim: 'oid',
  };
});

const seconds = (): number => Math.floor(Date.now() / 1000);

interface Made {
  readonly claims?: Record<string, unknown>;
  readonly header?: { alg?: string; kid?: string; crit?: string[]; [name: string]: unknown };
  readonly key?: KeyObject;
  readonly namesNoKey?: boolean;
}

/** A sound token, but for what is changed; a claim that is undefined is left out. */
function make({ claims = {}, header = {}, key = rsa.privateKey, namesNoKey }: Made = {}): Promise<string> {
  const now = seconds();
  const sound = { iss: issuer, aud: 'api://pg-cmk', oid: 'anna', roles: ['Fleet.Read'], exp: now + 600 };
  return new SignJWT({ ...sound, ...claims })
    .setProtectedHeader({ alg: 'RS256', ...(namesNoKey ? {} : { kid: 'rsa' }), ...header })
    .sign(key, header.crit === undefined ? {} : { crit: { strange: true } });
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

async function refusal(
  authorization: string | undefined,
  verify = makeVerifyToken(rules),
): Promise<CmkError> {
  const error: unknown = await verify(authorization).catch((thrown: unknown) => thrown);
  if (error instanceof CmkError) return error;
  throw new Error(`not refused: ${JSON.stringify(error)}`);
}

describe('a sound token', () => {
  test('names its bearer and the roles that the app knows', async () => {
    const token = await make({ claims: { roles: ['Fleet.Read', 'Dek.Assign', 'Somebody.Elses'] } });
    expect(await makeVerifyToken(rules)(`Bearer ${token}`)).toEqual({
      principalId: 'anna',
      roles: ['Fleet.Read', 'Dek.Assign'],
    });
  });

  test.each([
    ['one text with spaces', 'Fleet.Read  Keys.Retire', ['Fleet.Read', 'Keys.Retire']],
    ['none', undefined, []],
    ['a number', 7, []],
    ['a list of other things', [7, null, { role: 'Fleet.Read' }], []],
    ['another spelling', ['fleet.read'], []],
  ])('with roles as %s', async (_, roles, expected) => {
    const token = await make({ claims: { roles } });
    expect((await makeVerifyToken(rules)(`bearer   ${token} `)).roles).toEqual(expected);
  });

  test('with claims that settings name otherwise', async () => {
    const other = { ...rules, rolesClaim: 'scope', principalClaim: 'sub' };
    const token = await make({ claims: { sub: 'a runbook', scope: 'Fleet.Operate', oid: undefined } });
    expect(await makeVerifyToken(other)(`Bearer ${token}`)).toEqual({
      principalId: 'a runbook',
      roles: ['Fleet.Operate'],
    });
  });

  test.each([
    ['RS512', 'rsa', rsa.privateKey],
    ['PS256', 'rsa', rsa.privateKey],
    ['ES256', 'ec', ec.privateKey],
    ['EdDSA', 'ed', ed.privateKey],
  ])('signed with %s', async (alg, kid, key) => {
    const token = await make({ header: { alg, kid }, key });
    expect((await makeVerifyToken(rules)(`Bearer ${token}`)).principalId).toBe('anna');
  });

  test('that names no key, where only one fits', async () => {
    const token = await make({ header: { alg: 'ES256' }, key: ec.privateKey, namesNoKey: true });
    expect((await makeVerifyToken(rules)(`Bearer ${token}`)).principalId).toBe('anna');
  });

  test('for several audiences, one of them ours', async () => {
    const token = await make({ claims: { aud: ['api://other', 'c0ffee'] } });
    expect((await makeVerifyToken(rules)(`Bearer ${token}`)).principalId).toBe('anna');
  });

  test.each([
    ['expired 30 s ago', { exp: -30 }],
    ['valid in 30 s', { nbf: 30 }],
  ])('%s: the clocks may differ by a minute', async (_, shift: { exp?: number; nbf?: number }) => {
    const claims = Object.fromEntries(
      Object.entries(shift).map(([name, by]) => [name, seconds() + (by ?? 0)]),
    );
    const token = await make({ claims });
    expect((await makeVerifyToken(rules)(`Bearer ${token}`)).principalId).toBe('anna');
  });
});

describe('a token that is refused', () => {
  test.each([
    ['nothing', undefined, 'TokenMissing'],
    ['blank', '  ', 'TokenMissing'],
    ['another scheme', 'Basic YTpi', 'TokenMissing'],
    ['a scheme that begins alike', 'BearerX abc', 'TokenMissing'],
    ['an empty token', 'Bearer ', 'TokenMissing'],
    ['no JWT', 'Bearer abc', 'TokenMalformed'],
    ['two tokens', 'Bearer a.b.c d.e.f', 'TokenMalformed'],
    ['five parts', 'Bearer a.b.c.d.e', 'TokenMalformed'],
    ['far too long', `Bearer ${'a'.repeat(20_000)}`, 'TokenMalformed'],
    ['no JSON inside', `Bearer e30.${Buffer.from('x').toString('base64url')}.AAAA`, 'TokenMalformed'],
  ])('%s', async (_, authorization, code) => {
    expect((await refusal(authorization)).code).toBe(code);
    expect(asked).toEqual([]);
  });

  test.each([
    ['of another issuer', { claims: { iss: 'https://sts.windows.net/other/' } }, 'TokenIssuerWrong'],
    ['of an issuer that differs by a slash', { claims: { iss: 'SLASH' } }, 'TokenIssuerWrong'],
    ['without an issuer', { claims: { iss: undefined } }, 'TokenIssuerWrong'],
    ['for another audience', { claims: { aud: 'https://vault.azure.net' } }, 'TokenAudienceWrong'],
    ['for no audience', { claims: { aud: undefined } }, 'TokenAudienceWrong'],
    ['expired', { claims: { exp: 1_700_000_000 } }, 'TokenExpired'],
    ['without an end', { claims: { exp: undefined } }, 'TokenMalformed'],
    ['with an end that is text', { claims: { exp: 'never' } }, 'TokenMalformed'],
    ['not yet valid', { claims: { nbf: 4_000_000_000 } }, 'TokenNotYetValid'],
    ['without who bears it', { claims: { oid: undefined } }, 'TokenMalformed'],
    ['with an empty bearer', { claims: { oid: '' } }, 'TokenMalformed'],
    ['with a bearer that is no text', { claims: { oid: 7 } }, 'TokenMalformed'],
    ['with a bearer that is too long', { claims: { oid: 'a'.repeat(201) } }, 'TokenMalformed'],
    ['by a key that the issuer has not', { header: { kid: 'gone' } }, 'TokenKeyUnknown'],
    ['by a stranger under a key id of the issuer', { key: stranger.privateKey }, 'TokenSignatureWrong'],
    [
      'with a header that must be understood',
      { header: { crit: ['strange'], strange: 1 } },
      'TokenMalformed',
    ],
  ])('%s', async (_, made: Made, code) => {
    const isSlash = made.claims?.['iss'] === 'SLASH';
    const token = await make(isSlash ? { claims: { iss: `${issuer}/` } } : made);
    const error = await refusal(`Bearer ${token}`);
    expect(error.code).toBe(code);
    expect(error.retryable).toBe(false);
  });

  test('alg none, with and without a signature', async () => {
    const [, claims] = (await make()).split('.');
    for (const header of [{ alg: 'none' }, { alg: 'none', kid: 'rsa' }, { alg: 'NONE', kid: 'rsa' }]) {
      expect((await refusal(`Bearer ${encode(header)}.${claims}.`)).code).toBe('TokenAlgorithmRefused');
      expect((await refusal(`Bearer ${encode(header)}.${claims}.AAAA`)).code).toBe('TokenAlgorithmRefused');
    }
  });

  test("HS256 with the issuer's public key as the secret", async () => {
    const [, claims] = (await make()).split('.');
    const signed = `${encode({ alg: 'HS256', kid: 'rsa' })}.${claims}`;
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
    for (const secret of [pem, der]) {
      const signature = createHmac('sha256', secret).update(signed).digest('base64url');
      expect((await refusal(`Bearer ${signed}.${signature}`)).code).toBe('TokenAlgorithmRefused');
    }
  });

  test('a changed claim', async () => {
    const [header, claims = '', signature] = (await make()).split('.');
    const forged = { ...JSON.parse(Buffer.from(claims, 'base64url').toString()), roles: ['Dek.Assign'] };
    const error = await refusal(`Bearer ${header}.${encode(forged)}.${signature}`);
    expect(error.code).toBe('TokenSignatureWrong');
  });

  test('no word of the token is in the error', async () => {
    const token = await make({ claims: { aud: 'elsewhere', secret: 'do-not-log' } });
    const error = await refusal(`Bearer ${token}`);
    const told = `${inspect(error, { depth: 10 })} ${JSON.stringify(error)}`;
    expect(told).not.toContain('do-not-log');
    expect(told).not.toContain(token.slice(0, 20));
    expect(error.cause).not.toHaveProperty('payload');
  });
});

describe('the keys of the issuer', () => {
  test('are asked for once, however many callers there are', async () => {
    const verify = makeVerifyToken(rules);
    const token = await make();
    await Promise.all(Array.from({ length: 20 }, () => verify(`Bearer ${token}`)));
    await verify(`Bearer ${token}`);
    expect(asked).toEqual([DISCOVERY, KEYS]);
  });

  test('are where a setting says, and nobody is asked where', async () => {
    answers.delete(DISCOVERY);
    const verify = makeVerifyToken({ ...rules, jwksUri: `${issuer}${KEYS}` });
    expect((await verify(`Bearer ${await make()}`)).principalId).toBe('anna');
    expect(asked).toEqual([KEYS]);
  });

  test('are not asked for again for each unknown key id', async () => {
    const verify = makeVerifyToken(rules);
    for (let index = 0; index < 5; index += 1) {
      const token = await make({ header: { kid: `unknown-${index}` } });
      expect((await refusal(`Bearer ${token}`, verify)).code).toBe('TokenKeyUnknown');
    }
    expect(asked.filter((path) => path === KEYS)).toHaveLength(1);
  });

  test.each([
    ['no discovery document', DISCOVERY, { status: 404, body: {} }],
    ['a fault of the issuer', DISCOVERY, { status: 500, body: {} }],
    ['no JSON', DISCOVERY, { status: 200, body: '<html>' }],
    ['null', DISCOVERY, { status: 200, body: 'null' }],
    ['a document about another issuer', DISCOVERY, { status: 200, body: { issuer: 'https://evil.example' } }],
    ['no address', DISCOVERY, { status: 200, body: { issuer: 'SELF' } }],
    [
      'an address without TLS',
      DISCOVERY,
      { status: 200, body: { issuer: 'SELF', jwks_uri: 'http://evil.example' } },
    ],
    ['an address that is none', DISCOVERY, { status: 200, body: { issuer: 'SELF', jwks_uri: 'keys' } }],
    ['no keys', KEYS, { status: 503, body: {} }],
    ['keys that are none', KEYS, { status: 200, body: { keys: 'none' } }],
  ])('can’t be had: %s; the next caller asks again', async (_, path, answer) => {
    const sound = answers.get(path);
    const body: unknown = JSON.parse(JSON.stringify(answer.body).replace('SELF', issuer));
    answers.set(path, { status: answer.status, body });
    const verify = makeVerifyToken(rules);
    const authorization = `Bearer ${await make()}`;
    const error = await refusal(authorization, verify);
    expect(error).toMatchObject({ code: 'IssuerUnavailable', retryable: true });
    if (sound !== undefined) answers.set(path, sound);
    expect((await verify(authorization)).principalId).toBe('anna');
  });

  test('are looked at for health, and asked for no more often than for tokens', async () => {
    const keys = makeIssuerKeys(issuer, null);
    await keys.check();
    await keys.check();
    await makeVerifyToken(rules, keys)(`Bearer ${await make()}`);
    expect(asked).toEqual([DISCOVERY, KEYS]);
    answers.set(KEYS, { status: 503, body: {} });
    await expect(makeIssuerKeys(issuer, null).check()).rejects.toMatchObject({ code: 'IssuerUnavailable' });
  });

  test('can’t be had where nobody listens', async () => {
    const gone = { ...rules, jwksUri: 'http://127.0.0.1:1/keys' };
    expect((await refusal(`Bearer ${await make()}`, makeVerifyToken(gone))).code).toBe('IssuerUnavailable');
  });
});

test('without an issuer nobody is known', async () => {
  expect((await refusal('Bearer a.b.c', makeVerifyToken(null))).code).toBe('AuthNotConfigured');
});
