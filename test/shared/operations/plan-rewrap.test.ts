import { describe, expect, test } from 'vitest';
import type { KekPolicy } from '../../../shared/domain/kek.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const setPolicy = async (world: World, change: Partial<KekPolicy>) =>
  world.changeKek({ policy: { ...(await world.kek()).policy, ...change } });
const spoil = async (world: World, id: string) => {
  const { wrapped } = await world.row(id);
  await world.changeRow(id, { wrapped: { ...wrapped, ciphertext: 'AAAA' } });
};
/** `count` servers under a first version, and a second one in the vault that nobody has told of. */
const begin = async (count: number) => {
  const world = makeWorld();
  const first = await world.begin(count);
  world.clock.advance(60);
  const second = world.vault.createVersion(KEK);
  return { world, first, second };
};
const plan = (world: World) => world.app.planRewrap(KEK);
const everything = async (world: World) => ({
  kek: await world.stores.keks.read(KEK),
  page: await world.stores.servers.page(KEK, { after: null, from: null, to: null, limit: 1000 }),
  sent: world.queue.sent.length,
  writes: (['keks.commit', 'servers.commit', 'outbox.put', 'keks.writeBreaker'] as const).map((one) =>
    world.stores.roundTrips(one),
  ),
});

describe('planRewrap', () => {
  test('says what a rotation to the newest version would do, changes nothing, and is what then comes', async () => {
    const { world, second } = await begin(120);
    await world.changeRow('s003', { tombstone: true });
    await world.changeRow('s004', { pinned: true });
    const before = await everything(world);
    const calls = world.vault.calls.length;
    const planned = await plan(world);
    expect(planned).toMatchObject({
      target: second,
      newest: second,
      blocked: null,
      toRewrap: 119,
      upToDate: 0,
      cannotMove: [{ reason: 'Pinned', servers: 1, examples: ['s004'] }],
      waves: 1,
      vaultOperations: 119 + 2 + 2,
      expectedSeconds: expect.closeTo((119 + 2) / 10, 6),
      rotation: { state: 'idle' },
    });
    expect(world.vault.calls.slice(calls).map(({ kind }) => kind)).toEqual(['describe']);
    expect(await everything(world)).toEqual(before);

    const unwraps = () => world.vault.calls.filter(({ use }) => use === 'rewrap').length;
    const before2 = unwraps();
    await world.app.startRewrap({ kek: KEK, by: 'anna' });
    await world.queue.drain();
    const moved = (await world.rows()).filter((row) => row.wrapped.kekVersion === second);
    expect(moved).toHaveLength(planned.toRewrap);
    expect(unwraps() - before2).toBe(planned.toRewrap + 2);
    expect(await plan(world)).toMatchObject({
      target: second,
      toRewrap: 0,
      upToDate: 119,
      waves: 0,
      vaultOperations: 0,
      expectedSeconds: 0,
    });
  });

  test('names who would stay, and why', async () => {
    const { world, first } = await begin(7);
    const third = '3'.repeat(32);
    await world.changeRow('s001', { incoming: true });
    const to = { ...KEK, name: 'other' };
    await world.changeRow('s002', { moving: { from: KEK, to, since: world.clock.now(), by: 'anna' } });
    const failure = { message: 'x', since: world.clock.now(), attempt: 1, nextAttemptAt: world.clock.now() };
    await world.changeRow('s003', { rewrapFailure: { ...failure, code: 'DekIdMismatch' } });
    await world.changeRow('s004', { wrapped: { ...(await world.row('s004')).wrapped, kekVersion: third } });
    world.stores.spoilServer(KEK, 's005');
    const { toRewrap, cannotMove } = await plan(world);
    expect(toRewrap).toBe(2);
    expect(Object.fromEntries(cannotMove.map(({ reason, examples }) => [reason, examples]))).toEqual({
      ServerMoving: ['s001', 's002'],
      DekIdMismatch: ['s003'],
      KeyNotProven: ['s004'],
      InvalidRow: ['s005'],
    });
    world.vault.update(KEK, first, { enabled: false });
    const lost = (await plan(world)).cannotMove.find(({ reason }) => reason === 'KeyDisabled');
    expect(lost?.examples).toEqual(['s006', 's007']);
  });

  test('names twenty servers of each reason, and counts all', async () => {
    const { world } = await begin(25);
    for (const { serverId } of await world.rows()) await world.changeRow(serverId, { pinned: true });
    const [pinned] = (await plan(world)).cannotMove;
    expect(pinned).toMatchObject({ reason: 'Pinned', servers: 25 });
    expect(pinned?.examples).toHaveLength(20);
  });

  test('counts the waves to come and their soaks', async () => {
    const { world } = await begin(10);
    const waves = async (policy: Partial<KekPolicy>) => {
      await setPolicy(world, { canaryServers: [], waveServers: null, waveSoakSeconds: 0, ...policy });
      const planned = await plan(world);
      return [planned.waves, Math.round(planned.expectedSeconds)];
    };
    expect(await waves({})).toEqual([1, 1]);
    expect(await waves({ canaryServers: ['s001', 'nobody'] })).toEqual([2, 1]);
    expect(await waves({ canaryServers: ['nobody'] })).toEqual([1, 1]);
    expect(await waves({ waveServers: 4 })).toEqual([3, 1]);
    expect(await waves({ canaryServers: ['s001', 's002'], waveServers: 4, waveSoakSeconds: 100 })).toEqual([
      3, 201,
    ]);
    const everybody = (await world.rows()).map(({ serverId }) => serverId);
    expect(await waves({ canaryServers: everybody })).toEqual([1, 1]);
  });

  test('costs twice as much where every wrapping is verified', async () => {
    const { world } = await begin(10);
    await setPolicy(world, { rewrapVerification: 'every' });
    expect(await plan(world)).toMatchObject({ vaultOperations: 22, expectedSeconds: expect.closeTo(2, 6) });
  });

  test('a pause is named, and the plan is for after it; what has expired moves all the same', async () => {
    const { world, first, second } = await begin(4);
    await setPolicy(world, { rewrapPaused: true });
    expect(await plan(world)).toMatchObject({ toRewrap: 4, blocked: 'RewrapPaused', cannotMove: [] });
    await world.app.startRewrap({ kek: KEK, by: 'anna' });
    await world.queue.drain();
    const moved = async () => (await world.rows()).filter((row) => row.wrapped.kekVersion === second).length;
    expect(await moved()).toBe(0);

    await world.changeRow('s001', { pinned: true });
    world.vault.update(KEK, first, { expiresOn: new Date(0) });
    const { toRewrap } = await plan(world);
    expect(toRewrap).toBe(3);
    await world.app.startRewrap({ kek: KEK, by: 'anna' });
    await world.queue.drain();
    expect(await moved()).toBe(toRewrap);
  });

  test('of a halted rotation, says what a resumed one would do', async () => {
    const { world, second } = await begin(6);
    await setPolicy(world, { haltAfterFailures: 0, waveServers: 2 });
    await spoil(world, 's001');
    await world.hint();
    await world.queue.drain();
    expect((await world.kek()).rotation.state).toBe('halted');
    const planned = await plan(world);
    expect(planned).toMatchObject({
      rotation: { state: 'halted' },
      toRewrap: 4,
      upToDate: 1,
      waves: 2,
      cannotMove: [{ reason: 'WrappedDekMalformed', examples: ['s001'] }],
    });
    world.clock.advance(60);
    await world.app.startRewrap({ kek: KEK, by: 'anna' });
    await world.runFor(300);
    expect((await world.rows()).filter((row) => row.wrapped.kekVersion === second)).toHaveLength(5);
  });

  test('says why the newest version can’t be the target, and plans on the one that is', async () => {
    const { world, first, second } = await begin(2);
    world.vault.update(KEK, second, { enabled: false });
    expect(await plan(world)).toMatchObject({
      target: first,
      newest: second,
      blocked: 'KeyDisabled',
      toRewrap: 0,
      upToDate: 2,
    });
  });

  test('I-02: a vault that can’t be asked is what blocks; nobody is said to be lost', async () => {
    const { world, first } = await begin(2);
    world.vault.setVault(KEK.vault, { outage: httpFault(503, 'ServiceUnavailable') });
    expect(await plan(world)).toMatchObject({
      target: first,
      newest: null,
      blocked: 'VaultUnreachable',
      upToDate: 2,
      cannotMove: [],
    });
  });

  test('says what is wrong with the target where servers wait for it', async () => {
    const { world, second } = await begin(2);
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
    const reasons = async () => (await plan(world)).cannotMove.map(({ reason }) => reason);
    await world.changeVersion(second, { status: 'unknown', reason: 'CanaryMismatch' });
    expect(await reasons()).toEqual(['CanaryMismatch']);
    await world.changeVersion(second, { status: 'unusable', verdict: 'unproven', reason: null });
    expect(await reasons()).toEqual(['KeyNotProven']);
    await world.changeKek({ target: '9'.repeat(32) });
    world.vault.update(KEK, second, { enabled: false });
    expect(await reasons()).toEqual(['KeyNotProven']);
  });

  test('a server on a newer version than the target stays there', async () => {
    const { world, first, second } = await begin(2);
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
    await world.queue.drain();
    await world.changeKek({ target: first });
    await world.changeVersion(second, { reason: 'AccessDenied' });
    expect(await plan(world)).toMatchObject({
      blocked: 'AccessDenied',
      cannotMove: [{ reason: 'TargetIsOlder', servers: 2 }],
    });
  });

  test('reads on over pages', async () => {
    const { world } = await begin(1);
    const row = await world.row('s001');
    for (let index = 0; index < 1080; index += 90) {
      const writes = Array.from({ length: 90 }, (_, n) => {
        const serverId = `t${String(index + n).padStart(4, '0')}`;
        return { value: { ...row, serverId }, etag: null, history: null };
      });
      await world.stores.servers.commit(KEK, writes, null);
    }
    expect(await plan(world)).toMatchObject({ toRewrap: 1081, vaultOperations: 1081 + 12 + 2 });
  });

  test('a KEK that is not held has no plan', async () => {
    await expect(plan(makeWorld())).rejects.toMatchObject({ code: 'KekNotFound' });
  });
});
