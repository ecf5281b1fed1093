import { compactDecrypt, exportJWK, generateKeyPair } from 'jose';
import { describe, expect, test } from 'vitest';
import { bindDek } from '../../../shared/domain/wrapped-dek.ts';
import { makeDekSealer } from '../../../shared/jose/seal-dek.ts';
import { makeReleaseDek, type ReleaseDeps } from '../../../shared/operations/release-dek.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { KEK, makeWorld, VAULT, type World } from '../../fakes/world.ts';

const ME = '11111111-2222-3333-4444-555555555555';
const OTHER_KEK = { vault: 'beta.vault.azure.net', name: 'fleet' };

const keys = generateKeyPair('ECDH-ES', { crv: 'X25519', extractable: true });

async function begin(count = 1) {
  const world = makeWorld();
  const version = await world.begin(count);
  for (let one = 1; one <= count; one += 1) await world.changeRow(`s00${one}`, { principalId: ME });
  await world.app.deliverOutbox();
  const publicKey = await exportJWK((await keys).publicKey);
  const release = (serverId = 's001', principalId = ME, instance = world.app) =>
    instance.releaseDek({ serverId, principalId, publicKey });
  world.vault.calls.length = 0;
  return { world, version, release, publicKey };
}

const hexOf = async (world: World, serverId = 's001') => {
  const { kek, wrapped } = await world.row(serverId);
  using dek = await unwrapDek(world.vault, kek, serverId, wrapped);
  return dek.read((bytes) => Buffer.from(bytes).toString('hex'));
};
const open = async (jwe: string) => compactDecrypt(jwe, (await keys).privateKey);
/** The operation over stores of which some behave otherwise. */
const releaseOver = (world: World, change: Partial<ReleaseDeps>) =>
  makeReleaseDek({
    ...world.stores,
    finishMove: world.app.finishMove,
    vault: world.vault,
    sealer: makeDekSealer(),
    clock: world.clock,
    log: world.log,
    rules: { leaseSeconds: 300, releasesPerMinute: 10 },
    ...change,
  });
const hold = (world: World) => ({ by: 'anna', reason: 'test', since: world.clock.now(), until: null });
const unwraps = (world: World) => world.vault.count('unwrap');
/** Once, just before the release is committed. */
const beforeCommit = (world: World, act: () => Promise<void>) => {
  const stop = world.stores.onBeforeCommit(async (operation) => {
    if (operation !== 'servers.commit') return;
    stop();
    await act();
  });
};

describe('releaseDek', () => {
  test("gives the server's own DEK, under a lease that is on record and audited", async () => {
    const { world, version, release } = await begin();
    await world.changeRow('s001', { provenAt: null });
    const { jwe, leaseExpiresOn, wrapped, kek } = await release();
    const { plaintext, protectedHeader } = await open(jwe);
    expect(Buffer.from(plaintext).toString('hex')).toBe(await hexOf(world));
    expect(protectedHeader).toMatchObject({ sub: 's001', dekId: wrapped.dekId });
    expect(leaseExpiresOn).toEqual(new Date(world.clock.now().getTime() + 300_000));
    const row = await world.row('s001');
    expect([kek, wrapped]).toEqual([KEK, row.wrapped]);
    expect(row).toMatchObject({ leaseExpiresOn, provenAt: world.clock.now() });
    expect(await world.audited('dek.released')).toMatchObject([
      {
        servers: ['s001'],
        cause: { kind: 'operator', by: ME },
        versionBefore: version,
        reason: null,
        detail: { state: 'Ready', dekId: wrapped.dekId, leaseExpiresOn: leaseExpiresOn.toISOString() },
      },
    ]);
  });

  test('the vault unwraps at each release, ahead of any rotation', async () => {
    const { world, release } = await begin();
    const before = await world.row('s001');
    await release();
    await release();
    expect(world.vault.calls).toMatchObject([
      { kind: 'unwrap', use: 'release' },
      { kind: 'unwrap', use: 'release' },
    ]);
    expect((await world.row('s001')).provenAt).toEqual(before.provenAt);
  });

  test('nothing of the DEK is in what is stored or logged', async () => {
    const { world, release } = await begin();
    const hex = await hexOf(world);
    await release();
    const written = JSON.stringify([await world.rows(), await world.audited(), world.log.lines]);
    for (const encoding of ['hex', 'base64', 'base64url'] as const)
      expect(written).not.toContain(Buffer.from(hex, 'hex').toString(encoding));
  });

  test('an earlier lease that ends later stays on record', async () => {
    const { world, release } = await begin();
    const later = new Date(world.clock.now().getTime() + 3600_000);
    await world.changeRow('s001', { leaseExpiresOn: later });
    expect((await release()).leaseExpiresOn < later).toBe(true);
    expect((await world.row('s001')).leaseExpiresOn).toEqual(later);
    world.clock.advance(3590);
    const { leaseExpiresOn } = await release();
    expect((await world.row('s001')).leaseExpiresOn).toEqual(leaseExpiresOn);
  });
});

