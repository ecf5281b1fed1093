import { UnsecuredJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import type { Finding } from '../../cli/doctor/finding.ts';
import type { Health } from '../../shared/api/health.ts';
import { aKey, aServer, aVersion, KEY, V1, V2, VAULT } from './answers-of-api.ts';
import { type Answer, problem, type Routes, startFakeApi } from './fake-api.ts';
import { NOW, run } from './run.ts';

const DAY_MS = 86_400_000;
const inDays = (days: number) => new Date(NOW.getTime() + days * DAY_MS).toISOString();

const health = (changes: Partial<Health> = {}, date = NOW): Answer => ({
  headers: { date: date.toUTCString() },
  body: {
    status: 'ok',
    version: '0.1.0',
    now: NOW.toISOString(),
    checks: [{ name: 'poison', status: 'ok', detail: 'no message', remedy: null }],
    ...changes,
  },
});

const passed = (code: string) => ({ code, outcome: 'passed', message: 'fine', remedy: null });

/** A fleet with which nothing is wrong. */
const well: Routes = {
  'GET /api/health': health(),
  'GET /api/keys': { body: { keys: [aKey()], cursor: null } },
  'GET /api/servers': { body: { servers: [aServer()], held: [], cursor: null } },
  'PUT /api/servers/orders-1': {
    body: { valid: true, checks: ['SoftDeleteOff', 'PurgeProtectionOff', 'KeySizeNotSupported'].map(passed) },
  },
};

const token = (claims: Readonly<Record<string, unknown>> = {}, expiresAt = NOW.getTime() + DAY_MS) =>
  new UnsecuredJWT({ roles: ['Fleet.Read', 'Fleet.Operate'], ...claims })
    .setExpirationTime(new Date(expiresAt))
    .encode();

async function examine(routes: Routes, given = token()) {
  await using api = await startFakeApi({ ...well, ...routes });
  const ran = await run(['doctor', '-o', 'json'], { url: api.url, env: { PG_CMK_TOKEN: given } });
  const { findings, healthy } = ran.json() as { findings: readonly Finding[]; healthy: boolean };
  const wrong = findings.filter(({ severity }) => severity !== 'ok');
  return { ...ran, findings, healthy, wrong, seen: api.seen };
}

describe('doctor', () => {
  test('finds nothing where nothing is wrong, and changes nothing', async () => {
    const { code, healthy, wrong, findings, seen } = await examine({});
    expect({ code, healthy }).toEqual({ code: 0, healthy: true });
    expect(wrong.map(({ found }) => found)).toEqual(['no verified export of the tables is on record']);
    expect(findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['clock here', 'token', 'roles', `vault ${VAULT}`, `events ${VAULT}/orders`]),
    );
    const writes = seen.filter(({ method }) => method !== 'GET');
    expect(writes.map(({ query, body }) => [query, Object(body).keyId])).toEqual([
      [{ validateOnly: 'true' }, KEY],
    ]);
    expect(writes[0]?.body).not.toHaveProperty('principalId');
  });

  test('shows what is wrong first, with what to do, and counts the rest', async () => {
    await using api = await startFakeApi({
      ...well,
      'GET /api/health': health({
        status: 'degraded',
        checks: [
          { name: 'poison', status: 'degraded', detail: 'rewrap-deks-poison 2', remedy: 'See the audit.' },
        ],
      }),
    });
    const { code, stdout, stderr } = await run(['doctor'], { url: api.url, env: { PG_CMK_TOKEN: token() } });
    expect(code).toBe(5);
    expect(stdout).toMatch(/^warning {2}health: poison: rewrap-deks-poison 2\n {9}See the audit\.\n/);
    expect(stdout).toMatch(/0 error, 1 warning, 0 unseen, 1 info, \d+ ok/);
    expect(stdout).not.toContain('0.1.0');
    expect(stderr).toBe('');
    const all = await run(['doctor', '--all', '--fail-on', 'error'], {
      url: api.url,
      env: { PG_CMK_TOKEN: token() },
    });
    expect(all.code).toBe(0);
    expect(all.stdout).toContain('0.1.0');
  });

  test('never prints the token', async () => {
    const given = token();
    const { stdout, stderr } = await examine({}, given);
    expect(stdout + stderr).not.toContain(given.slice(0, 30));
  });

  test('sees a failing app that answers 503 with its health', async () => {
    const failing = health({
      status: 'failing',
      checks: [{ name: 'tables', status: 'failing', detail: 'could not be asked', remedy: 'Look.' }],
    });
    const { wrong, code } = await examine({ 'GET /api/health': { ...failing, status: 503 } });
    expect(code).toBe(5);
    expect(wrong[0]).toMatchObject({ check: 'health: tables', severity: 'error', remedy: 'Look.' });
  });

  test('without an app there is nothing to see', async () => {
    await using api = await startFakeApi({});
    expect((await run(['doctor'], { url: api.url })).code).toBe(3);
  });

  test.each([
    [20, 'warning'],
    [90, 'error'],
  ])('a clock that is %d s off is a %s', async (seconds, severity) => {
    const { wrong } = await examine({
      'GET /api/health': health({}, new Date(NOW.getTime() + seconds * 1000)),
    });
    expect(wrong.slice(0, 2)).toMatchObject([
      { check: 'clock here', severity },
      { check: 'clock of the app', severity },
    ]);
  });

  test.each([
    ['expired', token({}, NOW.getTime() - 1000), 'token', 'error'],
    ['about to expire', token({}, NOW.getTime() + 60_000), 'token', 'info'],
    ['one that never expires', new UnsecuredJWT({ roles: 'Fleet.Read' }).encode(), 'token', 'error'],
    ['one without a role', token({ roles: [] }), 'roles', 'unseen'],
    ['one that may not read', token({ roles: ['Dek.Unwrap'] }), 'roles', 'info'],
    ['one that is no JWT', 'opaque', 'token', 'unseen'],
  ])('a token: %s', async (_name, given, check, severity) => {
    const { wrong } = await examine({}, given);
    expect(wrong).toContainEqual(expect.objectContaining({ check, severity }));
  });

  test('an app that refuses to show the fleet is a finding, and the rest stands', async () => {
    const { wrong, code } = await examine({ 'GET /api/keys': problem(403, 'RoleMissing') });
    expect(code).toBe(5);
    expect(wrong).toEqual([
      expect.objectContaining({
        check: 'fleet',
        severity: 'error',
        found: expect.stringContaining('RoleMissing'),
      }),
    ]);
  });

  test.each([
    [
      'expires in 29 days',
      aKey({ versions: [aVersion({ expiresOn: inDays(29.5) })] }),
      'warning',
      /expires in 29 days/,
    ],
    [
      'expires in 2 days',
      aKey({ versions: [aVersion({ expiresOn: inDays(2.5) })] }),
      'error',
      /expires in 2 days/,
    ],
    ['expired', aKey({ versions: [aVersion({ expiresOn: inDays(-1) })] }), 'error', /expired at/],
    [
      'an old version with servers expires',
      aKey({ target: V2, versions: [aVersion({ expiresOn: inDays(10) }), aVersion({ version: V2 })] }),
      'warning',
      /expires in 10 days/,
    ],
    [
      'lost',
      aKey({
        versions: [
          aVersion({ status: 'unusable', verdict: 'revoke', reason: 'KeyDisabled', remedy: 'Enable.' }),
        ],
      }),
      'error',
      /unusable for 60 min: KeyDisabled; access is taken away/,
    ],
    [
      'lost just now',
      aKey({ versions: [aVersion({ status: 'unusable', verdict: 'revoke', since: NOW.toISOString() })] }),
      'error',
      /has been unusable for less than a minute: no reason/,
    ],
    [
      'suspect',
      aKey({ versions: [aVersion({ status: 'unknown', reason: 'Throttled' })] }),
      'warning',
      /access is not taken away/,
    ],
    [
      'halted',
      aKey({
        rotation: { state: 'halted', startedAt: inDays(-1), since: inDays(-1), failures: 7, wave: null },
      }),
      'warning',
      /halted after 7 failures/,
    ],
    [
      'blocked',
      aKey({ rotation: { state: 'blocked', newest: V2, reason: 'KeyDisabled', since: inDays(-1) } }),
      'warning',
      /blocked: KeyDisabled/,
    ],
    ['paused', aKey({ policy: { ...aKey().policy, rewrapPaused: true } }), 'info', /paused/],
    [
      'held',
      aKey({ hold: { by: 'ann', reason: 'x', since: inDays(-1), until: null } }),
      'warning',
      /held by ann/,
    ],
    ['not proven', aKey({ target: null }), 'warning', /no version is proven/],
    ['without an event ever', aKey({ lastEventAt: null }), 'warning', /no event of it ever arrived/],
    [
      'long without an event',
      aKey({ lastEventAt: inDays(-500) }),
      'warning',
      /last event arrived 500 days ago/,
    ],
    ['not counted for long', aKey({ countedAt: inDays(-1) }), 'warning', /last counted/],
    ['not settled', aKey({ notSettled: 4 }), 'info', /4 servers are not where they should be/],
  ])('a key that is %s', async (_name, key, severity, found) => {
    const { wrong } = await examine({ 'GET /api/keys': { body: { keys: [key], cursor: null } } });
    expect(wrong).toContainEqual(expect.objectContaining({ severity, found: expect.stringMatching(found) }));
  });

  test('a version that nobody uses may expire', async () => {
    const versions = [
      aVersion(),
      aVersion({ version: V2, inUse: false, expiresOn: inDays(1), status: 'unusable' }),
    ];
    const { code } = await examine({
      'GET /api/keys': { body: { keys: [aKey({ versions })], cursor: null } },
    });
    expect(code).toBe(0);
  });

  test('an event that never arrived comes with the command that shows the subscription', async () => {
    const { wrong } = await examine({
      'GET /api/keys': { body: { keys: [aKey({ lastEventAt: null })], cursor: null } },
    });
    expect(wrong[0]?.remedy).toContain('az eventgrid event-subscription list');
    expect(wrong[0]?.remedy).toContain('--name contoso ');
  });

  const failure = {
    code: 'ServerUnreachable',
    reason: 'ServerUnreachable',
    message: 'no',
    since: inDays(-1),
    attempt: 1,
    nextAttemptAt: inDays(1),
  };
  test.each([
    ['pinned', aServer({ pinned: true }), 'info', /1 pinned to a key version/],
    ['without access', aServer({ state: 'Inaccessible' }), 'error', /1 without access: orders-1/],
    ['being revoked', aServer({ state: 'Revoking' }), 'error', /1 losing access/],
    ['suspect', aServer({ state: 'Suspect' }), 'warning', /1 suspect/],
    ['being restored', aServer({ state: 'Restoring' }), 'warning', /1 being reopened/],
    ['waiting', aServer({ state: 'PendingKey' }), 'info', /1 waiting/],
    ['failing', aServer({ rewrapFailure: failure }), 'warning', /1 failing/],
    ['out of reach', aServer({ failure }), 'warning', /1 failing/],
    [
      'held',
      aServer({ hold: { by: 'ann', reason: 'x', since: inDays(-1), until: null } }),
      'warning',
      /1 held/,
    ],
  ])('a server that is %s', async (_name, server, severity, found) => {
    const { wrong } = await examine({
      'GET /api/servers': { body: { servers: [server], held: [], cursor: null } },
    });
    expect(wrong).toContainEqual(expect.objectContaining({ severity, found: expect.stringMatching(found) }));
  });

  test('many servers are counted, a few are named; a tombstone is not missed', async () => {
    const servers = Array.from({ length: 7 }, (_, index) =>
      aServer({ serverId: `s-${index}`, state: 'Suspect' }),
    );
    const gone = aServer({ serverId: 'gone', state: 'Inaccessible', tombstone: true, pinned: true });
    const held = [{ serverId: 'odd', problem: 'x' }];
    const { wrong } = await examine({
      'GET /api/servers': { body: { servers: [...servers, gone], held, cursor: null } },
      'PUT /api/servers/s-0': { body: { valid: true, checks: [] } },
    });
    const found = wrong.map((one) => one.found);
    expect(found).toContainEqual(expect.stringMatching(/^7 suspect.*: s-0, s-1, s-2, s-3, s-4 and 2 more$/));
    expect(found).toContainEqual(expect.stringMatching(/^1 rows do not parse.*: odd$/));
    expect(found.join()).not.toContain('gone');
  });

  test('purge protection that is off is a finding of the vault', async () => {
    const checks = [
      passed('SoftDeleteOff'),
      { code: 'PurgeProtectionOff', outcome: 'failed', message: 'it is off', remedy: 'Turn it on.' },
      { code: 'RetentionShort', outcome: 'warning', message: '7 days', remedy: 'Make it 90.' },
    ];
    const { wrong, code } = await examine({
      'PUT /api/servers/orders-1': { body: { valid: false, checks } },
    });
    expect(code).toBe(5);
    expect(wrong).toContainEqual({
      check: `vault ${VAULT}`,
      severity: 'error',
      found: 'PurgeProtectionOff: it is off',
      remedy: 'Turn it on.',
    });
    expect(wrong).toContainEqual(
      expect.objectContaining({ severity: 'warning', found: 'RetentionShort: 7 days' }),
    );
  });

  test('what can not be told yet is no reason to look elsewhere', async () => {
    const message = 'A disabled version unwraps for nobody: this can be told once it is enabled.';
    const checks = [{ code: 'KeyRightsMissing', outcome: 'skipped', message, remedy: null }];
    const { wrong } = await examine({ 'PUT /api/servers/orders-1': { body: { valid: false, checks } } });
    const found = `KeyRightsMissing: ${message}`;
    expect(wrong).toContainEqual({ check: `vault ${VAULT}`, severity: 'info', found, remedy: null });
  });

  test('what it may not look at is said, with the command that does', async () => {
    const { wrong, code } = await examine({ 'PUT /api/servers/orders-1': problem(403, 'RoleMissing') });
    expect(code).toBe(0);
    expect(wrong).toContainEqual(
      expect.objectContaining({
        check: 'soft delete, purge protection',
        severity: 'unseen',
        remedy: expect.stringContaining('az keyvault show --name contoso'),
      }),
    );
  });

  test('a vault without a server can not be looked at from outside', async () => {
    const other = aKey({
      vault: 'other.vault.azure.net',
      keyId: `https://other.vault.azure.net/keys/x/${V1}`,
    });
    const { wrong } = await examine({ 'GET /api/keys': { body: { keys: [aKey(), other], cursor: null } } });
    expect(wrong).toContainEqual(
      expect.objectContaining({
        severity: 'unseen',
        found: 'no server tells of them: other.vault.azure.net',
      }),
    );
  });
});

