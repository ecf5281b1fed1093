// Who may call the API, tried on the running app over HTTP: every kind of token that must be refused, each by its own
// code, and what each role may not do.
import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { decodeProtectedHeader, type JSONWebKeySet, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startIdentityEmulator } from '../../local/identity.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { routes } from '../../shared/api/routes.ts';
import { ROLES, type Role } from '../../shared/domain/caller.ts';
import { type KekId, keyUrl, parseKekId } from '../../shared/domain/key-id.ts';

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('the API of the running app', () => {
  let stack: Stack;
  let kek: KekId;
  const ownId = 'identity-of-server-1';

  beforeAll(async () => {
    stack = await startStack({
      times: { probeSeconds: 59, sweepSeconds: 59, confirmSuspectSeconds: 5 },
      vaults: ['contoso'],
      settings: {},
      onHostLog: () => undefined,
    });
    const vault = stack.vaultEmulator.vault('contoso');
    kek = parseKekId(vault.host, 'kek');
    await vault.createKey('kek');
    const registered = await call('PUT', '/servers/server-1', await stack.token(), {
      keyId: keyUrl(kek),
      principalId: ownId,
    });
    expect(registered.status).toBe(201);
  }, 60_000);
  afterAll(() => stack?.stop());

  const call = async (method: string, path: string, token: string | null, body?: unknown) => {
    const answer = await fetch(`${stack.apiUrl}${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: what came is what the tests look at
    const told: any = await answer.json();
    return { status: answer.status, headers: answer.headers, body: told };
  };
  const refusal = async (token: string | null) => {
    const { status, body, headers } = await call('GET', '/servers', token);
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toMatch(/^Bearer/);
    return body.code;
  };
  const anna = { principalId: 'anna', roles: ['Fleet.Read'] };

  test('a token of the issuer is taken, with the vault’s port in a path too', async () => {
    const token = await stack.identity.issueFor(anna);
    const page = await call('GET', '/servers', token);
    expect(page.body.servers).toMatchObject([{ serverId: 'server-1', principalId: ownId }]);
    const key = await call('GET', `/keys/${encodeURIComponent(kek.vault)}/kek`, token);
    expect(key.body).toMatchObject({ keyId: keyUrl(kek) });
  });

  test('no route but health and the OpenAPI document is open', async () => {
    for (const { method, path, role } of Object.values(routes)) {
      const filled = path.replaceAll(/\{\w+\}/g, 'x');
      const { status, body } = await call(method, `/${filled}`, null);
      const expected = role === null ? 200 : 401;
      expect({ path, method, status, code: body.code }).toEqual({
        path,
        method,
        status: expected,
        code: role === null ? undefined : 'TokenMissing',
      });
    }
  });

  test('wrong issuer', async () => {
    const other = await startIdentityEmulator();
    expect(await refusal(await other.issueFor(anna))).toBe('TokenIssuerWrong');
    await other.stop();
  });

  test('wrong audience: a token for the vault, of the very same issuer', async () => {
    const audience = 'https://vault.azure.net';
    expect(await refusal(await stack.identity.issueFor({ ...anna, audience }))).toBe('TokenAudienceWrong');
  });

  test('expired', async () => {
    const token = await stack.identity.issueFor({ ...anna, lifetimeSeconds: -61 });
    expect(await refusal(token)).toBe('TokenExpired');
  });

  test('not yet valid', async () => {
    const token = await stack.identity.issueFor({ ...anna, validAfterSeconds: 120 });
    expect(await refusal(token)).toBe('TokenNotYetValid');
  });

  test('alg none', async () => {
    const [, claims] = (await stack.identity.issueFor(anna)).split('.');
    expect(await refusal(`${encode({ alg: 'none' })}.${claims}.`)).toBe('TokenAlgorithmRefused');
  });

  test('HS256 with the public key', async () => {
    const sound = await stack.identity.issueFor(anna);
    const { kid } = decodeProtectedHeader(sound);
    const answer = await fetch(`${stack.identity.url}/keys`);
    const jwks = (await answer.json()) as JSONWebKeySet;
    const [jwk] = jwks.keys;
    if (jwk === undefined) throw new Error('the issuer has no key');
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const signed = `${encode({ alg: 'HS256', kid })}.${sound.split('.')[1]}`;
    const secret = key.export({ type: 'spki', format: 'pem' });
    const signature = createHmac('sha256', secret).update(signed).digest('base64url');
    expect(await refusal(`${signed}.${signature}`)).toBe('TokenAlgorithmRefused');
  });

  const forge = (kid: string) =>
    new SignJWT({ oid: 'mallory', roles: [...ROLES] })
      .setProtectedHeader({ alg: 'RS256', kid })
      .setIssuer(stack.identity.url)
      .setAudience('api://pg-cmk')
      .setExpirationTime('1h')
      .sign(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);

  test('unknown kid', async () => {
    expect(await refusal(await forge('nobody-knows'))).toBe('TokenKeyUnknown');
  });

  test('a key id of the issuer, and another’s signature', async () => {
    const { kid = '' } = decodeProtectedHeader(await stack.identity.issueFor(anna));
    expect(await refusal(await forge(kid))).toBe('TokenSignatureWrong');
  });

  test('no JWT at all', async () => {
    expect(await refusal('abc')).toBe('TokenMalformed');
  });

  test('missing role: a reader can’t operate, an operator can’t read or retire', async () => {
    const reader = await stack.token(['Fleet.Read'], 'anna');
    const operator = await stack.token(['Fleet.Operate'], 'anna');
    const cases = [
      ['PUT', '/servers/server-2', reader, 'Fleet.Operate'],
      ['POST', '/servers/server-1/revoke', reader, 'Fleet.Operate'],
      ['GET', '/servers/server-1', operator, 'Fleet.Read'],
      ['POST', `/keys/${kek.vault}/kek/versions/${'0'.repeat(32)}/retire`, operator, 'Keys.Retire'],
      ['POST', '/servers/server-1/dek', operator, 'Dek.Unwrap'],
    ] as const;
    for (const [method, path, token, role] of cases) {
      const { status, body } = await call(method, path, token);
      expect({ path, status, code: body.code, role: body.role }).toEqual({
        path,
        status: 403,
        code: 'RoleMissing',
        role,
      });
    }
  });

  test('another server’s identity gets no DEK', async () => {
    const { publicKey } = generateKeyPairSync('x25519');
    const body = { publicKey: publicKey.export({ format: 'jwk' }) };
    const other = await stack.token(['Dek.Unwrap'], 'identity-of-server-2');
    const refused = await call('POST', '/servers/server-1/dek', other, body);
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 403,
      code: 'PrincipalMismatch',
    });
    const own = await stack.token(['Dek.Unwrap'], ownId);
    expect((await call('POST', '/servers/server-1/dek', own, body)).status).toBe(200);
  });

  test('an operator without Dek.Assign changes no principal, copies, moves, imports and purges nothing', async () => {
    const all: readonly Role[] = ROLES.filter((role) => role !== 'Dek.Assign');
    const operator = await stack.token(all, 'anna');
    const keyId = keyUrl(kek);
    const before = await call('GET', '/servers/server-1', operator);
    const { wrappedDek } = (await call('PUT', '/servers/server-1', operator, { keyId })).body;
    const cases = [
      ['PUT', '/servers/server-1', { keyId, principalId: 'anna' }],
      ['PUT', '/servers/server-1', { keyId, principalId: null }],
      ['PUT', '/servers/server-3', { keyId, principalId: 'anna' }],
      ['PUT', '/servers/server-3', { keyId, wrappedDek }],
      ['POST', '/servers/server-1/copies', { serverId: 'server-3', kind: 'replica' }],
      ['PUT', '/servers/server-1/key', { keyId: `${keyId}x` }],
      ['DELETE', '/servers/server-1?purge=dek&force=true', undefined],
    ] as const;
    for (const [method, path, body] of cases) {
      const refused = await call(method, path, operator, body);
      expect({ path, status: refused.status, code: refused.body.code, role: refused.body.role }).toEqual({
        path,
        status: 403,
        code: 'RoleMissing',
        role: 'Dek.Assign',
      });
    }
    const after = await call('GET', '/servers/server-1', operator);
    expect(after.body.principalId).toBe(ownId);
    expect(after.body.dekId).toBe(before.body.dekId);
    expect((await call('GET', '/servers/server-3', operator)).body.code).toBe('ServerNotFound');
  });
});