describe('who is given it', () => {
  test.each([
    ['another principal', ME, 'someone-else'],
    ['the same in other letters', 'ABCDEF', 'abcdef'],
    ['the same with a space', ME, `${ME} `],
    ['nobody: the server has no principal', null, ME],
    ['nobody: no name is no name', null, ''],
  ])('not %s', async (_, own, asking) => {
    const { world, release } = await begin();
    await world.changeRow('s001', { principalId: own });
    await expect(release('s001', asking)).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect(unwraps(world)).toBe(0);
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    expect(await world.audited('dek.refused')).toMatchObject([
      { servers: ['s001'], reason: 'PrincipalMismatch', cause: { by: asking } },
    ]);
  });

  test('not a server of another id, nor one that nobody registered', async () => {
    const { release } = await begin();
    await expect(release('s002')).rejects.toMatchObject({ code: 'ServerNotFound' });
  });

  test('not one whose registration has only begun', async () => {
    const { world, release } = await begin();
    await world.stores.index.claim('s009', KEK);
    await expect(release('s009')).rejects.toMatchObject({ code: 'ServerNotFound' });
  });

  test('not a tombstone, and only its own principal is told', async () => {
    const { world, release } = await begin();
    await world.changeRow('s001', { tombstone: true });
    await expect(release()).rejects.toMatchObject({ code: 'ServerDeleted' });
    await expect(release('s001', 'x')).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect(unwraps(world)).toBe(0);
  });

  test("not by another server's wrapping put into its row", async () => {
    const { world, release } = await begin(2);
    const { wrapped } = await world.row('s002');
    await world.changeRow('s001', { wrapped });
    await expect(release()).rejects.toMatchObject({ code: 'DekBindingMismatch' });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    expect(await world.audited('dek.refused')).toMatchObject([{ reason: 'DekBindingMismatch' }]);
  });

  test('not to a key that is none', async () => {
    const { world } = await begin();
    const asking = world.app.releaseDek({ serverId: 's001', principalId: ME, publicKey: { kty: 'oct' } });
    await expect(asking).rejects.toMatchObject({ code: 'InvalidPublicKey' });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    expect(await world.audited('dek.released')).toEqual([]);
  });
});

