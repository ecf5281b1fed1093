import { describe, expect, test } from 'vitest';
import { Dek } from '../../../shared/domain/dek.ts';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { bindDek, type WrappedDek, type WrappedFormat } from '../../../shared/domain/wrapped-dek.ts';
import type { RegisterCommand } from '../../../shared/operations/register-server.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const begin = () => {
  const world = makeWorld();
  const version = world.vault.createVersion(KEK);

  /** A DEK as another system would hand it over. */
  const wrap = async (
    format: WrappedFormat,
    { serverId = 'db-1', kekVersion = version } = {},
  ): Promise<WrappedDek> => {
    const described = await world.vault.describeVersion(KEK, kekVersion);
    if (!described.ok || described.value.publicKey === null) throw new Error('not described');
    using dek = new Dek(world.random.bytes(32));
    const plaintext = format === 'bound-1' ? bindDek(dek, serverId) : dek.read((bytes) => bytes.slice());
    const ciphertext = await world.vault.wrap(described.value.publicKey, plaintext);
    return { kekVersion, algorithm: 'RSA-OAEP-256', format, dekId: dek.id, ciphertext };
  };
  const register = (change: Partial<RegisterCommand>) =>
    world.app.registerServer(world.orderOf('db-1', change));
  const snapshot = async () => ({
    filed: [...world.escrow.filed.values()],
    rows: await world.rows(),
    index: await world.stores.index.find('db-1'),
  });
  return { world, version, wrap, register, snapshot };
};
const NOTHING = { filed: [], rows: [], index: undefined };

