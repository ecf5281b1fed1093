import { describe, expect, test } from 'vitest';
import { httpFault } from '../../fakes/key-vault.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const start = (world: World) => world.app.startRewrap({ kek: KEK, by: 'anna' });
const refused = (reason: string, retryable = false) => ({
  code: 'RotationNotPossible',
  retryable,
  detail: { reason },
});
const on = async (world: World, version: string) =>
  (await world.rows()).filter((row) => row.wrapped.kekVersion === version).map((row) => row.serverId);

/** A rotation that has halted because `s002` fails. */
const halt = async () => {
  const world = makeWorld();
  const first = await world.begin(3);
  await world.changeKek({ policy: { ...(await world.kek()).policy, waveServers: 2, haltAfterFailures: 0 } });
  const { wrapped } = await world.row('s002');
  await world.changeRow('s002', { wrapped: { ...wrapped, ciphertext: 'AAAA' } });
  world.clock.advance(60);
  const second = world.vault.createVersion(KEK);
  await world.hint();
  await world.queue.drain();
  expect((await world.kek()).rotation.state).toBe('halted');
  world.clock.advance(60);
  return { world, first, second, wrapped };
};

describe('startRewrap', () => {
  test('picks up a new version that nobody has told of, and the audit says who asked', async () => {
    const world = makeWorld();
    await world.begin(3);
    world.clock.advance(60);
    const second = world.vault.createVersion(KEK);
    await start(world);
    await world.queue.drain();
    expect(await on(world, second)).toHaveLength(3);
    expect((await world.audited('kek.target')).at(-1)).toMatchObject({
      versionAfter: second,
      cause: { kind: 'operator', by: 'anna' },
    });
  });

  test('the same command again changes nothing', async () => {
    const world = makeWorld();
    await world.begin(3);
    world.clock.advance(60);
    world.vault.createVersion(KEK);
    await start(world);
    await start(world);
    await world.queue.drain();
    const [rows, { epoch }] = [await world.rows(), await world.kek()];
    await start(world);
    await world.queue.drain();
    expect(await world.rows()).toEqual(rows);
    expect((await world.kek()).epoch).toBe(epoch);
    expect(await world.audited('kek.target')).toHaveLength(2);
  });

  test('a server that was left behind is found, though the key has not changed', async () => {
    const world = makeWorld();
    await world.begin(2);
    await world.changeRow('s001', { pinned: true });
    world.clock.advance(60);
    const second = world.vault.createVersion(KEK);
    await start(world);
    await world.queue.drain();
    await world.changeRow('s001', { pinned: false });
    await start(world);
    await world.queue.drain();
    expect(await on(world, second)).toHaveLength(2);
  });

  test('resumes a halted rotation where it was, and forgives the failures so far', async () => {
    const { world, second, wrapped } = await halt();
    const { epoch } = await world.kek();
    await start(world);
    const now = world.clock.now();
    expect(await world.kek()).toMatchObject({
      epoch: epoch + 1,
      rotation: { state: 'running', resumedAt: now, wave: { number: 1, upTo: 's002' } },
    });
    expect((await world.audited('kek.rotation')).at(-1)).toMatchObject({
      reason: 'resumed',
      cause: { kind: 'operator', by: 'anna' },
    });
    await world.runFor(300);
    expect((await world.kek()).rotation.state).toBe('running');
    expect(await on(world, second)).toEqual(['s001', 's003']);
    await world.changeRow('s002', { wrapped });
    await world.runFor(300);
    expect(await on(world, second)).toHaveLength(3);
    expect((await world.kek()).rotation.state).toBe('completed');
    expect((await world.audited('kek.rotation')).filter(({ reason }) => reason === 'resumed')).toHaveLength(
      1,
    );
  });

  test('resumed, it halts again over others that fail', async () => {
    const { world } = await halt();
    const { wrapped } = await world.row('s003');
    await world.changeRow('s003', { wrapped: { ...wrapped, ciphertext: 'AAAA' } });
    await start(world);
    world.clock.advance(1);
    await world.runFor(120);
    expect((await world.kek()).rotation).toMatchObject({ state: 'halted', failures: 1 });
  });

  test('I-08: resumed, with the answer lost: the command again hands it on', async () => {
    const { world, second, wrapped } = await halt();
    await world.changeRow('s002', { wrapped, rewrapFailure: null });
    world.stores.failNext('keks.commit', 'after');
    await expect(start(world)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await start(world);
    await world.queue.drain();
    expect(await on(world, second)).toHaveLength(3);
  });

  test('a newer target starts a halted rotation anew rather than resuming it', async () => {
    const { world } = await halt();
    const third = world.vault.createVersion(KEK);
    await start(world);
    expect((await world.kek()).rotation.state).toBe('halted');
    await world.runFor(60);
    const { rotation, target } = await world.kek();
    expect(target).toBe(third);
    expect(rotation).toMatchObject({ resumedAt: null });
  });

  test.each([
    ['disabled', { enabled: false }, 'KeyDisabled'],
    ['expired', { expiresOn: new Date(0) }, 'KeyExpired'],
    ['not to be unwrapped with', { operations: ['wrapKey'] }, 'KeyOperationForbidden'],
  ] as const)('is not possible where the newest version is %s', async (_, options, reason) => {
    const world = makeWorld();
    await world.begin(1);
    world.clock.advance(60);
    world.vault.createVersion(KEK, options);
    const sent = world.queue.sent.length;
    await expect(start(world)).rejects.toMatchObject(refused(reason));
    expect(world.queue.sent.length).toBe(sent);
  });

  test('is not possible where the only version is lost, nor where the newest was retired', async () => {
    const world = makeWorld();
    const first = await world.begin(1);
    await world.changeVersion(first, { retiredAt: world.clock.now() });
    await expect(start(world)).rejects.toMatchObject(refused('VersionRetired'));
    world.vault.update(KEK, first, { enabled: false });
    await world.changeVersion(first, { retiredAt: null });
    await expect(start(world)).rejects.toMatchObject(refused('KeyDisabled'));
  });

  test('a newest version that was just enabled needs a second look, which is asked for', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.clock.advance(60);
    const second = world.vault.createVersion(KEK, { enabled: false });
    await world.settle();
    world.vault.update(KEK, second, { enabled: true });
    await expect(start(world)).rejects.toMatchObject(refused('KeyDisabled', true));
    await world.queue.drainFor(4);
    await start(world);
    expect(await on(world, second)).toHaveLength(1);
  });

  test('I-02: is not possible just now where the vault can’t be asked', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.vault.setVault(KEK.vault, { outage: httpFault(503, 'ServiceUnavailable') });
    await expect(start(world)).rejects.toMatchObject(refused('VaultUnreachable', true));
  });

  test('a halted rotation is resumed though a version that is newer still can’t be had', async () => {
    const { world, second, wrapped } = await halt();
    world.vault.createVersion(KEK, { enabled: false });
    await world.changeRow('s002', { wrapped, rewrapFailure: null });
    await start(world);
    await world.queue.drain();
    expect(await on(world, second)).toHaveLength(3);
  });

  test('a KEK that is not held, or was never seen, has nothing to rotate', async () => {
    const world = makeWorld();
    await expect(start(world)).rejects.toMatchObject({ code: 'KekNotFound' });
    await world.begin(1);
    const unseen = { ...KEK, name: 'unseen' };
    const { value } = (await world.stores.keks.read(KEK))?.kek ?? {};
    if (value === undefined) throw new Error('not held');
    const kek = { value: { ...value, kek: unseen, target: null }, etag: null };
    await world.stores.keks.commit(unseen, { kek, versions: [], outbox: null });
    const nothing = world.app.startRewrap({ kek: unseen, by: 'anna' });
    await expect(nothing).rejects.toMatchObject(refused('KeyNotProven'));
  });
});
