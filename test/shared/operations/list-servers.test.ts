import { beforeEach, describe, expect, test } from 'vitest';
import type { KekId } from '../../../shared/domain/key-id.ts';
import {
  type ListPosition,
  type ListQuery,
  makeListServers,
  makeReadServer,
} from '../../../shared/operations/list-servers.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const OTHER: KekId = { vault: 'beta.vault.azure.net', name: 'fleet' };
const ALL: ListQuery = { kek: null, state: null, version: null, from: null, limit: 100 };

let world: World;
beforeEach(async () => {
  world = makeWorld();
  await world.begin(5);
  await world.begin(3, 'terminate', OTHER);
});

const list = async (query: Partial<ListQuery> = {}) => {
  const listing = await makeListServers(world.stores)({ ...ALL, ...query });
  return { ...listing, ids: listing.servers.map(({ stored }) => stored.value.serverId) };
};

describe('listing servers', () => {
  test('goes through all keys, in order, each server with its state', async () => {
    const { ids, servers, next } = await list();
    expect(ids).toEqual(['s001', 's002', 's003', 's004', 's005', 'beta-001', 'beta-002', 'beta-003']);
    expect(new Set(servers.map(({ view }) => view.state))).toEqual(new Set(['Ready']));
    expect(next).toBeNull();
  });

  test.each([1, 2, 3, 4, 5, 7, 8])(
    'in pages of %i comes to the same, none twice and none left out',
    async (limit) => {
      const ids: string[] = [];
      let from: ListPosition | null = null;
      do {
        const page = await list({ limit, from });
        expect(page.ids.length).toBeLessThanOrEqual(limit);
        ids.push(...page.ids);
        from = page.next;
      } while (from !== null);
      expect(ids).toEqual((await list()).ids);
    },
  );

  test('of one key leaves out the others; of a key that isn’t held is empty', async () => {
    expect((await list({ kek: OTHER })).ids).toEqual(['beta-001', 'beta-002', 'beta-003']);
    expect((await list({ kek: { ...KEK, name: 'nobodys' } })).ids).toEqual([]);
  });

  test('filters by state and by version', async () => {
    await world.changeRow('s002', { desired: 'revoked', applied: 'revoked', desiredReason: 'KeyDisabled' });
    expect((await list({ state: 'Inaccessible' })).ids).toEqual(['s002']);
    const version = (await world.kek(OTHER)).target;
    expect((await list({ version })).ids).toEqual(['beta-001', 'beta-002', 'beta-003']);
    expect((await list({ version: 'f'.repeat(32) })).ids).toEqual([]);
  });

  test('looks at a bounded number of rows for one answer, and says where to go on', async () => {
    const { stores } = world;
    const servers = {
      ...stores.servers,
      page: async (kek: KekId, query: Parameters<typeof stores.servers.page>[1]) => {
        const page = await stores.servers.page(kek, { ...query, limit: 2 });
        const filled = Array.from({ length: 2500 }, () => page.rows).flat();
        return { ...page, rows: filled };
      },
    };
    const listing = await makeListServers({ ...stores, servers })({ ...ALL, state: 'Revoking' });
    expect(listing).toMatchObject({ servers: [], next: { kek: KEK, after: 's002' } });
  });

  test('shows rows that don’t parse as held', async () => {
    world.stores.spoilServer(KEK, 's003');
    const { ids, held } = await list({ kek: KEK });
    expect(ids).toEqual(['s001', 's002', 's004', 's005']);
    expect(held).toMatchObject([{ rowKey: 's:s003' }]);
  });

  test('of two rows of a server that moves shows the one that answers', async () => {
    const row = await world.row('s001');
    await world.changeRow('s001', { moving: { from: KEK, to: OTHER, since: world.clock.now(), by: 'anna' } });
    const incoming = { ...row, kek: OTHER, incoming: true };
    await world.stores.servers.commit(OTHER, [{ value: incoming, etag: null, history: null }], null);
    expect(
      (await list()).servers.find(({ stored }) => stored.value.serverId === 's001')?.stored.value.kek,
    ).toEqual(KEK);
    expect((await list()).ids.filter((id) => id === 's001')).toHaveLength(1);
    const owner = await world.stores.index.find('s001');
    await world.stores.index.point('s001', OTHER, owner?.etag ?? '');
    const after = (await list()).servers.filter(({ stored }) => stored.value.serverId === 's001');
    expect(after.map(({ stored }) => stored.value.kek)).toEqual([OTHER]);
  });

  test('leaves out a row that no index answers for', async () => {
    await world.changeRow('s001', { incoming: true });
    const owner = await world.stores.index.find('s001');
    await world.stores.index.release('s001', owner?.etag ?? '');
    expect((await list({ kek: KEK })).ids).not.toContain('s001');
  });
});

describe('reading a server', () => {
  const read = (serverId: string) => makeReadServer(world.stores)(serverId);

  test('finds it under its key, with its state', async () => {
    expect(await read('beta-002')).toMatchObject({
      stored: { value: { kek: OTHER } },
      view: { state: 'Ready' },
    });
  });

  test('finds one whose move to another key ends in that moment', async () => {
    const { stores } = world;
    const moved = { ...(await world.row('s001')), kek: OTHER };
    const etag = (await stores.index.find('s001'))?.etag ?? '';
    const servers = {
      ...stores.servers,
      read: async (kek: typeof KEK, serverId: string) => {
        if (kek.vault === OTHER.vault) return stores.servers.read(kek, serverId);
        await stores.servers.commit(OTHER, [{ value: moved, etag: null, history: null }], null);
        await stores.index.point('s001', OTHER, etag);
        return undefined;
      },
    };
    const { stored } = await makeReadServer({ ...stores, servers })('s001');
    expect(stored.value.kek).toEqual(OTHER);
  });

  test('that isn’t registered, or was only begun, is ServerNotFound', async () => {
    await expect(read('nobody')).rejects.toMatchObject({ code: 'ServerNotFound' });
    await world.stores.index.claim('begun', KEK);
    await expect(read('begun')).rejects.toMatchObject({ code: 'ServerNotFound' });
    // A row alone, without its key's row, answers for nothing.
    const row = await world.row('s001');
    const kek = { ...KEK, name: 'not-held' };
    const stray = { ...row, kek, serverId: 'stray' };
    await world.stores.servers.commit(kek, [{ value: stray, etag: null, history: null }], null);
    await world.stores.index.claim('stray', kek);
    await expect(read('stray')).rejects.toMatchObject({ code: 'ServerNotFound' });
  });
});
