// What callers send: requests of every route, cursors, ETags, tokens, public keys.
import { generateKeyPairSync } from 'node:crypto';
import { CompactSign, createLocalJWKSet, exportJWK } from 'jose';
import * as z from 'zod';
import { makeCursors } from '../../../functions/http/cursor.ts';
import { parseTagList, readPreconditions, toEntityTag } from '../../../functions/http/etag.ts';
import { parseRequest } from '../../../functions/http/parse-request.ts';
import type { RouteName } from '../../../shared/api/paths.ts';
import { routes } from '../../../shared/api/routes.ts';
import { Dek } from '../../../shared/domain/dek.ts';
import { makeDekSealer } from '../../../shared/jose/seal-dek.ts';
import { makeVerifyToken } from '../../../shared/jose/verify-token.ts';
import { toJsonText } from '../edits.ts';
import { jsonTarget, type Target, textTarget, valueTarget } from '../target.ts';

const V = 'a'.repeat(32);
const KEY = 'https://v1.vault.azure.net/keys/k1';
const access = {
  kind: 'postgres',
  host: 'db-1.example.com',
  port: 5432,
  maintenanceDatabase: 'cmk_admin',
  excludeDatabases: ['azure_sys'],
  user: 'cmk',
  tls: 'verify-full',
  auth: { kind: 'setting', name: 'PGCMK_SECRET_DB' },
};
const wrappedDek = {
  kekVersion: V,
  algorithm: 'RSA-OAEP-256',
  format: 'bound-1',
  dekId: V,
  ciphertext: 'A'.repeat(342),
};
const register = {
  keyId: KEY,
  access,
  keyLossPolicy: 'drain',
  drainSeconds: 5,
  principalId: 'p',
  labels: { team: 'a' },
  wrappedDek,
};
const policy = {
  expiredKeyPolicy: 'warn',
  transientBuffer: 'alert',
  rewrapPaused: true,
  canaryServers: ['db-1'],
  waveServers: 20,
  haltAfterFailures: null,
};

const BODIES: Partial<Record<RouteName, unknown>> = {
  registerServer: register,
  revokeServer: { reason: 'because' },
  revokeKey: { reason: 'because' },
  moveServer: { keyId: KEY },
  copyServer: {
    serverId: 'copy-1',
    kind: 'restore',
    access,
    principalId: null,
    keyId: KEY,
    labels: { a: 'b' },
  },
  releaseDek: { publicKey: { kty: 'OKP', crv: 'X25519', x: 'x' } },
  changePolicy: policy,
  startRewrap: { dryRun: true },
};
const PARAMS = { serverId: 'db-1', vault: 'v1.vault.azure.net', name: 'k1', version: V };
const QUERIES: Partial<Record<RouteName, object>> = {
  listServers: { key: KEY, state: 'Ready', version: V, limit: '10', cursor: 'c' },
  registerServer: { validateOnly: 'true' },
  deleteServer: { force: 'true', purge: 'dek' },
  listKeys: { vault: 'v1.vault.azure.net', limit: '1000' },
  readKey: { count: 'now' },
  readImpact: { of: 'expire', version: V, limit: '100' },
  readAudit: { key: KEY, server: 'db-1', from: '2030-01-01T00:00:00Z', limit: '1' },
};

const names = Object.keys(routes).filter((name): name is RouteName => Object.hasOwn(routes, name));
/** A header that no connection carries isn't sent. */
function headersOf(type: unknown): Headers {
  try {
    return new Headers({ 'content-type': String(type) });
  } catch {
    return new Headers();
  }
}

const bodyTargets = names
  .filter((name) => routes[name].body !== null)
  .map((name) =>
    jsonTarget({
      name: `HTTP bodies: ${name}`,
      codes: ['InvalidRequest', 'BodyTooLarge'],
      examples: [JSON.stringify(BODIES[name])],
      parse: (text) => {
        const bytes = new TextEncoder().encode(text);
        return parseRequest(routes[name], {
          url: 'https://app.example/api/x',
          params: PARAMS,
          headers: headersOf('application/json'),
          arrayBuffer: async () => bytes.buffer,
        });
      },
    }),
  );

/** As a URL has it, so text each; what a URL can't hold isn't sent. */
function toUrl(query: unknown): string {
  const url = new URL('https://app.example/api/x');
  for (const [name, value] of Object.entries(Object(query)))
    url.searchParams.append(name, typeof value === 'string' ? value : toJsonText(value));
  return url.href;
}

