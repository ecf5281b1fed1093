import { describe, expect, test } from 'vitest';
import { type KekId, keyUrl } from '../../../shared/domain/key-id.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import type { CopyCommand } from '../../../shared/operations/copy-server.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import type { WriteOperation } from '../../fakes/memory-stores.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, type World, type WorldOptions } from '../../fakes/world.ts';

const OTHER: KekId = { vault: 'beta.vault.azure.net', name: 'customer' };

/** A server `s001`, `Ready`, and another that is to be its copy. */
const begin = async (options: WorldOptions = {}) => {
  const world = makeWorld(options);
  await world.begin(1);
  const version = world.vault.createVersion(OTHER);
  const source = await world.row('s001');
  const handle = world.postgres.addServer({ host: 'copy.test' });
  const copy = (change: Partial<CopyCommand> = {}) =>
    world.app.copyServer({
      sourceId: 's001',
      serverId: 'c001',
      kind: 'restore',
      access: handle.access,
      principalId: null,
      keyId: null,
      keyLossPolicy: null,
      labels: {},
      by: 'anna',
      ...change,
    });
  return { world, version, source, handle, copy };
};

/** There is one such copy, which holds its source's DEK, bound to its own id, in both places. */
const expectCopied = async (world: World, source: ServerRow, kek: KekId = KEK): Promise<void> => {
  expect((await world.stores.index.find('c001'))?.value).toEqual(kek);
  const row = await world.row('c001', kek);
  using dek = await unwrapDek(world.vault, kek, 'c001', row.wrapped);
  expect(dek.id).toBe(source.wrapped.dekId);
  expect(row.copyOf?.serverId).toBe('s001');
  const filed = await world.escrow.find('c001', kek);
  expect(filed?.dekId).toBe(source.wrapped.dekId);
  expect(await world.audited('server.copied', kek)).toHaveLength(1);
  expect(world.topic.idsOf('PgCmk.DekAssigned')).toHaveLength(1);
};

