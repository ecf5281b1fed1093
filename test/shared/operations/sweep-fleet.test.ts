import { beforeEach, describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { KEK, makeWorld, RULES, type World } from '../../fakes/world.ts';

let world: World;
beforeEach(async () => {
  world = makeWorld();
  await world.begin(1);
});

const sweeps = async (): Promise<boolean> => {
  await world.app.sweepFleet();
  const sent = world.queue.waiting('reconcile-keks').length > 0;
  world.queue.clear();
  return sent;
};

describe('sweepFleet', () => {
  test('reconciles a KEK every five minutes while all is well', async () => {
    expect(await sweeps()).toBe(false);
    world.clock.advance(RULES.sweepSeconds - 5);
    expect(await sweeps()).toBe(false);
    world.clock.advance(5);
    expect(await sweeps()).toBe(true);
  });

  test.each<[string, () => Promise<void>]>([
    [
      'a version in use is lost',
      async () => {
        const { target } = await world.kek();
        await world.changeVersion(target ?? '', { verdict: 'revoke' });
      },
    ],
    [
      'the key is held',
      () => world.changeKek({ hold: { by: 'anna', reason: 'x', since: new Date(0), until: null } }),
    ],
    [
      'servers are not settled',
      async () => {
        const { census } = await world.kek();
        if (census !== null) await world.changeKek({ census: { ...census, notSettled: 1 } });
      },
    ],
    [
      'a rotation runs',
      () =>
        world.changeKek({
          rotation: { state: 'running', startedAt: new Date(0), resumedAt: null, wave: null },
        }),
    ],
  ])('every minute while %s', async (_, unsettle) => {
    await unsettle();
    world.clock.advance(RULES.unsettledSeconds - 5);
    expect(await sweeps()).toBe(false);
    world.clock.advance(5);
    expect(await sweeps()).toBe(true);
  });

  test('a lost version that no server is on changes nothing', async () => {
    const { target } = await world.kek();
    await world.changeVersion(target ?? '', { verdict: 'revoke', inUse: false });
    world.clock.advance(RULES.unsettledSeconds);
    expect(await sweeps()).toBe(false);
  });

  test('at once where nothing was counted yet, or an epoch was not fanned out', async () => {
    await world.changeKek({ epoch: (await world.kek()).epoch + 1 });
    expect(await sweeps()).toBe(true);
    await world.changeKek({ fannedOutEpoch: (await world.kek()).epoch });
    expect(await sweeps()).toBe(false);
    await world.changeKek({ census: null });
    expect(await sweeps()).toBe(true);
  });

  test.each([
    [50, 20],
    [2000, 2000 / (0.75 * RULES.everySeconds)],
  ])('of %i keys asks %d a second, those first that are not as they should be', async (count, perSecond) => {
    const stored = await world.stores.keks.read(KEK);
    if (stored === undefined) throw new Error('no key is held');
    world.clock.advance(RULES.sweepSeconds);
    const named = (name: string, change: object = {}) => {
      const kek = { ...stored.kek.value, kek: { ...KEK, name }, ...change };
      return { ...stored, kek: { ...stored.kek, value: kek } };
    };
    const settled = Array.from({ length: count - 1 }, (_, index) => named(`key-${index}`));
    const held = named('late', { hold: { by: 'anna', reason: 'x', since: new Date(0), until: null } });
    world.stores.keks.list = async function* () {
      yield* [...settled, held];
    };
    await world.app.sweepFleet();
    const waiting = world.queue.waiting('reconcile-keks');
    const delays = waiting.map(
      ({ visibleAt, insertedAt }) => (visibleAt.getTime() - insertedAt.getTime()) / 1000,
    );
    expect(waiting[0]?.message).toMatchObject({ kek: { name: 'late' }, cause: { kind: 'sweep' } });
    expect(delays).toEqual(Array.from({ length: count }, (_, index) => Math.floor(index / perSecond)));
    expect(delays.at(-1)).toBeLessThan(RULES.everySeconds);
  });

  test('shows how the fleet is, for as long as until the next sweep is overdue', async () => {
    await world.app.sweepFleet();
    const { readings = [], seconds } = world.telemetry.shown ?? {};
    expect(seconds).toBe(RULES.everySeconds * 1.5);
    expect(readings).toContainEqual({
      gauge: 'pgcmk.servers',
      value: 1,
      attributes: { state: 'Ready' },
    });
    expect(readings.filter(({ gauge }) => gauge === 'pgcmk.kek.status')).toHaveLength(1);
  });

  test('shows it though the queue takes nothing', async () => {
    await world.changeKek({ census: null });
    const error = new CmkError('StoreUnavailable', 'no', { remedy: 'wait', retryable: true });
    world.queue.failNext('reconcile-keks', error);
    await expect(world.app.sweepFleet()).rejects.toBe(error);
    expect(world.telemetry.shown?.readings.length).toBeGreaterThan(6);
  });

  test('I-08: finds what was changed on a server behind its back, and puts it right', async () => {
    const version = (await world.kek()).target ?? '';
    world.vault.update(KEK, version, { enabled: false });
    await world.runFor(20);
    world.server('s001').allowConnections('app', true);
    await world.runFor(130);
    expect(world.isOpen('s001')).toBe(false);
  });
});
