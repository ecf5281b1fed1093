// The managed identity of App Service, for one machine: the endpoint that the real ManagedIdentityCredential asks for
// tokens, and an issuer whose keys and discovery document anybody may read.

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';

export interface IdentityEmulator {
  readonly url: string;
  /** IDENTITY_ENDPOINT and IDENTITY_HEADER, as App Service sets them. */
  readonly env: Readonly<Record<string, string>>;
  /** The object id of the identity, `oid` in its tokens. */
  readonly principalId: string;
  /** What a user-assigned identity is asked for by; `appid` in its tokens. */
  readonly clientId: string;
  /** Whether this issuer made the token, for that audience where one is given, and it is valid now. */
  verify(token: string, audience?: string): Promise<boolean>;
  /** A token for a caller of the app's own API: a person, a runbook, a server. */
  issueFor(caller: TokenRequest): Promise<string>;
  /** While on, no token is given out: 500. */
  setOutage(on: boolean): void;
  stop(): Promise<void>;
}

/** A caller of the API, as its token names it. */
export interface TokenRequest {
  /** `oid` of the token. */
  readonly principalId: string;
  readonly roles: readonly string[];
  readonly audience?: string;
  /** Below 0: it has expired already. */
  readonly lifetimeSeconds?: number;
  /** Seconds from now on. */
  readonly validAfterSeconds?: number;
}

/** The audience of the app's own API on this machine. */
export const API_AUDIENCE = 'api://pg-cmk';

export interface IdentityOptions {
  readonly principalId?: string;
  readonly clientId?: string;
}

const LIFETIME_SECONDS = 3600;
const API_VERSION = '2019-08-01';
const KEY_ID = 'local';

export async function startIdentityEmulator(options: IdentityOptions = {}): Promise<IdentityEmulator> {
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: KEY_ID, alg: 'RS256', use: 'sig' }] };
  const keys = createLocalJWKSet(jwks);
  const secret = randomUUID();
  const { principalId = randomUUID(), clientId = randomUUID() } = options;
  let outage = false;
  let url = '';

  const issue = async (resource: string) => {
    const now = Math.floor(Date.now() / 1000);
    const token = await new SignJWT({ oid: principalId, appid: clientId, ver: '1.0' })
      .setProtectedHeader({ alg: 'RS256', kid: KEY_ID })
      .setIssuer(url)
      .setAudience(resource)
      .setSubject(principalId)
      .setIssuedAt(now)
      .setNotBefore(now - 60)
      .setExpirationTime(now + LIFETIME_SECONDS)
      .sign(privateKey);
    return {
      access_token: token,
      client_id: clientId,
      expires_on: String(now + LIFETIME_SECONDS),
      resource,
      token_type: 'Bearer',
    };
  };

  const issueFor = (caller: TokenRequest): Promise<string> => {
    const now = Math.floor(Date.now() / 1000);
    const { principalId: oid, roles, audience = API_AUDIENCE } = caller;
    return new SignJWT({ oid, roles: [...roles], ver: '2.0' })
      .setProtectedHeader({ alg: 'RS256', kid: KEY_ID, typ: 'JWT' })
      .setIssuer(url)
      .setAudience(audience)
      .setSubject(oid)
      .setIssuedAt(now)
      .setNotBefore(now + (caller.validAfterSeconds ?? -60))
      .setExpirationTime(now + (caller.lifetimeSeconds ?? LIFETIME_SECONDS))
      .sign(privateKey);
  };

  /** As a person signs in: GET /login?principal=anna&roles=Fleet.Read,Fleet.Operate answers as an OAuth token endpoint does. */
  const login = async ({ searchParams }: URL): Promise<string | undefined> => {
    const principalId = searchParams.get('principal') ?? '';
    const roles = (searchParams.get('roles') ?? '').split(',').filter((role) => role !== '');
    return principalId === '' ? undefined : issueFor({ principalId, roles });
  };

  const discovery = () => ({
    issuer: url,
    jwks_uri: `${url}/keys`,
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['token'],
    subject_types_supported: ['pairwise'],
  });

  const answer = async (request: IncomingMessage): Promise<{ status: number; body: unknown }> => {
    const asked = new URL(request.url ?? '/', url);
    if (asked.pathname === '/login') {
      const token = await login(asked);
      return token === undefined
        ? { status: 400, body: { message: 'principal is missing' } }
        : { status: 200, body: { access_token: token, token_type: 'Bearer', expires_in: LIFETIME_SECONDS } };
    }
    if (asked.pathname === '/.well-known/openid-configuration') {
      return { status: 200, body: discovery() };
    }
    if (asked.pathname === '/keys') return { status: 200, body: jwks };
    if (asked.pathname !== '/msi/token') return { status: 404, body: { message: 'not found' } };
    if (request.headers['x-identity-header'] !== secret)
      return { status: 403, body: { message: 'wrong header' } };
    if (outage) return { status: 500, body: { statusCode: 500, message: 'no token can be had' } };
    const resource = asked.searchParams.get('resource');
    if (resource === null) return { status: 400, body: { statusCode: 400, message: 'resource is missing' } };
    if (asked.searchParams.get('api-version') !== API_VERSION) {
      return { status: 400, body: { statusCode: 400, message: `api-version must be ${API_VERSION}` } };
    }
    // Without a client id the system-assigned identity is meant: here one identity plays both parts.
    if ((asked.searchParams.get('client_id') ?? clientId) !== clientId) {
      return { status: 400, body: { statusCode: 400, message: 'no managed identity has this client id' } };
    }
    return { status: 200, body: await issue(resource) };
  };

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const { status, body } = await answer(request);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;

  return {
    url,
    env: { IDENTITY_ENDPOINT: `${url}/msi/token`, IDENTITY_HEADER: secret },
    principalId,
    clientId,
    issueFor,
    verify: async (token, audience) => {
      try {
        await jwtVerify(token, keys, {
          issuer: url,
          algorithms: ['RS256'],
          ...(audience === undefined ? {} : { audience }),
        });
        return true;
      } catch {
        return false;
      }
    },
    setOutage: (on) => {
      outage = on;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
