import { describe, expect, test } from 'vitest';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import type { RegistrationCheck } from '../../../shared/domain/registration-check.ts';
import type { RegisterCommand } from '../../../shared/operations/register-server.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const begin = () => {
  const world = makeWorld();
  const version = world.vault.createVersion(KEK);
  const register = async (change: Partial<RegisterCommand> = {}) =>
    (await world.app.registerServer(world.orderOf('db-1', change))).stored.value;
  return { world, version, register };
};
const refusedFor = (...codes: readonly string[]) => ({
  code: 'RegistrationRefused',
  retryable: false,
  detail: {
    checks: expect.toSatisfy((checks: readonly RegistrationCheck[]) => {
      const found = checks.filter(({ outcome }) => outcome === 'failed').map(({ code }) => code);
      return found.join() === codes.join();
    }),
  },
});
const filed = (world: World) => [...world.escrow.filed.values()];

describe('registerServer', () => {
  test('makes a DEK that the vault unwraps, files it twice, and has the server looked at', async () => {
    const { world, version, register } = begin();
    const row = await register({ principalId: 'p', labels: { team: 'blue' } });
    expect(row).toMatchObject({
      serverId: 'db-1',
      kek: KEK,
      wrapped: { kekVersion: version, format: 'bound-1' },
      provenAt: world.clock.now(),
      pinned: false,
      principalId: 'p',
      labels: { team: 'blue' },
      desired: 'granted',
      applied: 'none',
    });
    expect(filed(world)).toEqual([row.wrapped]);
    expect((await world.stores.index.find('db-1'))?.value).toEqual(KEK);
    using dek = await unwrapDek(world.vault, KEK, 'db-1', row.wrapped);
    expect(dek.id).toBe(row.wrapped.dekId);
    expect(await world.audited('server.registered')).toMatchObject([
      {
        servers: ['db-1'],
        versionAfter: version,
        detail: { dekId: dek.id, pinned: false, principalId: 'p' },
      },
    ]);
    await world.queue.drain();
    expect((await world.row('db-1')).applied).toBe('granted');
  });

  test('each server has a DEK of its own', async () => {
    const { register } = begin();
    const first = await register();
    const second = await register({ serverId: 'db-2' });
    expect(second.wrapped.dekId).not.toBe(first.wrapped.dekId);
  });

  test('the same command again changes nothing', async () => {
    const { world } = begin();
    const command = world.orderOf('db-1', { principalId: 'p' });
    const first = await world.app.registerServer(command);
    const commits = world.stores.roundTrips('servers.commit');
    expect(first.created).toBe(true);
    expect(await world.app.registerServer(command)).toEqual({ stored: first.stored, created: false });
    expect(world.stores.roundTrips('servers.commit')).toBe(commits);
  });

  test('whoever is given the DEK is announced, once', async () => {
    const { world, register } = begin();
    await register();
    await register({ serverId: 'db-2', principalId: 'p' });
    await register({ serverId: 'db-2', principalId: 'p' });
    await world.app.deliverOutbox();
    expect(world.topic.events.filter(({ type }) => type === 'PgCmk.DekAssigned')).toMatchObject([
      { subject: 'db-2', data: { principalId: 'p', change: 'registration', by: 'anna' } },
    ]);
  });

  test('registering under one proven key costs one unwrap a server', async () => {
    const { world, register } = begin();
    await register();
    const before = world.vault.calls.length;
    for (let number = 2; number < 12; number += 1) await register({ serverId: `db-${number}` });
    expect(world.vault.calls.length - before).toBe(10);
    world.clock.advance(60);
    await register({ serverId: 'db-12' });
    expect(world.vault.calls.length - before).toBe(13);
  });

  test('a revoked server that is found at another place is closed there at once', async () => {
    const { world, version, register } = begin();
    const [before, after] = [world.postgres.addServer(), world.postgres.addServer()];
    await register({ access: before.access });
    await world.settle();
    world.vault.update(KEK, version, { enabled: false });
    await world.hint();
    await world.queue.drain();
    expect(before.takesConnections('app')).toBe(false);
    await register({ access: after.access });
    await world.queue.drain();
    expect(after.takesConnections('app')).toBe(false);
  });

  test('a server that comes under a lost key is closed from the start', async () => {
    const { world, version, register } = begin();
    const { access } = world.postgres.addServer({ host: 'late.test' });
    // The row becomes visible after the key was lost and everything about that was done.
    let lost = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (lost || operation !== 'servers.commit') return;
      lost = true;
      world.vault.update(KEK, version, { enabled: false });
      await world.app.reconcileKek({ kek: KEK, cause: { kind: 'followUp', of: 'test' } }, null);
      await world.queue.drain();
    });
    await register({ access });
    await world.queue.drain();
    expect(await world.row('db-1')).toMatchObject({ desired: 'revoked', applied: 'revoked' });
  });
});

