import { describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import { makeDeleteServer } from '../../../shared/operations/delete-server.ts';
import type { CommitHook } from '../../fakes/memory-stores.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const OTHER = { ...KEK, name: 'other' };
const command = {
  serverId: 's001',
  force: false,
  purge: false,
  by: 'anna',
  mayAssign: true,
  ifMatch: null,
};
const remove = (world: World, change = {}) => world.app.deleteServer({ ...command, ...change });
const down = new CmkError('StoreUnavailable', 'no', { remedy: 'Wait.', retryable: true });

/** Everything of a server, wherever it may be. */
const left = async (world: World, serverId = 's001') => ({
  row: (await world.stores.servers.read(KEK, serverId)) !== undefined,
  history: (await world.history(serverId)).length,
  escrow: (await world.escrow.list(serverId)).length,
  index: (await world.stores.index.find(serverId)) !== undefined,
});
const NOTHING = { row: false, history: 0, escrow: 0, index: false };

/** `s001` and `s002`, each with a wrapping in its history. */
async function beginRotated() {
  const world = makeWorld();
  const old = await world.begin(2);
  const current = world.vault.createVersion(KEK);
  await world.hint();
  await world.settle();
  return { world, old, current };
}

describe('deleting', () => {
  test('leaves a tombstone, whose wrapping is still rewrapped and counted', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    expect(await remove(world)).toEqual({ outcome: 'tombstone', kek: KEK, staysClosed: [] });
    expect(await world.row('s001')).toMatchObject({ tombstone: true, wrapped: { kekVersion: version } });
    expect(world.isOpen('s001')).toBe(true);
    const next = world.vault.createVersion(KEK);
    await world.hint();
    await world.settle();
    await world.settle();
    expect((await world.row('s001')).wrapped.kekVersion).toBe(next);
    expect((await world.kek()).census?.versions[next]).toMatchObject({ servers: 2, tombstones: 1 });
    expect(await world.audited('server.deleted')).toMatchObject([
      {
        servers: ['s001'],
        cause: { kind: 'operator', by: 'anna' },
        versionAfter: version,
        detail: { state: 'Ready', forced: false },
      },
    ]);
  });

  test('ends the work on its access', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    await remove(world);
    world.vault.update(KEK, version, { enabled: false });
    await world.runFor(20);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([true, false]);
  });

  test('the same again gives the same answer, changes nothing, and is recorded once', async () => {
    const world = makeWorld();
    await world.begin(1);
    const { etag = '' } = (await world.stores.servers.read(KEK, 's001')) ?? {};
    const first = await remove(world, { ifMatch: etag });
    const before = await world.stores.servers.read(KEK, 's001');
    expect(await remove(world, { ifMatch: etag })).toEqual(first);
    expect(await world.stores.servers.read(KEK, 's001')).toEqual(before);
    expect(await world.audited('server.deleted')).toHaveLength(1);
  });

  test('a server that was never reached needs no force', async () => {
    const world = makeWorld();
    await world.begin(1);
    await world.changeRow('s001', { applied: 'none', inspectedAt: null });
    world.server('s001').setReachable(false);
    expect(await remove(world)).toMatchObject({ outcome: 'tombstone', staysClosed: null });
  });

  test('a server that is closed needs force, which says what stays closed', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    await world.runFor(20);
    await expect(remove(world)).rejects.toMatchObject({
      code: 'ServerNotSettled',
      detail: { state: 'Inaccessible' },
    });
    expect((await world.row('s001')).tombstone).toBe(false);
    const { staysClosed } = await remove(world, { force: true });
    expect(staysClosed?.toSorted()).toEqual(['app', 'postgres', 'template1']);
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.audited('server.deleted')).toMatchObject([
      { detail: { state: 'Inaccessible', forced: true } },
    ]);
  });

  test('so does one whose key is in doubt', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    await world.changeVersion(version, { status: 'unknown', reason: 'VaultUnreachable', provenAt: null });
    await expect(remove(world)).rejects.toMatchObject({ code: 'ServerNotSettled' });
  });

  test('a server whose key has no row, which should not be, is not taken for a sound one', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.stores.keks.read = () => Promise.resolve(undefined);
    await expect(remove(world)).rejects.toMatchObject({ code: 'ServerNotSettled' });
  });

  test("a replica's databases follow its primary: none of them stays closed by this", async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    const replica = world.server('s001').addReplica();
    await world.register(0);
    await world.app.registerServer(world.orderOf('replica', { access: replica.access }));
    await world.settle();
    world.vault.update(KEK, version, { enabled: false });
    await world.runFor(20);
    expect(await remove(world, { serverId: 'replica', force: true })).toMatchObject({ staysClosed: [] });
  });

  test('a server that has nothing but its DEK has nothing that stays closed', async () => {
    const world = makeWorld();
    await world.begin(0);
    await world.register(1, { access: { kind: 'none' } });
    await world.settle();
    expect(await remove(world)).toMatchObject({ staysClosed: [] });
  });

  test('what was meant for another state, and an unknown server, are refused', async () => {
    const world = makeWorld();
    await world.begin(1);
    await expect(remove(world, { ifMatch: 'old' })).rejects.toMatchObject({ code: 'PreconditionFailed' });
    await expect(remove(world, { serverId: 'nobody' })).rejects.toMatchObject({ code: 'ServerNotFound' });
  });

  test('I-10: a server that is revoked in the moment in which it is deleted is looked at again', async () => {
    const world = makeWorld();
    await world.begin(1);
    once(world, 'servers.commit', () =>
      world.changeRow('s001', { desired: 'revoked', desiredReason: 'KeyDisabled', inspectedAt: null }),
    );
    await expect(remove(world)).rejects.toMatchObject({ code: 'ServerNotSettled' });
  });

  test.each([
    ['moving out', { moving: { from: KEK, to: OTHER, since: new Date(), by: 'anna' } }],
    ['arriving', { incoming: true }],
  ])('a server that is %s is deleted when its move has ended', async (_, change) => {
    const world = makeWorld();
    await world.begin(1);
    await world.changeRow('s001', change);
    const removeWith = (finishMove: (row: ServerRow) => Promise<void>) => {
      const { keks, servers, index } = world.stores;
      const { clock, random, escrow, postgres } = world;
      const deps = { keks, servers, index, escrow, clock, random, access: postgres.port, finishMove };
      return makeDeleteServer(deps)(command);
    };
    await expect(removeWith(() => Promise.resolve())).rejects.toMatchObject({
      code: 'ServerMoving',
      retryable: true,
    });
    const end = () => world.changeRow('s001', { incoming: false, moving: null });
    expect(await removeWith(end)).toMatchObject({ outcome: 'tombstone' });
  });
});