describe('the key has its say', () => {
  test('a hold that was just set refuses before any worker has acted', async () => {
    const { world, release } = await begin();
    await world.changeRow('s001', { hold: hold(world) });
    await expect(release()).rejects.toMatchObject({
      code: 'DekRefused',
      detail: { state: 'Revoking', reason: 'OperatorHold' },
    });
    await world.changeRow('s001', { hold: null });
    await world.changeKek({ hold: hold(world) });
    await expect(release()).rejects.toMatchObject({ code: 'DekRefused', detail: { reason: 'OperatorHold' } });
    expect(unwraps(world)).toBe(0);
  });

  test('a verdict refuses before the row says so, and when all is closed', async () => {
    const { world, version, release } = await begin();
    world.vault.update(KEK, version, { enabled: false });
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
    expect(await world.row('s001')).toMatchObject({ desired: 'granted' });
    world.vault.calls.length = 0;
    await expect(release()).rejects.toMatchObject({
      code: 'DekRefused',
      detail: { state: 'Revoking', reason: 'KeyDisabled' },
    });
    await world.settle();
    await expect(release()).rejects.toMatchObject({ code: 'DekRefused', detail: { state: 'Inaccessible' } });
    expect(world.vault.calls.filter(({ use }) => use === 'release')).toEqual([]);
  });

  test('a key that was disabled since the last probe is refused by the vault itself', async () => {
    const { world, version, release } = await begin();
    world.vault.update(KEK, version, { enabled: false });
    await expect(release()).rejects.toMatchObject({
      code: 'VaultRefused',
      retryable: false,
      detail: { reason: 'KeyDisabled' },
    });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    expect(await world.audited('dek.refused')).toMatchObject([
      { reason: 'VaultRefused', detail: { reason: 'KeyDisabled' } },
    ]);
  });

  test('a vault that can not be asked refuses nothing: asking again may help, and it is no refusal', async () => {
    const { world, release } = await begin();
    world.vault.setVault(VAULT, { outage: { kind: 'network', cause: 'timeout' } });
    await expect(release()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
    world.vault.hook = () => httpFault(429, 'Throttled');
    await expect(release()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
    expect(await world.audited('dek.refused')).toEqual([]);
    world.vault.healVault(VAULT);
    world.vault.hook = null;
    expect(await release()).toMatchObject({ kek: KEK });
  });

  test('a verdict without a reason refuses as well, and says what to look at', async () => {
    const { world, version, release } = await begin();
    await world.changeVersion(version, { verdict: 'revoke', verdictReason: null });
    await expect(release()).rejects.toMatchObject({
      code: 'DekRefused',
      detail: { state: 'Revoking', reason: null },
      remedy: expect.stringContaining('verdict'),
    });
  });

  test('an expired key still unwraps, and is refused by the policy', async () => {
    const { world, version, release } = await begin();
    world.vault.update(KEK, version, { expiresOn: new Date(world.clock.now().getTime() - 600_000) });
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
    await expect(release()).rejects.toMatchObject({ code: 'DekRefused', detail: { reason: 'KeyExpired' } });
  });

  test('a server whose key is back is given its DEK before anything is reopened', async () => {
    const { world, version, release } = await begin();
    world.vault.update(KEK, version, { enabled: false });
    await world.settle();
    world.server('s001').setReachable(false);
    world.vault.update(KEK, version, { enabled: true });
    for (let look = 0; look < 2; look += 1) {
      world.clock.advance(4);
      await world.app.reconcileKek({ kek: KEK, cause: { kind: 'followUp', of: 'test' } }, null);
    }
    expect(await world.row('s001')).toMatchObject({ applied: 'revoked' });
    const { jwe } = await release();
    expect((await open(jwe)).plaintext).toHaveLength(32);
    expect(await world.audited('dek.released')).toMatchObject([{ detail: { state: 'Restoring' } }]);
  });

  test('a new server waits until its key is proven, and no longer', async () => {
    const { world, version, release } = await begin();
    await world.changeRow('s001', { applied: 'none', inspectedAt: null });
    await world.changeVersion(version, { verdict: 'unproven' });
    await expect(release()).rejects.toMatchObject({
      code: 'DekRefused',
      detail: { state: 'PendingKey', reason: 'KeyNotProven' },
    });
    await world.changeVersion(version, { verdict: 'serve' });
    expect(await release()).toMatchObject({ kek: KEK });
  });

  test('a KEK whose row is gone says nothing against a server that served; the vault unwraps', async () => {
    const { world, publicKey } = await begin();
    const keks = { ...world.stores.keks, read: async () => undefined };
    const releaseDek = releaseOver(world, { keks });
    const { wrapped } = await releaseDek({ serverId: 's001', principalId: ME, publicKey });
    expect(wrapped).toEqual((await world.row('s001')).wrapped);
    await world.changeRow('s001', { applied: 'none' });
    await expect(releaseDek({ serverId: 's001', principalId: ME, publicKey })).rejects.toMatchObject({
      code: 'DekRefused',
      detail: { reason: 'KeyNotProven' },
    });
  });
});

describe('what comes in between', () => {
  test('a hold on the row wins: nothing was given, nothing was written', async () => {
    const { world, release } = await begin();
    beforeCommit(world, () => world.changeRow('s001', { hold: hold(world) }));
    await expect(release()).rejects.toMatchObject({ code: 'DekRefused', detail: { reason: 'OperatorHold' } });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    expect(await world.audited('dek.released')).toEqual([]);
  });

  test('a verdict while the vault was asked wins, though the row is as it was', async () => {
    const { world, version, release } = await begin();
    world.vault.hook = async () => {
      world.vault.hook = null;
      await world.changeVersion(version, { verdict: 'revoke', verdictReason: 'KeyDisabled' });
      return null;
    };
    await expect(release()).rejects.toMatchObject({ code: 'DekRefused', detail: { reason: 'KeyDisabled' } });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
  });

  test('a changed principal wins', async () => {
    const { world, release } = await begin();
    beforeCommit(world, () => world.changeRow('s001', { principalId: 'new' }));
    await expect(release()).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
  });

  test('a rewrap: the new wrapping is unwrapped as well, and is the one that counts as proven', async () => {
    const { world, release } = await begin();
    const newer = world.vault.createVersion(KEK);
    beforeCommit(world, async () => {
      world.clock.advance(1);
      await world.settle();
      await world.changeRow('s001', { provenAt: null });
      world.vault.calls.length = 0;
    });
    const { jwe, wrapped } = await release();
    const row = await world.row('s001');
    expect(row.wrapped.kekVersion).toBe(newer);
    expect(wrapped).toEqual(row.wrapped);
    expect(world.vault.calls).toMatchObject([{ use: 'release', version: row.wrapped.kekVersion }]);
    expect(row.provenAt).toEqual(world.clock.now());
    expect(Buffer.from((await open(jwe)).plaintext).toString('hex')).toBe(await hexOf(world));
  });

  test('two at once: both are given, and both are on record', async () => {
    const { world, release } = await begin();
    const other = world.startInstance();
    const [first, second] = await Promise.all([release(), release('s001', ME, other)]);
    expect(first?.wrapped.dekId).toBe(second?.wrapped.dekId);
    expect(await world.audited('dek.released')).toHaveLength(2);
  });

  test('a write that is never let through is a conflict, not a refusal', async () => {
    const { world, release } = await begin();
    let change = 0;
    world.stores.onBeforeCommit(async (operation) => {
      if (operation !== 'servers.commit' || change % 2 === 1) return;
      change += 1;
      await world.changeRow('s001', { labels: { change: String(change) } });
      change += 1;
    });
    await expect(release()).rejects.toMatchObject({ code: 'WriteConflict' });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    expect(await world.audited('dek.refused')).toEqual([]);
  });

  test('tables that do not answer give nothing; a lost answer is asked for again', async () => {
    const { world, release } = await begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(release()).rejects.toMatchObject({ code: 'StoreUnavailable', retryable: true });
    expect((await world.row('s001')).leaseExpiresOn).toBeNull();
    world.stores.failNext('servers.commit', 'after');
    await expect(release()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect((await world.row('s001')).leaseExpiresOn).not.toBeNull();
    expect(await release()).toMatchObject({ kek: KEK });
    expect(await world.audited('dek.released')).toHaveLength(2);
  });
});

describe('a server that moves', () => {
  /** As a move leaves it: a row under each KEK; the index still points to the old one. */
  async function moving() {
    const begun = await begin();
    const { world } = begun;
    world.vault.createVersion(OTHER_KEK);
    await world.register(1, { kek: OTHER_KEK, prefix: 'b' });
    await world.settle();
    const here = await world.row('s001');
    const move = { from: KEK, to: OTHER_KEK, since: world.clock.now(), by: 'anna' };
    await world.changeRow('s001', { moving: move });
    const version = (await world.kek(OTHER_KEK)).target ?? '';
    const described = await world.vault.describeVersion(OTHER_KEK, version);
    if (!described.ok || described.value.publicKey === null) throw new Error('no key');
    using dek = await unwrapDek(world.vault, KEK, 's001', here.wrapped);
    const ciphertext = await world.vault.wrap(described.value.publicKey, bindDek(dek, 's001'));
    const wrapped = { ...here.wrapped, kekVersion: version, ciphertext };
    const value = { ...here, kek: OTHER_KEK, wrapped, provenAt: null, incoming: true, moving: move };
    await world.stores.servers.commit(OTHER_KEK, [{ value, etag: null, history: null }], null);
    const flip = async () => {
      const owner = await world.stores.index.find('s001');
      await world.stores.index.point('s001', OTHER_KEK, owner?.etag ?? '');
    };
    return { ...begun, wrapped, flip };
  }

  test('is answered by the row that the index points to, once its move is finished', async () => {
    const { world, release, wrapped, flip } = await moving();
    expect(await release()).toMatchObject({ kek: KEK });
    await flip();
    expect(await release()).toMatchObject({ kek: OTHER_KEK, wrapped });
    expect(await world.row('s001', OTHER_KEK)).toMatchObject({
      incoming: false,
      provenAt: world.clock.now(),
    });
    expect(await world.audited('dek.released', OTHER_KEK)).toHaveLength(1);
  });

  test('and that goes on while it is looked for is looked for again', async () => {
    const { world, publicKey, wrapped, flip } = await moving();
    const { servers } = world.stores;
    const releaseDek = releaseOver(world, {
      servers: {
        ...servers,
        read: async (kek, serverId) => {
          if (kek.vault !== VAULT) return servers.read(kek, serverId);
          await flip();
          return undefined;
        },
      },
    });
    const released = await releaseDek({ serverId: 's001', principalId: ME, publicKey });
    expect(released).toMatchObject({ kek: OTHER_KEK, wrapped });
  });

  test('and is freed while it is looked for is not found', async () => {
    const { world, publicKey } = await begin();
    const { servers, index } = world.stores;
    const releaseDek = releaseOver(world, {
      servers: {
        ...servers,
        read: async () => {
          const owner = await index.find('s001');
          await index.release('s001', owner?.etag ?? '');
          return undefined;
        },
      },
    });
    await expect(releaseDek({ serverId: 's001', principalId: ME, publicKey })).rejects.toMatchObject({
      code: 'ServerNotFound',
    });
  });
});

describe('how often', () => {
  test('as the setting says, and then it says how long to wait', async () => {
    const { world, release } = await begin(2);
    for (let one = 0; one < 10; one += 1) await release();
    await expect(release()).rejects.toMatchObject({
      code: 'DekRateLimited',
      retryable: true,
      detail: { retryAfterSeconds: 6 },
    });
    expect(unwraps(world)).toBe(10);
    expect(await release('s002')).toMatchObject({ kek: KEK });
    expect(await release('s001', ME, world.startInstance())).toMatchObject({ kek: KEK });
    world.clock.advance(6);
    expect(await release()).toMatchObject({ kek: KEK });
  });

  test('nobody else can shut a server out', async () => {
    const { world, release } = await begin();
    for (let one = 0; one < 30; one += 1) await release('s001', 'x').catch(() => undefined);
    expect(await release()).toMatchObject({ kek: KEK });
    expect(unwraps(world)).toBe(1);
  });

  test('a conflict uses up one release, not two', async () => {
    const { world, release } = await begin();
    for (let one = 0; one < 9; one += 1) await release();
    beforeCommit(world, () => world.changeRow('s001', { labels: { a: 'b' } }));
    expect(await release()).toMatchObject({ kek: KEK });
  });

  test('a flood of refusals is one record a minute of each kind', async () => {
    const { world, release } = await begin(2);
    for (let one = 0; one < 50; one += 1) await release('s001', 'x').catch(() => undefined);
    await release('s002', 'x').catch(() => undefined);
    await world.changeRow('s001', { hold: hold(world) });
    await release().catch(() => undefined);
    const refused = async () =>
      (await world.audited('dek.refused')).map((one) => [one.servers[0], one.reason]);
    expect(await refused()).toEqual([
      ['s001', 'PrincipalMismatch'],
      ['s002', 'PrincipalMismatch'],
      ['s001', 'DekRefused'],
    ]);
    world.clock.advance(60);
    await release('s001', 'x').catch(() => undefined);
    expect(await refused()).toHaveLength(4);
  });

  test('whoever tries one server after the other is recorded 60 times a minute, and another still is', async () => {
    const { world, release } = await begin();
    const ids = await world.register(70, { prefix: 't', access: { kind: 'none' } });
    for (const id of ids)
      await expect(release(id, 'mallory')).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect(await world.audited('dek.refused')).toHaveLength(60);
    await expect(release('s001', 'eve')).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect(await world.audited('dek.refused')).toHaveLength(61);
    world.clock.advance(60_000);
    await expect(release('s001', 'mallory')).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect((await world.audited('dek.refused')).at(-1)?.cause).toEqual({ kind: 'operator', by: 'mallory' });
  });

  test('a refusal that can not be audited stays a refusal', async () => {
    const { world, release } = await begin();
    world.stores.failNext('outbox.put', 'before');
    await expect(release('s001', 'x')).rejects.toMatchObject({ code: 'PrincipalMismatch' });
    expect(world.log.errors()).toEqual(['a refusal could not be audited']);
  });
});
