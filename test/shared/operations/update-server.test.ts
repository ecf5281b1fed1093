import { describe, expect, test } from 'vitest';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import type { RegisterCommand } from '../../../shared/operations/register-server.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const begin = async (change: Partial<RegisterCommand> = {}) => {
  const world = makeWorld();
  const version = world.vault.createVersion(KEK);
  const command = world.orderOf('db-1', change);
  const { stored } = await world.app.registerServer(command);
  await world.settle();
  /** The whole command again, with that in it. */
  const update = async (next: Partial<RegisterCommand>) =>
    (await world.app.registerServer({ ...command, ...next })).stored.value;
  return { world, version, first: stored.value, update };
};

const assignments = async (world: World) => {
  await world.app.deliverOutbox();
  return world.topic.events.filter(({ type }) => type === 'PgCmk.DekAssigned');
};

describe('updating a registered server', () => {
  test('changes how it is reached, its policy and its labels, and never its DEK', async () => {
    const { world, first, update } = await begin();
    const { access } = world.postgres.addServer();
    const change = { access, keyLossPolicy: 'drain', drainSeconds: 60, labels: { a: 'b' } } as const;
    const row = await update(change);
    expect(row).toMatchObject({ ...change, wrapped: first.wrapped, createdAt: first.createdAt });
    expect(await world.row('db-1')).toEqual(row);
    expect(await world.audited('server.registered')).toHaveLength(2);
  });

  test('where nothing is said of how long to drain, it is as the settings say', async () => {
    const { first, update } = await begin({ drainSeconds: null });
    expect(first.drainSeconds).toBe(900);
    expect((await update({ drainSeconds: 60 })).drainSeconds).toBe(60);
    expect((await update({ drainSeconds: null })).drainSeconds).toBe(900);
  });

  test('a conflict is read and decided again', async () => {
    const { world, update } = await begin();
    let changed = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (changed || operation !== 'servers.commit') return;
      changed = true;
      await world.changeRow('db-1', { leaseExpiresOn: new Date(0) });
    });
    expect(await update({ labels: { a: 'b' } })).toMatchObject({
      labels: { a: 'b' },
      leaseExpiresOn: new Date(0),
    });
  });
});

describe('what is refused', () => {
  const moving = { from: KEK, to: { ...KEK, name: 'other' }, since: new Date(0), by: 'anna' };
  test.each<[string, Partial<ServerRow>, Partial<RegisterCommand>, string]>([
    ['another state than the caller saw', {}, { ifMatch: '"0"' }, 'PreconditionFailed'],
    ['a deleted server', { tombstone: true }, {}, 'ServerDeleted'],
    ['one that is being moved out', { moving }, {}, 'ServerMoving'],
    ['one that is being moved in', { incoming: true }, {}, 'ServerMoving'],
    ['another principal, without the role', {}, { principalId: 'q', mayAssign: false }, 'RoleMissing'],
    ['no principal any more, without the role', {}, { principalId: null, mayAssign: false }, 'RoleMissing'],
    ['a key that it is not under', {}, { keyId: keyUrl({ ...KEK, name: 'other' }) }, 'ServerIdTaken'],
  ])('%s', async (_, change, next, code) => {
    const { world, update } = await begin({ principalId: 'p' });
    await world.changeRow('db-1', change);
    const before = await world.row('db-1');
    await expect(update({ labels: { a: 'b' }, ...next })).rejects.toMatchObject({
      code,
      ...(code === 'RoleMissing' ? { detail: { role: 'Dek.Assign' } } : {}),
    });
    expect(await world.row('db-1')).toEqual(before);
  });

  test('a token for any host', async () => {
    const { world, update } = await begin();
    const access = { ...world.postgres.addServer().access, tls: 'require' } as const;
    await expect(update({ access })).rejects.toMatchObject({ code: 'InvalidServer' });
    const auth = { kind: 'setting', name: 'PGCMK_SECRET_DB' } as const;
    expect((await update({ access: { ...access, auth } })).access).toMatchObject({ tls: 'require' });
  });

  test('where the login goes from now on is audited: host, user, and which password or token', async () => {
    const { world, update } = await begin();
    const access = { ...world.postgres.addServer().access, host: 'elsewhere.example' };
    const auth = { kind: 'setting', name: 'PGCMK_SECRET_DB' } as const;
    await update({ access: { ...access, auth } });
    await update({ access: { ...access, auth: { kind: 'entra' }, tls: 'verify-full' } });
    await update({ access: { kind: 'none' } });
    const { port, user, tls } = access;
    const details = (await world.audited('server.registered')).map(({ detail }) => detail).slice(1);
    const to = { access: 'postgres', host: 'elsewhere.example', port, user };
    expect(details).toMatchObject([
      { ...to, tls, auth: 'PGCMK_SECRET_DB' },
      { ...to, tls: 'verify-full', auth: 'entra' },
      { access: 'none' },
    ]);
    expect(details[2]).not.toHaveProperty('host');
  });

  test('what becomes so while it is being written', async () => {
    const { world, update } = await begin();
    world.stores.onBeforeCommit(async (operation) => {
      const { tombstone } = await world.row('db-1');
      if (operation === 'servers.commit' && !tombstone) await world.changeRow('db-1', { tombstone: true });
    });
    await expect(update({ labels: { a: 'b' } })).rejects.toMatchObject({ code: 'ServerDeleted' });
  });

  test('nothing, where the ETag is the one of the row', async () => {
    const { world, update } = await begin();
    const stored = await world.stores.servers.read(KEK, 'db-1');
    const ifMatch = stored?.etag ?? null;
    expect((await update({ labels: { a: 'b' }, ifMatch })).labels).toEqual({ a: 'b' });
    await expect(update({ labels: {}, ifMatch })).rejects.toMatchObject({ code: 'PreconditionFailed' });
  });
});