describe('purging', () => {
  test('needs the right to assign DEKs, and says so before anything else', async () => {
    const world = makeWorld();
    await world.begin(1);
    await expect(remove(world, { purge: true, mayAssign: false })).rejects.toMatchObject({
      code: 'RoleMissing',
      detail: { role: 'Dek.Assign' },
    });
    expect((await world.row('s001')).tombstone).toBe(false);
  });

  test('takes the row, its history, its escrow and its id; others keep theirs', async () => {
    const { world } = await beginRotated();
    expect(await left(world)).toEqual({ row: true, history: 1, escrow: 1, index: true });
    await remove(world);
    expect(await remove(world, { purge: true })).toEqual({ outcome: 'purged', kek: KEK, staysClosed: [] });
    expect(await left(world)).toEqual(NOTHING);
    expect(await left(world, 's002')).toEqual({ row: true, history: 1, escrow: 1, index: true });
    await expect(remove(world, { purge: true })).rejects.toMatchObject({ code: 'ServerNotFound' });
  });

  test('is recorded and announced before anything goes', async () => {
    const { world, current } = await beginRotated();
    const { dekId } = (await world.row('s001')).wrapped;
    const seen: string[] = [];
    world.stores.onBeforeCommit((operation) => void seen.push(operation));
    await remove(world, { purge: true });
    expect(seen).toEqual([
      'servers.commit',
      'servers.commit',
      'servers.removeHistory',
      'servers.remove',
      'index.release',
    ]);
    expect(await world.audited('server.deleted')).toHaveLength(1);
    expect(await world.audited('server.purged')).toMatchObject([
      { servers: ['s001'], cause: { by: 'anna' }, versionAfter: current, detail: { dekId } },
    ]);
    expect(world.topic.events.filter(({ type }) => type === 'PgCmk.DekAssigned')).toMatchObject([
      { subject: 's001', data: { change: 'purge', by: 'anna', dekId } },
    ]);
  });

  test('together with deleting it keeps to the same rule', async () => {
    const { world, old, current } = await beginRotated();
    for (const version of [old, current]) world.vault.update(KEK, version, { enabled: false });
    await world.runFor(20);
    await expect(remove(world, { purge: true })).rejects.toMatchObject({ code: 'ServerNotSettled' });
    expect(await left(world)).toMatchObject({ row: true, escrow: 1 });
    const { staysClosed } = await remove(world, { purge: true, force: true });
    expect(staysClosed).toContain('app');
    expect(await left(world)).toEqual(NOTHING);
  });

  test('an id that was purged is free, and whoever takes it gets another DEK', async () => {
    const world = makeWorld();
    await world.begin(1);
    const { dekId } = (await world.row('s001')).wrapped;
    await remove(world, { purge: true });
    await world.register(1);
    await world.settle();
    expect((await world.row('s001')).wrapped.dekId).not.toBe(dekId);
    expect(await world.escrow.list('s001')).toEqual([KEK]);
  });

  test('a registration of the same id that comes while the purge ends keeps its DEK and its id', async () => {
    for (const at of ['servers.remove', 'index.release'] as const) {
      const world = makeWorld();
      await world.begin(1);
      const { remove: take } = world.stores.servers;
      // Once the row is gone, and once when the id is about to go as well.
      if (at === 'servers.remove')
        world.stores.servers.remove = async (...which) => {
          await take(...which);
          await world.register(1);
        };
      else once(world, at, async () => void (await world.register(1)));
      await remove(world, { purge: true });
      await world.settle();
      expect((await world.stores.index.find('s001'))?.value).toEqual(KEK);
      const { wrapped } = await world.row('s001');
      expect((await world.escrow.find('s001', KEK))?.dekId).toBe(wrapped.dekId);
    }
  });

  test('reaches where the server was before it was moved', async () => {
    const { world } = await beginRotated();
    const row = await world.row('s001');
    const { sequence, wrapped } = row;
    const history = { serverId: 's001', sequence, wrapped, replacedAt: new Date(0), replacedBy: 'x' };
    const other = { ...(await world.row('s002')), serverId: 'guest', kek: OTHER };
    await world.stores.servers.commit(OTHER, [{ value: other, etag: null, history }], null);
    await world.escrow.file('s001', OTHER, wrapped);
    await remove(world, { purge: true });
    expect(await left(world)).toEqual(NOTHING);
    expect(await world.history('s001', OTHER)).toEqual([]);
    expect(await world.stores.servers.read(OTHER, 'guest')).toBeDefined();
  });

  test('a rewrap that files one more wrapping meanwhile is caught up with', async () => {
    const { world, old } = await beginRotated();
    await remove(world);
    once(world, 'servers.remove', async () => {
      const stored = await world.stores.servers.read(KEK, 's001');
      if (stored === undefined) throw new Error('gone');
      const { wrapped } = stored.value;
      const value = { ...stored.value, sequence: 2, wrapped: { ...wrapped, kekVersion: old } };
      const history = { serverId: 's001', sequence: 1, wrapped, replacedAt: new Date(0), replacedBy: old };
      await world.stores.servers.commit(KEK, [{ value, etag: stored.etag, history }], null);
    });
    await remove(world, { purge: true });
    expect(await left(world)).toEqual(NOTHING);
    expect(await world.audited('server.purged')).toHaveLength(1);
  });

  test('two at a time are one', async () => {
    const { world } = await beginRotated();
    await remove(world);
    const other = world.startInstance();
    once(world, 'servers.remove', async () => {
      await other.deleteServer({ ...command, purge: true });
    });
    expect(await remove(world, { purge: true })).toMatchObject({ outcome: 'purged' });
    expect(await left(world)).toEqual(NOTHING);
  });

  test('one that another has ended in between announces nothing more', async () => {
    const { world } = await beginRotated();
    await remove(world);
    const inspect = world.postgres.port.inspect;
    const other = world.startInstance();
    const slow = world.startInstance({
      ...world.postgres.port,
      inspect: async (access) => {
        await other.deleteServer({ ...command, purge: true });
        return inspect(access);
      },
    });
    expect(await slow.deleteServer({ ...command, purge: true })).toMatchObject({ outcome: 'purged' });
    expect(await world.audited('server.purged')).toHaveLength(1);
  });

  test('an id that is another server by now is left alone', async () => {
    const { world } = await beginRotated();
    await remove(world);
    once(world, 'servers.remove', async () => {
      const { etag = '' } = (await world.stores.index.find('s001')) ?? {};
      await world.stores.index.release('s001', etag);
      await world.stores.index.claim('s001', OTHER);
    });
    await remove(world, { purge: true });
    expect((await world.stores.index.find('s001'))?.value).toEqual(OTHER);
  });
});

