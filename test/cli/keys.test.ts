import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Impact } from '../../shared/api/keys.ts';
import { aKey, aPlan, aProgress, aVersion, KEY, KEY_PATH, V1, V2, VAULT } from './answers-of-api.ts';
import { type Answer, problem, type Routes, startFakeApi } from './fake-api.ts';
import { run } from './run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pg-cmk-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const AT = '2026-11-24T11:00:00.000Z';
const hold = { by: 'ann', reason: 'incident', since: AT, until: null };

const inOrder = (...answers: readonly Answer[]) => {
  let asked = 0;
  return () => answers[Math.min(asked++, answers.length - 1)] ?? {};
};

describe('keys list and show', () => {
  test('list shows each with its versions, rotation and hold', async () => {
    const key = aKey({
      hold,
      versions: [
        aVersion({ expiresOn: '2026-12-24T00:00:00Z' }),
        aVersion({ version: V2, status: 'unknown' }),
      ],
    });
    await using api = await startFakeApi({ 'GET /api/keys': { body: { keys: [key], cursor: null } } });
    const { stdout, code } = await run(['keys', '--vault', VAULT], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /contoso\.vault\.azure\.net\/orders +idle +11111111 usable, 22222222 unknown +2 +0 +2026-12-24 00:00:00Z +held/,
    );
    expect(api.seen[0]?.query['vault']).toBe(VAULT);
  });

  test.each([KEY, `${VAULT}/orders`, `${KEY}/${V1}`, `HTTPS://${VAULT}:443/keys/Orders`])(
    'show finds %s',
    async (name) => {
      await using api = await startFakeApi({ [`GET ${KEY_PATH}`]: { body: aKey() } });
      expect((await run(['keys', 'show', name], { url: api.url })).code).toBe(0);
    },
  );

  test('a vault with a port is one part of the path', async () => {
    await using api = await startFakeApi({ 'GET /api/keys/127.0.0.1%3A8443/orders': { body: aKey() } });
    expect((await run(['keys', 'show', '127.0.0.1:8443/orders'], { url: api.url })).code).toBe(0);
  });

  test('show says versions, reasons with remedies, policy, export, and the count where asked for', async () => {
    const key = aKey({
      settled: false,
      hold,
      versions: [
        aVersion({
          status: 'unusable',
          reason: 'KeyDisabled',
          remedy: 'Enable it.',
          verdict: 'revoke',
          enabled: false,
        }),
        aVersion({ version: V2, retiredAt: AT, count: null }),
      ],
      newestExport: { exportedAt: AT, versions: [V1] },
      lastEventAt: null,
      progress: aProgress({
        onTarget: 1,
        behind: 1,
        held: 1,
        failures: [{ serverId: 'orders-2', code: 'VaultRefused', message: 'no', since: AT }],
        failureCount: 1,
      }),
    });
    await using api = await startFakeApi({ [`GET ${KEY_PATH}`]: { body: key } });
    const { stdout } = await run(['keys', 'show', KEY, '--count'], { url: api.url });
    expect(api.seen[0]?.query).toEqual({ count: 'now' });
    for (const text of [
      '11111111 KeyDisabled: Enable it.',
      'retired 2026-11-24 11:00:00Z',
      'by ann since',
      `needs ${V1}`,
      'never',
      '1 of 2',
      '1.5 servers a second',
      'no: a change is still being handed on',
      'all at once',
    ]) {
      expect(stdout).toContain(text);
    }
    expect(stdout).toMatch(/orders-2 +VaultRefused +no/);
  });
});