describe('copyServer', () => {
  test('a server of its own with the same DEK, bound to its own id', async () => {
    const { world, source, handle, copy } = await begin();
    await world.changeRow('s001', {
      accessEpoch: 6,
      keyLossPolicy: 'drain',
      drainSeconds: 77,
      labels: { a: 'b' },
    });
    const { stored, created } = await copy({ principalId: 'p', labels: { team: 'red' } });
    expect(created).toBe(true);
    expect(stored.value).toMatchObject({
      serverId: 'c001',
      kek: KEK,
      wrapped: { dekId: source.wrapped.dekId, kekVersion: source.wrapped.kekVersion, format: 'bound-1' },
      provenAt: world.clock.now(),
      copyOf: { serverId: 's001', kind: 'restore' },
      access: handle.access,
      principalId: 'p',
      labels: { team: 'red' },
      keyLossPolicy: 'drain',
      drainSeconds: 77,
      pinned: false,
      hold: null,
      accessEpoch: 7,
      desired: 'granted',
      applied: 'none',
    });
    expect(stored.value.wrapped.ciphertext).not.toBe(source.wrapped.ciphertext);
    await expectCopied(world, source);
    await world.queue.drain();
    expect(await world.row('c001')).toMatchObject({ applied: 'granted' });
    expect(await world.row('s001')).toMatchObject({ wrapped: source.wrapped });
  });

  test('is told to the audit and to the world', async () => {
    const { world, source, copy } = await begin();
    const { dekId } = source.wrapped;
    await copy({ kind: 'replica', principalId: 'p' });
    expect(await world.audited('server.copied')).toMatchObject([
      {
        servers: ['c001'],
        cause: { kind: 'operator', by: 'anna' },
        detail: { of: 's001', kind: 'replica', access: 'postgres', dekId },
      },
    ]);
    expect(world.topic.events.filter(({ type }) => type === 'PgCmk.DekAssigned')).toMatchObject([
      { subject: 'c001', data: { change: 'copy', of: 's001', principalId: 'p', dekId, by: 'anna' } },
    ]);
  });

  test('its wrapping can not stand in for that of its source', async () => {
    const { world, copy } = await begin();
    const { stored } = await copy();
    const foreign = unwrapDek(world.vault, KEK, 's001', stored.value.wrapped);
    await expect(foreign).rejects.toMatchObject({ code: 'DekBindingMismatch' });
  });

  test('the same command again changes nothing', async () => {
    const { world, source, copy } = await begin();
    const first = await copy();
    const commits = world.stores.roundTrips('servers.commit');
    const calls = world.vault.calls.length;
    expect(await copy()).toEqual({ stored: first.stored, created: false });
    expect(world.stores.roundTrips('servers.commit')).toBe(commits);
    expect(world.vault.calls).toHaveLength(calls);
    await expectCopied(world, source);
  });

  test('also after both were rewrapped', async () => {
    const { world, source, copy } = await begin();
    await copy();
    world.vault.createVersion(KEK);
    await world.settle();
    expect((await copy()).created).toBe(false);
    await expectCopied(world, source);
  });

  test('a restore under another key, pinned where its version is named', async () => {
    const { world, version, source, copy } = await begin();
    expect((await copy({ keyId: keyUrl(OTHER, version) })).stored.value).toMatchObject({
      kek: OTHER,
      pinned: true,
    });
    await expectCopied(world, source, OTHER);
    const free = await copy({ keyId: keyUrl(OTHER), serverId: 'c002', keyLossPolicy: 'denyNew' });
    expect(free.stored.value).toMatchObject({ kek: OTHER, pinned: false, keyLossPolicy: 'denyNew' });
  });

  test('of a pinned server is pinned to the same version', async () => {
    const { world, source, copy } = await begin();
    await world.changeRow('s001', { pinned: true });
    world.vault.createVersion(KEK);
    await world.settle();
    const { value } = (await copy()).stored;
    expect(value).toMatchObject({ pinned: true, wrapped: { kekVersion: source.wrapped.kekVersion } });
  });

  test('of a held server is held', async () => {
    const { world, handle, copy } = await begin();
    const hold = { by: 'bert', reason: 'breach', since: world.clock.now(), until: null };
    await world.changeRow('s001', { hold });
    expect((await copy()).stored.value.hold).toEqual(hold);
    await world.queue.drain();
    expect(await world.row('c001')).toMatchObject({ desired: 'revoked', applied: 'revoked' });
    expect(handle.takesConnections('app')).toBe(false);
  });

  test('a server that is copied to under a lost key is closed from the start', async () => {
    const { world, source, handle, copy } = await begin();
    let lost = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (lost || operation !== 'servers.commit') return;
      lost = true;
      world.vault.update(KEK, source.wrapped.kekVersion, { enabled: false });
      await world.app.reconcileKek({ kek: KEK, cause: { kind: 'followUp', of: 'test' } }, null);
      await world.queue.drain();
    });
    await copy();
    await world.queue.drain();
    expect(handle.takesConnections('app')).toBe(false);
  });
});

