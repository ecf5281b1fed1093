import { describe, expect, test } from 'vitest';
import { type KekId, keyUrl } from '../../../shared/domain/key-id.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import type { MoveCommand } from '../../../shared/operations/move-server.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import type { WriteOperation } from '../../fakes/memory-stores.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, type World, type WorldOptions } from '../../fakes/world.ts';

const NEW: KekId = { vault: 'beta.vault.azure.net', name: 'customer' };
const THIRD: KekId = { vault: 'gamma.vault.azure.net', name: 'customer' };

/** One server, `Ready` under KEK, and another key for it. */
const begin = async (options: WorldOptions = {}) => {
  const world = makeWorld(options);
  await world.begin(1);
  const version = world.vault.createVersion(NEW);
  const before = await world.row('s001');
  const move = (change: Partial<MoveCommand> = {}) =>
    world.app.moveServer({ serverId: 's001', keyId: keyUrl(NEW), by: 'anna', ifMatch: null, ...change });
  return { world, version, before, move };
};

const rowsOf = async (world: World, serverId = 's001'): Promise<readonly ServerRow[]> => {
  const found = await Promise.all([KEK, NEW, THIRD].map((kek) => world.stores.servers.read(kek, serverId)));
  return found.flatMap((stored) => (stored === undefined ? [] : [stored.value]));
};

/** The row that the index points to; its DEK is the one that it always was. */
const answering = async (world: World, dekId: string, serverId = 's001'): Promise<ServerRow> => {
  const owner = await world.stores.index.find(serverId);
  if (owner === undefined) throw new Error('nobody answers');
  const row = await world.row(serverId, owner.value);
  using dek = await unwrapDek(world.vault, row.kek, serverId, row.wrapped);
  expect(dek.id).toBe(dekId);
  return row;
};

/** Nothing of a move is left: one row, under `kek`, and the wrapping that it had before is in the history. */
const expectEnded = async (world: World, before: ServerRow, kek: KekId): Promise<void> => {
  const row = await answering(world, before.wrapped.dekId, before.serverId);
  expect(row).toMatchObject({ kek, incoming: false, moving: null });
  expect(await rowsOf(world, before.serverId)).toEqual([row]);
  expect(row.accessEpoch).toBeGreaterThanOrEqual(before.accessEpoch);
  const filed = await world.history(before.serverId, before.kek);
  const isMoved = kek.vault !== before.kek.vault;
  expect(filed.map(({ wrapped }) => wrapped)).toEqual(isMoved ? [before.wrapped] : []);
  expect(world.isOpen(before.serverId)).toBe(true);
};

/** From the call of the store that comes after `calls` others on, the instance that moves is dead. */
const mortal = () => {
  let left = Number.POSITIVE_INFINITY;
  const pause = async () => {
    left -= 1;
    if (left < 0) throw storeUnavailable('a dead instance');
  };
  return {
    pause,
    dieAfter: (calls: number) => {
      left = calls;
    },
    revive: () => {
      left = Number.POSITIVE_INFINITY;
    },
  };
};

/** A move that ends right before its commit: both rows are there, and the index points to the old one. */
const cutBeforeCommit = async ({ world, move }: Awaited<ReturnType<typeof begin>>): Promise<void> => {
  world.stores.failNext('index.point', 'before');
  await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
  expect(await rowsOf(world)).toMatchObject([
    { incoming: false, moving: { from: KEK, to: NEW, by: 'anna' } },
    { incoming: true },
  ]);
};

/** A move that ends right after its commit. */
const cutAfterCommit = async ({ world, move }: Awaited<ReturnType<typeof begin>>): Promise<void> => {
  world.stores.failNext('index.point', 'after');
  await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
  expect((await world.stores.index.find('s001'))?.value).toEqual(NEW);
};

/** Runs `act` once, before the first write of that kind to that partition. */
const meanwhile = (
  world: World,
  operation: WriteOperation,
  partition: string,
  act: () => Promise<unknown>,
): void => {
  const stop = world.stores.onBeforeCommit(async (one, where) => {
    if (one !== operation || !where.startsWith(partition)) return;
    stop();
    await act();
  });
};