describe('breaker clear', () => {
  const routes: Routes = {
    'GET /api/health': health({
      checks: [{ name: 'breaker', status: 'degraded', detail: 'suspect verdicts are held', remedy: 'x' }],
    }),
    'POST /api/breaker/clear': { body: { wasHolding: true, vaults: [VAULT], keys: 2 } },
  };

  test('takes a word for a yes, and says what was held', async () => {
    await using api = await startFakeApi(routes);
    const nobody = await run(['breaker', 'clear'], { url: api.url });
    expect([nobody.code, api.calls()]).toEqual([2, []]);
    const { code, stdout, stderr } = await run(['breaker', 'clear'], { url: api.url, typed: 'breaker' });
    expect(code).toBe(0);
    expect(stderr).toContain('every server whose key cannot be used loses access');
    expect(stdout).toContain('The breaker is cleared.');
    expect(stdout).toContain(`2 suspect keys looked at now; vaults: ${VAULT}.`);
    expect(api.calls()).toEqual(['POST /api/breaker/clear']);
  });

  test('where nothing was held it says that', async () => {
    const nothing = { body: { wasHolding: false, vaults: [], keys: 0 } };
    await using api = await startFakeApi({ ...routes, 'POST /api/breaker/clear': nothing });
    const { stdout } = await run(['breaker', 'clear', '--yes'], { url: api.url });
    expect(stdout).toContain('The breaker held nothing.\n0 suspect keys looked at now.');
  });

  test('--dry-run only looks', async () => {
    await using api = await startFakeApi(routes);
    const dry = ['breaker', 'clear', '--dry-run'];
    expect((await run(dry, { url: api.url })).stdout).toContain('The breaker: suspect verdicts are held.');
    expect(api.calls()).toEqual(['GET /api/health']);
    await using blind = await startFakeApi({ ...routes, 'GET /api/health': health() });
    expect((await run(dry, { url: blind.url })).stdout).toContain('could not be asked');
  });
});
