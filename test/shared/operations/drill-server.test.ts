import { describe, expect, test } from 'vitest';
import { CmkError } from '../../../shared/domain/errors.ts';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import type { DrillResult } from '../../../shared/operations/drill-server.ts';
import type { ServerAccess } from '../../../shared/ports/server-access.ts';
import type { CommitHook } from '../../fakes/memory-stores.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const command = { serverId: 's001', by: 'anna' };
const down = (message = 'no') =>
  new CmkError('ServerUnreachable', message, { remedy: 'Start it.', retryable: true });

const begin = async (count = 1) => {
  const world = makeWorld();
  const version = await world.begin(count);
  world.clock.advance(60);
  return { world, version };
};

/** Lets time pass, half a second at a time, until the drill has ended. */
async function run(world: World, drill: Promise<DrillResult> = world.app.drillServer(command)) {
  let ended = false;
  const end = () => {
    ended = true;
  };
  drill.then(end, end);
  for (let turn = 0; turn < 1000; turn += 1) {
    await new Promise(setImmediate);
    if (ended) return drill;
    world.clock.advance(0.5);
  }
  throw new Error('the drill never ends');
}

const withAccess = (world: World, change: Partial<ServerAccess>) =>
  world.startInstance({ ...world.postgres.port, ...change });

function once(world: World, at: Parameters<CommitHook>[0], act: () => Promise<void>, skip = 0): void {
  let calls = 0;
  world.stores.onBeforeCommit(async (operation) => {
    if (operation !== at) return;
    calls += 1;
    if (calls === skip + 1) await act();
  });
}

describe('a drill', () => {
  test('closes and opens the server for real, and measures both', async () => {
    const { world } = await begin(2);
    const server = world.server('s001');
    server.createDatabase('off');
    server.allowConnections('off', false);
    const session = server.openSession('app');
    const startedAt = world.clock.now();
    const { revoke, restore } = world.postgres.port;
    const seen: boolean[] = [];
    const instance = withAccess(world, {
      revoke: async (access, order) => {
        world.clock.advance(2);
        return revoke(access, order);
      },
      restore: async (access, order) => {
        seen.push(world.isOpen('s001'), session.isOpen());
        world.clock.advance(1);
        return restore(access, order);
      },
    });
    const result = await run(world, instance.drillServer(command));
    expect(seen).toEqual([false, false]);
    expect(result).toEqual({
      startedAt,
      revokedAfterMilliseconds: 2000,
      restoredAfterMilliseconds: 1000,
      closed: expect.toSatisfy((names: string[]) => names.toSorted().join() === 'app,postgres,template1'),
      reopened: expect.toSatisfy((names: string[]) => names.toSorted().join() === 'app,postgres,template1'),
      sessionsEnded: 1,
    });
    expect([world.isOpen('s001'), server.takesConnections('off')]).toEqual([true, false]);
    expect(await world.row('s001')).toMatchObject({
      hold: null,
      desired: 'granted',
      desiredReason: null,
      applied: 'granted',
      failure: null,
    });
    expect(
      world.postgres.orders.filter(({ host }) => host === world.server('s002').access.host),
    ).toHaveLength(1);
  });

  test('touches no key, and is written down from beginning to end', async () => {
    const { world, version } = await begin();
    const calls = world.vault.calls.length;
    await run(world);
    expect(world.vault.calls.length).toBe(calls);
    const records = (await world.audited()).slice(-7);
    expect(records.map(({ action, reason }) => [action, reason])).toEqual([
      ['server.held', 'drill'],
      ['server.accessDecided', 'OperatorHold'],
      ['server.accessApplied', 'OperatorHold'],
      ['server.released', 'drill'],
      ['server.accessDecided', null],
      ['server.accessApplied', null],
      ['server.drilled', null],
    ]);
    expect(records.at(-1)).toMatchObject({
      servers: ['s001'],
      cause: { kind: 'operator', by: 'anna' },
      versionAfter: version,
      detail: { revokedAfterMilliseconds: 0, restoredAfterMilliseconds: 0, sessionsEnded: 0 },
    });
    expect(world.topic.idsOf('PgCmk.ServerInaccessible')).toEqual(['s001:2']);
  });

  test('a worker that carries the order out first is found to have closed the same', async () => {
    const { world } = await begin();
    const { revoke } = world.postgres.port;
    let first = true;
    const instance = withAccess(world, {
      revoke: async (access, order) => {
        if (first) {
          first = false;
          await world.app.applyServerAccess(await world.rangeOf());
        }
        return revoke(access, order);
      },
    });
    expect((await run(world, instance.drillServer(command))).closed).toContain('app');
  });

  test('a server whose record is ahead of its row is drilled under its numbering', async () => {
    const { world } = await begin();
    const order = { serverId: 's001', epoch: 41 };
    await world.postgres.port.restore(world.server('s001').access, order);
    await run(world);
    expect(world.isOpen('s001')).toBe(true);
    expect((await world.row('s001')).accessEpoch).toBeGreaterThan(41);
  });

  test('so it is where the record gets ahead in the middle', async () => {
    const { world } = await begin();
    const { restore } = world.postgres.port;
    let ahead = true;
    const instance = withAccess(world, {
      restore: async (access, order) => {
        if (!ahead) return restore(access, order);
        ahead = false;
        return { kind: 'overtaken', epoch: order.epoch };
      },
    });
    expect((await run(world, instance.drillServer(command))).reopened).toContain('app');
    expect(world.isOpen('s001')).toBe(true);
  });

  test('what fails for a moment is tried again, and the drill takes longer', async () => {
    const { world } = await begin();
    const { revoke, restore } = world.postgres.port;
    const [failures, attempts] = [[down('a restart'), down('a restart')], { revoke: 0, restore: 0 }];
    const instance = withAccess(world, {
      revoke: async (access, order) => {
        attempts.revoke += 1;
        if (attempts.revoke === 1) throw failures[0];
        return revoke(access, order);
      },
      restore: async (access, order) => {
        attempts.restore += 1;
        if (attempts.restore === 1) throw failures[1];
        return restore(access, order);
      },
    });
    const result = await run(world, instance.drillServer(command));
    expect(result).toMatchObject({ revokedAfterMilliseconds: 5000, restoredAfterMilliseconds: 5000 });
    expect(attempts).toEqual({ revoke: 2, restore: 2 });
  });
});

