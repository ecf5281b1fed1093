import { describe, expect, test } from 'vitest';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const SWEEP = { kind: 'sweep' } as const;
const PROBE = { kind: 'probe' } as const;

/** A KEK with `count` rows beside the first, all `Ready`. */
const populate = async (count: number): Promise<World> => {
  const world = makeWorld();
  await world.begin(1);
  const row = await world.row('s001');
  const ids = Array.from({ length: count }, (_, index) => `t${String(index).padStart(5, '0')}`);
  for (let index = 0; index < ids.length; index += 90) {
    const writes = ids.slice(index, index + 90).map((serverId) => ({
      value: { ...row, serverId, access: { kind: 'none' } as const },
      etag: null,
      history: null,
    }));
    await world.stores.servers.commit(KEK, writes, null);
  }
  return world;
};

describe('fanOut', () => {
  test('enqueues ranges of at most 98 servers that cover all with work, over every page', async () => {
    const world = await populate(1100);
    const { epoch, target } = await world.kek();
    await world.changeKek({
      epoch: epoch + 1,
      hold: { by: 'anna', reason: 'x', since: world.clock.now(), until: null },
    });
    await world.app.fanOut(KEK, PROBE);
    const ranges = world.queue.waiting('server-access').map(({ message }) => message);
    const ids = (await allIds(world)).toSorted();
    expect(ranges).toHaveLength(Math.ceil(980 / 98) + Math.ceil(121 / 98));
    const covered = ranges.flatMap((range) =>
      'from' in range ? ids.filter((id) => id >= range.from && id <= range.to) : [],
    );
    expect(covered).toEqual(ids);
    for (const range of ranges)
      expect(range).toMatchObject({ kek: KEK, epoch: epoch + 1, attempt: null, cause: PROBE });
    expect((await world.kek()).census?.versions[target ?? '']?.servers).toBe(1101);
  });

  test('enqueues no range without work in it, and access before rewraps', async () => {
    const world = await populate(200);
    const first = (await world.kek()).target ?? '';
    world.vault.createVersion(KEK);
    await world.changeRow('t00190', { desired: 'revoked' });
    const sent = world.queue.sent.length;
    await world.app.reconcileKek({ kek: KEK, cause: PROBE }, null);
    const queues = world.queue.sent.slice(sent).map(({ queue }) => queue);
    expect(queues).toEqual(['server-access', 'rewrap-deks', 'rewrap-deks', 'rewrap-deks']);
    expect(first).not.toBe((await world.kek()).target);
  });

  test('does nothing while its epoch was fanned out already, except for a sweep', async () => {
    const world = makeWorld();
    await world.begin(1);
    await world.changeRow('s001', { applied: 'none' });
    await world.app.fanOut(KEK, PROBE);
    expect(world.queue.waiting()).toEqual([]);
    await world.app.fanOut(KEK, SWEEP);
    expect(world.queue.waiting('server-access')).toHaveLength(1);
  });

  test('does nothing for a KEK that is not held, and writes nothing of one that vanishes meanwhile', async () => {
    const world = makeWorld();
    await world.app.fanOut(KEK, SWEEP);
    expect(world.queue.sent).toEqual([]);
    const keks = { ...world.stores.keks };
    await world.begin(1);
    let reads = 0;
    const commits = world.stores.roundTrips('keks.commit');
    const read = keks.read;
    world.stores.keks.read = (kek) => {
      reads += 1;
      return reads > 1 ? Promise.resolve(undefined) : read(kek);
    };
    await world.app.fanOut(KEK, SWEEP);
    expect(world.stores.roundTrips('keks.commit')).toBe(commits);
  });

  test('a row that does not parse is held, said, and holds up nothing', async () => {
    const world = makeWorld();
    await world.begin(3);
    world.stores.spoilServer(KEK, 's002');
    await world.changeRow('s003', { applied: 'none' });
    await world.app.fanOut(KEK, SWEEP);
    expect(world.log.lines).toContainEqual({
      level: 'error',
      message: 'a server row does not parse: held',
      fields: { rowKey: 's:s002', problem: 'spoilt by the test' },
    });
    expect(world.queue.waiting('server-access')).toHaveLength(1);
  });
});

