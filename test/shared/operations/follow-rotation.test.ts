import { describe, expect, test } from 'vitest';
import { followRotation } from '../../../shared/operations/follow-rotation.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const follow = async (world: World, hasFailed: boolean) => {
  const { keks, servers } = world.stores;
  await followRotation({ keks, servers, queue: world.queue }, KEK, hasFailed);
  const found = world.queue.waiting('reconcile-keks');
  world.queue.clear();
  return found.map(({ visibleAt }) => (visibleAt.getTime() - world.clock.now().getTime()) / 1000);
};
/** Two servers, one of them on the target, in a rotation at this wave. */
const begin = async (wave: { number: number; upTo: string } | null, policy = {}) => {
  const world = makeWorld();
  await world.begin(2);
  world.clock.advance(60);
  const target = world.vault.createVersion(KEK);
  await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
  await world.app.rewrapDeks(await world.rangeOf({ to: 's001' }));
  world.queue.clear();
  const openedAt = world.clock.now();
  await world.changeKek({
    target,
    policy: { ...(await world.kek()).policy, waveSoakSeconds: 30, ...policy },
    rotation: {
      state: 'running',
      startedAt: openedAt,
      resumedAt: null,
      wave: wave === null ? null : { ...wave, openedAt },
    },
  });
  return world;
};

describe('followRotation', () => {
  test('asks for a count when the wave is done, after its soak', async () => {
    expect(await follow(await begin({ number: 1, upTo: 's001' }), false)).toEqual([30]);
    expect(
      await follow(await begin({ number: 0, upTo: '' }, { canaryServers: ['s001', 'x'] }), false),
    ).toEqual([30]);
  });

  test('asks for none while a server of the wave is left, or where there are no waves', async () => {
    expect(await follow(await begin({ number: 1, upTo: 's002' }), false)).toEqual([]);
    expect(await follow(await begin({ number: 0, upTo: '' }, { canaryServers: ['s002'] }), false)).toEqual(
      [],
    );
    expect(await follow(await begin(null), false)).toEqual([]);
  });

  test('searches a wave for what is left only once its last server is done', async () => {
    const world = await begin({ number: 1, upTo: 's002' });
    const before = world.stores.roundTrips('servers.hasServersOff');
    expect(await follow(world, false)).toEqual([]);
    expect(world.stores.roundTrips('servers.hasServersOff')).toBe(before);
    await world.app.rewrapDeks(await world.rangeOf({ from: 's002' }));
    world.queue.clear();
    await world.changeKek({
      rotation: {
        state: 'running',
        startedAt: world.clock.now(),
        resumedAt: null,
        wave: { number: 1, upTo: 's002', openedAt: world.clock.now() },
      },
    });
    expect(await follow(world, false)).toEqual([30]);
  });

  test('asks at once when a server has failed, unless any number may', async () => {
    expect(await follow(await begin(null), true)).toEqual([0]);
    expect(await follow(await begin(null, { haltAfterFailures: null }), true)).toEqual([]);
  });

  test('leaves a soak of more than an hour to the sweep', async () => {
    const wave = { number: 1, upTo: 's001' };
    expect(await follow(await begin(wave, { waveSoakSeconds: 3600 }), false)).toEqual([3600]);
    expect(await follow(await begin(wave, { waveSoakSeconds: 3601 }), false)).toEqual([]);
  });

  test('asks for none where no rotation runs, there is no target, or the KEK is not held', async () => {
    expect(await follow(makeWorld(), true)).toEqual([]);
    const world = await begin({ number: 1, upTo: 's001' });
    await world.changeKek({ target: null });
    expect(await follow(world, false)).toEqual([]);
    await world.changeKek({ rotation: { state: 'idle' } });
    expect(await follow(world, true)).toEqual([]);
  });
});
