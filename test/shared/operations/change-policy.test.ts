import { describe, expect, test } from 'vitest';
import { DEFAULT_POLICY, type KekPolicy, kekTag } from '../../../shared/domain/kek.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const change = (world: World, policy: Partial<KekPolicy>, ifMatch: string | null = null) =>
  world.app.changePolicy({ kek: KEK, change: policy, by: 'anna', ifMatch });
const etagOf = async (world: World) => kekTag(await world.kek());

describe('changePolicy', () => {
  test('changes what is named and nothing else, adds one to the epoch, and says so once', async () => {
    const world = makeWorld();
    await world.begin(1);
    const { epoch } = await world.kek();
    const stored = await change(world, { expiredKeyPolicy: 'warn', waveServers: 20, rewrapPaused: false });
    const policy = { ...DEFAULT_POLICY, expiredKeyPolicy: 'warn', waveServers: 20 };
    expect(stored.kek.value).toMatchObject({ policy, epoch: epoch + 1, fannedOutEpoch: epoch });
    expect(await world.kek()).toEqual(stored.kek.value);
    expect(await world.audited('kek.policyChanged')).toMatchObject([
      {
        cause: { kind: 'operator', by: 'anna' },
        detail: {
          epoch: epoch + 1,
          before: { expiredKeyPolicy: 'revoke', waveServers: null },
          after: { expiredKeyPolicy: 'warn', waveServers: 20 },
        },
      },
    ]);
    expect(world.queue.waiting('reconcile-keks')).toMatchObject([
      { message: { kek: KEK, cause: { kind: 'operator', by: 'anna' } } },
    ]);
    await world.queue.drain();
    expect((await world.kek()).fannedOutEpoch).toBe(epoch + 1);
  });

  test('the same command again changes nothing and writes nothing', async () => {
    const world = makeWorld();
    await world.begin(1);
    await change(world, { canaryServers: ['s001', 's002'] });
    await world.queue.drain();
    const before = await world.stores.keks.read(KEK);
    const [sent, commits] = [world.queue.sent.length, world.stores.roundTrips('keks.commit')];
    expect(await change(world, { canaryServers: ['s001', 's002'] })).toEqual(before);
    expect(world.queue.sent.length).toBe(sent);
    expect(world.stores.roundTrips('keks.commit')).toBe(commits);
    expect(await world.audited('kek.policyChanged')).toHaveLength(1);
  });

  test('canaries in another order are another policy', async () => {
    const world = makeWorld();
    await world.begin(1);
    await change(world, { canaryServers: ['s001', 's002'] });
    await change(world, { canaryServers: ['s002', 's001'] });
    expect((await world.kek()).policy.canaryServers).toEqual(['s002', 's001']);
    expect(await world.audited('kek.policyChanged')).toHaveLength(2);
  });

  test('is refused where If-Match names another state, and done where it names this one', async () => {
    const world = makeWorld();
    await world.begin(1);
    await expect(change(world, { rewrapPaused: true }, 'other')).rejects.toMatchObject({
      code: 'PreconditionFailed',
    });
    expect((await world.kek()).policy).toEqual(DEFAULT_POLICY);
    await change(world, { rewrapPaused: true }, await etagOf(world));
    expect((await world.kek()).policy.rewrapPaused).toBe(true);
  });

  test.each([
    ['an operator held it', true, 'PreconditionFailed'],
    ['an operator held it', false, null],
    ['the app only looked at it', true, null],
  ] as const)(
    'I-10: a KEK that changes in between is read again: %s, If-Match %s',
    async (what, named, code) => {
      const world = makeWorld();
      await world.begin(1);
      const ifMatch = named ? await etagOf(world) : null;
      const hold = { by: 'ben', reason: 'x', since: world.clock.now(), until: null };
      const between = what === 'the app only looked at it' ? { lastHintAt: world.clock.now() } : { hold };
      let done = false;
      world.stores.onBeforeCommit(async (operation) => {
        if (done || operation !== 'keks.commit') return;
        done = true;
        await world.changeKek(between);
      });
      const outcome = change(world, { waveSoakSeconds: 5 }, ifMatch);
      if (code !== null) await expect(outcome).rejects.toMatchObject({ code });
      else expect((await outcome).kek.value).toMatchObject(between);
      expect((await world.kek()).policy.waveSoakSeconds).toBe(code === null ? 5 : 0);
    },
  );

  test('a KEK that is not held is none to change', async () => {
    await expect(change(makeWorld(), { rewrapPaused: true })).rejects.toMatchObject({ code: 'KekNotFound' });
  });

  test('I-08: a change whose answer was lost is handed on by the command that follows, or by the sweep', async () => {
    for (const repeats of [true, false]) {
      const world = makeWorld();
      await world.begin(1);
      world.stores.failNext('keks.commit', 'after');
      const lost = change(world, { expiredKeyPolicy: 'warn' });
      await expect(lost).rejects.toMatchObject({ code: 'StoreUnavailable', retryable: true });
      if (repeats) await change(world, { expiredKeyPolicy: 'warn' });
      else await world.app.sweepFleet();
      await world.queue.drain();
      const { epoch, fannedOutEpoch } = await world.kek();
      expect(fannedOutEpoch).toBe(epoch);
      expect(await world.audited('kek.policyChanged')).toHaveLength(1);
    }
  });

  test('a policy that spares servers gives access back, and one that doesn’t takes it', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { expiresOn: new Date(0) });
    await world.hint();
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
    await change(world, { expiredKeyPolicy: 'warn' });
    await world.queue.drainFor(10);
    expect(world.isOpen('s001')).toBe(true);
    await change(world, { expiredKeyPolicy: 'revoke' });
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
  });

  test('in a rotation under way, waves end with it and begin with it', async () => {
    const world = makeWorld();
    await world.begin(4);
    await change(world, { canaryServers: ['s001'], waveSoakSeconds: 600 });
    world.clock.advance(60);
    const target = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    const moved = async () =>
      (await world.rows()).filter((row) => row.wrapped.kekVersion === target).map((row) => row.serverId);
    expect(await moved()).toEqual(['s001']);
    await change(world, { canaryServers: [] });
    await world.queue.drain();
    expect(await moved()).toHaveLength(4);
  });
});
