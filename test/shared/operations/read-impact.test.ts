import { describe, expect, test } from 'vitest';
import type { ImpactQuery } from '../../../shared/operations/read-impact.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const ask = (world: World, change: Partial<ImpactQuery> = {}) =>
  world.app.readImpact({ kek: KEK, of: 'disable', version: null, after: null, limit: 100, ...change });

describe('readImpact', () => {
  test('counts all servers, and shows a page of them with their sessions now', async () => {
    const world = makeWorld();
    const version = await world.begin(3);
    const server = world.server('s002');
    server.openSession('app');
    server.openSession('app');
    expect(await ask(world)).toEqual({
      countedAt: world.clock.now(),
      servers: 3,
      wouldLoseAccess: 3,
      wouldKeepAccess: 0,
      firstLossAt: null,
      detectionSeconds: 10,
      page: ['s001', 's002', 's003'].map((serverId) => ({
        serverId,
        state: 'Ready',
        version,
        keyLossPolicy: 'terminate',
        losesAccess: true,
        at: null,
        why: 'its key version would be disabled',
        sessionsOpen: serverId === 's002' ? 2 : 0,
      })),
      next: null,
    });
  });

  test('pages meet every server once; each counts all of them', async () => {
    const world = makeWorld();
    await world.begin(7);
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const impact: Awaited<ReturnType<typeof ask>> = await ask(world, { after, limit: 3 });
      expect(impact).toMatchObject({ servers: 7, wouldLoseAccess: 7 });
      expect(impact.page.length).toBeLessThanOrEqual(3);
      seen.push(...impact.page.map(({ serverId }) => serverId));
      after = impact.next;
    } while (after !== null);
    expect(seen).toEqual(['s001', 's002', 's003', 's004', 's005', 's006', 's007']);
    expect(await ask(world, { after: 's005', limit: 2 })).toMatchObject({ next: null });
  });

  test('leaves out tombstones and rows that are being moved in', async () => {
    const world = makeWorld();
    await world.begin(3);
    await world.changeRow('s001', { tombstone: true });
    await world.changeRow('s003', { incoming: true });
    const { servers, page } = await ask(world);
    expect([servers, page.map(({ serverId }) => serverId)]).toEqual([1, ['s002']]);
  });

  test('a server that has no access is neither lost nor kept', async () => {
    const world = makeWorld();
    await world.begin(2);
    await world.changeRow('s001', { hold: { by: 'anna', reason: 'x', since: new Date(0), until: null } });
    const impact = await ask(world);
    expect(impact).toMatchObject({ servers: 2, wouldLoseAccess: 1, wouldKeepAccess: 0 });
    expect(impact.page[0]).toMatchObject({ losesAccess: false, why: 'has no access now: OperatorHold' });
  });

  test('sessions that cannot be asked for are null, and hold up nothing', async () => {
    const world = makeWorld();
    await world.begin(2);
    await world.register(1, { prefix: 'none', access: { kind: 'none' } });
    world.server('s001').setReachable(false);
    const { page } = await ask(world);
    expect(page.map(({ serverId, sessionsOpen }) => [serverId, sessionsOpen])).toEqual([
      ['none001', null],
      ['s001', null],
      ['s002', 0],
    ]);
  });

  test('a fault of ours is not taken for a server that cannot be asked', async () => {
    const world = makeWorld();
    await world.begin(1);
    const inspect = () => Promise.reject(new TypeError('a bug'));
    const { readImpact } = world.startInstance({ ...world.postgres.port, inspect });
    const query = { kek: KEK, of: 'disable', version: null, after: null, limit: 1 } as const;
    await expect(readImpact(query)).rejects.toThrow('a bug');
  });

  test('of an expiry it says when the first server loses access', async () => {
    const world = makeWorld();
    const now = world.clock.now().getTime();
    const inDays = (days: number) => new Date(now + days * 86_400_000);
    const old = world.vault.createVersion(KEK, { expiresOn: inDays(2) });
    await world.register(2);
    await world.settle();
    await world.changeRow('s001', { pinned: true });
    world.clock.advance(60);
    const target = world.vault.createVersion(KEK, { expiresOn: inDays(9) });
    await world.settle();
    const at = (days: number) => new Date(inDays(days).getTime() + 300_000);
    const all = await ask(world, { of: 'expire' });
    expect(all).toMatchObject({ wouldLoseAccess: 2, firstLossAt: at(2) });
    expect(all.page.map((one) => [one.version, one.at])).toEqual([
      [old, at(2)],
      [target, at(9)],
    ]);
    expect(await ask(world, { of: 'expire', version: target })).toMatchObject({
      wouldLoseAccess: 1,
      wouldKeepAccess: 1,
      firstLossAt: at(9),
    });
  });

  test('a key or version that is not known is refused', async () => {
    const world = makeWorld();
    await world.begin(1);
    await expect(ask(world, { version: 'f'.repeat(32) })).rejects.toMatchObject({ code: 'VersionNotFound' });
    const kek = { ...KEK, name: 'other' };
    await expect(ask(world, { kek })).rejects.toMatchObject({ code: 'KekNotFound' });
  });

  test('changes nothing, asks no vault, and fails as a whole', async () => {
    const world = makeWorld();
    await world.begin(2);
    const rows = await world.rows();
    const calls = world.vault.calls.length;
    const writes = () => world.stores.roundTrips('keks.commit') + world.stores.roundTrips('servers.commit');
    const before = writes();
    await ask(world);
    expect([await world.rows(), world.vault.calls.length, writes()]).toEqual([rows, calls, before]);
    world.stores.failNext('servers.page', 'before');
    await expect(ask(world)).rejects.toMatchObject({ code: storeUnavailable('x').code });
  });
});

