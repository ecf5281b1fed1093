import { decodeJwt } from 'jose';
import { describe, expect, test } from 'vitest';
import { CHAIN_START } from '../../../shared/domain/audit.ts';
import { kekKey, keyUrl } from '../../../shared/domain/key-id.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { makeSeededRandom } from '../../fakes/runtime.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const HOUR = 3600;
const NO_DEPENDENTS = {
  server: 0,
  pinned: 0,
  tombstone: 0,
  copy: 0,
  incoming: 0,
  moving: 0,
  unprovenSuccessor: 0,
  held: 0,
  export: 0,
};

/** Three servers that were rewrapped from `old` to `target` and proven, more than the soak ago. */
async function rotated(options: { readonly hours?: number; readonly pause?: () => Promise<void> } = {}) {
  const world = makeWorld(options.pause === undefined ? {} : { pause: options.pause });
  const old = await world.begin(3);
  world.clock.advance(60);
  const target = world.vault.createVersion(KEK);
  await world.hint();
  await world.queue.drain();
  const replacedAt = world.clock.now();
  for (const { serverId } of await world.rows()) await world.changeRow(serverId, { provenAt: replacedAt });
  await world.settle();
  world.clock.advanceTo(new Date(replacedAt.getTime() + (options.hours ?? 2) * HOUR * 1000));
  const retire = (version = old) => world.app.retireVersion({ kek: KEK, version, by: 'anna' });
  return { world, old, target, replacedAt, retire };
}

/** `old` is the version in question, and the server `s001` stands under it in some way. */
const under = (world: World, version: string, change: Partial<ServerRow> = {}) =>
  world
    .row('s001')
    .then((row) => world.changeRow('s001', { wrapped: { ...row.wrapped, kekVersion: version }, ...change }));

/** As a worker that was held up half way through a rewrap: its old wrapping is filed only now. */
async function fileLate(world: World, version: string, replacedAt: Date): Promise<void> {
  const stored = await world.stores.servers.read(KEK, 's003');
  if (stored === undefined) throw new Error('not there');
  const wrapped = { ...stored.value.wrapped, kekVersion: version };
  const history = { serverId: 's003', sequence: 7, wrapped, replacedAt, replacedBy: 'x' };
  await world.stores.servers.commit(KEK, [{ ...stored, history }], null);
}

const dependent = (kind: string, examples: readonly string[] = ['s001']) => ({
  code: 'VersionInUse',
  detail: { dependents: [{ kind, count: examples.length, examples }] },
});

