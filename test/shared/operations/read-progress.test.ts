import { describe, expect, test } from 'vitest';
import { KEK, makeWorld } from '../../fakes/world.ts';

describe('readProgress', () => {
  test('counts servers by version, state and failure, with what is held', async () => {
    const world = makeWorld();
    const first = await world.begin(4);
    const second = world.vault.createVersion(KEK);
    await world.changeRow('s001', { pinned: true });
    const spoilt = { ...(await world.row('s002')).wrapped, ciphertext: 'AAAA' };
    await world.changeRow('s002', { wrapped: spoilt });
    await world.hint();
    await world.queue.drain();
    world.stores.spoilServer(KEK, 's004');
    expect(await world.app.readProgress(KEK)).toMatchObject({
      target: second,
      rotation: { state: 'running' },
      servers: 3,
      versions: { [first]: { servers: 2, unproven: 0 }, [second]: { servers: 1 } },
      states: { Ready: 3 },
      failures: [{ serverId: 's002', code: 'WrappedDekMalformed' }],
      failureCount: 1,
      held: 1,
    });
  });

  test('reads on over pages', async () => {
    const world = makeWorld();
    await world.begin(1);
    const row = await world.row('s001');
    const ids = Array.from({ length: 1050 }, (_, index) => `t${String(index).padStart(4, '0')}`);
    for (let index = 0; index < ids.length; index += 90) {
      const writes = ids
        .slice(index, index + 90)
        .map((serverId) => ({ value: { ...row, serverId, provenAt: null }, etag: null, history: null }));
      await world.stores.servers.commit(KEK, writes, null);
    }
    const progress = await world.app.readProgress(KEK);
    expect(progress?.servers).toBe(1051);
    expect(progress?.versions[row.wrapped.kekVersion]).toMatchObject({ servers: 1051, unproven: 1050 });
  });

  test('tells how far a rotation is, how fast it goes and when it ends', async () => {
    const world = makeWorld();
    await world.begin(10);
    await world.changeRow('s010', { pinned: true });
    await world.changeKek({
      policy: { ...(await world.kek()).policy, waveServers: 3, waveSoakSeconds: 6000 },
    });
    world.clock.advance(60);
    const progress = () => world.app.readProgress(KEK);
    expect(await progress()).toMatchObject({
      onTarget: 9,
      behind: 0,
      serversPerSecond: null,
      expectedEnd: null,
      countedAt: world.clock.now(),
    });
    world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    // Nothing to tell it from: no time has passed.
    expect(await progress()).toMatchObject({ onTarget: 3, behind: 6, serversPerSecond: null });
    world.clock.advance(30);
    const end = new Date(world.clock.now().getTime() + 60_000);
    expect(await progress()).toMatchObject({ serversPerSecond: 0.1, expectedEnd: end, failureCount: 0 });
    await world.app.changePolicy({ kek: KEK, change: { rewrapPaused: true }, by: 'anna', ifMatch: null });
    expect(await progress()).toMatchObject({ serversPerSecond: 0.1, expectedEnd: null });
    await world.app.changePolicy({
      kek: KEK,
      change: { rewrapPaused: false, waveServers: null },
      by: 'anna',
      ifMatch: null,
    });
    await world.queue.drain();
    world.clock.advance(300);
    expect(await progress()).toMatchObject({
      rotation: { state: 'completed' },
      behind: 0,
      serversPerSecond: 0.3,
      expectedEnd: null,
    });
  });

  test('a server that was registered meanwhile makes the rotation no faster; one that is stuck is behind', async () => {
    const world = makeWorld();
    const first = await world.begin(2);
    world.clock.advance(60);
    world.vault.createVersion(KEK);
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
    world.queue.clear();
    world.clock.advance(10);
    await world.app.registerServer(world.orderOf('t001'));
    await world.changeVersion(first, { verdict: 'revoke', verdictReason: 'KeyDisabled' });
    expect(await world.app.readProgress(KEK)).toMatchObject({
      onTarget: 1,
      behind: 2,
      serversPerSecond: null,
    });
  });

  test('a halted rotation goes at the rate that it had, and has no end', async () => {
    const world = makeWorld();
    await world.begin(4);
    const startedAt = world.clock.now();
    const since = new Date(startedAt.getTime() + 10_000);
    await world.changeKek({ rotation: { state: 'halted', startedAt, since, failures: 1, wave: null } });
    for (const id of ['s001', 's002'])
      await world.changeRow(id, { replacedVersion: '1'.repeat(32), wrappedAt: since });
    world.clock.advance(600);
    expect(await world.app.readProgress(KEK)).toMatchObject({ serversPerSecond: 0.2, expectedEnd: null });
  });

  test('shows a hundred failures with what and since when, and counts all', async () => {
    const world = makeWorld();
    await world.begin(1);
    const row = await world.row('s001');
    const since = world.clock.now();
    const failure = { code: 'DekIdMismatch', message: 'not on record', since } as const;
    const rewrapFailure = { ...failure, attempt: 1, nextAttemptAt: since };
    for (let index = 0; index < 180; index += 90) {
      const writes = Array.from({ length: 90 }, (_, n) => {
        const serverId = `t${String(index + n).padStart(4, '0')}`;
        return { value: { ...row, serverId, rewrapFailure }, etag: null, history: null };
      });
      await world.stores.servers.commit(KEK, writes, null);
    }
    const progress = await world.app.readProgress(KEK);
    expect(progress?.failureCount).toBe(180);
    expect(progress?.failures).toHaveLength(100);
    expect(progress?.failures[0]).toEqual({ serverId: 't0000', ...failure });
  });

  test('is nothing where the KEK is not held', async () => {
    expect(await makeWorld().app.readProgress(KEK)).toBeUndefined();
  });
});