describe('refusals change nothing', () => {
  test.each<[string, Partial<CopyCommand>, string]>([
    ['an id that is none', { serverId: 'C 1' }, 'InvalidServer'],
    ['a source id that is none', { sourceId: 'S 1' }, 'InvalidServer'],
    ['a source that is not there', { sourceId: 's002' }, 'ServerNotFound'],
    ['itself', { serverId: 's001' }, 'CopyRefused'],
    ['a replica under a key of its own', { kind: 'replica', keyId: keyUrl(OTHER) }, 'CopyRefused'],
    ['a replica under its own key, named', { kind: 'replica', keyId: keyUrl(KEK) }, 'CopyRefused'],
    ['a key id that is none', { keyId: 'https://beta.vault.azure.net/x' }, 'InvalidKeyId'],
    ['a vault of a stranger', { keyId: 'https://beta.example.com/keys/k' }, 'RegistrationRefused'],
  ])('%s', async (_, change, code) => {
    const { world, copy } = await begin();
    await expect(copy(change)).rejects.toMatchObject({ code });
    expect(await world.stores.index.find('c001')).toBeUndefined();
    expect((await world.rows()).map(({ serverId }) => serverId)).toEqual(['s001']);
    expect(world.escrow.filed.size).toBe(1);
  });

  test('a token would go to a host that need not prove who it is', async () => {
    const { handle, copy } = await begin();
    await expect(copy({ access: { ...handle.access, tls: 'require' } })).rejects.toMatchObject({
      code: 'InvalidServer',
    });
  });

  test('a source that was deleted', async () => {
    const { world, copy } = await begin();
    await world.changeRow('s001', { tombstone: true });
    await expect(copy()).rejects.toMatchObject({ code: 'ServerDeleted' });
  });

  test('a source whose key does not unwrap', async () => {
    const { world, source, copy } = await begin();
    world.vault.update(KEK, source.wrapped.kekVersion, { enabled: false });
    await expect(copy({ keyId: keyUrl(OTHER) })).rejects.toMatchObject({ code: 'VaultRefused' });
    expect(await world.stores.index.find('c001')).toBeUndefined();
  });

  test('an id that another server has, under whatever key', async () => {
    const { world, copy } = await begin();
    await world.register(1, { prefix: 't' });
    await world.register(1, { prefix: 'u', kek: OTHER });
    for (const serverId of ['t001', 'u001']) {
      await expect(copy({ serverId })).rejects.toMatchObject({ code: 'ServerIdTaken' });
    }
  });

  test('an id that is the other kind of copy, or has had another DEK since', async () => {
    const { world, copy } = await begin();
    await copy();
    await expect(copy({ kind: 'replica' })).rejects.toMatchObject({ code: 'ServerIdTaken' });
    const { wrapped } = await world.row('c001');
    await world.changeRow('c001', { wrapped: { ...wrapped, dekId: '0'.repeat(32) } });
    await expect(copy()).rejects.toMatchObject({ code: 'ServerIdTaken' });
  });

  test('a copy that was deleted, or is under another key', async () => {
    const { world, copy } = await begin();
    await copy();
    await expect(copy({ keyId: keyUrl(OTHER) })).rejects.toMatchObject({ code: 'CopyRefused' });
    await world.changeRow('c001', { tombstone: true });
    await expect(copy()).rejects.toMatchObject({ code: 'ServerDeleted' });
  });

  test('an id whose registration was cut short keeps the DEK that was made for it', async () => {
    const { world, source, copy } = await begin();
    world.stores.failNext('servers.commit', 'before');
    const register = () => world.app.registerServer(world.orderOf('c001'));
    await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect(copy()).rejects.toMatchObject({ code: 'ServerIdTaken' });
    await expect(copy({ keyId: keyUrl(OTHER) })).rejects.toMatchObject({ code: 'ServerIdTaken' });
    const { stored } = await register();
    expect(stored.value.wrapped.dekId).not.toBe(source.wrapped.dekId);
  });
});