describe('retireVersion', () => {
  test('retires a version that nothing depends on: marks, prunes, and says so under signature', async () => {
    const { world, old, target, replacedAt, retire } = await rotated();
    const before = await world.kek();
    const head = (await world.stores.audit.tail(kekKey(KEK), 1)).at(0);
    const now = world.clock.now();
    const calls = world.vault.calls.length;

    const { retiredAt, prunedHistory, statement } = await retire();

    expect({ retiredAt, prunedHistory }).toEqual({ retiredAt: now, prunedHistory: 3 });
    expect(await world.version(old)).toMatchObject({
      retiredAt: now,
      lastDependedOn: replacedAt,
      inUse: false,
    });
    expect((await world.version(target)).retiredAt).toBeNull();
    for (const { serverId } of await world.rows()) expect(await world.history(serverId)).toEqual([]);
    expect((await world.kek()).epoch).toBe(before.epoch + 1);
    expect(world.vault.calls).toHaveLength(calls);
    expect(decodeJwt(statement)).toEqual({
      iss: 'pg-cmk',
      iat: now.getTime() / 1000,
      kind: 'KeyVersionRetired',
      sub: keyUrl(KEK, old),
      census: NO_DEPENDENTS,
      countedAt: now.toISOString(),
      lastDependedOn: replacedAt.toISOString(),
      soakHours: 2,
      retiredAt: now.toISOString(),
      by: 'anna',
      auditHead: {
        chain: kekKey(KEK),
        sequence: head?.sequence ?? 0,
        hash: head?.hash ?? CHAIN_START,
      },
    });
    expect(await world.audited('kek.versionRetired')).toMatchObject([
      { cause: { kind: 'operator', by: 'anna' }, versionBefore: old, versionAfter: null, reason: null },
    ]);
  });

  test('the statement names the head of the audit chain, where there is one', async () => {
    const { world, retire } = await rotated();
    await world.app.deliverOutbox();
    const [head] = await world.stores.audit.tail(kekKey(KEK), 1);
    if (head === undefined) throw new Error('no chain');
    const { auditHead } = decodeJwt<{ auditHead: object }>((await retire()).statement);
    expect(auditHead).toEqual({ chain: kekKey(KEK), sequence: head.sequence, hash: head.hash });
  });

  test('leaves the wrappings under other versions in the history', async () => {
    const { world, old, target, retire } = await rotated();
    world.clock.advance(60);
    const third = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    expect((await retire()).prunedHistory).toBe(3);
    const left = (await world.history('s002')).map(({ wrapped, replacedBy }) => [
      wrapped.kekVersion,
      replacedBy,
    ]);
    expect(left).toEqual([[target, third]]);
    await expect(retire(old)).resolves.toMatchObject({ prunedHistory: 0 });
    await expect(retire(target)).rejects.toMatchObject({ code: 'VersionInUse' });
  });

  test('the same command again gives a statement again, and prunes nothing', async () => {
    const { world, retire, replacedAt } = await rotated();
    const first = await retire();
    world.clock.advance(HOUR);
    const second = await retire();
    expect(second).toMatchObject({ retiredAt: first.retiredAt, prunedHistory: 0 });
    const claims = decodeJwt(second.statement);
    expect(claims).toMatchObject({
      census: NO_DEPENDENTS,
      countedAt: world.clock.now().toISOString(),
      retiredAt: first.retiredAt.toISOString(),
      lastDependedOn: replacedAt.toISOString(),
    });
    expect(await world.audited('kek.versionRetired')).toHaveLength(1);
  });

  test('a key or version that is not known is refused', async () => {
    const { world, retire } = await rotated();
    await expect(retire('f'.repeat(32))).rejects.toMatchObject({ code: 'VersionNotFound' });
    const kek = { ...KEK, name: 'other' };
    const command = { kek, version: 'f'.repeat(32), by: 'anna' };
    await expect(world.app.retireVersion(command)).rejects.toMatchObject({ code: 'KekNotFound' });
  });
});