describe('keys policy', () => {
  test('without an option shows it', async () => {
    await using api = await startFakeApi({ [`GET ${KEY_PATH}`]: { body: aKey() } });
    const { stdout } = await run(['keys', 'policy', KEY], { url: api.url });
    expect(stdout).toContain('expired keys: revoke; vault out of reach: alert');
  });

  test('sends what is given, and nothing else', async () => {
    await using api = await startFakeApi({ [`PATCH ${KEY_PATH}`]: { body: aKey() } });
    const argv = [
      'keys',
      'policy',
      KEY,
      '--canary',
      'a,b',
      '--wave',
      '50',
      '--soak',
      '60',
      '--halt-after',
      '5',
    ];
    expect((await run([...argv, '--pause'], { url: api.url })).code).toBe(0);
    await run(['keys', 'policy', KEY, '--resume', '--wave', 'all', '--halt-after', 'never', '--canary', ''], {
      url: api.url,
    });
    await run(
      ['keys', 'policy', KEY, '--expired', 'warn', '--transient', 'revoke', '--verification', 'every'],
      {
        url: api.url,
      },
    );
    expect(api.seen.map(({ body }) => body)).toEqual([
      {
        canaryServers: ['a', 'b'],
        waveServers: 50,
        waveSoakSeconds: 60,
        haltAfterFailures: 5,
        rewrapPaused: true,
      },
      { canaryServers: [], waveServers: null, haltAfterFailures: null, rewrapPaused: false },
      { expiredKeyPolicy: 'warn', transientBuffer: 'revoke', rewrapVerification: 'every' },
    ]);
  });

  test('with --dry-run shows before and after, and changes nothing', async () => {
    await using api = await startFakeApi({ [`GET ${KEY_PATH}`]: { body: aKey() } });
    const { stdout } = await run(['keys', 'policy', KEY, '--wave', '7', '--dry-run'], { url: api.url });
    expect(stdout).toMatch(/would become: .*waves of 7/);
    expect(api.calls()).toEqual([`GET ${KEY_PATH}`]);
  });

  test.each([
    ['--wave', 'some'],
    ['--soak', '-1'],
    ['--pause', '--resume'],
    ['--expired', 'ignore'],
  ])('%s %s is wrong usage', async (...more) => {
    expect((await run(['keys', 'policy', KEY, ...more], { url: 'http://127.0.0.1:9' })).code).toBe(2);
  });
});