const toTexts = (params: unknown) =>
  Object.fromEntries(
    Object.entries(Object(params)).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : toJsonText(value),
    ]),
  );

const requestTarget = valueTarget({
  name: 'HTTP queries and parameters',
  codes: ['InvalidRequest', 'ContentTypeRefused'],
  examples: names.map((route) => ({
    route,
    query: QUERIES[route] ?? {},
    params: PARAMS,
    type: 'application/json',
  })),
  parse: (input) => {
    const { route, query, params, type } = Object(input);
    const name = names.find((one) => one === route) ?? 'listServers';
    const body = new TextEncoder().encode(JSON.stringify(BODIES[name] ?? {}));
    return parseRequest(routes[name], {
      url: toUrl(query),
      params: toTexts(params),
      headers: headersOf(type),
      arrayBuffer: async () => body.buffer,
    });
  },
});

const cursorKey = generateKeyPairSync('ed25519').privateKey;
const cursors = makeCursors(cursorKey);
const scope = { listing: 'servers', filters: { state: 'Ready' } };
const Position = z.object({ after: z.string() });

const NOW = new Date('2030-01-01T00:00:00Z');
const rules = {
  issuer: 'https://issuer.example',
  audiences: ['api://pg-cmk'],
  jwksUri: null,
  rolesClaim: 'roles',
  principalClaim: 'oid',
};
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const getKey = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] });
const verifyToken = makeVerifyToken(rules, { getKey, check: async () => null }, () => NOW);
const CLAIMS = {
  iss: rules.issuer,
  aud: 'api://pg-cmk',
  oid: 'anna',
  roles: ['Fleet.Read'],
  exp: 1_893_459_600,
};
/** As bytes: an issuer may write what nothing here would. */
const signed = (claims: string) =>
  new CompactSign(new TextEncoder().encode(claims))
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: 'k' })
    .sign(privateKey);
const token = await signed(JSON.stringify(CLAIMS));

const TOKEN_CODES = [
  'TokenMissing',
  'TokenMalformed',
  'TokenAlgorithmRefused',
  'TokenKeyUnknown',
  'TokenSignatureWrong',
  'TokenIssuerWrong',
  'TokenAudienceWrong',
  'TokenExpired',
  'TokenNotYetValid',
];

const publicKeys = [
  { kty: 'OKP', crv: 'X25519', x: 'hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo' },
  Object(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })),
];

export const httpTargets: readonly Target[] = [
  ...bodyTargets,
  requestTarget,
  textTarget({
    name: 'cursors',
    codes: ['InvalidCursor'],
    // What the schema of a query lets through.
    most: 2000,
    examples: [cursors.seal(scope, { after: 'db-1' })],
    parse: (text) => cursors.open(scope, text, Position),
  }),
  textTarget({
    name: 'If-Match and If-None-Match',
    codes: ['InvalidRequest', 'PreconditionFailed'],
    examples: [toEntityTag('W/"1"'), `"a", ${toEntityTag('W/"1"')}`, '*'],
    parse: (text) => {
      parseTagList('If-Match', text);
      return readPreconditions({ ifMatch: text, ifNoneMatch: null }, async () => 'W/"1"');
    },
  }),
  textTarget({
    name: 'bearer tokens',
    codes: TOKEN_CODES,
    examples: [`Bearer ${token}`],
    parse: verifyToken,
    share: 0.5,
  }),
  jsonTarget({
    name: 'claims that the issuer signed',
    codes: TOKEN_CODES,
    examples: [CLAIMS, { ...CLAIMS, roles: 'Fleet.Read Fleet.Operate', nbf: 1_893_455_000 }].map((claims) =>
      JSON.stringify(claims),
    ),
    parse: async (claims) => verifyToken(`Bearer ${await signed(claims)}`),
    share: 0.3,
    // A longer token is refused before it is read.
    most: 12_000,
  }),
  valueTarget({
    name: 'public keys to seal to',
    codes: ['InvalidPublicKey'],
    examples: publicKeys,
    parse: async (jwk) => {
      using dek = new Dek(new Uint8Array(32));
      const context = { serverId: 'db-1', dekId: dek.id, releasedAt: NOW, leaseExpiresOn: NOW };
      return await makeDekSealer().seal(dek, jwk, context);
    },
    share: 0.3,
  }),
];
