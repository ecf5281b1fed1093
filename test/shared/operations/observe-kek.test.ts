import { describe, expect, test } from 'vitest';
import type { KekSnapshot } from '../../../shared/domain/kek.ts';
import { toSnapshot } from '../../../shared/operations/snapshot.ts';
import { httpFault, type VaultHook } from '../../fakes/key-vault.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const snapshotOf = async (world: World): Promise<KekSnapshot> => {
  const stored = await world.stores.keks.read(KEK);
  if (stored === undefined) throw new Error('not held');
  return toSnapshot(stored);
};
const observe = async (world: World) => world.app.observe(await snapshotOf(world));
const only =
  (kind: 'describe' | 'describeVersion' | 'unwrap', fault = httpFault(500, null)): VaultHook =>
  (call) =>
    call.kind === kind ? fault : null;

describe('observeKek', () => {
  test('looks at every version in use, at the target and at the newest, and at no other', async () => {
    const world = makeWorld();
    const first = await world.begin(2);
    const idle = world.vault.createVersion(KEK);
    const newest = world.vault.createVersion(KEK);
    const observation = await observe(world);
    expect(observation.newest).toBe(newest);
    expect(observation.versions.map(({ version }) => version)).toEqual([first, newest]);
    expect(idle).not.toBe(newest);
  });

  test('a disabled version is not probed: its attributes say all', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    const before = world.vault.count('unwrap');
    const [observed] = (await observe(world)).versions;
    expect(observed).toMatchObject({ attributes: { enabled: false }, probe: { kind: 'none' } });
    expect(world.vault.count('unwrap')).toBe(before);
  });

  test('says when the vault last changed each version, where the vault says so', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.clock.advance(60);
    world.vault.update(KEK, version, { enabled: false });
    expect((await observe(world)).updatedOn).toEqual(new Map([[version, world.clock.now()]]));
    world.vault.hidesUpdates = true;
    expect((await observe(world)).updatedOn).toEqual(new Map());
  });

  test('asks once whether a key that is not found was deleted', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.vault.deleteKey(KEK);
    const [observed] = (await observe(world)).versions;
    expect(observed).toMatchObject({ attributes: null, deleted: 'deleted' });
    expect(world.vault.count('askDeleted')).toBe(1);
  });

  test("now is the vault's clock; ours where the vault didn't answer", async () => {
    const world = makeWorld();
    await world.begin(1);
    world.vault.skewMs = 90_000;
    const now = world.clock.now().getTime();
    expect((await observe(world)).vaultNow.getTime()).toBe(now + 90_000);
    world.vault.setVault(KEK.vault, { outage: { kind: 'network', cause: 'timeout' } });
    const observation = await observe(world);
    expect(observation.vaultNow.getTime()).toBe(now);
    expect(observation.newest).toBeNull();
  });

  test('I-02: an expired key is not given back because its dates could not be read', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { expiresOn: world.clock.now() });
    await world.runFor(420);
    expect(world.isOpen('s001')).toBe(false);
    world.vault.hook = only('describe');
    await world.runFor(120);
    expect(world.isOpen('s001')).toBe(false);
    expect((await world.row('s001')).desiredReason).toBe('KeyExpired');
  });

  test('where attributes could not be read, whether it is enabled is what the unwrap says', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    await world.runFor(20);
    world.vault.update(KEK, version, { enabled: true });
    world.vault.hook = only('describe', httpFault(403, 'Forbidden', 'ForbiddenByRbac'));
    await world.runFor(30);
    expect(world.isOpen('s001')).toBe(true);
  });
});

describe('the canary', () => {
  test('is made once, when a version is first seen', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    expect((await world.version(version)).canary).not.toBeNull();
    const [observed] = (await observe(world)).versions;
    expect(observed).toMatchObject({ newCanary: null, probe: { kind: 'unwrapped', matches: true } });
  });

  test('that comes back wrong is made again, and compared', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    await world.changeVersion(version, { canary: (await world.row('s001')).wrapped.ciphertext });
    const [remade] = (await observe(world)).versions;
    expect(remade).toMatchObject({ probe: { kind: 'unwrapped', matches: true } });
    expect(remade?.newCanary).not.toBeNull();
    world.vault.corrupt(KEK, version);
    const [wrong] = (await observe(world)).versions;
    expect(wrong).toMatchObject({ probe: { kind: 'unwrapped', matches: false } });
  });

  test("that can't be made: any server's wrapping serves; a good one proves nothing but that it unwraps", async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    await world.changeVersion(version, { canary: null });
    world.vault.hook = only('describeVersion');
    const [sampled] = (await observe(world)).versions;
    expect(sampled).toMatchObject({ probe: { kind: 'none' }, newCanary: null });
    world.vault.corrupt(KEK, version);
    const [wrong] = (await observe(world)).versions;
    expect(wrong).toMatchObject({ probe: { kind: 'unwrapped', matches: false } });
    world.vault.hook = (call) =>
      call.kind === 'describe' ? null : httpFault(403, 'Forbidden', 'KeyDisabled');
    const [refused] = (await observe(world)).versions;
    expect(refused).toMatchObject({ probe: { kind: 'fault', fault: { innerCode: 'KeyDisabled' } } });
  });

  test("that can't be made, and no server to ask with: the reason is why it couldn't be made", async () => {
    const world = makeWorld();
    await world.begin(1);
    const newest = world.vault.createVersion(KEK);
    world.vault.hook = only('describeVersion', httpFault(403, 'Forbidden', 'ForbiddenByRbac'));
    const observed = (await observe(world)).versions.find(({ version }) => version === newest);
    expect(observed).toMatchObject({
      newCanary: null,
      probe: { kind: 'fault', fault: { innerCode: 'ForbiddenByRbac' } },
    });
  });
});