describe('keys revoke and restore', () => {
  const routes: Routes = {
    [`GET ${KEY_PATH}`]: { body: aKey({ hold }) },
    [`POST ${KEY_PATH}/revoke`]: { body: aKey({ hold }) },
    [`POST ${KEY_PATH}/restore`]: { body: aKey() },
    [`GET ${KEY_PATH}/impact`]: { body: anImpact() },
  };
  const revoke = ['keys', 'revoke', KEY, '--reason', 'incident'];

  test('revoke says how many servers it hits, and takes the name of the key for a yes', async () => {
    await using api = await startFakeApi(routes);
    expect((await run(revoke, { url: api.url })).code).toBe(2);
    const { code, stderr, stdout } = await run(revoke, { url: api.url, typed: 'orders' });
    expect(code).toBe(0);
    expect(stderr).toContain('2 servers of contoso.vault.azure.net/orders will have no access');
    expect(stdout).toContain('held');
    expect(api.calls()).toContain(`POST ${KEY_PATH}/revoke`);
  });

  test('revoke --dry-run shows the impact', async () => {
    await using api = await startFakeApi(routes);
    const { code, stdout } = await run([...revoke, '--dry-run'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('2 servers of 3 would lose access');
    expect(api.calls()).toEqual([`GET ${KEY_PATH}/impact`]);
  });

  test('restore asks nobody; with --dry-run it only looks', async () => {
    await using api = await startFakeApi(routes);
    const dry = await run(['keys', 'restore', KEY, '--dry-run'], { url: api.url });
    expect(dry.stdout).toContain('the hold is lifted (incident)');
    expect(api.calls()).toEqual([`GET ${KEY_PATH}`]);
    const { code } = await run(['keys', 'restore', KEY], { url: api.url });
    expect(code).toBe(0);
    expect(api.calls()).toContain(`POST ${KEY_PATH}/restore`);
  });
});

function anImpact(changes: Partial<Impact> = {}): Impact {
  const server = (serverId: string, losesAccess: boolean): Impact['page'][number] => ({
    serverId,
    state: 'Ready',
    version: V1,
    keyLossPolicy: 'terminate',
    losesAccess,
    at: null,
    why: 'because',
    sessionsOpen: 4,
  });
  return {
    keyId: KEY,
    of: 'disable',
    countedAt: AT,
    servers: 3,
    wouldLoseAccess: 2,
    wouldKeepAccess: 1,
    firstLossAt: null,
    detectionSeconds: 10,
    sessionsOpen: 4,
    page: [server('orders-1', true)],
    cursor: null,
    ...changes,
  };
}

describe('impact', () => {
  const pages: Routes = {
    [`GET ${KEY_PATH}/impact`]: ({ query }) => ({
      body: anImpact({ cursor: query['cursor'] === undefined ? 'next' : null }),
    }),
  };

  test('sums the sessions of every page', async () => {
    await using api = await startFakeApi(pages);
    const { code, stdout } = await run(['impact', KEY], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('2 servers of 3 would lose access (disable), within 10 s of it.');
    expect(stdout).toContain('8 sessions open now');
    expect(api.seen.map(({ query }) => [query['of'], query['limit'], query['cursor']])).toEqual([
      ['disable', '100', undefined],
      ['disable', '100', 'next'],
    ]);
  });

  test('asks for what is done to which version, and no further than --limit', async () => {
    await using api = await startFakeApi(pages);
    const ran = await run(['impact', `${KEY}/${V2}`, '--of', 'expire', '--limit', '1', '-o', 'json'], {
      url: api.url,
    });
    expect(ran.json()).toMatchObject({ sessionsOpen: 4, page: [{ serverId: 'orders-1' }], cursor: 'next' });
    expect(api.seen[0]?.query).toEqual({ of: 'expire', version: V2, limit: '1' });
    await run(['impact', KEY, '--version', V1, '--limit', '1'], { url: api.url });
    expect(api.seen[1]?.query).toMatchObject({ version: V1 });
  });

  test('says when nobody would lose access, and from when on', async () => {
    await using api = await startFakeApi({
      [`GET ${KEY_PATH}/impact`]: inOrder(
        { body: anImpact({ wouldLoseAccess: 0, page: [] }) },
        { body: anImpact({ firstLossAt: '2027-01-01T00:00:00.000Z' }) },
      ),
    });
    expect((await run(['impact', KEY], { url: api.url })).stdout).toContain('No server of');
    expect((await run(['impact', KEY], { url: api.url })).stdout).toContain('from 2027-01-01 00:00:00Z on');
  });
});

describe('rotate', () => {
  const running = (onTarget: number, wave: { number: number } | null = null) => ({
    body: aKey({
      target: V2,
      rotation: {
        state: 'running',
        startedAt: AT,
        resumedAt: null,
        wave: wave && { ...wave, upTo: 'x', openedAt: AT },
      },
      progress: aProgress({ onTarget, behind: 2 - onTarget }),
    }),
  });
  const completed = {
    body: aKey({
      target: V2,
      rotation: { state: 'completed', startedAt: AT, completedAt: AT },
      progress: aProgress(),
    }),
  };
  /** As it was before the order was taken up: done, under the version before. */
  const stale = {
    body: aKey({ rotation: { state: 'completed', startedAt: AT, completedAt: AT }, progress: aProgress() }),
  };
  const order = ({ body }: { readonly body: unknown }) => {
    const { dryRun } = Object(body);
    return { status: dryRun ? 200 : 202, body: aPlan({ dryRun }) };
  };

  test('--dry-run prints the plan, and changes nothing', async () => {
    const plan = aPlan({
      cannotMove: [{ reason: 'Pinned', servers: 2, examples: ['a', 'b'] }],
      expectedSeconds: 7200,
    });
    await using api = await startFakeApi({ [`POST ${KEY_PATH}/rewrap`]: { body: plan } });
    const { code, stdout } = await run(['rotate', KEY, '--dry-run'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toMatch(/Pinned +2 +a, b/);
    expect(stdout).toContain('2.0 h');
    expect(api.seen.map(({ body }) => body)).toEqual([{ dryRun: true }]);
  });

  test('--dry-run of one that is blocked is a finding', async () => {
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: { body: aPlan({ blocked: 'KeyDisabled' }) },
    });
    const { code, stdout } = await run(['rotate', KEY, '--dry-run'], { url: api.url });
    expect(code).toBe(5);
    expect(stdout).toContain('KeyDisabled');
  });

  test('--dry-run of one that is paused shows what would move after the pause, and is no finding', async () => {
    const plan = aPlan({ blocked: 'RewrapPaused' });
    await using api = await startFakeApi({ [`POST ${KEY_PATH}/rewrap`]: { body: plan } });
    const { code, stdout } = await run(['rotate', KEY, '--dry-run'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('RewrapPaused');
  });

  test('that is paused is not waited for', async () => {
    const { body } = running(1);
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: order,
      [`GET ${KEY_PATH}`]: { body: { ...body, policy: { ...body.policy, rewrapPaused: true } } },
    });
    const { code, stdout } = await run(['rotate', KEY], { url: api.url });
    expect(code).toBe(5);
    expect(stdout).toContain('--resume');
    expect(api.calls()).toHaveLength(3);
  });

  test('shows how far it is until it is done, and takes no answer from before the order for its end', async () => {
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: order,
      [`GET ${KEY_PATH}`]: inOrder(stale, running(0), running(1, { number: 1 }), completed),
    });
    const { code, stdout, stderr } = await run(['rotate', KEY], { url: api.url });
    expect(code).toBe(0);
    expect(api.seen.map(({ method, body }) => [method, body])).toEqual([
      ['POST', { dryRun: true }],
      ['POST', { dryRun: false }],
      ...Array.from({ length: 4 }, () => ['GET', undefined]),
    ]);
    expect(stderr).toContain('0/2 running, 1.5/s');
    expect(stderr).toContain('1/2 wave 1, 1.5/s');
    expect(stdout).toContain('completed');
    expect(stdout).toContain(`target ${V2}`);
  });

  test('draws a bar on a terminal, beside the output', async () => {
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: order,
      [`GET ${KEY_PATH}`]: inOrder(running(1), completed),
    });
    const ran = await run(['rotate', KEY, '-o', 'json'], { url: api.url, isTTY: true });
    expect(ran.stderr).toContain('2/2');
    expect(ran.json()).toMatchObject({ rotation: { state: 'completed' } });
  });

  test('gives up waiting for an order that changed nothing', async () => {
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: order,
      [`GET ${KEY_PATH}`]: stale,
    });
    const { code, waits } = await run(['rotate', KEY], { url: api.url });
    expect(code).toBe(0);
    expect(waits.reduce((sum, wait) => sum + wait, 0)).toBeGreaterThan(30_000);
  });

  test.each([
    [
      'halted',
      { state: 'halted', startedAt: AT, since: '2026-11-24T12:00:01.000Z', failures: 6, wave: null },
      'pg-cmk rotate again',
    ],
    [
      'blocked',
      { state: 'blocked', newest: V2, reason: 'KeyDisabled', since: AT },
      'stays on the version before',
    ],
  ] as const)('that is %s ends with 5, and says what to do', async (_name, rotation, text) => {
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: order,
      [`GET ${KEY_PATH}`]: inOrder(running(0), { body: aKey({ rotation, progress: aProgress() }) }),
    });
    const { code, stdout } = await run(['rotate', KEY], { url: api.url });
    expect(code).toBe(5);
    expect(stdout).toContain(text);
  });

  test('that was halted before is not halted because it was', async () => {
    const rotation = { state: 'halted', startedAt: AT, since: AT, failures: 6, wave: null } as const;
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: ({ body }) => ({ body: aPlan({ rotation, dryRun: Object(body).dryRun }) }),
      [`GET ${KEY_PATH}`]: inOrder(
        { body: aKey({ rotation, progress: aProgress() }) },
        running(1),
        completed,
      ),
    });
    expect((await run(['rotate', KEY], { url: api.url })).code).toBe(0);
  });

  test('--no-wait comes back at once', async () => {
    await using api = await startFakeApi({ [`POST ${KEY_PATH}/rewrap`]: order });
    const { code, stdout } = await run(['rotate', KEY, '--no-wait'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('2 servers to rewrap');
    expect(api.calls()).toHaveLength(2);
  });

  test('that is not possible is refused', async () => {
    await using api = await startFakeApi({
      [`POST ${KEY_PATH}/rewrap`]: problem(409, 'RotationNotPossible'),
    });
    expect((await run(['rotate', KEY], { url: api.url })).code).toBe(3);
  });
});