describe('I-12: retireVersion is refused while something depends on the version, and goes through after', () => {
  const cases: readonly (readonly [string, Partial<ServerRow>])[] = [
    ['server', {}],
    ['pinned', { pinned: true }],
    ['tombstone', { tombstone: true }],
    ['copy', { copyOf: { serverId: 's002', kind: 'replica' } }],
    ['incoming', { incoming: true }],
    [
      'moving',
      { moving: { from: KEK, to: { ...KEK, name: 'other' }, since: new Date(0), by: 'anna' }, pinned: true },
    ],
  ];
  test.each(cases)('one %s', async (kind, change) => {
    const { world, old, target, retire } = await rotated();
    const { moving, incoming, copyOf, tombstone, pinned } = await world.row('s001');
    await under(world, old, change);
    await expect(retire()).rejects.toMatchObject(dependent(kind));
    expect((await world.version(old)).retiredAt).toBeNull();
    expect(await world.history('s002')).toHaveLength(1);
    await under(world, target, { moving, incoming, copyOf, tombstone, pinned });
    expect(await retire()).toMatchObject({ prunedHistory: 3 });
  });

  test('one unproven successor', async () => {
    const { world, old, retire } = await rotated();
    expect((await world.row('s003')).replacedVersion).toBe(old);
    await world.changeRow('s003', { provenAt: null });
    await expect(retire()).rejects.toMatchObject(dependent('unprovenSuccessor', ['s003']));
    await world.changeRow('s003', { provenAt: world.clock.now() });
    expect(await retire()).toMatchObject({ prunedHistory: 3 });
  });

  test('but not one that replaced a wrapping of another version', async () => {
    const { world, retire } = await rotated();
    await world.changeRow('s003', { provenAt: null, replacedVersion: 'e'.repeat(32) });
    await expect(retire()).resolves.toMatchObject({ prunedHistory: 3 });
  });

  test('the newest export', async () => {
    const { world, old, target, retire } = await rotated();
    const exportedAt = new Date('2029-12-31T00:00:00Z');
    world.exports.current = { exportedAt, versions: { [kekKey(KEK)]: [target, old] } };
    await expect(retire()).rejects.toMatchObject(dependent('export', [exportedAt.toISOString()]));
    world.exports.current = { exportedAt, versions: { [kekKey(KEK)]: [target], 'b|key': [old] } };
    await retire();
    world.exports.current = { exportedAt, versions: {} };
    await expect(retire()).resolves.toMatchObject({ prunedHistory: 0 });
  });

  test('an export that nobody can read', async () => {
    const { world, old, retire } = await rotated();
    world.exports.failNext(storeUnavailable('newest'));
    await expect(retire()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect((await world.version(old)).retiredAt).toBeNull();
  });

  test('a row that does not parse, which may be under any version', async () => {
    const { world, old, retire } = await rotated();
    world.stores.spoilServer(KEK, 's002');
    await expect(retire()).rejects.toMatchObject(dependent('held', ['s:s002']));
    expect((await world.version(old)).retiredAt).toBeNull();
  });

  test('the target, and a newer version that is about to be it', async () => {
    const { world, target, retire } = await rotated();
    for (const { serverId } of await world.rows()) {
      const { etag } = (await world.stores.servers.read(KEK, serverId)) ?? { etag: '' };
      await world.stores.servers.remove(KEK, serverId, etag);
    }
    await expect(retire(target)).rejects.toMatchObject(dependent('target', [target]));
    // Proven, and no reconcile has made it the target yet.
    await world.changeKek({ target: null });
    await expect(retire(target)).rejects.toMatchObject(dependent('target', [target]));
    const { attributes } = await world.version(target);
    await world.changeVersion(target, { attributes: null });
    await world.changeKek({ target });
    const next = world.vault.createVersion(KEK);
    await world.settle();
    await world.changeVersion(target, { attributes });
    await world.changeKek({ target });
    await expect(retire(next)).rejects.toMatchObject(dependent('target', [next]));
  });

  test('a version without a date may be newer than the target', async () => {
    const { world, old, retire } = await rotated();
    await world.changeVersion(old, { attributes: null });
    await expect(retire()).rejects.toMatchObject(dependent('target', [old]));
  });

  test('all that depends is said at once, with at most 20 names of each', async () => {
    const world = makeWorld();
    const version = await world.begin(25);
    await world.changeRow('s025', { tombstone: true });
    world.exports.current = { exportedAt: new Date(0), versions: { [kekKey(KEK)]: [version] } };
    const error = await world.app.retireVersion({ kek: KEK, version, by: 'anna' }).catch((e) => e);
    expect(error.detail.dependents).toMatchObject([
      { kind: 'target', count: 1 },
      { kind: 'server', count: 24 },
      { kind: 'tombstone', count: 1, examples: ['s025'] },
      { kind: 'export', count: 1 },
    ]);
    expect(error.detail.dependents[1].examples).toHaveLength(20);
    expect(error.message).toContain('24 × server');
  });

  test('a whole rotation, by itself: the sweep proves what is left, and the version may go', async () => {
    const world = makeWorld();
    const old = await world.begin(3);
    world.clock.advance(60);
    world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    const retire = () => world.app.retireVersion({ kek: KEK, version: old, by: 'anna' });
    await expect(retire()).rejects.toMatchObject({ code: 'VersionInUse' });
    await world.runFor(900);
    await expect(retire()).rejects.toMatchObject({ code: 'VersionSoaking' });
    world.clock.advance(2 * HOUR);
    expect(await retire()).toMatchObject({ prunedHistory: 3 });
    // Whatever becomes of the version in the vault now concerns nobody.
    world.vault.update(KEK, old, { enabled: false });
    await world.runFor(120);
    for (const { serverId, desired } of await world.rows())
      expect([serverId, desired]).toEqual([serverId, 'granted']);
    expect((await world.version(old)).retiredAt).not.toBeNull();
  });
});

describe('the soak', () => {
  test('is counted from the last wrapping that was replaced, to the second', async () => {
    const { world, old, replacedAt, retire } = await rotated({ hours: 1 });
    const retireFrom = new Date(replacedAt.getTime() + 2 * HOUR * 1000);
    const soaking = { code: 'VersionSoaking', detail: { retireFrom: retireFrom.toISOString() } };
    await expect(retire()).rejects.toMatchObject(soaking);
    world.clock.advanceTo(new Date(retireFrom.getTime() - 1));
    await expect(retire()).rejects.toMatchObject(soaking);
    expect(await world.version(old)).toMatchObject({ retiredAt: null, lastDependedOn: null });
    world.clock.advance(0.001);
    expect(await retire()).toMatchObject({ retiredAt: retireFrom });
  });

  test('a version that nothing was ever wrapped under may go at once', async () => {
    const { world, retire } = await rotated();
    const unused = world.vault.createVersion(KEK, { enabled: false });
    await world.settle();
    const { statement } = await retire(unused);
    expect(decodeJwt(statement)).toMatchObject({ sub: keyUrl(KEK, unused), lastDependedOn: null });
    await world.settle();
    expect((await world.version(unused)).retiredAt).not.toBeNull();
  });

  test('a wrapping that was replaced after it was retired is counted and pruned the next time', async () => {
    const { world, old, retire } = await rotated();
    const first = await retire();
    world.clock.advance(60);
    const replacedAt = world.clock.now();
    await fileLate(world, old, replacedAt);
    await expect(retire()).rejects.toMatchObject({ code: 'VersionSoaking' });
    world.clock.advance(2 * HOUR);
    const again = await retire();
    expect(again).toMatchObject({ retiredAt: first.retiredAt, prunedHistory: 1 });
    const lastDependedOn = replacedAt.toISOString();
    expect(decodeJwt(again.statement)).toMatchObject({ lastDependedOn });
    expect(decodeJwt((await retire()).statement)).toMatchObject({ lastDependedOn });
  });
});

describe('others at work', () => {
  test('I-12: a server that slips in behind the count has the mark taken back; nothing is pruned or signed', async () => {
    const { world, old, target, retire } = await rotated();
    let slipped = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (slipped || operation !== 'keks.commit') return;
      slipped = true;
      await under(world, old, { pinned: true });
    });
    await expect(retire()).rejects.toMatchObject(dependent('pinned'));
    expect(slipped).toBe(true);
    expect(await world.version(old)).toMatchObject({ retiredAt: null, inUse: true });
    expect(await world.history('s001')).toHaveLength(1);
    expect(await world.audited('kek.versionRetired')).toMatchObject([
      { reason: null, versionAfter: null },
      { reason: 'VersionInUse', versionAfter: old, detail: { undone: true } },
    ]);
    await under(world, target, { pinned: false });
    expect(await retire()).toMatchObject({ prunedHistory: 3 });
  });

  test('a version that somebody begins to use between reading and marking is counted again', async () => {
    const { world, old, retire } = await rotated();
    let slipped = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (slipped || operation !== 'keks.commit') return;
      slipped = true;
      // As a pinned registration does before it wraps anything.
      await world.changeVersion(old, { inUse: true });
      await under(world, old, { pinned: true });
    });
    await expect(retire()).rejects.toMatchObject(dependent('pinned'));
    expect(await world.audited('kek.versionRetired')).toEqual([]);
  });

  test('a reconcile between reading and marking is no reason to refuse', async () => {
    const { world, old, retire } = await rotated();
    let slipped = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (slipped || operation !== 'keks.commit') return;
      slipped = true;
      await world.changeKek({ lastHintAt: world.clock.now() });
    });
    expect(await retire()).toMatchObject({ prunedHistory: 3 });
    expect((await world.kek()).lastHintAt).toEqual(world.clock.now());
    expect((await world.version(old)).retiredAt).toEqual(world.clock.now());
  });

  test('a mark that is taken back by somebody else is left to him', async () => {
    const { world, old, retire } = await rotated();
    let marks = 0;
    world.stores.onBeforeCommit(async (operation) => {
      if (operation !== 'keks.commit') return;
      marks += 1;
      if (marks === 1) await under(world, old);
      if (marks === 2) await world.changeVersion(old, { retiredAt: null });
    });
    await expect(retire()).rejects.toMatchObject(dependent('server'));
    expect(await world.audited('kek.versionRetired')).toHaveLength(1);
  });

  test('a wrapping that is replaced while the history is pruned stays in it', async () => {
    const { world, old, retire } = await rotated();
    let late = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (late || operation !== 'servers.removeHistory') return;
      late = true;
      await fileLate(world, old, new Date(world.clock.now().getTime() + 1));
    });
    await retire();
    expect((await world.history('s003')).map(({ sequence }) => sequence)).toEqual([7]);
  });

  test('two operators at once: both get their statement, and it is marked once', async () => {
    const { world, retire } = await rotated();
    const other = world.startInstance();
    const [a, b] = await Promise.all([
      retire(),
      other.retireVersion({
        kek: KEK,
        version: (await world.history('s001'))[0]?.wrapped.kekVersion ?? '',
        by: 'bob',
      }),
    ]);
    expect(a.retiredAt).toEqual(b.retiredAt);
    expect(await world.audited('kek.versionRetired')).toHaveLength(1);
    expect(await world.history('s001')).toEqual([]);
  });
});