describe('a sweep while a rotation runs', () => {
  const rotating = async () => {
    const world = makeWorld();
    await world.begin(200);
    world.vault.createVersion(KEK);
    await world.app.reconcileKek({ kek: KEK, cause: PROBE }, null);
    const [first] = world.queue.waiting('rewrap-deks');
    if (first === undefined || !('from' in first.message)) throw new Error('no range was enqueued');
    const { message } = first;
    world.queue.clear();
    return { world, rewrapFirst: () => world.app.rewrapDeks(message) };
  };
  const sweep = async (world: World, afterSeconds = 60) => {
    world.queue.clear();
    world.clock.advance(afterSeconds);
    await world.app.fanOut(KEK, SWEEP);
    return world.queue.waiting('rewrap-deks').length;
  };

  test('asks again for what is left where nothing has moved since the last count', async () => {
    const { world, rewrapFirst } = await rotating();
    expect((await world.kek()).census).toMatchObject({ behind: 200, lastBehind: 's200' });
    expect(await sweep(world)).toBe(3);
    await rewrapFirst();
    expect(await sweep(world)).toBe(0);
    expect((await world.kek()).census).toMatchObject({ behind: 102, lastBehind: 's200' });
    expect(await sweep(world)).toBe(2);
  });

  test('asks for nothing again where the last count is of a moment ago', async () => {
    const { world } = await rotating();
    expect(await sweep(world, 59.9)).toBe(0);
    expect(await sweep(world, 60)).toBe(3);
  });

  test('asks again at once where more are behind than there were', async () => {
    const { world, rewrapFirst } = await rotating();
    const { wrapped } = await world.row('s200');
    await rewrapFirst();
    expect(await sweep(world)).toBe(0);
    await world.changeRow('s001', { wrapped });
    expect(await sweep(world, 1)).toBe(3);
  });

  test('asks again where nothing was counted yet', async () => {
    const { world, rewrapFirst } = await rotating();
    await rewrapFirst();
    await world.changeKek({ census: null });
    expect(await sweep(world)).toBe(2);
  });

  test('asks again for access all the same', async () => {
    const { world, rewrapFirst } = await rotating();
    await rewrapFirst();
    await world.changeRow('s200', { applied: 'none' });
    expect(await sweep(world)).toBe(0);
    expect(world.queue.waiting('server-access')).toHaveLength(1);
  });
});