describe('moveServer', () => {
  test('the same DEK under the other key, with everything that was known of the server', async () => {
    const { world, version, before, move } = await begin();
    await world.changeRow('s001', { labels: { team: 'blue' }, principalId: 'p', accessEpoch: 7 });
    const { value, etag } = await move();
    expect(value).toMatchObject({
      serverId: 's001',
      kek: NEW,
      wrapped: { kekVersion: version, format: 'bound-1', dekId: before.wrapped.dekId },
      provenAt: world.clock.now(),
      replacedVersion: null,
      sequence: 1,
      pinned: false,
      labels: { team: 'blue' },
      principalId: 'p',
      accessEpoch: 7,
      applied: 'granted',
      access: before.access,
      createdAt: before.createdAt,
    });
    expect(etag).toBe((await world.stores.servers.read(NEW, 's001'))?.etag);
    await world.queue.drain();
    await expectEnded(world, before, NEW);
    expect(await world.history('s001')).toMatchObject([
      { sequence: 0, wrapped: before.wrapped, replacedBy: keyUrl(NEW, version) },
    ]);
    expect(world.escrow.filed.get(`${NEW.vault}|${NEW.name}|s001`)).toEqual(value.wrapped);
  });

  test('is told to both chains and, once, to the world', async () => {
    const { world, version, before, move } = await begin();
    await move();
    await move();
    const detail = { from: keyUrl(KEK), to: keyUrl(NEW), pinned: false };
    const operator = { kind: 'operator', by: 'anna' };
    expect(await world.audited('server.moved', KEK)).toMatchObject([
      {
        servers: ['s001'],
        cause: operator,
        versionBefore: before.wrapped.kekVersion,
        versionAfter: null,
        detail,
      },
    ]);
    expect(await world.audited('server.moved', NEW)).toMatchObject([
      { servers: ['s001'], cause: operator, versionBefore: null, versionAfter: version, detail },
    ]);
    const told = world.topic.events.filter(({ type }) => type === 'PgCmk.DekAssigned');
    expect(told).toMatchObject([
      { subject: 's001', data: { change: 'move', from: keyUrl(KEK), to: keyUrl(NEW), by: 'anna' } },
    ]);
  });

  test('the same command again writes nothing and asks no vault', async () => {
    const { world, move } = await begin();
    const first = await move();
    await world.queue.drain();
    const [commits, calls] = [world.stores.roundTrips('servers.commit'), world.vault.calls.length];
    expect((await move({ ifMatch: 'as it was before the move' })).value.kek).toEqual(first.value.kek);
    expect(world.stores.roundTrips('servers.commit')).toBe(commits);
    expect(world.vault.calls).toHaveLength(calls);
  });

  test('costs one unwrap by each vault', async () => {
    const { world, move } = await begin();
    await world.register(1, { prefix: 'other', kek: NEW });
    world.vault.calls.length = 0;
    await move();
    expect(world.vault.calls.map(({ kind, kek }) => `${kind} ${kek.vault}`)).toEqual([
      `unwrap ${KEK.vault}`,
      `unwrap ${NEW.vault}`,
    ]);
  });

  test('there and back and there again: every wrapping is in the history', async () => {
    const { world, before, move } = await begin();
    await move();
    await move({ keyId: keyUrl(KEK) });
    await move();
    await world.queue.drain();
    expect(await answering(world, before.wrapped.dekId)).toMatchObject({ kek: NEW, sequence: 3 });
    expect((await world.history('s001')).map(({ sequence }) => sequence)).toEqual([0, 2]);
    expect((await world.history('s001', NEW)).map(({ sequence }) => sequence)).toEqual([1]);
    expect(await rowsOf(world)).toHaveLength(1);
  });

  test('from then on the new key decides, and not the old one', async () => {
    const { world, version, before, move } = await begin();
    await move();
    world.vault.update(KEK, before.wrapped.kekVersion, { enabled: false });
    await world.hint();
    await world.queue.drainFor(2);
    expect(world.isOpen('s001')).toBe(true);
    world.vault.update(NEW, version, { enabled: false });
    await world.hint(NEW);
    await world.queue.drainFor(2);
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.row('s001', NEW)).toMatchObject({
      desired: 'revoked',
      accessEpoch: before.accessEpoch + 1,
    });
  });

  test('a hold moves with its server', async () => {
    const { world, move } = await begin();
    const hold = { by: 'anna', reason: 'breach', since: world.clock.now(), until: null };
    await world.changeRow('s001', { hold });
    await world.settle();
    expect(world.isOpen('s001')).toBe(false);
    await move();
    await world.settle();
    expect(await world.row('s001', NEW)).toMatchObject({ hold, desired: 'revoked', applied: 'revoked' });
    expect(world.isOpen('s001')).toBe(false);
  });

  test('what failed at the server is tried again at once', async () => {
    const { world, move } = await begin();
    const failure = {
      message: 'x',
      since: world.clock.now(),
      attempt: 3,
      nextAttemptAt: new Date(world.clock.now().getTime() + 600_000),
      reason: 'ServerUnreachable',
    } as const;
    await world.changeRow('s001', { failure });
    expect((await move()).value).toMatchObject({ failure: null, inspectedAt: null });
    await world.queue.drain();
    expect((await world.row('s001', NEW)).inspectedAt).toEqual(world.clock.now());
  });
});