describe('refusals', () => {
  test.each<[string, Partial<RegisterCommand>, string]>([
    ['an id that is none', { serverId: 'DB 1' }, 'InvalidServer'],
    ['a key id that is none', { keyId: 'https://alpha.vault.azure.net/secrets/x' }, 'InvalidKeyId'],
    ['a vault of a stranger', { keyId: 'https://alpha.example.com/keys/fleet' }, 'RegistrationRefused'],
    ['a label that a table would lose', { labels: JSON.parse('{"__proto__": "x"}') }, 'InvalidServer'],
    ['an ETag of a server that is not there', { ifMatch: '"7"' }, 'PreconditionFailed'],
    ['a principal, by who may not choose one', { principalId: 'p', mayAssign: false }, 'RoleMissing'],
  ])('%s', async (_, change, code) => {
    const { world, register } = begin();
    await expect(register(change)).rejects.toMatchObject({ code });
    expect(world.vault.calls).toEqual([]);
    expect(await world.stores.index.find('db-1')).toBeUndefined();
    expect(await world.stores.keks.read(KEK)).toBeUndefined();
  });

  test('a server without a principal needs no right to assign', async () => {
    const { register } = begin();
    for (const principalId of [undefined, null])
      expect((await register({ principalId, mayAssign: false })).principalId).toBeNull();
  });

  test('an Entra token would go to a host that need not prove who it is', async () => {
    const { world, register } = begin();
    const { access } = world.postgres.addServer();
    const loose = { ...access, tls: 'require' } as const;
    await expect(register({ access: loose })).rejects.toMatchObject(refusedFor('ServerTlsWeak'));
    const setting = { kind: 'setting', name: 'PGCMK_SECRET_DB' } as const;
    expect((await register({ access: { ...loose, auth: setting } })).access).toMatchObject({
      tls: 'require',
    });
  });

  test('an id that is taken under another key', async () => {
    const { world, register } = begin();
    await register();
    const other = { ...KEK, name: 'other' };
    world.vault.createVersion(other);
    await expect(register({ keyId: keyUrl(other) })).rejects.toMatchObject({ code: 'ServerIdTaken' });
  });

  test('an id that is taken under another key at the same moment', async () => {
    const { world, register } = begin();
    let taken = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (taken || operation !== 'index.claim') return;
      taken = true;
      await world.stores.index.claim('db-1', { ...KEK, name: 'other' });
    });
    await expect(register()).rejects.toMatchObject({ code: 'ServerIdTaken' });
    expect(filed(world)).toEqual([]);
  });

  test('a key without a usable version, with the reason', async () => {
    const { world, version, register } = begin();
    world.vault.update(KEK, version, { enabled: false });
    await expect(register()).rejects.toMatchObject(refusedFor('KeyIsDisabled'));
    expect(filed(world)).toEqual([]);
    expect(await world.stores.index.find('db-1')).toBeUndefined();
    expect(await world.stores.keks.read(KEK)).toBeUndefined();
  });

  test('a key that is not there', async () => {
    const { register } = begin();
    const keyId = keyUrl({ ...KEK, name: 'none' });
    await expect(register({ keyId })).rejects.toMatchObject(refusedFor('KeyNotReadable'));
  });

  test('all that is wrong is said at once', async () => {
    const { world, version, register } = begin();
    const server = world.postgres.addServer();
    server.allowSignals(false);
    world.vault.update(KEK, version, { enabled: false });
    world.vault.setVault(KEK.vault, { recovery: { recoverable: true, purgeProtected: false, days: 90 } });
    await expect(register({ access: server.access })).rejects.toMatchObject(
      refusedFor('KeyIsDisabled', 'PurgeProtectionOff', 'ServerRightsLacking'),
    );
    expect(await world.rows()).toEqual([]);
  });

  test('a warning refuses nothing', async () => {
    const { world, register } = begin();
    const server = world.postgres.addServer();
    server.setReachable(false);
    expect((await register({ access: server.access })).applied).toBe('none');
  });

  test('I-02: a vault that can’t be asked doesn’t look like a key that is not there', async () => {
    const { world, register } = begin();
    world.vault.setVault(KEK.vault, { outage: httpFault(503, 'ServiceUnavailable') });
    await expect(register()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
    world.vault.healVault(KEK.vault);
    await register();
  });

  test('I-02: nor does one that falls silent between the checks and the proof', async () => {
    const { world, register } = begin();
    let asked = 0;
    world.vault.hook = () => {
      asked += 1;
      return asked > 3 ? httpFault(503, 'ServiceUnavailable') : null;
    };
    await expect(register()).rejects.toMatchObject({
      code: 'KekNotProven',
      retryable: true,
      detail: { reason: 'VaultUnreachable' },
    });
    world.vault.hook = null;
    await register();
  });

  test('a vault that answers again a moment later is asked again another time', async () => {
    const { world, register } = begin();
    let described = 0;
    world.vault.hook = ({ kind }) => {
      if (kind !== 'describe') return null;
      described += 1;
      return described === 2 ? httpFault(503, 'ServiceUnavailable') : null;
    };
    await expect(register()).rejects.toMatchObject({ detail: { reason: 'CanaryUnavailable' } });
    await register();
  });

  test('a version that was proven and is not any more', async () => {
    const { world, version, register } = begin();
    await register();
    world.clock.advance(61);
    world.vault.update(KEK, version, { enabled: false });
    await expect(register({ serverId: 'db-2' })).rejects.toMatchObject(refusedFor('KeyIsDisabled'));
  });

  test('I-03: a wrapping that does not come back right is put nowhere', async () => {
    const { world, version, register } = begin();
    await register();
    world.vault.corrupt(KEK, version);
    await expect(register({ serverId: 'db-2' })).rejects.toMatchObject({ code: 'DekBindingMismatch' });
    expect(filed(world)).toHaveLength(1);
    expect(await world.rows()).toHaveLength(1);
  });

  test('a store that fails is no conflict', async () => {
    const { world, register } = begin();
    for (const operation of ['keks.commit', 'index.claim', 'servers.commit'] as const) {
      world.stores.failNext(operation, 'before');
      await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    }
    expect((await register()).serverId).toBe('db-1');
  });
});

