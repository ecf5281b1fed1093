import { describe, expect, test } from 'vitest';
import { KEK, makeWorld } from '../../fakes/world.ts';

describe('findWrapping', () => {
  test('finds a wrapping under the version, whichever page it is on; else nothing', async () => {
    const world = makeWorld();
    const version = world.vault.createVersion(KEK);
    await world.register(1);
    const { wrapped } = await world.row('s001');
    const row = await world.row('s001');
    const others = Array.from({ length: 1100 }, (_, index) => `a${String(index).padStart(4, '0')}`);
    const other = { ...wrapped, kekVersion: '0'.repeat(32) };
    for (let index = 0; index < others.length; index += 90) {
      const writes = others
        .slice(index, index + 90)
        .map((serverId) => ({ value: { ...row, serverId, wrapped: other }, etag: null, history: null }));
      await world.stores.servers.commit(KEK, writes, null);
    }
    expect(await world.app.findWrapping(KEK, version)).toEqual({ serverId: 's001', wrapped });
    expect(await world.app.findWrapping(KEK, 'f'.repeat(32))).toBeUndefined();
  });
});