describe('a version in the key id', () => {
  test('pins under the new key', async () => {
    const { world, version, move } = await begin();
    world.vault.createVersion(NEW);
    const { value } = await move({ keyId: keyUrl(NEW, version) });
    expect(value).toMatchObject({ pinned: true, wrapped: { kekVersion: version } });
    await world.settle();
    expect(await world.row('s001', NEW)).toMatchObject({ pinned: true, wrapped: { kekVersion: version } });
  });

  test('of its own key pins where it is, and without one it follows the rotation again', async () => {
    const { world, before, move } = await begin();
    const old = before.wrapped.kekVersion;
    expect((await move({ keyId: keyUrl(KEK, old) })).value).toEqual({ ...before, pinned: true });
    const next = world.vault.createVersion(KEK);
    await world.settle();
    expect((await world.row('s001')).wrapped).toEqual(before.wrapped);
    const freed = await move({ keyId: keyUrl(KEK) });
    expect(freed.value.pinned).toBe(false);
    await world.settle();
    expect((await world.row('s001')).wrapped.kekVersion).toBe(next);
    expect((await world.audited('server.moved')).map(({ detail }) => detail)).toEqual([
      { pinned: true },
      { pinned: false },
    ]);
  });

  test('of its own key that it is not under rewraps it, also to an older one', async () => {
    const { world, before, move } = await begin();
    const old = before.wrapped.kekVersion;
    world.vault.createVersion(KEK);
    await world.settle();
    const rotated = await world.row('s001');
    const { value } = await move({ keyId: keyUrl(KEK, old) });
    expect(value).toMatchObject({ pinned: true, sequence: 2, replacedVersion: rotated.wrapped.kekVersion });
    expect((await answering(world, before.wrapped.dekId)).wrapped.kekVersion).toBe(old);
    expect((await world.history('s001')).map(({ wrapped }) => wrapped)).toEqual([
      before.wrapped,
      rotated.wrapped,
    ]);
  });

  test('is left alone where it is so already, whatever If-Match says', async () => {
    const { world, before, move } = await begin();
    const commits = world.stores.roundTrips('servers.commit');
    expect((await move({ keyId: keyUrl(KEK), ifMatch: 'another' })).value).toEqual(before);
    expect(world.stores.roundTrips('servers.commit')).toBe(commits);
  });
});