describe('the census', () => {
  test('counts servers, unproven wrappings and what is not settled; tombstones count as wrappings only', async () => {
    const world = makeWorld();
    const version = await world.begin(4);
    await world.changeRow('s001', { provenAt: null });
    await world.changeRow('s002', { applied: 'revoked' });
    await world.changeRow('s003', { tombstone: true, desired: 'revoked' });
    await world.changeRow('s004', { incoming: true, applied: 'none' });
    await world.app.fanOut(KEK, SWEEP);
    expect((await world.kek()).census).toEqual({
      countedAt: world.clock.now(),
      versions: { [version]: { servers: 4, tombstones: 1, copies: 0, unproven: 1, unprovenSuccessors: 0 } },
      states: { [version]: { Ready: 1, Restoring: 1 } },
      notSettled: 2,
      behind: 0,
      lastBehind: null,
    });
  });

  test('counts copies, and unproven wrappings that replaced one of another version with that one', async () => {
    const world = makeWorld();
    const version = await world.begin(3);
    const old = '1'.repeat(32);
    await world.changeRow('s001', { copyOf: { serverId: 's002', kind: 'replica' } });
    await world.changeRow('s002', { provenAt: null, replacedVersion: old });
    await world.changeRow('s003', { replacedVersion: old });
    await world.app.fanOut(KEK, SWEEP);
    const none = { servers: 0, tombstones: 0, copies: 0, unproven: 0, unprovenSuccessors: 0 };
    expect((await world.kek()).census?.versions).toEqual({
      [version]: { ...none, servers: 3, copies: 1, unproven: 1 },
      [old]: { ...none, unprovenSuccessors: 1 },
    });
  });

  test('a version that servers were found on is watched, and no longer when none is', async () => {
    const world = makeWorld();
    const first = await world.begin(2);
    expect((await world.version(first)).inUse).toBe(true);
    const second = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await world.settle();
    expect((await world.version(first)).inUse).toBe(false);
    expect((await world.version(second)).inUse).toBe(true);
  });

  test('I-10: a version that changed since the count stays watched: it may have got its first server', async () => {
    const world = makeWorld();
    const first = await world.begin(1);
    const second = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await world.settle();
    await world.changeVersion(first, { inUse: true });
    let done = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (done || operation !== 'keks.commit') return;
      done = true;
      await world.changeVersion(first, { warnedDays: 3 });
    });
    await world.app.fanOut(KEK, SWEEP);
    expect((await world.version(first)).inUse).toBe(true);
    await world.app.fanOut(KEK, SWEEP);
    expect((await world.version(first)).inUse).toBe(false);
    expect((await world.version(second)).inUse).toBe(true);
  });

  test('a KEK without servers is counted too', async () => {
    const world = makeWorld();
    await world.begin(1);
    const empty = { ...KEK, name: 'empty' };
    const { kek } = (await world.stores.keks.read(KEK)) ?? {};
    if (kek === undefined) throw new Error('not held');
    const value = { ...kek.value, kek: empty };
    await world.stores.keks.commit(empty, { kek: { value, etag: null }, versions: [], outbox: null });
    await world.app.fanOut(empty, SWEEP);
    expect((await world.kek(empty)).census).toMatchObject({ versions: {}, notSettled: 0 });
  });

  describe('I-12: a server that a dead writer left under a retired version', () => {
    const begin = async (pinned: boolean) => {
      const world = makeWorld();
      const old = await world.begin(2);
      const { wrapped } = await world.row('s001');
      world.clock.advance(60);
      const target = world.vault.createVersion(KEK);
      await world.hint();
      await world.queue.drain();
      await world.runFor(900);
      world.clock.advance(2 * 3600);
      await world.app.retireVersion({ kek: KEK, version: old, by: 'anna' });
      expect((await world.version(old)).inUse).toBe(false);
      world.log.lines.length = 0;
      await world.changeRow('s001', { wrapped, pinned });
      return { world, old, target };
    };
    const warnings = (world: World) =>
      world.log.lines.filter(({ level, message }) => level === 'warn' && message.includes('retired'));

    test('is warned of each time, and its access follows that version again', async () => {
      const { world, old } = await begin(true);
      await world.app.fanOut(KEK, SWEEP);
      const fields = { server: 's001', key: keyUrl(KEK, old), pinned: true };
      expect(warnings(world)).toMatchObject([{ fields }]);
      expect(await world.version(old)).toMatchObject({ inUse: true, retiredAt: expect.any(Date) });
      await world.app.fanOut(KEK, SWEEP);
      expect(warnings(world)).toHaveLength(2);

      world.vault.update(KEK, old, { enabled: false });
      await world.runFor(30);
      expect(await world.row('s001')).toMatchObject({ applied: 'revoked', desiredReason: 'KeyDisabled' });
      expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([false, true]);
      world.vault.update(KEK, old, { enabled: true });
      await world.runFor(30);
      expect(world.isOpen('s001')).toBe(true);
      expect(await world.row('s001')).toMatchObject({ pinned: true, wrapped: { kekVersion: old } });
    });

    test('and is not pinned: the rotation moves it on, and nothing is left to warn of', async () => {
      const { world, old, target } = await begin(false);
      await world.settle();
      const before = warnings(world);
      expect(before[0]).toMatchObject({ fields: { server: 's001', pinned: false } });
      expect((await world.row('s001')).wrapped.kekVersion).toBe(target);
      await world.settle();
      expect(warnings(world)).toHaveLength(before.length);
      expect((await world.version(old)).inUse).toBe(false);
    });

    test('is freed by what the warning says', async () => {
      const { world, old, target } = await begin(true);
      const move = { serverId: 's001', keyId: keyUrl(KEK), by: 'anna', ifMatch: null };
      await world.app.moveServer(move);
      await world.settle();
      expect(await world.row('s001')).toMatchObject({ pinned: false, wrapped: { kekVersion: target } });
      expect((await world.version(old)).retiredAt).not.toBeNull();
    });
  });
});

async function allIds(world: World): Promise<readonly string[]> {
  const ids: string[] = [];
  let after: string | null = null;
  do {
    const page = await world.stores.servers.page(KEK, { after, from: null, to: null, limit: 1000 });
    ids.push(...page.rows.map(({ value }) => value.serverId));
    after = page.next;
  } while (after !== null);
  return ids;
}
