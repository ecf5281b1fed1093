import { describe, expect, test } from 'vitest';
import type { KekId } from '../../../shared/domain/key-id.ts';
import { makeReadProbePeriod } from '../../../shared/operations/probe-period.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, VAULT, type World, type WorldOptions } from '../../fakes/world.ts';

const begin = async (options: WorldOptions = {}): Promise<{ world: World; version: string }> => {
  const world = makeWorld(options);
  const version = await world.begin(1);
  world.clock.advance(10);
  return { world, version };
};
const hints = (world: World) => world.queue.waiting('reconcile-keks').length;
const unwraps = (world: World) => world.vault.count('unwrap');

describe('probeKeks', () => {
  test('costs one unwrap a version in use, and says nothing while all is as recorded', async () => {
    const { world } = await begin();
    const before = world.vault.calls.length;
    await world.app.probes.probeAll();
    expect(world.vault.calls.slice(before)).toMatchObject([{ kind: 'unwrap', use: 'probe' }]);
    expect(hints(world)).toBe(0);
  });

  test.each<[string, (world: World, version: string) => void]>([
    ['disabled', (world, version) => world.vault.update(KEK, version, { enabled: false })],
    ['deleted', (world) => world.vault.deleteKey(KEK)],
    ['denied', (world) => world.vault.setVault(VAULT, { forbidden: 'ForbiddenByRbac' })],
    ['out of reach', (world) => world.vault.setVault(VAULT, { outage: { kind: 'identity' } })],
    ['corrupt', (world, version) => world.vault.corrupt(KEK, version)],
  ])('asks for one look when a key is %s', async (_, change) => {
    const { world, version } = await begin();
    change(world, version);
    await world.app.probes.probeAll();
    expect(world.queue.waiting()).toMatchObject([
      { queue: 'reconcile-keks', message: { kek: KEK, cause: { kind: 'probe' } } },
    ]);
  });

  test('asks once for a KEK of which two versions changed', async () => {
    const { world } = await begin();
    await world.changeRow('s001', { pinned: true });
    world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    world.vault.deleteKey(KEK);
    await world.app.probes.probeAll();
    expect(hints(world)).toBe(1);
  });

  test('a run that is not a verdict yet is asked about until it is one', async () => {
    const { world } = await begin();
    world.vault.setVault(VAULT, { forbidden: 'ForbiddenByRbac' });
    await world.runFor(70);
    expect(world.isOpen('s001')).toBe(false);
    const looks = world.vault.count('describe');
    await world.app.probes.probeAll();
    expect([hints(world), world.vault.count('describe')]).toEqual([0, looks]);
  });

  test('a deleted key and a purged one look alike to a probe: no more looks', async () => {
    const { world } = await begin();
    world.vault.deleteKey(KEK);
    await world.runFor(20);
    await world.app.probes.probeAll();
    world.vault.purgeKey(KEK);
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(hints(world)).toBe(0);
  });

  test('an expired version asks for looks while it is lost, and for none where the policy only warns', async () => {
    const { world, version } = await begin();
    world.vault.update(KEK, version, { expiresOn: new Date(world.clock.now().getTime() - 600_000) });
    await world.changeKek({ policy: { ...(await world.kek()).policy, expiredKeyPolicy: 'warn' } });
    await world.settle();
    expect((await world.version(version)).reason).toBe('KeyExpired');
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(hints(world)).toBe(0);
    await world.changeKek({ policy: { ...(await world.kek()).policy, expiredKeyPolicy: 'revoke' } });
    await world.settle();
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(hints(world)).toBe(1);
  });

  test('a version without a canary, or without attributes, does no harm', async () => {
    const { world, version } = await begin();
    await world.changeVersion(version, { attributes: null });
    const before = unwraps(world);
    await world.app.probes.probeAll();
    await world.changeVersion(version, { canary: null });
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(unwraps(world) - before).toBe(1);
    expect(hints(world)).toBe(0);
  });

  test('a probe that is still out is not sent again', async () => {
    const { world } = await begin();
    const gate = Promise.withResolvers<null>();
    world.vault.hook = () => gate.promise;
    const first = world.app.probes.probeAll();
    await new Promise(setImmediate);
    const before = unwraps(world);
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(unwraps(world)).toBe(before);
    world.vault.hook = null;
    gate.resolve(null);
    await first;
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(unwraps(world)).toBe(before + 1);
  });

  test('a vault that hangs holds up no later tick; what comes of it late is handled, or at least said', async () => {
    const { world, version } = await begin();
    await world.begin(1, 'terminate', { vault: 'beta.vault.azure.net', name: 'fleet' });
    world.clock.advance(10);
    const gate = Promise.withResolvers<null>();
    world.vault.hook = ({ kek }) => (kek.vault === VAULT ? gate.promise : null);
    const tick = world.app.probes.probeAll();
    await new Promise(setImmediate);
    world.clock.advance(30);
    await tick;
    world.vault.setVault('beta.vault.azure.net', { outage: { kind: 'identity' } });
    const next = world.app.probes.probeAll();
    await next;
    expect(world.queue.waiting()).toMatchObject([{ message: { kek: { vault: 'beta.vault.azure.net' } } }]);
    world.vault.update(KEK, version, { enabled: false });
    world.queue.failNext('reconcile-keks', storeUnavailable('queue'));
    gate.resolve(null);
    await new Promise(setImmediate);
    expect(world.log.lines.at(-1)).toMatchObject({ level: 'warn', message: 'a late probe failed' });
  });

  test('a look that could not be asked for is asked for by the next tick', async () => {
    const { world, version } = await begin();
    world.vault.update(KEK, version, { enabled: false });
    world.queue.failNext('reconcile-keks', storeUnavailable('queue'));
    await expect(world.app.probes.probeAll()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    world.clock.advance(10);
    await world.app.probes.probeAll();
    expect(hints(world)).toBe(1);
  });
});

describe('the budget', () => {
  test('probes take a tenth of what a vault gives; beyond that the period stretches, for that vault', async () => {
    const { world } = await begin({ probeCost: 0.25 });
    await world.begin(1, 'terminate', { vault: VAULT, name: 'second' });
    await world.begin(1, 'terminate', { vault: 'beta.vault.azure.net', name: 'fleet' });
    const before = unwraps(world);
    for (let tick = 0; tick < 6; tick += 1) {
      await world.app.probes.probeAll();
      world.clock.advance(10);
    }
    const readPeriod = makeReadProbePeriod({ keks: world.stores.keks, costOf: () => 0.25 });
    expect(await readPeriod(VAULT)).toBe(50);
    expect(await readPeriod('beta.vault.azure.net')).toBe(25);
    const asked = world.vault.calls.slice(-(unwraps(world) - before)).map(({ kek }) => kek.vault);
    expect(asked.filter((vault) => vault === VAULT)).toHaveLength(4);
    expect(asked.filter((vault) => vault !== VAULT)).toHaveLength(2);
  });
});

describe('shards', () => {
  /** A KEK with a server, and 500 others of its vault, whose only version is the same one, in use. */
  async function beginMany(options: WorldOptions = {}) {
    const { world } = await begin(options);
    const stored = await world.stores.keks.read(KEK);
    if (stored === undefined) throw new Error('not held');
    const versions = stored.versions.map(({ value }) => ({ value, etag: null }));
    for (let index = 0; index < 500; index += 1) {
      const kek: KekId = { vault: VAULT, name: `k${String(index).padStart(3, '0')}` };
      const write = { value: { ...stored.kek.value, kek }, etag: null };
      await world.stores.keks.commit(kek, { kek: write, versions, outbox: null });
    }
    return world;
  }
  const shards = (world: World) => world.queue.waiting('probe-keks');

  test('above 500 KEKs the probes go through the queue, a hundred at a time', async () => {
    const world = await beginMany();
    const before = unwraps(world);
    await world.app.probes.probeAll();
    expect(unwraps(world)).toBe(before);
    expect(shards(world)).toHaveLength(6);
    for (let message = world.queue.take(); message !== undefined; message = world.queue.take())
      if (message.queue === 'probe-keks') await world.app.probes.probeShard(message.message);
    expect(unwraps(world)).toBe(before + 501);
  });

  test('take a tenth of the vault together, in whichever process they run', async () => {
    // 501 × 0.004 × 10 s ÷ 0.1: every version once in 200.4 s.
    const world = await beginMany({ probeCost: 0.004 });
    const asked: number[] = [];
    for (let tick = 0; tick < 42; tick += 1) {
      await world.app.probes.probeAll();
      const keks = shards(world).flatMap((one) => (one.queue === 'probe-keks' ? one.message.keks : []));
      asked.push(keks.length);
      world.queue.clear();
      world.clock.advance(10);
    }
    expect(asked.flatMap((count, tick) => (count === 0 ? [] : [[tick, count]]))).toEqual([
      [0, 501],
      [21, 501],
    ]);
  });

  test('that piled up ask once', async () => {
    const { world } = await begin();
    const before = unwraps(world);
    await world.app.probes.probeShard({ keks: [KEK] });
    await world.app.probes.probeShard({ keks: [KEK] });
    expect(unwraps(world)).toBe(before + 1);
    world.clock.advance(1);
    await world.app.probes.probeShard({ keks: [KEK] });
    expect(unwraps(world)).toBe(before + 2);
  });

  test('that could not be enqueued are due again at the next tick', async () => {
    const world = await beginMany({ probeCost: 0.004 });
    world.queue.failNext('probe-keks', storeUnavailable('queue'));
    await expect(world.app.probes.probeAll()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await world.app.probes.probeAll();
    expect(shards(world)).toHaveLength(6);
  });

  test('a KEK that is gone since is passed over', async () => {
    const { world } = await begin();
    world.vault.hook = () => httpFault(404, 'KeyNotFound');
    await world.app.probes.probeShard({ keks: [{ vault: VAULT, name: 'gone' }, KEK] });
    expect(hints(world)).toBe(1);
  });
});