describe('the principal', () => {
  test('stays as it is where nothing is said of it, without any role', async () => {
    const { world, update } = await begin({ principalId: 'p' });
    for (const principalId of [undefined, 'p'])
      expect((await update({ principalId, mayAssign: false })).principalId).toBe('p');
    expect(await world.audited('server.principalChanged')).toEqual([]);
    expect(await assignments(world)).toHaveLength(1);
  });

  test('is changed with the role: recorded and announced, once each time', async () => {
    const { world, first, update } = await begin({ principalId: 'p' });
    for (const principalId of ['q', 'q', null, 'q'])
      expect((await update({ principalId })).principalId).toBe(principalId);
    expect(await world.audited('server.principalChanged')).toMatchObject([
      { servers: ['db-1'], cause: { by: 'anna' }, detail: { before: 'p', after: 'q' } },
      { detail: { before: 'q', after: null } },
      { detail: { before: null, after: 'q' } },
    ]);
    // Nothing else was changed.
    expect(await world.audited('server.registered')).toHaveLength(1);
    const events = await assignments(world);
    expect(events).toMatchObject([
      { data: { principalId: 'p', change: 'registration' } },
      { data: { principalId: 'q', change: 'principal', dekId: first.wrapped.dekId } },
      { data: { principalId: null } },
      { data: { principalId: 'q' } },
    ]);
    expect(new Set(events.map(({ id }) => id)).size).toBe(4);
  });

  test('a change whose answer was lost is not made twice', async () => {
    const { world, update } = await begin();
    world.stores.failNext('servers.commit', 'after');
    await expect(update({ principalId: 'q' })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await update({ principalId: 'q' });
    expect(await assignments(world)).toHaveLength(1);
    expect(await world.audited('server.principalChanged')).toHaveLength(1);
  });
});

describe('pinning', () => {
  const rotate = async (world: World): Promise<string> => {
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await world.settle();
    return newer;
  };

  test('to the version that it is under: it stays there', async () => {
    const { world, version, update } = await begin();
    expect(await update({ keyId: keyUrl(KEK, version) })).toMatchObject({ pinned: true, sequence: 0 });
    expect((await world.version(version)).inUse).toBe(true);
    await rotate(world);
    expect((await world.row('db-1')).wrapped.kekVersion).toBe(version);
  });

  test('not any more: it follows the rotation', async () => {
    const { world, version, update } = await begin();
    await update({ keyId: keyUrl(KEK, version) });
    const newer = await rotate(world);
    expect((await update({ keyId: keyUrl(KEK) })).pinned).toBe(false);
    await world.queue.drain();
    expect((await world.row('db-1')).wrapped.kekVersion).toBe(newer);
  });

  test('I-03: to another version: the same DEK is wrapped under that one, and the old wrapping is kept', async () => {
    const { world, version, first, update } = await begin();
    const newer = await rotate(world);
    expect((await world.version(version)).inUse).toBe(false);
    const row = await update({ keyId: keyUrl(KEK, version) });
    expect(row).toMatchObject({
      pinned: true,
      provenAt: world.clock.now(),
      replacedVersion: newer,
      wrapped: { kekVersion: version, dekId: first.wrapped.dekId },
    });
    using dek = await unwrapDek(world.vault, KEK, 'db-1', row.wrapped);
    expect(dek.id).toBe(first.wrapped.dekId);
    expect((await world.history('db-1')).map(({ wrapped }) => wrapped.kekVersion)).toEqual([version, newer]);
    expect((await world.version(version)).inUse).toBe(true);
    expect(await world.audited('server.rewrapped')).toMatchObject([
      {},
      { versionBefore: newer, versionAfter: version },
    ]);
    await world.settle();
    expect(await update({ keyId: keyUrl(KEK, version) })).toEqual(await world.row('db-1'));
    expect((await world.row('db-1')).wrapped).toEqual(row.wrapped);
  });

  test('to a version that does not unwrap, or was retired, is refused', async () => {
    const { world, version, update } = await begin();
    await rotate(world);
    const before = await world.row('db-1');
    world.clock.advance(60);
    world.vault.update(KEK, version, { enabled: false });
    await expect(update({ keyId: keyUrl(KEK, version) })).rejects.toMatchObject({ code: 'KekNotProven' });
    await world.changeVersion(version, { retiredAt: world.clock.now() });
    await expect(update({ keyId: keyUrl(KEK, version) })).rejects.toMatchObject({
      code: 'KekNotProven',
      detail: { reason: 'VersionRetired' },
    });
    expect(await world.row('db-1')).toEqual(before);
  });
});
