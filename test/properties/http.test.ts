// Requests as nobody in his right mind makes them: whatever is sent to whatever route, what comes back is in the
// OpenAPI document, and no fault of the app. `FC_RUNS` sets the number of runs.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeOpenApi } from '../../functions/http/openapi.ts';
import { STATUS_OF } from '../../functions/http/problem.ts';
import { Problem } from '../../shared/api/common.ts';
import type { RouteName } from '../../shared/api/paths.ts';
import type { Route } from '../../shared/api/route.ts';
import { routes } from '../../shared/api/routes.ts';
import { ROLES } from '../../shared/domain/caller.ts';
import { keyUrl } from '../../shared/domain/key-id.ts';
import { KEK, makeWorld, VAULT } from '../fakes/world.ts';
import { type Call, makeApi, type Reply } from '../functions/http/api-under-test.ts';

const numRuns = Number(process.env['FC_RUNS'] ?? 100);
const names = Object.keys(routes).filter((name): name is RouteName => Object.hasOwn(routes, name));
const documented = makeOpenApi('1.2.3').paths ?? {};

const V = 'a'.repeat(32);
const OTHER = { vault: 'beta.vault.azure.net', name: 'other' };
/** Stands for the version that the servers are under. */
const VERSION = '{version}';
const JWK = { kty: 'OKP', crv: 'X25519', x: 'hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo' };

/** What is sound, so that requests get past the first look, and what is anything but. */
const sound = [
  ...[
    's001',
    's002',
    'fresh',
    'true',
    'false',
    'dek',
    'now',
    'Ready',
    'disable',
    'expire',
    '1',
    '1000',
    'app',
  ],
  ...[V, VAULT, KEK.name, keyUrl(KEK), keyUrl(KEK, V), 'https://beta.vault.azure.net/keys/other'],
  ...['2030-01-01T00:00:00Z', '*', '"Vy8"', 'W/"a", "b"', 'application/json'],
];
const odd = [
  ...[
    '',
    ' ',
    '%',
    '%00',
    '%2e%2e',
    '..',
    '.',
    '%ff',
    '\u0000',
    '\r\nx: y',
    '\u2028',
    '\ud800',
    '𝒳',
    'ſ001',
    'İ',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    "' or 1 eq 1",
    '|',
    's001|',
    '/',
    '\\',
    '-1',
    '1e999',
    '0x10',
    'NaN',
  ],
  ...[
    'null',
    '1.5',
    '9'.repeat(400),
    'x'.repeat(5000),
    'https://evil.example/keys/k',
    'https://[::1]/keys/k',
  ],
  ...['https://alpha.vault.azure.net:99999/keys/fleet', '+275760-09-13T00:00:00Z', '2030-02-30T00:00:00Z'],
];
const text = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...sound) },
  { weight: 3, arbitrary: fc.constantFrom(...odd) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 70 }) },
);
const value = fc.oneof(
  { weight: 3, arbitrary: text },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);

const access = {
  kind: 'postgres',
  host: 'db-9.memory',
  port: 5432,
  maintenanceDatabase: 'cmk_admin',
  excludeDatabases: ['azure_sys'],
  user: 'cmk',
  tls: 'verify-full',
  auth: { kind: 'setting', name: 'PGCMK_SECRET_DB' },
};
const wrappedDek = {
  ...{ kekVersion: VERSION, algorithm: 'RSA-OAEP-256', format: 'bound-1' },
  ...{ dekId: V, ciphertext: 'A'.repeat(342) },
};

const register = { keyId: keyUrl(KEK), access, labels: { team: 'a' }, principalId: 'p' };
const copy = { serverId: 'copy-1', access, labels: { team: 'a' } };

/** What goes through as it is, where the state of things lets it. */
const BODIES: Partial<Record<RouteName, readonly unknown[]>> = {
  registerServer: [register, { keyId: `${keyUrl(KEK)}/${VERSION}` }, { ...register, wrappedDek }],
  revokeServer: [{ reason: 'because' }],
  revokeKey: [{ reason: 'because' }],
  moveServer: [{ keyId: keyUrl(OTHER) }, { keyId: keyUrl(KEK) }, { keyId: `${keyUrl(KEK)}/${VERSION}` }],
  copyServer: [
    { ...copy, kind: 'restore', keyId: keyUrl(OTHER) },
    { ...copy, kind: 'replica' },
  ],
  releaseDek: [{ publicKey: JWK }],
  changePolicy: [{ rewrapPaused: true, canaryServers: ['s001'], waveServers: 5, haltAfterFailures: null }],
  startRewrap: [{ dryRun: true }, { dryRun: false }],
};