describe('pinned to a version', () => {
  test('is wrapped under that version and never moved by itself', async () => {
    const { world, version, register } = begin();
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    const row = await register({ keyId: keyUrl(KEK, version) });
    expect(row).toMatchObject({ pinned: true, wrapped: { kekVersion: version } });
    await world.runFor(120);
    expect((await world.row('db-1')).wrapped.kekVersion).toBe(version);
    expect((await world.kek()).target).toBe(newer);
  });

  test('the version is watched from then on, also one that was not in use', async () => {
    const { world, version, register } = begin();
    await register();
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await world.settle();
    expect((await world.version(version)).inUse).toBe(false);
    await world.app.registerServer(world.orderOf('db-2', { keyId: keyUrl(KEK, version) }));
    expect((await world.version(version)).inUse).toBe(true);
    const unwraps = world.vault.count('unwrap');
    await world.app.registerServer(world.orderOf('db-3', { keyId: keyUrl(KEK, version) }));
    expect(world.vault.count('unwrap')).toBe(unwraps + 1);
    expect(newer).not.toBe(version);
  });

  test('a version that was lost while nobody was on it comes back when it is asked for', async () => {
    const { world, version, register } = begin();
    await register();
    world.vault.update(KEK, version, { enabled: false });
    await world.hint();
    await world.queue.drainFor(2);
    world.vault.update(KEK, version, { enabled: true });
    await world.changeVersion(version, { inUse: false });
    world.vault.createVersion(KEK);
    await world.changeKek({ target: null });
    const pinned = world.orderOf('db-2', { keyId: keyUrl(KEK, version) });
    await expect(world.app.registerServer(pinned)).rejects.toMatchObject({
      code: 'KekNotProven',
      retryable: true,
    });
    await world.queue.drainFor(3);
    expect((await world.app.registerServer(pinned)).stored.value.wrapped.kekVersion).toBe(version);
  });

  test('to an expired version that the policy puts up with: it serves, and nothing new comes under it', async () => {
    const { world, version, register } = begin();
    await register();
    await world.changeVersion(version, { reason: 'KeyExpired', status: 'usable', verdict: 'serve' });
    world.vault.update(KEK, version, { expiresOn: new Date('2029-01-01T00:00:00Z') });
    const kek = await world.kek();
    await world.changeKek({ policy: { ...kek.policy, expiredKeyPolicy: 'warn' } });
    world.clock.advance(60);
    const pinned = { serverId: 'db-2', keyId: keyUrl(KEK, version) };
    await expect(register(pinned)).rejects.toMatchObject(refusedFor('KeyIsExpired'));
    world.vault.hook = ({ kind }) => {
      if (kind === 'describe')
        world.vault.update(KEK, version, { expiresOn: new Date('2029-01-01T00:00:00Z') });
      return null;
    };
    world.vault.update(KEK, version, { expiresOn: null });
    await expect(register(pinned)).rejects.toMatchObject({
      code: 'KekNotProven',
      retryable: false,
      detail: { reason: 'KeyExpired' },
    });
  });

  test('not to a version that was retired', async () => {
    const { world, version, register } = begin();
    await register();
    await world.changeVersion(version, { retiredAt: world.clock.now() });
    const pinned = { serverId: 'db-2', keyId: keyUrl(KEK, version) };
    await expect(register(pinned)).rejects.toMatchObject(refusedFor('KeyVersionRetired'));
    expect(await world.stores.index.find('db-2')).toBeUndefined();
  });

  test('nor left under one that is retired at that very moment: it follows the rotation', async () => {
    const { world, version, register } = begin();
    await register();
    await world.settle();
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    await world.hint();
    await world.settle();
    expect((await world.kek()).target).toBe(newer);
    let retired = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (retired || operation !== 'servers.commit') return;
      retired = true;
      await world.changeVersion(version, { retiredAt: world.clock.now(), inUse: false });
    });
    const pinned = { serverId: 'db-2', keyId: keyUrl(KEK, version) };
    await expect(register(pinned)).rejects.toMatchObject({
      code: 'KekNotProven',
      detail: { reason: 'VersionRetired' },
    });
    await world.settle();
    expect(await world.row('db-2')).toMatchObject({ pinned: false, wrapped: { kekVersion: newer } });
  });

  test('a version without a canary is proven by one that is made for it', async () => {
    const { world, version, register } = begin();
    await register();
    world.clock.advance(61);
    await world.changeVersion(version, { canary: null });
    expect((await register({ serverId: 'db-2' })).wrapped.kekVersion).toBe(version);
  });
});