describe('retire', () => {
  const retired = {
    keyId: `${KEY}/${V1}`,
    retiredAt: AT,
    prunedHistory: 12,
    statement: 'aaa.bbb.ccc',
    next: `az keyvault key set-attributes --id ${KEY}/${V1} --enabled false`,
  };
  const path = `${KEY_PATH}/versions/${V1}/retire`;

  test('is confirmed by the version, writes the statement, and prints the command that disables', async () => {
    await using api = await startFakeApi({ [`POST ${path}`]: { body: retired } });
    const out = join(folder, 'statement.jws');
    expect((await run(['retire', KEY, V1], { url: api.url })).code).toBe(2);
    expect(api.seen).toHaveLength(0);
    const { code, stdout } = await run(['retire', KEY, V1, '--out', out], { url: api.url, typed: V1 });
    expect(code).toBe(0);
    expect(stdout).toContain(retired.next);
    expect(await readFile(out, 'utf8')).toBe('aaa.bbb.ccc\n');
  });

  test('takes the version from the key too, and prints the statement where no file is named', async () => {
    await using api = await startFakeApi({ [`POST ${path}`]: { body: retired } });
    const { stdout } = await run(['retire', `${KEY}/${V1}`, '--yes'], { url: api.url });
    expect(stdout).toContain('statement  aaa.bbb.ccc');
  });

  test('that is refused says what depends on the version', async () => {
    await using api = await startFakeApi({
      [`POST ${path}`]: problem(409, 'VersionInUse', {
        dependents: [
          { kind: 'server', count: 2, examples: ['orders-1', 'orders-2'] },
          { kind: 'target', count: 1, examples: [] },
        ],
      }),
    });
    const { code, stderr } = await run(['retire', KEY, V1, '--yes'], { url: api.url });
    expect(code).toBe(3);
    expect(stderr).toContain('2 × server: orders-1, orders-2');
    expect(stderr).toContain('1 × target');
  });

  test('that soaks says from when on', async () => {
    await using api = await startFakeApi({
      [`POST ${path}`]: problem(409, 'VersionSoaking', { retireFrom: AT }),
    });
    expect((await run(['retire', KEY, V1, '--yes'], { url: api.url })).stderr).toContain(`retireFrom: ${AT}`);
  });

  test('--dry-run counts, and changes nothing', async () => {
    const count = { servers: 2, tombstones: 1, copies: 0, unproven: 0, unprovenSuccessors: 3 };
    const key = aKey({
      versions: [
        aVersion({ count }),
        aVersion({
          version: V2,
          retiredAt: AT,
          count: { ...count, servers: 0, tombstones: 0, unprovenSuccessors: 0 },
        }),
      ],
      newestExport: { exportedAt: AT, versions: [V1] },
    });
    await using api = await startFakeApi({ [`GET ${KEY_PATH}`]: { body: key } });
    const used = await run(['retire', KEY, V1, '--dry-run'], { url: api.url });
    expect(used.code).toBe(5);
    for (const text of [
      /target of rotations +1/,
      /server +2/,
      /tombstone +1/,
      /unproven successor +3/,
      /newest export +1/,
    ]) {
      expect(used.stdout).toMatch(text);
    }
    const free = await run(['retire', KEY, V2, '--dry-run'], { url: api.url });
    expect(free.code).toBe(0);
    expect(free.stdout).toContain('Nothing that is counted here depends on it');
    expect((await run(['retire', KEY, '3'.repeat(32), '--dry-run'], { url: api.url })).code).toBe(2);
    expect(api.calls().every((call) => call.startsWith('GET'))).toBe(true);
  });

  test('without a version is wrong usage', async () => {
    expect((await run(['retire', KEY, '--yes'], { url: 'http://127.0.0.1:9' })).code).toBe(2);
  });
});