/** Of the parts of paths, and of queries, by their names. */
const SOUND: Readonly<Record<string, readonly string[]>> = {
  serverId: ['s001', 's002', 'fresh', 'copy-1'],
  vault: [VAULT, VAULT, VAULT, 'beta.vault.azure.net', 'evil.example'],
  name: [KEK.name, KEK.name, KEK.name, OTHER.name],
  version: [VERSION, VERSION, V],
  key: [keyUrl(KEK), keyUrl(OTHER)],
  server: ['s001', 'fresh'],
  state: ['Ready', 'Revoking'],
  limit: ['1', '100'],
  of: ['disable', 'delete', 'expire'],
  count: ['now'],
  validateOnly: ['true', 'false'],
  force: ['true', 'false'],
  purge: ['dek'],
  from: ['2030-01-01T00:00:00Z'],
  to: ['2031-01-01T00:00:00.000Z'],
  cursor: ['eyJ9.AAAA'],
};

type Path = readonly (string | number)[];

/** Every place in a body, the body itself first. */
function placesOf(body: unknown, path: Path = []): readonly Path[] {
  if (typeof body !== 'object' || body === null) return [path];
  const members = Object.entries(body).map(([name, member]) => placesOf(member, [...path, name]));
  return [path, ...members.flat()];
}

/** @param member undefined: it is left out */
function replaced(body: unknown, [name, ...rest]: Path, member: unknown): unknown {
  if (name === undefined) return member;
  if (typeof body !== 'object' || body === null) return body;
  const entries = Object.entries(body).map(([one, was]) => [
    one,
    one === String(name) ? replaced(was, rest, member) : was,
  ]);
  const object: unknown = Object.fromEntries(entries);
  return Array.isArray(body) ? entries.map(([, one]) => one) : object;
}

const bodyOf = (name: RouteName): fc.Arbitrary<unknown> => {
  const bodies = BODIES[name];
  if (bodies === undefined) return fc.option(value, { nil: undefined, freq: 8 });
  const changed = fc.constantFrom(...bodies).chain((body) =>
    fc
      .array(fc.tuple(fc.constantFrom(...placesOf(body)), fc.oneof(value, fc.constant(undefined))), {
        maxLength: 3,
      })
      .map((changes) =>
        changes.reduce<unknown>((sum, [place, member]) => replaced(sum, place, member), body),
      ),
  );
  return fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...bodies) },
    { weight: 6, arbitrary: changed },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
    { weight: 1, arbitrary: value },
  );
};

/** As headers may be: no line breaks, no NUL, Latin-1. */
const header = text.map((one) => one.replaceAll(/[^\x20-\x7e\xa0-\xff]/g, '?').slice(0, 3000));

const spelling = fc.constantFrom('%', '%zz', '%00', '%c0%af', 's001%00', '%EF%BB%BFs001', '%2F', 'S001');
const oddSegment = fc.oneof(
  text.filter((one) => !/^\.*$/.test(one)).map((one) => encodeURIComponent(one.toWellFormed())),
  spelling,
);
const pathOf = ({ path }: Route) =>
  fc.tuple(
    ...path.split('/').map((part) => {
      if (!part.startsWith('{')) return fc.constant(part);
      const sane = fc.constantFrom(...(SOUND[part.slice(1, -1)] ?? []));
      return fc.oneof({ weight: 12, arbitrary: sane }, { weight: 1, arbitrary: oddSegment });
    }),
  );

const queryOf = ({ query }: Route): fc.Arbitrary<readonly (readonly [string, string])[]> => {
  const known = Object.keys(query.shape);
  const anything = fc.tuple(fc.constantFrom(...known, '__proto__', 'unknown'), text);
  const sane = known.map((name) => fc.tuple(fc.constant(name), fc.constantFrom(...(SOUND[name] ?? ['1']))));
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant([]) },
    ...(sane.length === 0
      ? []
      : [
          {
            weight: 6,
            arbitrary: fc.uniqueArray(fc.oneof(...sane), { maxLength: 3, selector: ([name]) => name }),
          },
        ]),
    { weight: 2, arbitrary: fc.array(anything, { maxLength: 3 }) },
  );
};