describe('cut short', () => {
  const steps: readonly [string, (world: World) => void][] = [
    ['holding the KEK', (world) => world.stores.failNext('keks.commit', 'before')],
    ['holding the KEK, the answer lost', (world) => world.stores.failNext('keks.commit', 'after')],
    ['claiming the id', (world) => world.stores.failNext('index.claim', 'before')],
    ['claiming the id, the answer lost', (world) => world.stores.failNext('index.claim', 'after')],
    ['filing', (world) => world.escrow.failNext(storeUnavailable('escrow'), 'before')],
    ['filing, the answer lost', (world) => world.escrow.failNext(storeUnavailable('escrow'), 'after')],
    ['inserting the row', (world) => world.stores.failNext('servers.commit', 'before')],
    ['inserting the row, the answer lost', (world) => world.stores.failNext('servers.commit', 'after')],
    ['asking for access', (world) => world.queue.failNext('server-access', storeUnavailable('queue'))],
    ['asking for a rewrap', (world) => world.queue.failNext('rewrap-deks', storeUnavailable('queue'))],
  ];
  test.each(steps)('I-03: at %s, and repeated: one DEK only, and the server is served', async (_, cut) => {
    const { world, register } = begin();
    cut(world);
    await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const before = filed(world);
    const row = await register();
    await world.queue.drain();
    expect(filed(world)).toEqual([row.wrapped]);
    expect(before.every((wrapped) => wrapped.dekId === row.wrapped.dekId)).toBe(true);
    expect(await world.row('db-1')).toMatchObject({
      applied: 'granted',
      wrapped: { dekId: row.wrapped.dekId },
    });
    using dek = await unwrapDek(world.vault, KEK, 'db-1', (await world.row('db-1')).wrapped);
    expect(dek.id).toBe(row.wrapped.dekId);
  });

  test('I-03: two registrations of one server at once make one DEK only', async () => {
    const { world } = begin();
    const other = world.startInstance();
    const command = world.orderOf('db-1');
    const both = await Promise.all([world.app.registerServer(command), other.registerServer(command)]);
    const { wrapped } = await world.row('db-1');
    expect(both.map(({ stored }) => stored.value.wrapped)).toEqual([wrapped, wrapped]);
    expect(both.filter(({ created }) => created)).toHaveLength(1);
    expect(filed(world)).toEqual([wrapped]);
  });

  test('I-03: one that another process has filed a moment before is taken instead of the own', async () => {
    const { world, register } = begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    world.escrow.find = () => Promise.resolve(undefined);
    expect(await register()).toMatchObject({ wrapped: filed(world)[0], provenAt: null });
    expect(filed(world)).toHaveLength(1);
  });

  test('I-03: one that was filed under an older version is the same DEK under the newer', async () => {
    const { world, register } = begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    expect(await register()).toMatchObject({
      wrapped: { kekVersion: newer, dekId: filed(world)[0]?.dekId },
      provenAt: world.clock.now(),
    });
  });

  test('a wrapping that was filed long ago is taken up, and proven again at leisure', async () => {
    const { world, register } = begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect((await register()).provenAt).toBeNull();
    await world.runFor(900);
    expect((await world.row('db-1')).provenAt).not.toBeNull();
  });

  test('a server that vanishes while it is read is said to be gone', async () => {
    const { world, register } = begin();
    const { read } = world.stores.servers;
    let reads = 0;
    world.stores.servers.read = (kek, id) => {
      reads += 1;
      return reads > 1 ? Promise.resolve(undefined) : read(kek, id);
    };
    await register().catch(() => undefined);
    reads = 0;
    await expect(register()).rejects.toMatchObject({ code: 'ServerNotFound' });
    reads = -1;
    await expect(register()).rejects.toMatchObject({ code: 'ServerNotFound' });
    world.stores.servers.read = read;
    const readKek = world.stores.keks.read;
    world.stores.keks.read = () => {
      world.stores.keks.read = readKek;
      return Promise.resolve(undefined);
    };
    expect((await register()).serverId).toBe('db-1');
    const { epoch } = await world.kek();
    expect(world.queue.sent.at(-1)?.message).toMatchObject({ epoch, from: 'db-1' });
  });

  const cutAndLost = async (change: (world: World, version: string) => unknown) => {
    const { world, version, register } = begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(register()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    await change(world, version);
    return { world, version, newer, register };
  };

  test.each<[string, (world: World, version: string) => unknown]>([
    ['disabled', (world, version) => world.vault.update(KEK, version, { enabled: false })],
    [
      'retired and disabled',
      async (world, version) => {
        await world.app.retireVersion({ kek: KEK, version, by: 'anna' });
        world.vault.update(KEK, version, { enabled: false });
      },
    ],
  ])(
    'I-03: what was filed under a version since %s is not replaced, and it is said what to do',
    async (_, lose) => {
      const { world, version, newer, register } = await cutAndLost(lose);
      const before = filed(world);
      const [name = ''] = world.escrow.filed.keys();
      for (let tries = 0; tries < 2; tries += 1)
        await expect(register()).rejects.toMatchObject({
          code: 'VaultRefused',
          retryable: false,
          message: expect.stringContaining(keyUrl(KEK, version)),
          remedy: expect.stringContaining(`remove the blob ${name} and register again`),
          detail: { reason: 'KeyDisabled', kekVersion: version },
        });
      expect(filed(world)).toEqual(before);
      await expect(world.row('db-1')).rejects.toThrow('no row');
      // Somebody decides that nobody ever had it.
      await world.escrow.remove('db-1', KEK);
      const row = await register();
      expect(row.wrapped).toMatchObject({ kekVersion: newer });
      expect(row.wrapped.dekId).not.toBe(before[0]?.dekId);
    },
  );

  test('I-03: it is taken up when its version unwraps again', async () => {
    const { world, version, newer, register } = await cutAndLost((w, v) =>
      w.vault.update(KEK, v, { enabled: false }),
    );
    await expect(register()).rejects.toMatchObject({ code: 'VaultRefused' });
    world.vault.update(KEK, version, { enabled: true });
    const { wrapped } = await register();
    expect(wrapped).toMatchObject({ kekVersion: newer, dekId: filed(world)[0]?.dekId });
  });

  test('that the vault can not be asked of it says nothing about it', async () => {
    const { world, version, register } = await cutAndLost(() => undefined);
    const { unwrap } = world.vault;
    world.vault.unwrap = async (kek, asked, ...rest) =>
      asked === version
        ? { ok: false, fault: httpFault(503, null), vaultNow: null }
        : unwrap.call(world.vault, kek, asked, ...rest);
    await expect(register()).rejects.toMatchObject({
      code: 'VaultUnavailable',
      retryable: true,
      message: expect.not.stringContaining('come to its end'),
    });
  });
});