describe('a purge that is cut short', () => {
  const steps = [
    ['servers.read', 'before'],
    ['servers.commit', 'before'],
    ['servers.commit', 'after'],
    ['servers.removeHistory', 'before'],
    ['servers.removeHistory', 'after'],
    ['servers.remove', 'before'],
    ['servers.remove', 'after'],
    ['index.release', 'before'],
    ['index.release', 'after'],
  ] as const;

  test.each(steps)('at %s, %s it took effect: the same again ends it', async (operation, when) => {
    const { world } = await beginRotated();
    world.stores.failNext(operation, when);
    await expect(remove(world, { purge: true })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await again(world);
    expect(await left(world)).toEqual(NOTHING);
    expect((await world.audited('server.purged')).length).toBeGreaterThan(0);
    expect(await world.audited('server.deleted')).toHaveLength(1);
  });

  test.each(['before', 'after'] as const)('at the escrow, %s it took effect: so too', async (when) => {
    const { world } = await beginRotated();
    world.escrow.failNextRemoval(down, when);
    await expect(remove(world, { purge: true })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(await left(world)).toMatchObject({ row: true, index: true });
    await again(world);
    expect(await left(world)).toEqual(NOTHING);
  });

  /** What is left when nothing but the id is left can't answer any more. */
  async function again(world: World) {
    await remove(world, { purge: true }).catch((error) => {
      expect(error).toMatchObject({ code: 'ServerNotFound' });
    });
  }
});

describe('an id that nothing but the index knows', () => {
  const claimed = async () => {
    const world = makeWorld();
    await world.begin(1);
    await world.stores.index.claim('new', KEK);
    return world;
  };
  const purgeNew = (world: World) => remove(world, { serverId: 'new', purge: true });

  test('stays as it is where nobody asks for a purge', async () => {
    const world = await claimed();
    await expect(remove(world, { serverId: 'new' })).rejects.toMatchObject({ code: 'ServerNotFound' });
    expect(await world.stores.index.find('new')).toBeDefined();
  });

  test('is kept for a registration that has filed its DEK and no more', async () => {
    const world = await claimed();
    await world.escrow.file('new', KEK, (await world.row('s001')).wrapped);
    await expect(purgeNew(world)).rejects.toMatchObject({ code: 'ServerNotFound' });
    expect(await world.stores.index.find('new')).toBeDefined();
  });

  const appear = async (world: World) => {
    const value = { ...(await world.row('s001')), serverId: 'new' };
    await world.stores.servers.commit(KEK, [{ value, etag: null, history: null }], null);
  };

  test('is kept for a row that turns up before it is freed, and claimed again for one that does so then', async () => {
    const early = await claimed();
    const { list } = early.escrow;
    early.escrow.list = async (serverId) => {
      await appear(early);
      return list.call(early.escrow, serverId);
    };
    await expect(purgeNew(early)).rejects.toMatchObject({ code: 'ServerNotFound' });
    expect(early.stores.roundTrips('index.release')).toBe(0);

    const late = await claimed();
    once(late, 'index.release', () => appear(late));
    await expect(purgeNew(late)).rejects.toMatchObject({ code: 'ServerNotFound' });
    expect((await late.stores.index.find('new'))?.value).toEqual(KEK);
  });

  test('a claim that changes hands while it is freed is read again', async () => {
    const world = await claimed();
    once(world, 'index.release', async () => {
      const { etag = '' } = (await world.stores.index.find('new')) ?? {};
      await world.stores.index.point('new', OTHER, etag);
    });
    await expect(purgeNew(world)).rejects.toMatchObject({ code: 'ServerNotFound' });
    expect(await world.stores.index.find('new')).toBeUndefined();
    await expect(purgeNew(world)).rejects.toMatchObject({ code: 'ServerNotFound' });
  });

  test.each([
    ['somebody else has claimed it', () => undefined],
    ['the index is out', () => 'fail' as const],
  ])('claiming it again: %s', async (_, fail) => {
    const world = await claimed();
    once(world, 'index.release', () => appear(world));
    once(world, 'index.claim', async () => {
      if (fail() === undefined) await world.stores.index.claim('new', KEK);
      else world.stores.failNext('index.claim', 'before');
    });
    const code = fail() === undefined ? 'ServerNotFound' : 'StoreUnavailable';
    await expect(purgeNew(world)).rejects.toMatchObject({ code });
  });
});

function once(world: World, at: Parameters<CommitHook>[0], act: () => Promise<void>): void {
  let done = false;
  world.stores.onBeforeCommit(async (operation) => {
    if (done || operation !== at) return;
    done = true;
    await act();
  });
}