const headersOf = fc.dictionary(
  fc.constantFrom('if-match', 'if-none-match', 'content-type', 'content-length', 'x-forwarded-host'),
  header,
  { maxKeys: 2, noNullPrototype: true },
);

interface Request {
  readonly name: RouteName;
  readonly path: readonly string[];
  readonly query: readonly (readonly [string, string])[];
  readonly call: Call;
}

const request: fc.Arbitrary<Request> = fc.constantFrom(...names).chain((name) => {
  const route: Route = routes[name];
  return fc.record({
    name: fc.constant(name),
    path: pathOf(route),
    query: queryOf(route),
    call: fc.record({
      roles: fc.constant(ROLES),
      principalId: fc.constantFrom('p', 'anna'),
      body: route.method === 'GET' ? fc.constant(undefined) : bodyOf(name),
      headers: fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headersOf }),
    }),
  });
});

/** @param version what VERSION stands for */
async function send(api: ReturnType<typeof makeApi>, version: string, request: Request): Promise<Reply> {
  const { name, path, query, call } = request;
  const put = (said: string) => said.replaceAll(VERSION, version);
  const search = new URLSearchParams(
    query.map(([one, said]): [string, string] => [one, put(said.toWellFormed())]),
  );
  const isText = typeof call.body !== 'object' || call.body === null || call.body instanceof Uint8Array;
  const body: unknown = isText ? call.body : JSON.parse(put(JSON.stringify(call.body)));
  return api.call(routes[name].method, `${path.map(put).join('/')}?${search}`, { ...call, body });
}

/** @throws where the answer isn't one that the document has */
function assertDocumented(name: RouteName, { status, headers, body }: Reply): void {
  const route: Route = routes[name];
  const method = route.method.toLowerCase();
  const operation: unknown = Reflect.get(documented[`/${route.path}`] ?? {}, method);
  expect(Object.keys(Object(Reflect.get(Object(operation), 'responses')))).toContain(String(status));
  expect(headers.get('cache-control')).toBe('no-store');
  if (status < 300 || name === 'readHealth') return;
  expect(headers.get('content-type')).toBe('application/problem+json');
  const problem = Problem.parse(body);
  expect(problem.status).toBe(status);
  expect(Object.keys(STATUS_OF)).toContain(problem.code);
  expect(status).not.toBe(500);
  expect(JSON.stringify(body).length).toBeLessThan(100_000);
}

describe('requests of any kind', () => {
  test('are answered as the OpenAPI document says, and no stranger’s vault is asked', {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
        const world = makeWorld();
        const version = await world.begin(2);
        world.vault.createVersion(OTHER);
        const api = makeApi({ world });
        for (const one of requests) assertDocumented(one.name, await send(api, version, one));
        const hosts = new Set(world.vault.calls.map(({ kek }) => kek.vault));
        for (const host of hosts) expect(host.replace(/:\d+$/, '')).toMatch(/(^|\.)vault\.azure\.net$/);
      }),
      { numRuns },
    );
  });

  test('without Dek.Assign change nobody’s principal, DEK or key, and give no DEK to another', {
    timeout: 600_000,
  }, async () => {
    const roles = ROLES.filter((role) => role !== 'Dek.Assign');
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
        const world = makeWorld();
        const version = await world.begin(2);
        world.vault.createVersion(OTHER);
        for (const id of ['s001', 's002']) await world.changeRow(id, { principalId: 'owner' });
        await world.app.deliverOutbox();
        const assigned = world.topic.idsOf('PgCmk.DekAssigned').length;
        const factsOf = async () =>
          (await world.rows())
            .filter(({ serverId }) => ['s001', 's002'].includes(serverId))
            .map(({ kek, principalId, wrapped: { dekId } }) => ({ kek, principalId, dekId }));
        const before = await factsOf();
        const api = makeApi({ world });
        for (const one of requests) await send(api, version, { ...one, call: { ...one.call, roles } });
        expect(await factsOf()).toEqual(before);
        for (const { serverId, principalId } of await world.rows())
          if (!['s001', 's002'].includes(serverId)) expect(principalId).toBeNull();
        expect(await world.audited('dek.released')).toEqual([]);
        expect(world.topic.idsOf('PgCmk.DekAssigned')).toHaveLength(assigned);
      }),
      { numRuns },
    );
  });
});
