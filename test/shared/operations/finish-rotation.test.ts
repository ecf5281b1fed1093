import { describe, expect, test } from 'vitest';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const SWEEP = { kind: 'sweep' } as const;

describe('finishRotation', () => {
  test('says once that no server is left behind', async () => {
    const world = makeWorld();
    await world.begin(3);
    world.clock.advance(10);
    const startedAt = world.clock.now();
    const target = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await world.app.finishRotation(KEK, SWEEP);
    const { rotation, epoch } = await world.kek();
    expect(rotation).toEqual({ state: 'completed', startedAt, completedAt: startedAt });
    const records = await world.audited('kek.rotation');
    expect(records).toMatchObject([
      { versionAfter: target, reason: 'completed', detail: { milliseconds: 0 } },
    ]);
    expect(world.topic.idsOf('PgCmk.RotationCompleted')).toEqual([
      `${keyUrl(KEK, target)}:${epoch}:PgCmk.RotationCompleted`,
    ]);
  });

  test('waits for the last server that follows; not for pinned and incoming ones', async () => {
    const world = makeWorld();
    await world.begin(3);
    await world.changeRow('s002', { pinned: true });
    await world.changeRow('s003', { incoming: true });
    world.vault.createVersion(KEK);
    await world.app.reconcileKek({ kek: KEK, cause: SWEEP }, null);
    await world.app.finishRotation(KEK, SWEEP);
    expect((await world.kek()).rotation.state).toBe('running');
    await world.queue.drain();
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test('looks for others only once the server that was counted last is no longer behind', async () => {
    const world = makeWorld();
    await world.begin(3);
    world.vault.createVersion(KEK);
    await world.app.reconcileKek({ kek: KEK, cause: SWEEP }, null);
    const searches = () => world.stores.roundTrips('servers.hasServersOff');
    const before = searches();
    await world.app.rewrapDeks(await world.rangeOf({ to: 's002' }));
    expect(searches()).toBe(before);
    expect((await world.kek()).rotation.state).toBe('running');
    await world.app.rewrapDeks(await world.rangeOf({ from: 's003' }));
    expect(searches()).toBe(before + 1);
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test.each([
    [
      'is gone',
      async ({ stores }: World) =>
        stores.servers.remove(KEK, 's003', (await stores.servers.read(KEK, 's003'))?.etag ?? ''),
    ],
    ['is pinned now', async (world: World) => world.changeRow('s003', { pinned: true })],
  ])('the server that was counted last %s: the others are searched', async (_, change) => {
    const world = makeWorld();
    await world.begin(3);
    world.vault.createVersion(KEK);
    await world.app.reconcileKek({ kek: KEK, cause: SWEEP }, null);
    await change(world);
    await world.app.rewrapDeks(await world.rangeOf({ to: 's001' }));
    expect((await world.kek()).rotation.state).toBe('running');
    await world.app.rewrapDeks(await world.rangeOf({ from: 's002', to: 's002' }));
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test('a key that was never counted has all its servers searched', async () => {
    const world = makeWorld();
    await world.begin(2);
    world.vault.createVersion(KEK);
    await world.app.reconcileKek({ kek: KEK, cause: SWEEP }, null);
    await world.changeKek({ census: null });
    await world.app.rewrapDeks(await world.rangeOf({ to: 's001' }));
    expect((await world.kek()).rotation.state).toBe('running');
    await world.app.rewrapDeks(await world.rangeOf({ from: 's002' }));
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test('has nothing to say where no rotation runs, no target is, or the KEK is not held', async () => {
    const world = makeWorld();
    await world.app.finishRotation(KEK, SWEEP);
    await world.begin(1);
    const commits = world.stores.roundTrips('keks.commit');
    await world.app.finishRotation(KEK, SWEEP);
    const { target } = await world.kek();
    await world.changeKek({ target: null });
    await world.app.finishRotation(KEK, SWEEP);
    expect(world.stores.roundTrips('keks.commit')).toBe(commits + 1);
    expect(target).not.toBeNull();
  });

  test('I-08: a range that dies after its commit leaves the end of the rotation to the sweep', async () => {
    const world = makeWorld();
    await world.begin(2);
    world.vault.createVersion(KEK);
    await world.hint();
    world.stores.failNext('servers.hasServersOff', 'before');
    await world.queue.drainFor(60);
    expect((await world.kek()).rotation.state).toBe('running');
    await world.runFor(60);
    expect((await world.kek()).rotation.state).toBe('completed');
    expect(storeUnavailable('x').retryable).toBe(true);
  });

  test('a rotation ends also when the epoch moved while its last range was under way', async () => {
    const world = makeWorld();
    await world.begin(2);
    world.vault.createVersion(KEK);
    await world.hint();
    let moved = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (moved || operation !== 'servers.commit') return;
      moved = true;
      const { epoch } = await world.kek();
      await world.changeKek({ epoch: epoch + 1, fannedOutEpoch: epoch + 1 });
    });
    await world.queue.drain();
    expect((await world.kek()).rotation.state).toBe('completed');
  });
});