describe('cut short', () => {
  const WRITES: readonly WriteOperation[] = ['index.claim', 'servers.commit'];

  test('at any call of the store, and taken up by the same command', async () => {
    const once = await begin();
    const calls = once.world.stores.roundTrips();
    await once.copy({ keyId: keyUrl(OTHER) });
    const needed = once.world.stores.roundTrips() - calls;
    expect(needed).toBeGreaterThan(10);
    for (let n = 0; n < needed; n += 1) {
      let left = Number.POSITIVE_INFINITY;
      const pause = async () => {
        left -= 1;
        if (left < 0) throw storeUnavailable('a dead instance');
      };
      const { world, source, copy } = await begin({ pause });
      left = n;
      await expect(copy({ keyId: keyUrl(OTHER) })).rejects.toMatchObject({ code: 'StoreUnavailable' });
      left = Number.POSITIVE_INFINITY;
      await copy({ keyId: keyUrl(OTHER) });
      await expectCopied(world, source, OTHER);
      await world.queue.drain();
      expect(await world.row('c001', OTHER)).toMatchObject({ applied: 'granted' });
    }
  });

  test.each(WRITES)('by the answer of %s that is lost', async (operation) => {
    const { world, source, copy } = await begin();
    world.stores.failNext(operation, 'after');
    await expect(copy()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await copy();
    await expectCopied(world, source);
  });

  test.each(['before', 'after'] as const)('by the second place, %s it is filed', async (when) => {
    const { world, source, copy } = await begin();
    world.escrow.failNext(storeUnavailable('escrow'), when);
    await expect(copy()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect((await copy()).created).toBe(false);
    await expectCopied(world, source);
  });

  test('after its id was claimed: the id is free for a registration, which makes a DEK of its own', async () => {
    const { world, source, copy } = await begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(copy()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const { stored, created } = await world.app.registerServer(world.orderOf('c001'));
    expect(created).toBe(true);
    expect(stored.value.wrapped.dekId).not.toBe(source.wrapped.dekId);
    await expect(copy()).rejects.toMatchObject({ code: 'ServerIdTaken' });
  });
});

describe('side by side', () => {
  test.each<WriteOperation>(['index.claim', 'servers.commit'])(
    'another instance makes it just before %s',
    async (operation) => {
      const { world, source, copy } = await begin();
      let made = false;
      world.stores.onBeforeCommit(async (one) => {
        if (made || one !== operation) return;
        made = true;
        expect((await copy()).created).toBe(true);
      });
      expect((await copy()).created).toBe(false);
      await expectCopied(world, source);
    },
  );

  test('the source moves: a restore is made from where it is then', async () => {
    const { world, source, copy } = await begin();
    let moved = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (moved || operation !== 'index.claim') return;
      moved = true;
      await world.app.moveServer({ serverId: 's001', keyId: keyUrl(OTHER), by: 'bert', ifMatch: null });
    });
    expect((await copy()).stored.value.kek).toEqual(KEK);
    using dek = await unwrapDek(world.vault, KEK, 'c001', (await world.row('c001')).wrapped);
    expect(dek.id).toBe(source.wrapped.dekId);
  });

  test('the primary is marked before its replica is there: the caller tries again, and it is where its primary is', async () => {
    const { world, copy } = await begin();
    const kind = 'replica';
    await world.register(1, { prefix: 'u', kek: OTHER });
    // The move is cut between its marks and its search for replicas.
    world.stores.failNext('servers.page', 'before');
    const move = () =>
      world.app.moveServer({ serverId: 's001', keyId: keyUrl(OTHER), by: 'bert', ifMatch: null });
    let marked = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (marked || operation !== 'index.claim') return;
      marked = true;
      await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    });
    await expect(copy({ kind })).rejects.toMatchObject({ code: 'ServerMoving', retryable: true });
    await expect(copy({ kind })).rejects.toMatchObject({ code: 'ServerMoving' });
    await move();
    expect((await copy({ kind })).created).toBe(false);
    expect((await world.stores.index.find('c001'))?.value).toEqual(OTHER);
  });

  test('nothing is copied from a row that has only just arrived: a hold may not be in it yet', async () => {
    const { world, copy } = await begin();
    const hold = { by: 'bert', reason: 'breach', since: world.clock.now(), until: null };
    world.stores.failNext('index.point', 'after');
    const move = () =>
      world.app.moveServer({ serverId: 's001', keyId: keyUrl(OTHER), by: 'bert', ifMatch: null });
    await expect(move()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await world.changeRow('s001', { hold });
    await expect(copy()).rejects.toMatchObject({ code: 'ServerMoving', retryable: true });
    await move();
    expect((await copy()).stored.value).toMatchObject({ kek: OTHER, hold });
  });

  test('no replica is begun while its primary moves', async () => {
    const { world, copy } = await begin();
    world.stores.failNext('index.point', 'before');
    const move = world.app.moveServer({ serverId: 's001', keyId: keyUrl(OTHER), by: 'bert', ifMatch: null });
    await expect(move).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect(copy({ kind: 'replica' })).rejects.toMatchObject({ code: 'ServerMoving' });
    expect(await world.stores.index.find('c001')).toBeUndefined();
    expect((await copy({ serverId: 'c002' })).created).toBe(true);
  });
});