test('I-12: whoever pins a server to the version in the same moment, no server is left under a retired version', async () => {
  const ends = new Set<string>();
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = makeSeededRandom(seed);
    let racing = false;
    const pause = async () => {
      for (let turns = racing ? random.integer(6) : 0; turns > 0; turns -= 1) await Promise.resolve();
    };
    const { world, old, target, retire } = await rotated({ pause });
    racing = true;
    const pinned = world.orderOf('pinned', { keyId: keyUrl(KEK, old) });
    const wait = random.integer(200);
    const [retired, registered] = await Promise.allSettled([
      (async () => {
        for (let turns = wait; turns > 0; turns -= 1) await Promise.resolve();
        return retire();
      })(),
      world.startInstance().registerServer(pinned),
    ]);
    racing = false;
    await world.settle();
    const isRetired = (await world.version(old)).retiredAt !== null;
    const row = (await world.rows()).find(({ serverId }) => serverId === 'pinned');
    const end = [isRetired, retired.status, registered.status, row?.wrapped.kekVersion === old].join(' ');
    ends.add(end);
    expect(isRetired).toBe(retired.status === 'fulfilled');
    if (isRetired) expect([undefined, target]).toContain(row?.wrapped.kekVersion);
    if (registered.status === 'fulfilled') expect(row?.wrapped.kekVersion).toBe(old);
    if (retired.status === 'rejected') expect(retired.reason).toMatchObject({ code: 'VersionInUse' });
    if (registered.status === 'rejected') expect(registered.reason).toMatchObject({ code: 'KekNotProven' });
  }
  // Each of the two was first in some of them.
  expect(ends).toContain('true fulfilled rejected false');
  expect(ends).toContain('false rejected fulfilled true');
});

