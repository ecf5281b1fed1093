import { ManagedIdentityCredential } from '@azure/identity';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { API_AUDIENCE, type IdentityEmulator, startIdentityEmulator } from '../../local/identity.ts';

const scope = 'https://vault.azure.net/.default';
const resource = 'https://vault.azure.net';
let identity: IdentityEmulator;
const before = { ...process.env };

beforeAll(async () => {
  identity = await startIdentityEmulator();
  Object.assign(process.env, identity.env);
});
afterAll(async () => {
  for (const name of Object.keys(identity.env)) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
  await identity.stop();
});
afterEach(() => identity.setOutage(false));

function ask(parameters: Readonly<Record<string, string>>, header = identity.env['IDENTITY_HEADER'] ?? '') {
  const query = new URLSearchParams(parameters);
  return fetch(`${identity.env['IDENTITY_ENDPOINT']}?${query}`, { headers: { 'x-identity-header': header } });
}

describe('the identity endpoint', () => {
  test('serves the real ManagedIdentityCredential, system-assigned and by client id', async () => {
    for (const credential of [
      new ManagedIdentityCredential(),
      new ManagedIdentityCredential({ clientId: identity.clientId }),
    ]) {
      const { token, expiresOnTimestamp } = await credential.getToken(scope);
      expect(expiresOnTimestamp).toBeGreaterThan(Date.now() + 3_500_000);
      expect(decodeJwt(token)).toMatchObject({
        iss: identity.url,
        aud: resource,
        oid: identity.principalId,
        appid: identity.clientId,
      });
      expect(await identity.verify(token)).toBe(true);
      expect(await identity.verify(token, resource)).toBe(true);
      expect(await identity.verify(token, 'https://eventgrid.azure.net')).toBe(false);
    }
  });

  test('answers as App Service does', async () => {
    const answer = await ask({ resource, 'api-version': '2019-08-01' });
    expect(await answer.json()).toEqual({
      access_token: expect.stringMatching(/^ey/),
      expires_on: expect.stringMatching(/^\d+$/),
      resource,
      token_type: 'Bearer',
      client_id: identity.clientId,
    });
  });

  test.each([
    ['no resource', { 'api-version': '2019-08-01' }, 400],
    ['no api-version', { resource }, 400],
    ['a client id that is not assigned', { resource, 'api-version': '2019-08-01', client_id: 'x' }, 400],
  ])('refuses a request with %s', async (_, parameters: Record<string, string>, status) => {
    expect((await ask(parameters)).status).toBe(status);
  });

  test('refuses a wrong secret', async () => {
    expect((await ask({ resource, 'api-version': '2019-08-01' }, 'wrong')).status).toBe(403);
  });

  test('gives out nothing during an outage', async () => {
    identity.setOutage(true);
    const credential = new ManagedIdentityCredential({ retryOptions: { maxRetries: 0 } });
    await expect(credential.getToken('https://elsewhere.azure.net/.default')).rejects.toThrow();
    identity.setOutage(false);
    expect((await credential.getToken('https://elsewhere.azure.net/.default')).token).toMatch(/^ey/);
  });

  test('publishes what a stranger needs to verify its tokens', async () => {
    const discovery: unknown = await (await fetch(`${identity.url}/.well-known/openid-configuration`)).json();
    expect(discovery).toMatchObject({
      issuer: identity.url,
      jwks_uri: expect.stringContaining(identity.url),
    });
    const { token } = await new ManagedIdentityCredential().getToken(scope);
    const keys = createRemoteJWKSet(new URL(`${identity.url}/keys`));
    const { payload } = await jwtVerify(token, keys, { issuer: identity.url, audience: resource });
    expect(payload.sub).toBe(identity.principalId);
  });

  test('signs callers of the API in, by call and over HTTP', async () => {
    const caller = { principalId: 'anna', roles: ['Fleet.Read', 'Fleet.Operate'] };
    const login = `${identity.url}/login?principal=anna&roles=Fleet.Read,Fleet.Operate`;
    const answer: unknown = await (await fetch(login)).json();
    const { access_token: given = '' } = answer as { readonly access_token?: string };
    for (const token of [await identity.issueFor(caller), given]) {
      expect(await identity.verify(token, API_AUDIENCE)).toBe(true);
      expect(decodeJwt(token)).toMatchObject({ oid: 'anna', roles: caller.roles });
    }
    expect((await fetch(`${identity.url}/login?roles=Fleet.Read`)).status).toBe(400);
    expect(await identity.verify(await identity.issueFor({ ...caller, lifetimeSeconds: -1 }))).toBe(false);
    expect(await identity.verify(await identity.issueFor({ ...caller, validAfterSeconds: 60 }))).toBe(false);
  });

  test('takes no token of another issuer, nor a changed one', async () => {
    const other = await startIdentityEmulator();
    const { token } = await new ManagedIdentityCredential().getToken(scope);
    expect(await other.verify(token)).toBe(false);
    const [head, , signature] = token.split('.');
    const payload = Buffer.from(JSON.stringify({ ...decodeJwt(token), oid: 'someone else' })).toString(
      'base64url',
    );
    expect(await identity.verify(`${head}.${payload}.${signature}`)).toBe(false);
    await other.stop();
  });
});