describe('a drill is refused, and nothing is changed', () => {
  const refused = async (world: World, detail: object = {}, by = world.app) => {
    const before = await world.rows();
    const orders = world.postgres.orders.length;
    await expect(run(world, by.drillServer(command))).rejects.toMatchObject({
      code: 'DrillRefused',
      retryable: false,
      remedy: expect.stringContaining('Nothing was changed.'),
      detail,
    });
    expect(await world.rows()).toEqual(before);
    expect(world.postgres.orders.length).toBe(orders);
    expect(world.queue.waiting('server-access')).toEqual([]);
  };

  test.each([
    ['drain', { keyLossPolicy: 'drain' }],
    ['denyNew', { keyLossPolicy: 'denyNew' }],
    ['alertOnly', { keyLossPolicy: 'alertOnly' }],
    ['no access', { access: { kind: 'none' } }],
    ['a replica', { copyOf: { serverId: 'x', kind: 'replica' } }],
    ['moving', { moving: { from: KEK, to: { ...KEK, name: 'other' }, since: new Date(), by: 'ben' } }],
  ] as const)('%s', async (_, change) => {
    const { world } = await begin();
    await world.changeRow('s001', change);
    await refused(world);
  });

  test.each([
    ['on hold', { hold: { by: 'ben', reason: 'x', since: new Date(), until: null } }, 'OperatorHold'],
    ['not reached yet', { applied: 'none' }, 'AccessNotApplied'],
    ['not open again yet', { inspectedAt: null }, 'AccessNotApplied'],
    ['closed, and why is not known', { desired: 'revoked', applied: 'revoked' }, 'AccessNotApplied'],
  ] as const)('a server that is %s', async (_, change, reason) => {
    const { world } = await begin();
    await world.changeRow('s001', change);
    await refused(world, { reason });
  });

  test('a key on hold that the row does not say yet, a lost one, and one in doubt', async () => {
    const held = await begin();
    const now = held.world.clock.now();
    await held.world.changeKek({ hold: { by: 'ben', reason: 'x', since: now, until: null } });
    await refused(held.world, { reason: 'OperatorHold' });
    const lost = await begin();
    await lost.world.changeVersion(lost.version, { verdict: 'revoke', verdictReason: 'KeyDisabled' });
    await refused(lost.world, { reason: 'KeyDisabled' });
    const doubtful = await begin();
    await doubtful.world.changeVersion(doubtful.version, { status: 'unknown', reason: 'Throttled' });
    await refused(doubtful.world, { reason: 'Throttled' });
  });

  test('a row that has just arrived, and whose move ends only now', async () => {
    const { world } = await begin();
    await world.changeRow('s001', { incoming: true });
    const moving = { code: 'ServerMoving', retryable: true };
    await expect(run(world)).rejects.toMatchObject(moving);
    expect(await world.row('s001')).toMatchObject({ incoming: true, hold: null });
    // What the row that is left says of a hold counts in the new one, too.
    const to = { ...KEK, name: 'other' };
    world.vault.createVersion(to);
    world.stores.failNext('servers.remove', 'before');
    await world.changeRow('s001', { incoming: false });
    const order = { serverId: 's001', keyId: keyUrl(to), by: 'ben', ifMatch: null };
    await expect(world.app.moveServer(order)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(await world.row('s001', to)).toMatchObject({ incoming: true });
    const hold = { by: 'ben', reason: 'x', since: world.clock.now(), until: null };
    await world.changeRow('s001', { hold });
    await expect(run(world)).rejects.toMatchObject({
      code: 'DrillRefused',
      detail: { reason: 'OperatorHold' },
    });
    expect(await world.row('s001', to)).toMatchObject({ incoming: false, hold });
  });

  test('a row that arrives is drilled in its new place', async () => {
    const { world } = await begin();
    const to = { ...KEK, name: 'other' };
    world.vault.createVersion(to);
    world.stores.failNext('servers.remove', 'before');
    const order = { serverId: 's001', keyId: keyUrl(to), by: 'ben', ifMatch: null };
    await expect(world.app.moveServer(order)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(await run(world)).toMatchObject({ sessionsEnded: 0 });
    expect(await world.audited('server.drilled', to)).toHaveLength(1);
    expect(world.isOpen('s001')).toBe(true);
  });

  test('a server that cannot be asked, or that turns out a replica, or whose rights would leave it half done', async () => {
    const { world } = await begin();
    await refused(world, {}, withAccess(world, { inspect: () => Promise.reject(down()) }));
    const inspect = async (change: object) => ({
      ...(await world.postgres.port.inspect(world.server('s001').access)),
      ...change,
    });
    await refused(world, {}, withAccess(world, { inspect: () => inspect({ role: 'replica' }) }));
    world.server('s001').lackRight('may not do this');
    await refused(world, { missingRights: ['may not do this'] });
  });

  test('a maintenance database that is open to PUBLIC is no obstacle', async () => {
    const { world } = await begin();
    const inspect: ServerAccess['inspect'] = async (access) => ({
      ...(await world.postgres.port.inspect(access)),
      missingRights: ['open to PUBLIC'],
      publicConnect: 'open to PUBLIC',
    });
    expect(await run(world, withAccess(world, { inspect }).drillServer(command))).toMatchObject({
      sessionsEnded: 0,
    });
  });

  test('unknown servers and tombstones', async () => {
    const { world } = await begin();
    const nobody = world.app.drillServer({ ...command, serverId: 'nobody' });
    await expect(nobody).rejects.toMatchObject({ code: 'ServerNotFound' });
    await world.changeRow('s001', { tombstone: true });
    await expect(world.app.drillServer(command)).rejects.toMatchObject({ code: 'ServerDeleted' });
  });

  test('of two drills at a time the one that comes second', async () => {
    const { world } = await begin();
    const { revoke } = world.postgres.port;
    const slow = Promise.withResolvers<void>();
    const other = withAccess(world, {
      revoke: async (access, order) => {
        await slow.promise;
        return revoke(access, order);
      },
    });
    const first: Promise<DrillResult>[] = [];
    once(world, 'servers.commit', async () => {
      first.push(other.drillServer(command));
      for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
    });
    await expect(run(world)).rejects.toMatchObject({
      code: 'DrillRefused',
      detail: { reason: 'OperatorHold' },
    });
    expect((await world.row('s001')).hold?.reason).toBe('drill');
    slow.resolve();
    expect((await Promise.all(first)).map(({ closed }) => closed.length)).toEqual([3]);
    expect(world.isOpen('s001')).toBe(true);
  });

  test('a server that is gone in the moment in which it should be held', async () => {
    const { world } = await begin();
    const { read } = world.stores.servers;
    let reads = 0;
    world.stores.servers.read = (kek, id) => {
      reads += 1;
      return reads === 1 ? read(kek, id) : Promise.resolve(undefined);
    };
    await expect(run(world)).rejects.toMatchObject({ code: 'ServerNotFound' });
  });
});

describe('a drill that goes wrong', () => {
  test('a session that cannot be ended: given up after a minute, opened again, and said', async () => {
    const { world } = await begin();
    const session = world.server('s001').openSession('app', { superuser: true });
    const from = world.clock.now().getTime();
    await expect(run(world)).rejects.toMatchObject({
      code: 'DrillRefused',
      detail: { phase: 'revoke', reason: 'SessionNotEndable' },
      remedy: expect.stringContaining('It is open again.'),
    });
    const seconds = (world.clock.now().getTime() - from) / 1000;
    expect(seconds).toBeGreaterThanOrEqual(60);
    expect(seconds).toBeLessThan(62);
    expect([world.isOpen('s001'), session.isOpen()]).toEqual([true, true]);
    expect(await world.row('s001')).toMatchObject({ hold: null, desired: 'granted', applied: 'granted' });
    expect((await world.audited('server.drilled')).at(-1)).toMatchObject({
      reason: 'SessionNotEndable',
      detail: { phase: 'revoke', why: 'revoking failed: 1 sessions are left' },
    });
  });

  test('a server that does not come back: said, and the app goes on with it', async () => {
    const { world } = await begin();
    const restore = () => Promise.reject(down('gone'));
    await expect(run(world, withAccess(world, { restore }).drillServer(command))).rejects.toMatchObject({
      code: 'DrillRefused',
      detail: { phase: 'restore', reason: 'ServerUnreachable' },
      remedy: expect.stringContaining('the app does by itself'),
    });
    expect(await world.row('s001')).toMatchObject({ hold: null, desired: 'granted' });
    await world.runFor(120);
    expect(world.isOpen('s001')).toBe(true);
  });

  test('one that is neither done nor says why is given up too', async () => {
    const { world } = await begin();
    const revoke: ServerAccess['revoke'] = async (_, { epoch }) => ({ kind: 'overtaken', epoch: epoch + 1 });
    await expect(run(world, withAccess(world, { revoke }).drillServer(command))).rejects.toMatchObject({
      detail: { phase: 'revoke', reason: null },
    });
  });

  test('I-05: a key that is lost in the middle keeps the server closed: no drill opens it', async () => {
    const { world, version } = await begin();
    const { revoke } = world.postgres.port;
    const instance = withAccess(world, {
      revoke: async (access, order) => {
        world.vault.update(KEK, version, { enabled: false });
        await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
        return revoke(access, order);
      },
    });
    await expect(run(world, instance.drillServer(command))).rejects.toMatchObject({
      code: 'DrillRefused',
      detail: { phase: 'restore', reason: 'KeyDisabled' },
    });
    expect(world.isOpen('s001')).toBe(false);
    expect(world.postgres.orders.filter(({ kind }) => kind === 'restore')).toHaveLength(1);
    await world.queue.drainFor(200);
    expect(world.isOpen('s001')).toBe(false);
  });

  test("an operator's hold that comes in the middle stays, and one who opens the server ends the drill", async () => {
    for (const reason of ['a leak', null]) {
      const { world } = await begin();
      const { revoke } = world.postgres.port;
      const instance = withAccess(world, {
        revoke: async (access, order) => {
          const outcome = await revoke(access, order);
          await world.app.holdServer({ serverId: 's001', reason, by: 'ben', ifMatch: null });
          return outcome;
        },
      });
      await expect(run(world, instance.drillServer(command))).rejects.toMatchObject({
        code: 'DrillRefused',
        detail: { phase: 'revoke', reason: null },
      });
      await world.queue.drainFor(200);
      expect(world.isOpen('s001')).toBe(reason === null);
      expect((await world.row('s001')).hold?.reason).toBe(reason ?? undefined);
    }
  });

  test.each([
    ['deleted', (world: World) => world.changeRow('s001', { tombstone: true })],
    [
      'moved',
      async (world: World) => {
        const { etag = '' } = (await world.stores.servers.read(KEK, 's001')) ?? {};
        await world.stores.servers.remove(KEK, 's001', etag);
      },
    ],
  ])('a server that is %s in the middle', async (_, act) => {
    const { world } = await begin();
    const { revoke } = world.postgres.port;
    const instance = withAccess(world, {
      revoke: async (access, order) => {
        const outcome = await revoke(access, order);
        await act(world);
        return outcome;
      },
    });
    await expect(run(world, instance.drillServer(command))).rejects.toMatchObject({
      code: 'DrillRefused',
      detail: { phase: 'revoke', reason: null },
    });
  });

  test('a process that dies in the middle: the hold runs out by itself, without a sweep', async () => {
    const { world } = await begin();
    const never = withAccess(world, { revoke: () => new Promise(() => undefined) });
    void never.drillServer(command);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    await world.app.applyServerAccess(await world.rangeOf());
    expect(world.isOpen('s001')).toBe(false);
    await world.queue.drainFor(119);
    expect(world.isOpen('s001')).toBe(false);
    await world.queue.drainFor(10);
    expect(world.isOpen('s001')).toBe(true);
    expect(await world.row('s001')).toMatchObject({ hold: null, applied: 'granted', desiredReason: null });
  });

  test.each([
    ['before the hold is written', 'servers.commit', 'before', 0],
    ['after, its answer lost', 'servers.commit', 'after', 0],
    ['when the effect is recorded', 'servers.commit', 'before', 1],
    ['when the hold is lifted', 'servers.commit', 'before', 2],
    ['when the drill is recorded', 'outbox.put', 'before', 0],
  ] as const)(
    'a store that fails %s: the server is open again in the end',
    async (_, operation, when, skip) => {
      const { world } = await begin();
      once(world, operation, () => Promise.resolve(world.stores.failNext(operation, when)), skip);
      await expect(run(world)).rejects.toMatchObject({ code: 'StoreUnavailable' });
      await world.queue.drainFor(130);
      expect(world.isOpen('s001')).toBe(true);
      expect(await world.row('s001')).toMatchObject({ hold: null, desired: 'granted', applied: 'granted' });
    },
  );

  test('a lift that fails as well leaves it to the time', async () => {
    const { world } = await begin();
    once(world, 'servers.commit', () => Promise.resolve(world.stores.failNext('servers.commit', 'after')));
    once(
      world,
      'servers.commit',
      () => Promise.resolve(world.stores.failNext('servers.commit', 'before')),
      1,
    );
    await expect(run(world)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect((await world.row('s001')).hold?.reason).toBe('drill');
    await world.queue.drainFor(130);
    expect(world.isOpen('s001')).toBe(true);
  });

  test('a lift that comes when the hold has run out already is no release', async () => {
    const { world } = await begin();
    const { revoke } = world.postgres.port;
    const instance = withAccess(world, {
      revoke: async (access, order) => {
        world.clock.advance(121);
        return revoke(access, order);
      },
    });
    await run(world, instance.drillServer(command));
    expect(await world.audited('server.released')).toEqual([]);
    expect(world.isOpen('s001')).toBe(true);
  });
});
