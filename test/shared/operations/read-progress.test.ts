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
    expect(progress?.versions[row.wrapped.kekVersion]).toEqual({ servers: 1051, unproven: 1050 });
  });

  test('is nothing where the KEK is not held', async () => {
    expect(await makeWorld().app.readProgress(KEK)).toBeUndefined();
  });
});