describe('keys signing-keys', () => {
  const keys = { keys: [{ kty: 'OKP', kid: 'k', crv: 'Ed25519', x: 'abc' }] };

  test('prints them, or writes them to a file', async () => {
    await using api = await startFakeApi({ 'GET /api/signing-keys': { body: keys } });
    expect((await run(['keys', 'signing-keys'], { url: api.url })).json()).toEqual(keys);
    const out = join(folder, 'keys.json');
    expect((await run(['keys', 'signing-keys', '--out', out], { url: api.url })).code).toBe(0);
    expect(JSON.parse(await readFile(out, 'utf8'))).toEqual(keys);
  });

  test('a file is not written over by nothing', async () => {
    await using api = await startFakeApi({ 'GET /api/signing-keys': { body: { keys: [] } } });
    expect(
      (await run(['keys', 'signing-keys', '--out', join(folder, 'none.json')], { url: api.url })).code,
    ).toBe(1);
  });

  test('a folder that is not there is said', async () => {
    await using api = await startFakeApi({ 'GET /api/signing-keys': { body: keys } });
    const { code, stderr } = await run(['keys', 'signing-keys', '--out', '/nowhere/keys.json'], {
      url: api.url,
    });
    expect(code).toBe(2);
    expect(stderr).toContain('[FileUnusable]');
  });
});