describe('cut short', () => {
  const steps = [
    ['keks.read', 'before'],
    ['servers.page', 'before'],
    ['servers.pageHistory', 'before'],
    ['keks.commit', 'before'],
    ['keks.commit', 'after'],
    ['servers.removeHistory', 'before'],
    ['servers.removeHistory', 'after'],
    ['audit.tail', 'before'],
  ] as const;
  test.each(steps)('at %s (%s), the same command takes it up again', async (operation, when) => {
    const { world, old, retire } = await rotated();
    world.stores.failNext(operation, when);
    await expect(retire()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const { statement } = await retire();
    expect(decodeJwt(statement)).toMatchObject({ sub: keyUrl(KEK, old), census: NO_DEPENDENTS });
    expect((await world.version(old)).retiredAt).not.toBeNull();
    expect(await world.history('s001')).toEqual([]);
    expect(await world.audited('kek.versionRetired')).toHaveLength(1);
  });

  test('between mark and second count, and somebody slipped in: the same command finds out', async () => {
    const { world, old, retire } = await rotated();
    await world.changeVersion(old, { retiredAt: world.clock.now(), inUse: false });
    await under(world, old);
    await expect(retire()).rejects.toMatchObject(dependent('server'));
    expect(await world.version(old)).toMatchObject({ retiredAt: null, inUse: true });
    expect(await world.history('s002')).toHaveLength(1);
  });
});

test('a count meets every server once, whatever the size of the fleet, one page at a time', async () => {
  const { world, old, target } = await rotated();
  const row = await world.row('s001');
  for (let from = 0; from < 2450; from += 49) {
    const writes = Array.from({ length: 49 }, (_, n) => ({
      value: { ...row, serverId: `x${String(from + n).padStart(5, '0')}` },
      etag: null,
      history: null,
    }));
    await world.stores.servers.commit(KEK, writes, null);
  }
  const pages = world.stores.roundTrips('servers.page');
  const counted = await world.app.countDependents(KEK, target);
  expect(counted.counts).toEqual({ ...NO_DEPENDENTS, server: 2453 });
  expect(world.stores.roundTrips('servers.page') - pages).toBe(3);
  expect((await world.app.countDependents(KEK, old)).found).toEqual([]);
});
