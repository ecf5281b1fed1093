import { beforeEach, describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { type HealthDeps, makeCheckHealth } from '../../../shared/operations/check-health.ts';
import type { QueueDepth } from '../../../shared/ports/queue-gauge.ts';
import { makeWorld, RULES, type World } from '../../fakes/world.ts';

const DAY_SECONDS = 86_400;

let world: World;
let depths: readonly QueueDepth[];
beforeEach(async () => {
  world = makeWorld();
  await world.begin(3);
  depths = [
    { queue: 'rewrap-deks', messages: 2 },
    { queue: 'rewrap-deks-poison', messages: 0 },
  ];
});

const makeCheck = (change: Partial<HealthDeps> = {}) =>
  makeCheckHealth({
    keks: world.stores.keks,
    queues: { depths: async () => depths },
    checkIssuer: async () => null,
    costOf: () => 0.03,
    clock: world.clock,
    exports: world.exports,
    rules: {
      probeSeconds: 10,
      sweepSeconds: RULES.sweepSeconds,
      breakerHoldMinutes: 60,
      exportSeconds: DAY_SECONDS,
    },
    ...change,
  });
const check = async (change: Partial<HealthDeps> = {}) =>
  Object.fromEntries((await makeCheck(change)()).map((one) => [one.name, one]));

describe('health', () => {
  test('is good where everything is, and says what was looked at', async () => {
    const checks = await check();
    expect(Object.values(checks).filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(Object.keys(checks).toSorted()).toEqual(
      [
        'breaker',
        'export',
        'issuer',
        'keys',
        'poison',
        'probe',
        'queues',
        'rotations',
        'sweep',
        'tables',
        'vaults',
      ].toSorted(),
    );
    expect(checks['queues']?.detail).toBe('rewrap-deks 2');
  });

  test('counts one as one, and none and more as many', async () => {
    const details = async () => {
      const checks = await check();
      return [checks['tables']?.detail, checks['vaults']?.detail];
    };
    expect(await details()).toEqual(['1 key', '1 key version in use: each answers']);
    await world.changeVersion((await world.kek()).target ?? '', { inUse: false });
    expect(await details()).toEqual(['1 key', '0 key versions in use: each answers']);
  });

  test.each<[string, string, () => Promise<unknown>]>([
    [
      'vaults',
      'a version could not be asked',
      async () => world.changeVersion((await world.kek()).target ?? '', { status: 'unknown' }),
    ],
    [
      'keys',
      'a version is lost',
      async () => world.changeVersion((await world.kek()).target ?? '', { verdict: 'revoke' }),
    ],
    [
      'rotations',
      'one is blocked',
      () =>
        world.changeKek({
          rotation: { state: 'blocked', newest: 'f'.repeat(32), reason: 'KeyDisabled', since: new Date(0) },
        }),
    ],
    [
      'rotations',
      'one is halted',
      () =>
        world.changeKek({
          rotation: { state: 'halted', startedAt: new Date(0), since: new Date(0), failures: 3, wave: null },
        }),
    ],
    ['sweep', 'nobody counted for long', async () => world.clock.advance(4 * RULES.sweepSeconds)],
    [
      'breaker',
      'suspect verdicts are held',
      async () => {
        const stored = await world.stores.keks.readBreaker();
        const value = { suspects: {}, trippedAt: world.clock.now() };
        await world.stores.keks.writeBreaker({ value, etag: stored?.etag ?? null });
      },
    ],
    [
      'poison',
      'a message was given up',
      async () => {
        depths = [{ queue: 'server-access-poison', messages: 1 }];
      },
    ],
  ])('%s is degraded when %s, with a remedy and no name', async (name, _, spoil) => {
    await spoil();
    const checks = await check();
    expect(checks[name]).toMatchObject({ status: 'degraded', remedy: expect.stringMatching(/./) });
    expect(Object.values(checks).filter(({ status }) => status !== 'ok')).toHaveLength(1);
    expect(JSON.stringify(checks)).not.toMatch(/azure\.net|s00\d/);
  });

  test('export is degraded once three in a row did not come about', async () => {
    expect((await check())['export']).toMatchObject({ status: 'ok', detail: 'there is none yet' });
    world.exports.current = { exportedAt: world.clock.now(), versions: {} };
    world.clock.advance(3 * DAY_SECONDS);
    expect((await check())['export']).toMatchObject({ status: 'ok' });
    world.clock.advance(1);
    const late = { status: 'degraded', remedy: expect.stringContaining('exportTables') };
    expect((await check())['export']).toMatchObject(late);
    world.exports.current = undefined;
    expect((await check())['export']).toMatchObject(late);
    world.exports.failNext(new CmkError('InvalidRow', 'no', { remedy: 'Repair it.' }));
    expect((await check())['export']).toMatchObject({ status: 'failing', remedy: 'Repair it.' });
  });

  test('probe shows the real period where the vaults’ limits stretch it', async () => {
    const { probe } = await check({ costOf: () => 0.312 });
    expect(probe).toMatchObject({ status: 'degraded', detail: expect.stringContaining('every 32 s') });
  });

  test('names each dependency that fails, and still looks at the others', async () => {
    world.stores.failNext('keks.list', 'before');
    const unavailable = new CmkError('IssuerUnavailable', 'no answer', { remedy: 'Wait.', retryable: true });
    const checks = await check({
      queues: { depths: () => Promise.reject(new TypeError('broken')) },
      checkIssuer: () => Promise.reject(unavailable),
    });
    expect(checks).toMatchObject({
      tables: { status: 'failing', detail: 'could not be asked: StoreUnavailable' },
      queues: { status: 'failing', detail: 'could not be asked: Unexpected' },
      issuer: { status: 'failing', detail: 'could not be asked: IssuerUnavailable', remedy: 'Wait.' },
    });
  });

  test('says until when the old keys of an issuer that is out are used', async () => {
    const [fetchedAt, usedUntil] = [new Date('2030-01-01T00:00:00Z'), new Date('2030-01-02T00:00:00Z')];
    expect((await check({ checkIssuer: async () => ({ fetchedAt, usedUntil }) }))['issuer']).toMatchObject({
      status: 'degraded',
      detail: expect.stringMatching(/2030-01-01T00:00:00.*until 2030-01-02T00:00:00/),
      remedy: expect.stringContaining('PGCMK_AUTH_ISSUER'),
    });
  });

  test('without an issuer says that the API answers 503', async () => {
    expect((await check({ checkIssuer: null }))['issuer']).toMatchObject({ status: 'degraded' });
  });

  test('asks the tables once for all who ask within 5 s', async () => {
    world.exports.current = { exportedAt: world.clock.now(), versions: {} };
    const ask = makeCheck();
    const before = world.stores.roundTrips('keks.list');
    await Promise.all([ask(), ask()]);
    expect(world.stores.roundTrips('keks.list') - before).toBe(1);
    world.clock.advance(5);
    await ask();
    expect(world.stores.roundTrips('keks.list') - before).toBe(2);
  });

  test('a key that was never counted is not late yet', async () => {
    await world.changeKek({ census: null });
    expect((await check())['sweep']).toMatchObject({ status: 'ok' });
  });

  test('an app without a key yet is well', async () => {
    const empty = makeWorld();
    const checks = await check({ keks: empty.stores.keks });
    expect(Object.values(checks).filter(({ status }) => status !== 'ok')).toEqual([]);
  });
});