describe('importing a DEK', () => {
  test.each(['bound-1', 'bare-0'] as const)('takes a %s wrapping over as it is', async (format) => {
    const { world, wrap, register } = begin();
    const wrappedDek = await wrap(format);
    const { stored, created } = await register({ wrappedDek });
    expect(created).toBe(true);
    expect(stored.value).toMatchObject({ wrapped: wrappedDek, provenAt: world.clock.now(), pinned: false });
    expect([...world.escrow.filed.values()]).toEqual([wrappedDek]);
    expect(await world.audited('server.registered')).toMatchObject([{ detail: { imported: true } }]);
    expect(world.topic.events.filter(({ type }) => type === 'PgCmk.DekAssigned')).toMatchObject([
      { subject: 'db-1', data: { change: 'import', dekId: wrappedDek.dekId, principalId: null } },
    ]);
  });

  test('under an older version, which is watched from then on, and left by the rotation', async () => {
    const { world, version, wrap, register } = begin();
    const wrappedDek = await wrap('bare-0');
    world.clock.advance(60);
    const newer = world.vault.createVersion(KEK);
    const { stored } = await register({ wrappedDek });
    expect(stored.value.wrapped).toEqual(wrappedDek);
    expect((await world.version(version)).inUse).toBe(true);
    await world.queue.drain();
    const { wrapped } = await world.row('db-1');
    expect(wrapped).toMatchObject({ kekVersion: newer, format: 'bound-1', dekId: wrappedDek.dekId });
    using dek = await unwrapDek(world.vault, KEK, 'db-1', wrapped);
    expect(dek.id).toBe(wrappedDek.dekId);
  });

  test('and pinned to that very version', async () => {
    const { wrap, version, register } = begin();
    const wrappedDek = await wrap('bound-1');
    const { stored } = await register({ wrappedDek, keyId: keyUrl(KEK, version) });
    expect(stored.value).toMatchObject({ pinned: true, wrapped: wrappedDek });
  });

  test('the same command again changes nothing', async () => {
    const { world, wrap, register } = begin();
    const wrappedDek = await wrap('bound-1');
    const first = await register({ wrappedDek });
    const unwraps = world.vault.count('unwrap');
    expect(await register({ wrappedDek })).toEqual({ stored: first.stored, created: false });
    expect(world.vault.count('unwrap')).toBe(unwraps);
    expect(await world.audited('server.registered')).toHaveLength(1);
  });

  test('I-03: never replaces a DEK that is there', async () => {
    const { wrap, register, snapshot } = begin();
    await register({});
    const before = await snapshot();
    await expect(register({ wrappedDek: await wrap('bound-1') })).rejects.toMatchObject({
      code: 'DekAlreadyMade',
    });
    expect(await snapshot()).toEqual(before);
  });

  test('I-03: nor one that was filed and not yet indexed', async () => {
    const { world, wrap, register } = begin();
    world.stores.failNext('servers.commit', 'before');
    await expect(register({})).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const [filed] = world.escrow.filed.values();
    await expect(register({ wrappedDek: await wrap('bound-1') })).rejects.toMatchObject({
      code: 'DekAlreadyMade',
    });
    expect((await register({})).stored.value.wrapped).toEqual(filed);
  });

  test('cut short after filing, it is taken up again', async () => {
    const { world, wrap, register } = begin();
    const wrappedDek = await wrap('bare-0');
    world.escrow.failNext(storeUnavailable('escrow'), 'after');
    await expect(register({ wrappedDek })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect((await register({ wrappedDek })).stored.value.wrapped).toEqual(wrappedDek);
  });
});

describe('an import that is refused leaves nothing behind', () => {
  test('without the role', async () => {
    const { world, wrap, register, snapshot } = begin();
    const wrappedDek = await wrap('bound-1');
    const calls = world.vault.calls.length;
    await expect(register({ wrappedDek, mayAssign: false })).rejects.toMatchObject({
      code: 'RoleMissing',
      detail: { role: 'Dek.Assign' },
    });
    expect(await snapshot()).toEqual(NOTHING);
    expect(world.vault.calls).toHaveLength(calls);
  });

  test('also for a server that has this very DEK', async () => {
    const { wrap, register } = begin();
    const wrappedDek = await wrap('bound-1');
    await register({ wrappedDek });
    await expect(register({ wrappedDek, mayAssign: false })).rejects.toMatchObject({ code: 'RoleMissing' });
  });

  test("another server's wrapping", async () => {
    const { wrap, register, snapshot } = begin();
    const wrappedDek = await wrap('bound-1', { serverId: 'db-2' });
    await expect(register({ wrappedDek })).rejects.toMatchObject({ code: 'DekBindingMismatch' });
    expect(await snapshot()).toEqual(NOTHING);
  });

  test.each<[string, Partial<WrappedDek>, string]>([
    ['another id than that of the DEK inside', { dekId: '0'.repeat(32) }, 'DekIdMismatch'],
    ['another format than what is inside', { format: 'bare-0' }, 'WrappedDekMalformed'],
    ['a ciphertext that the vault makes nothing of', { ciphertext: 'A'.repeat(342) }, 'WrappedDekMalformed'],
    ['a version that is not there', { kekVersion: 'f'.repeat(32) }, 'RegistrationRefused'],
  ])('%s', async (_, change, code) => {
    const { wrap, register, snapshot } = begin();
    const wrappedDek = { ...(await wrap('bound-1')), ...change };
    await expect(register({ wrappedDek })).rejects.toMatchObject({ code });
    expect(await snapshot()).toEqual(NOTHING);
  });

  test('a version that unwraps no more, or was retired', async () => {
    const { world, version, wrap, register, snapshot } = begin();
    const wrappedDek = await wrap('bound-1');
    world.vault.update(KEK, version, { enabled: false });
    await expect(register({ wrappedDek })).rejects.toMatchObject({ code: 'RegistrationRefused' });
    world.vault.update(KEK, version, { enabled: true });
    await register({ serverId: 'db-2' });
    await world.changeVersion(version, { retiredAt: world.clock.now() });
    await expect(register({ wrappedDek })).rejects.toMatchObject({ code: 'RegistrationRefused' });
    expect((await snapshot()).index).toBeUndefined();
  });

  test('another version than the server would be pinned to', async () => {
    const { world, wrap, register, snapshot } = begin();
    const wrappedDek = await wrap('bound-1');
    const keyId = keyUrl(KEK, world.vault.createVersion(KEK));
    await expect(register({ wrappedDek, keyId })).rejects.toMatchObject({ code: 'InvalidServer' });
    expect(await snapshot()).toEqual(NOTHING);
  });
});

describe('validateRegistration', () => {
  const validate = (world: ReturnType<typeof makeWorld>, change: Partial<RegisterCommand>) =>
    world.app.validateRegistration(world.orderOf('db-1', change));

  test('checks key and server, and changes nothing', async () => {
    const { world, wrap, snapshot } = begin();
    const server = world.postgres.addServer();
    server.openMaintenance(true);
    const wrappedDek = await wrap('bound-1');
    const checks = await validate(world, { access: server.access, wrappedDek, principalId: 'p' });
    expect(checks.filter(({ outcome }) => outcome !== 'passed')).toMatchObject([
      { code: 'MaintenanceDatabaseOpen', outcome: 'failed' },
    ]);
    expect(checks).toHaveLength(20);
    expect(await snapshot()).toEqual(NOTHING);
    expect(await world.stores.keks.read(KEK)).toBeUndefined();
    expect(world.queue.sent).toEqual([]);
    expect(await world.audited()).toEqual([]);
    for (const operation of ['keks.commit', 'servers.commit', 'index.claim', 'outbox.put'] as const)
      expect(world.stores.roundTrips(operation)).toBe(0);
  });

  test('nor does it of a server that is there', async () => {
    const { world, version, register, snapshot } = begin();
    await register({});
    await world.settle();
    const before = await snapshot();
    const kek = await world.stores.keks.read(KEK);
    const sent = world.queue.sent.length;
    const checks = await validate(world, { labels: { a: 'b' }, keyId: keyUrl(KEK, version) });
    expect(checks.every(({ outcome }) => outcome === 'passed')).toBe(true);
    expect(await snapshot()).toEqual(before);
    expect(await world.stores.keks.read(KEK)).toEqual(kek);
    expect(world.queue.sent).toHaveLength(sent);
  });

  test('says by an error what the registration would be refused for before any check', async () => {
    const { world, wrap, register } = begin();
    await expect(validate(world, { serverId: 'DB 1' })).rejects.toMatchObject({ code: 'InvalidServer' });
    await expect(validate(world, { principalId: 'p', mayAssign: false })).rejects.toMatchObject({
      code: 'RoleMissing',
    });
    const foreign = await wrap('bound-1', { serverId: 'db-2' });
    await expect(validate(world, { wrappedDek: foreign })).rejects.toMatchObject({
      code: 'DekBindingMismatch',
    });
    await register({});
    await expect(validate(world, { wrappedDek: await wrap('bound-1') })).rejects.toMatchObject({
      code: 'DekAlreadyMade',
    });
  });

  test('a wrapping is not opened where the key would not do it', async () => {
    const { world, version, wrap } = begin();
    const wrappedDek = await wrap('bound-1');
    world.vault.update(KEK, version, { enabled: false });
    const checks = await validate(world, { wrappedDek });
    expect(checks.filter(({ outcome }) => outcome === 'failed')).toMatchObject([{ code: 'KeyIsDisabled' }]);
    expect(world.vault.count('unwrap')).toBe(0);
  });

  test('I-02: an outage of the vault is no finding', async () => {
    const { world } = begin();
    world.vault.setVault(KEK.vault, { outage: { kind: 'network', cause: 'reset' } });
    await expect(validate(world, {})).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
  });
});