describe('refusals change nothing', () => {
  const expectUntouched = async (world: World, before: ServerRow) => {
    expect(await rowsOf(world)).toEqual([before]);
    expect((await world.stores.index.find('s001'))?.value).toEqual(KEK);
    expect(world.escrow.filed.size).toBe(1);
  };

  test.each<[string, Partial<MoveCommand>, string]>([
    ['an id that is none', { serverId: 'S 1' }, 'InvalidServer'],
    ['a key id that is none', { keyId: 'https://beta.vault.azure.net/secrets/x' }, 'InvalidKeyId'],
    ['a vault of a stranger', { keyId: 'https://beta.example.com/keys/customer' }, 'RegistrationRefused'],
    ['a key that is not there', { keyId: keyUrl(THIRD) }, 'RegistrationRefused'],
    ['a server that is not there', { serverId: 's002' }, 'ServerNotFound'],
    ['another state than the caller saw', { ifMatch: 'another' }, 'PreconditionFailed'],
    [
      'a pin, and another state than the caller saw',
      { keyId: keyUrl(KEK, '0'.repeat(32)), ifMatch: 'x' },
      'PreconditionFailed',
    ],
  ])('%s', async (_, change, code) => {
    const { world, before, move } = await begin();
    await expect(move(change)).rejects.toMatchObject({ code });
    await expectUntouched(world, before);
  });

  test('an old key that does not unwrap any more', async () => {
    const { world, before, move } = await begin();
    world.vault.update(KEK, before.wrapped.kekVersion, { enabled: false });
    await expect(move()).rejects.toMatchObject({ code: 'VaultRefused' });
    await expectUntouched(world, before);
  });

  test('an old vault that does not answer: later', async () => {
    const { world, before, move } = await begin();
    world.vault.setVault(KEK.vault, { outage: { kind: 'network', cause: 'timeout' } });
    await expect(move()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
    await expectUntouched(world, before);
    world.vault.healVault(KEK.vault);
    expect((await move()).value.kek).toEqual(NEW);
  });

  test('a new key that may not be used', async () => {
    const { world, version, before, move } = await begin();
    world.vault.update(NEW, version, { enabled: false });
    await expect(move()).rejects.toMatchObject({ code: 'RegistrationRefused' });
    await expectUntouched(world, before);
  });

  test('a server that was deleted', async () => {
    const { world, move } = await begin();
    await world.changeRow('s001', { tombstone: true });
    await expect(move()).rejects.toMatchObject({ code: 'ServerDeleted' });
  });

  test('a wrapping that was copied by hand from another server', async () => {
    const { world, move } = await begin();
    await world.register(2, { prefix: 't' });
    await world.changeRow('s001', { wrapped: (await world.row('t001')).wrapped });
    await expect(move()).rejects.toMatchObject({ code: 'DekBindingMismatch' });
    expect(await rowsOf(world)).toMatchObject([{ kek: KEK, moving: null }]);
  });

  test('an active row at the other end, which nobody points to', async () => {
    const { world, before, move } = await begin();
    const stray = { ...before, kek: NEW };
    await world.stores.servers.commit(NEW, [{ value: stray, etag: null, history: null }], null);
    await expect(move()).rejects.toMatchObject({ code: 'ServerIdTaken' });
    expect((await world.row('s001')).moving).not.toBeNull();
    world.clock.advance(300);
    await world.settle();
    expect(await rowsOf(world)).toMatchObject([{ kek: KEK, moving: null }, { kek: NEW }]);
    expect((await world.stores.index.find('s001'))?.value).toEqual(KEK);
  });

  test('a version that is retired while the server is on its way', async () => {
    const { world, version, before, move } = await begin();
    meanwhile(world, 'servers.commit', NEW.vault, () =>
      world.changeVersion(version, { retiredAt: world.clock.now() }, NEW),
    );
    await expect(move()).rejects.toMatchObject({ code: 'KekNotProven' });
    world.clock.advance(300);
    await world.settle();
    await expectEnded(world, before, KEK);
  });
});

describe('cut short', () => {
  const WRITES: readonly WriteOperation[] = [
    'servers.commit',
    'servers.remove',
    'index.point',
    'keks.commit',
  ];
  /** How many calls of the store a move takes, those of the new KEK's first reconcile included. */
  const countCalls = async (): Promise<number> => {
    const { world, move } = await begin();
    const calls = world.stores.roundTrips();
    await move();
    return world.stores.roundTrips() - calls;
  };

  test.each(['the sweep', 'the same command', 'a command for a third key', 'a command for the old key'])(
    'at any call, and ended by %s',
    async (how) => {
      const calls = await countCalls();
      expect(calls).toBeGreaterThan(20);
      for (let n = 0; n < calls; n += 1) {
        const { pause, dieAfter, revive } = mortal();
        const { world, before, move } = await begin({ pause });
        world.vault.createVersion(THIRD);
        dieAfter(n);
        await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
        revive();
        const { kek: owner } = await answering(world, before.wrapped.dekId);
        if (how === 'the sweep') world.clock.advance(300);
        if (how === 'the same command') await move();
        if (how === 'a command for a third key') await move({ keyId: keyUrl(THIRD) });
        if (how === 'a command for the old key') await move({ keyId: keyUrl(KEK) });
        await world.settle();
        const row = await answering(world, before.wrapped.dekId);
        expect(row).toMatchObject({ incoming: false, moving: null });
        expect(await rowsOf(world)).toEqual([row]);
        const ended = { 'the sweep': owner, 'the same command': NEW, 'a command for a third key': THIRD }[
          how
        ];
        expect(row.kek).toEqual(ended ?? KEK);
        const filed = [KEK, NEW].map((kek) => world.history('s001', kek));
        expect((await Promise.all(filed)).flat()).toHaveLength(row.sequence);
        expect(world.isOpen('s001')).toBe(true);
      }
    },
  );

  test.each(WRITES)('by the answer of any %s that is lost', async (operation) => {
    const once = await begin();
    const calls = once.world.stores.roundTrips(operation);
    await once.move();
    const needed = once.world.stores.roundTrips(operation) - calls;
    expect(needed).toBeGreaterThan(0);
    for (let n = 0; n < needed; n += 1) {
      const { world, before, move } = await begin();
      let seen = 0;
      world.stores.onBeforeCommit((one) => {
        if (one !== operation) return;
        if (seen === n) world.stores.failNext(operation, 'after');
        seen += 1;
      });
      await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
      await answering(world, before.wrapped.dekId);
      await move();
      await world.queue.drain();
      await expectEnded(world, before, NEW);
    }
  });

  test.each(['before', 'after'] as const)(
    'by the second place of the wrapping, %s it is filed',
    async (when) => {
      const { world, before, move } = await begin();
      world.escrow.failNext(storeUnavailable('escrow'), when);
      await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
      expect(await answering(world, before.wrapped.dekId)).toMatchObject({ kek: NEW, incoming: true });
      await world.settle();
      await expectEnded(world, before, NEW);
      expect(world.escrow.filed.size).toBe(2);
    },
  );

  test('a young move is left to who began it', async () => {
    const begun = await begin();
    const { world, before } = begun;
    await cutBeforeCommit(begun);
    await world.settle();
    expect(await rowsOf(world)).toMatchObject([{ moving: { from: KEK, to: NEW } }, { incoming: true }]);
    await world.runFor(600);
    await expectEnded(world, before, KEK);
  });

  test('a rotation of the old key does not wait for it, and takes the server up when it is undone', async () => {
    const begun = await begin();
    const { world, before } = begun;
    await cutBeforeCommit(begun);
    const next = world.vault.createVersion(KEK);
    await world.settle();
    expect((await world.kek()).rotation.state).toBe('completed');
    expect((await world.row('s001')).wrapped).toEqual(before.wrapped);
    world.clock.advance(300);
    await world.settle();
    await world.settle();
    expect(await world.row('s001')).toMatchObject({ moving: null, wrapped: { kekVersion: next } });
    await answering(world, before.wrapped.dekId);
  });
});

describe('what goes on meanwhile', () => {
  test('a rewrap that was first: the move begins again with the newer wrapping', async () => {
    const { world, before, move } = await begin();
    const next = world.vault.createVersion(KEK);
    meanwhile(world, 'servers.commit', KEK.vault, () => world.settle());
    await move();
    await world.queue.drain();
    const row = await answering(world, before.wrapped.dekId);
    expect(row).toMatchObject({ kek: NEW, sequence: 2 });
    const filed = (await world.history('s001')).map(({ wrapped }) => wrapped.kekVersion);
    expect(filed).toEqual([before.wrapped.kekVersion, next]);
  });

  test('a rewrap that comes after the mark leaves the wrapping alone', async () => {
    const { world, before, move } = await begin();
    world.vault.createVersion(KEK);
    meanwhile(world, 'servers.commit', NEW.vault, () => world.settle());
    await move();
    await world.queue.drain();
    await expectEnded(world, before, NEW);
  });

  test('the old key is lost before the index is pointed: closed until then, and open after it', async () => {
    const { world, before, move } = await begin();
    meanwhile(world, 'index.point', 's001', async () => {
      world.vault.update(KEK, before.wrapped.kekVersion, { enabled: false });
      await world.hint();
      await world.queue.drain();
      expect(world.isOpen('s001')).toBe(false);
      expect((await world.row('s001')).accessEpoch).toBe(before.accessEpoch + 1);
    });
    const { value } = await move();
    expect(value).toMatchObject({
      desired: 'revoked',
      applied: 'revoked',
      accessEpoch: before.accessEpoch + 1,
    });
    await world.queue.drain();
    await expectEnded(world, before, NEW);
    expect((await world.row('s001', NEW)).accessEpoch).toBe(before.accessEpoch + 2);
  });

  test('the old key is lost after the index is pointed: the row that is left is not worked on', async () => {
    const begun = await begin();
    const { world, before } = begun;
    await cutAfterCommit(begun);
    world.vault.update(KEK, before.wrapped.kekVersion, { enabled: false });
    await world.app.applyServerAccess(await world.rangeOf());
    expect(await rowsOf(world)).toMatchObject([{ desired: 'granted' }, { incoming: true }]);
    await world.hint();
    await world.queue.drain();
    await expectEnded(world, before, NEW);
  });

  test('the index is pointed between a decision on the row and the order: no order is given', async () => {
    const begun = await begin();
    const { world } = begun;
    await cutBeforeCommit(begun);
    await world.changeRow('s001', { inspectedAt: null });
    const owner = await world.stores.index.find('s001');
    const { read } = world.stores.servers;
    Object.assign(world.stores.servers, {
      read: async (...at: Parameters<typeof read>) => {
        Object.assign(world.stores.servers, { read });
        await world.stores.index.point('s001', NEW, owner?.etag ?? '');
        return read(...at);
      },
    });
    const orders = world.postgres.orders.length;
    await world.app.applyServerAccess(await world.rangeOf());
    expect((await world.stores.index.find('s001'))?.value).toEqual(NEW);
    expect(world.postgres.orders).toHaveLength(orders);
    await world.settle();
    expect(await rowsOf(world)).toMatchObject([{ kek: NEW, incoming: false, applied: 'granted' }]);
    expect(world.postgres.orders.length).toBeGreaterThan(orders);
  });

  test('a worker that had already begun on the old row when the index was pointed', async () => {
    const begun = await begin();
    const { world, before } = begun;
    const worker = world.postgres.freezeWorker();
    const other = world.startInstance(worker.port);
    await world.changeRow('s001', {
      inspectedAt: null,
      accessEpoch: 5,
      desired: 'revoked',
      desiredReason: 'OperatorHold',
    });
    await world.changeRow('s001', {
      hold: { by: 'anna', reason: 'x', since: world.clock.now(), until: null },
    });
    const late = other.applyServerAccess(await world.rangeOf());
    await worker.frozen;
    await begun.move();
    await world.changeRow('s001', { hold: null }, NEW);
    await world.queue.drain();
    worker.thaw();
    await late;
    await world.settle();
    await expectEnded(world, before, NEW);
    expect((await world.row('s001', NEW)).accessEpoch).toBeGreaterThan(5);
  });

  test('the new key is lost right after the index was pointed: whoever looks ends the move first', async () => {
    const begun = await begin();
    const { world, version } = begun;
    await cutAfterCommit(begun);
    world.vault.update(NEW, version, { enabled: false });
    await world.hint(NEW);
    await world.queue.drainFor(2);
    expect(await rowsOf(world)).toMatchObject([{ kek: NEW, incoming: false, desired: 'revoked' }]);
    expect(world.isOpen('s001')).toBe(false);
  });

  test.each<[WriteOperation, string]>([
    ['servers.commit', NEW.vault],
    ['index.point', 's001'],
    ['servers.remove', KEK.vault],
  ])('what an operator writes to the row that is left, before %s, moves too', async (operation, where) => {
    const { world, move } = await begin();
    const hold = { by: 'bert', reason: 'breach', since: world.clock.now(), until: null };
    meanwhile(world, operation, where, () =>
      world.changeRow('s001', { hold, principalId: 'q', leaseExpiresOn: hold.since }),
    );
    const { value } = await move();
    expect(value).toMatchObject({ kek: NEW, hold, principalId: 'q', leaseExpiresOn: hold.since });
    await world.settle();
    expect(world.isOpen('s001')).toBe(false);
  });

  test.each([
    ['the later', 60_000],
    ['the earlier', -60_000],
  ])('a lease that was given by the new row, %s, is kept where it is the later', async (_, ms) => {
    const begun = await begin();
    const { world } = begun;
    const old = new Date(world.clock.now().getTime() + 120_000);
    const young = new Date(old.getTime() + ms);
    await world.changeRow('s001', { leaseExpiresOn: old });
    await cutAfterCommit(begun);
    await world.changeRow('s001', { leaseExpiresOn: young }, NEW);
    await world.settle();
    expect((await world.row('s001', NEW)).leaseExpiresOn).toEqual(ms > 0 ? young : old);
  });

  test('it is undone while it still goes on: it is fenced off, and begins again', async () => {
    const { world, before, move } = await begin();
    meanwhile(world, 'index.point', 's001', async () => {
      world.clock.advance(300);
      await world.app.finishMove(await world.row('s001'));
      expect(await rowsOf(world)).toEqual([before]);
    });
    await move();
    await world.queue.drain();
    await expectEnded(world, before, NEW);
  });

  test('it is undone between its marks and its row: it begins again', async () => {
    const { world, before, move } = await begin();
    meanwhile(world, 'servers.commit', NEW.vault, async () => {
      world.clock.advance(300);
      await world.app.finishMove(await world.row('s001'));
    });
    await move();
    await world.queue.drain();
    await expectEnded(world, before, NEW);
  });

  test('it is taken up by another instance, to which it then leaves the rest', async () => {
    for (const [operation, where] of [
      ['servers.commit', KEK.vault],
      ['servers.commit', NEW.vault],
      ['index.point', 's001'],
      ['servers.remove', KEK.vault],
    ] as const) {
      const { world, before, move } = await begin();
      const other = world.startInstance();
      meanwhile(world, operation, where, () =>
        other.moveServer({ serverId: 's001', keyId: keyUrl(NEW), by: 'bert', ifMatch: null }),
      );
      expect((await move()).value).toMatchObject({ kek: NEW, incoming: false });
      await world.queue.drain();
      await expectEnded(world, before, NEW);
      expect(await world.audited('server.moved', NEW)).toHaveLength(1);
    }
  });

  test('a row in hand does not replace one that the index points to by now', async () => {
    const begun = await begin();
    const { world, before, move } = begun;
    await cutBeforeCommit(begun);
    const leaseExpiresOn = new Date(world.clock.now().getTime() + 300_000);
    // Before the second attempt writes, the first one comes to life again, and the new row gives its DEK out.
    meanwhile(world, 'servers.commit', KEK.vault, async () => {
      const owner = await world.stores.index.find('s001');
      await world.stores.index.point('s001', NEW, owner?.etag ?? '');
      await world.changeRow('s001', { leaseExpiresOn }, NEW);
    });
    expect((await move()).value).toMatchObject({ kek: NEW, leaseExpiresOn });
    await world.queue.drain();
    await expectEnded(world, before, NEW);
  });

  test('a server that is purged meanwhile is not brought back', async () => {
    const { world, move } = await begin();
    meanwhile(world, 'index.point', 's001', async () => {
      const stored = await world.stores.servers.read(KEK, 's001');
      await world.stores.servers.remove(KEK, 's001', stored?.etag ?? '');
      const owner = await world.stores.index.find('s001');
      await world.stores.index.release('s001', owner?.etag ?? '');
    });
    await expect(move()).rejects.toMatchObject({ code: 'ServerNotFound' });
    world.clock.advance(300);
    await world.settle();
    expect(await rowsOf(world)).toEqual([]);
    expect(await world.stores.index.find('s001')).toBeUndefined();
  });

  test('a move that has just ended is no reason to say that there is no such server', async () => {
    const { world, before, move } = await begin();
    const other = world.startInstance();
    const read = world.stores.servers.read;
    let moved = false;
    Object.assign(world.stores.servers, {
      read: async (...at: Parameters<typeof read>) => {
        // The index was read; by the time the row is, it is elsewhere.
        if (!moved) {
          moved = true;
          await other.moveServer({ serverId: 's001', keyId: keyUrl(NEW), by: 'bert', ifMatch: null });
        }
        return read(...at);
      },
    });
    expect((await move()).value.kek).toEqual(NEW);
    await expectEnded(world, before, NEW);
  });
});

describe('replicas', () => {
  const withReplicas = async () => {
    const begun = await begin();
    const { world } = begun;
    const copy = (serverId: string, sourceId: string, kind: 'replica' | 'restore' = 'replica') =>
      world.app.copyServer({
        sourceId,
        serverId,
        kind,
        access: { kind: 'none' },
        principalId: null,
        keyId: null,
        keyLossPolicy: null,
        labels: {},
        by: 'anna',
      });
    await copy('r001', 's001');
    await copy('r002', 'r001');
    await copy('r003', 's001');
    await copy('c001', 's001', 'restore');
    await world.changeRow('r003', { tombstone: true });
    await world.settle();
    return begun;
  };
  const placeOf = async (world: World, serverId: string) => (await world.stores.index.find(serverId))?.value;

  test('move with their primary, one that was cut short too; restores and the deleted stay', async () => {
    const { world, before, move } = await withReplicas();
    world.stores.failNext('index.point', 'before');
    await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await move();
    await world.queue.drain();
    for (const id of ['s001', 'r001', 'r002']) {
      expect(await answering(world, before.wrapped.dekId, id)).toMatchObject({ kek: NEW, moving: null });
      expect(await rowsOf(world, id)).toHaveLength(1);
    }
    expect([await placeOf(world, 'c001'), await placeOf(world, 'r003')]).toEqual([KEK, KEK]);
  });

  test('do not move by themselves, but after their primary', async () => {
    const { world, move } = await withReplicas();
    const refusal = { code: 'CopyRefused', remedy: expect.stringContaining('s001') };
    await expect(move({ serverId: 'r001' })).rejects.toMatchObject(refusal);
    expect(await placeOf(world, 'r001')).toEqual(KEK);
    // A replica that was left behind.
    await world.changeRow('r001', { copyOf: { serverId: 'c001', kind: 'replica' } });
    await move({ serverId: 'c001', keyId: keyUrl(NEW) });
    expect(await placeOf(world, 'r001')).toEqual(NEW);
    await world.changeRow('r001', { copyOf: { serverId: 's001', kind: 'replica' } }, NEW);
    await move({ serverId: 'r001', keyId: keyUrl(KEK) });
    expect(await placeOf(world, 'r001')).toEqual(KEK);
  });

  test('stand alone once their primary was deleted, or is no more', async () => {
    const { world, move } = await withReplicas();
    await world.changeRow('s001', { tombstone: true });
    await move({ serverId: 'r001' });
    expect([await placeOf(world, 'r001'), await placeOf(world, 'r002')]).toEqual([NEW, NEW]);
    const owner = await world.stores.index.find('s001');
    const stored = await world.stores.servers.read(KEK, 's001');
    await world.stores.servers.remove(KEK, 's001', stored?.etag ?? '');
    await move({ serverId: 'r001', keyId: keyUrl(KEK) });
    expect(await placeOf(world, 'r001')).toEqual(KEK);
    await world.stores.index.release('s001', owner?.etag ?? '');
    await move({ serverId: 'r001' });
    expect(await placeOf(world, 'r001')).toEqual(NEW);
  });
});