describe('what is foretold comes true', () => {
  /** Servers of all kinds: under the old and the new version, pinned, held, alertOnly. */
  async function begin() {
    const world = makeWorld();
    const old = await world.begin(4);
    await world.changeRow('s001', { pinned: true });
    await world.changeRow('s002', { pinned: true, keyLossPolicy: 'alertOnly' });
    world.clock.advance(60);
    const target = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await world.changeRow('s003', { hold: { by: 'anna', reason: 'x', since: new Date(0), until: null } });
    await world.settle();
    return { world, old, target };
  }
  const open = (world: World) => ['s001', 's002', 's003', 's004'].map((id) => world.isOpen(id));
  const foretell = async (world: World, query: Partial<ImpactQuery>) => {
    const before = open(world);
    const { page } = await ask(world, query);
    return before.map((isOpen, index) => isOpen && page[index]?.losesAccess === false);
  };

  test('when the old version is disabled', async () => {
    const { world, old } = await begin();
    const foretold = await foretell(world, { version: old });
    expect(foretold).toEqual([false, true, false, true]);
    world.vault.update(KEK, old, { enabled: false });
    await world.runFor(60);
    expect(open(world)).toEqual(foretold);
  });

  test('when the key is disabled', async () => {
    const { world, old, target } = await begin();
    const foretold = await foretell(world, {});
    expect(foretold).toEqual([false, true, false, false]);
    for (const version of [old, target]) world.vault.update(KEK, version, { enabled: false });
    await world.runFor(60);
    expect(open(world)).toEqual(foretold);
  });

  test('when the key is deleted', async () => {
    const { world } = await begin();
    const foretold = await foretell(world, { of: 'delete' });
    expect(foretold).toEqual([false, true, false, false]);
    world.vault.deleteKey(KEK);
    await world.runFor(60);
    expect(open(world)).toEqual(foretold);
  });

  test('when both versions expire', async () => {
    const { world, old, target } = await begin();
    const expiresOn = new Date(world.clock.now().getTime() + 600_000);
    for (const version of [old, target]) world.vault.update(KEK, version, { expiresOn });
    await world.settle();
    const foretold = await foretell(world, { of: 'expire' });
    expect(foretold).toEqual([false, true, false, false]);
    const { firstLossAt } = await ask(world, { of: 'expire' });
    expect(firstLossAt).toEqual(new Date(expiresOn.getTime() + 300_000));
    world.clock.advanceTo(new Date(expiresOn.getTime() + 290_000));
    await world.settle();
    expect(open(world)).toEqual([true, true, false, true]);
    await world.runFor(120);
    expect(open(world)).toEqual(foretold);
  });
});
