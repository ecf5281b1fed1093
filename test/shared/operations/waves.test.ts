// Rotations in waves, as they go through the whole app: fan-out, ranges, counts, halts.
import { describe, expect, test } from 'vitest';
import type { KekPolicy } from '../../../shared/domain/kek.ts';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { ROTATION_COUNT } from '../../../shared/domain/message.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

/** `count` servers under a first version, and the policy for the rotation to come. */
const begin = async (count: number, policy: Partial<KekPolicy>) => {
  const world = makeWorld();
  const first = await world.begin(count);
  await world.changeKek({ policy: { ...(await world.kek()).policy, ...policy } });
  world.clock.advance(120);
  const rotate = async () => {
    const version = world.vault.createVersion(KEK);
    world.clock.advance(1);
    await world.hint();
    return version;
  };
  return { world, first, rotate };
};
const spoil = async (world: World, ...ids: readonly string[]) => {
  for (const id of ids) {
    const { wrapped } = await world.row(id);
    await world.changeRow(id, { wrapped: { ...wrapped, ciphertext: 'AAAA' } });
  }
};
const on = async (world: World, version: string) =>
  (await world.rows()).filter((row) => row.wrapped.kekVersion === version).map((row) => row.serverId);
const waveOf = async (world: World) => {
  const { rotation } = await world.kek();
  return rotation.state === 'running' ? rotation.wave : rotation.state;
};

describe('waves', () => {
  test('canaries come first, then so many servers at a time in the order of their ids, then the rest', async () => {
    const { world, rotate } = await begin(9, {
      canaryServers: ['s005', 's007'],
      waveServers: 3,
      waveSoakSeconds: 20,
    });
    const target = await rotate();
    await world.queue.drain();
    expect(await on(world, target)).toEqual(['s005', 's007']);
    expect(await waveOf(world)).toMatchObject({ number: 0, upTo: '' });
    await world.queue.drainFor(19);
    expect(await on(world, target)).toHaveLength(2);
    await world.queue.drainFor(1);
    expect(await on(world, target)).toEqual(['s001', 's002', 's003', 's005', 's007']);
    expect(await waveOf(world)).toEqual({ number: 1, upTo: 's003', openedAt: world.clock.now() });
    await world.queue.drainFor(20);
    expect(await on(world, target)).toHaveLength(8);
    expect(await waveOf(world)).toMatchObject({ number: 2, upTo: 's008' });
    await world.queue.drainFor(20);
    expect(await on(world, target)).toHaveLength(9);
    expect((await world.kek()).rotation.state).toBe('completed');
    const records = await world.audited('kek.rotation');
    expect(records.map(({ reason, detail }) => [reason, detail['wave']])).toMatchObject([
      ['wave', { number: 1, upTo: 's003' }],
      ['wave', { number: 2, upTo: 's008' }],
      ['wave', null],
      ['completed', undefined],
    ]);
  });

  test('without canaries the first wave opens at once, whatever the soak', async () => {
    const { world, rotate } = await begin(4, { waveServers: 2, waveSoakSeconds: 3000 });
    const target = await rotate();
    await world.queue.drain();
    expect(await on(world, target)).toEqual(['s001', 's002']);
    expect(await waveOf(world)).toMatchObject({ number: 1, upTo: 's002' });
  });

  test('is done without a sweep, and counts once or twice a wave, not once a range', async () => {
    const { world, rotate } = await begin(1, { waveServers: 210 });
    await world.register(499, { prefix: 't', access: { kind: 'none' } });
    await world.queue.drain();
    world.clock.advance(60);
    const target = await rotate();
    await world.queue.drain();
    expect(await on(world, target)).toHaveLength(500);
    expect((await world.kek()).rotation.state).toBe('completed');
    expect(world.queue.sent.filter(isCount)).toHaveLength(5);
    const waves = (await world.audited('kek.rotation')).map(({ detail }) => detail['wave']);
    expect(waves).toMatchObject([{ upTo: 't209' }, { upTo: 't419' }, null, undefined]);
  });

  test('I-08: a lost message costs a wave no more than two sweeps', async () => {
    const { world, rotate } = await begin(6, { canaryServers: ['s001'], waveServers: 2 });
    const target = await rotate();
    world.queue.fate = (one) =>
      one.queue === 'reconcile-keks' && one.message.cause.kind === 'followUp' ? 'drop' : 'keep';
    await world.queue.drain();
    expect(await on(world, target)).toEqual(['s001']);
    await world.runFor(3 * 120 + 60);
    expect(await on(world, target)).toHaveLength(6);
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test.each(['before', 'after'] as const)(
    'I-08: a wave that is opened while the store fails %s the write is opened once, and fanned out',
    async (when) => {
      const { world, rotate } = await begin(4, { canaryServers: ['s001'], waveServers: 2 });
      const target = await rotate();
      let armed = true;
      world.stores.onBeforeCommit(async (operation) => {
        if (!armed || operation !== 'keks.commit' || (await on(world, target)).length !== 1) return;
        armed = false;
        world.stores.failNext('keks.commit', when);
      });
      await world.runFor(180);
      expect(armed).toBe(false);
      expect(await on(world, target)).toHaveLength(4);
      const waves = (await world.audited('kek.rotation')).filter(({ reason }) => reason === 'wave');
      expect(waves.map(({ detail }) => detail['wave'])).toMatchObject([{ number: 1 }, null]);
    },
  );

  test('I-08: a wave that was opened by an instance that died then is fanned out by the sweep', async () => {
    const { world, rotate } = await begin(3, { canaryServers: ['s001'], waveServers: 1 });
    const target = await rotate();
    await world.queue.step();
    world.queue.clear();
    await world.app.rewrapDeks(await world.rangeOf());
    expect(await on(world, target)).toEqual(['s001']);
    world.queue.clear();
    world.queue.failNext('reconcile-keks', storeUnavailable('enqueue'));
    const count = world.app.reconcileKek({ kek: KEK, cause: ROTATION_COUNT }, null);
    await expect(count).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const { epoch, fannedOutEpoch } = await world.kek();
    expect(fannedOutEpoch).toBe(epoch - 1);
    await world.runFor(120);
    expect(await on(world, target)).toHaveLength(3);
  });

  test('a range of an earlier wave moves nobody of a later one', async () => {
    const { world, rotate } = await begin(6, {
      canaryServers: ['s006'],
      waveServers: 2,
      waveSoakSeconds: 60,
    });
    const target = await rotate();
    await world.queue.step();
    const whole = await world.rangeOf();
    world.queue.clear();
    await world.app.rewrapDeks(whole);
    await world.app.rewrapDeks(whole);
    expect(await on(world, target)).toEqual(['s006']);
    await world.app.rewrapDeks({ ...whole, attempt: 1 });
    expect(await on(world, target)).toEqual(['s006']);
  });

  test('a count made under another epoch opens nothing', async () => {
    const { world, rotate } = await begin(3, { canaryServers: ['s001'], waveServers: 1 });
    await rotate();
    await world.queue.step();
    world.queue.clear();
    await world.app.rewrapDeks(await world.rangeOf());
    world.queue.clear();
    let moved = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (moved || operation !== 'keks.commit') return;
      moved = true;
      await world.changeKek({ epoch: (await world.kek()).epoch + 1 });
    });
    await world.app.fanOut(KEK, ROTATION_COUNT);
    expect(moved).toBe(true);
    expect(await waveOf(world)).toMatchObject({ number: 0 });
    await world.app.fanOut(KEK, ROTATION_COUNT);
    expect(await waveOf(world)).toMatchObject({ number: 1, upTo: 's002' });
  });

  test('two counts at a time open one wave', async () => {
    const { world, rotate } = await begin(4, { canaryServers: ['s001'], waveServers: 1 });
    await rotate();
    await world.queue.step();
    world.queue.clear();
    await world.app.rewrapDeks(await world.rangeOf());
    world.queue.clear();
    const other = world.startInstance();
    await Promise.all([world.app.fanOut(KEK, ROTATION_COUNT), other.fanOut(KEK, ROTATION_COUNT)]);
    expect(await waveOf(world)).toMatchObject({ number: 1, upTo: 's002' });
    expect(await world.audited('kek.rotation')).toHaveLength(1);
  });

  test('a count only counts: it enqueues no range of an epoch that was fanned out', async () => {
    const { world, rotate } = await begin(3, { canaryServers: ['s001'], waveSoakSeconds: 300 });
    await rotate();
    await world.queue.step();
    const sent = world.queue.sent.length;
    await world.app.fanOut(KEK, ROTATION_COUNT);
    expect(world.queue.sent.length).toBe(sent);
    world.clock.advance(60);
    await world.app.fanOut(KEK, { kind: 'sweep' });
    expect(world.queue.sent.length).toBe(sent + 1);
  });

  test('canaries that are not there, or on the target already, hold nobody', async () => {
    const { world, rotate } = await begin(2, { canaryServers: ['elsewhere', 's009'] });
    const target = await rotate();
    await world.queue.drain();
    await world.app.registerServer(world.orderOf('s009'));
    expect((await world.row('s009')).wrapped.kekVersion).toBe(target);
    await world.runFor(120);
    expect(await on(world, target)).toEqual(['s001', 's002', 's009']);
  });

  test('a canary that fails holds everybody, until the policy no longer names it', async () => {
    const { world, first, rotate } = await begin(4, { canaryServers: ['s002'] });
    await spoil(world, 's002');
    await rotate();
    await world.runFor(600);
    expect(await on(world, first)).toHaveLength(4);
    await world.app.changePolicy({ kek: KEK, change: { canaryServers: [] }, by: 'anna', ifMatch: null });
    await world.runFor(60);
    expect(await on(world, first)).toEqual(['s002']);
  });

  test('of a later wave, as many as the policy bears may fail', async () => {
    const { world, first, rotate } = await begin(6, { waveServers: 2, haltAfterFailures: 1 });
    await spoil(world, 's002');
    await rotate();
    await world.runFor(300);
    expect(await on(world, first)).toEqual(['s002']);
    expect(await waveOf(world)).toBeNull();
  });

  test('a soak of hours is left to the sweep', async () => {
    const { world, rotate } = await begin(2, { canaryServers: ['s001'], waveSoakSeconds: 7200 });
    const target = await rotate();
    await world.queue.drain();
    expect(world.queue.waiting('reconcile-keks')).toEqual([]);
    await world.runFor(7190);
    expect(await on(world, target)).toEqual(['s001']);
    await world.runFor(120);
    expect(await on(world, target)).toEqual(['s001', 's002']);
  });

  test('a newer version starts anew, with the canaries', async () => {
    const { world, rotate } = await begin(4, {
      canaryServers: ['s004'],
      waveServers: 1,
      waveSoakSeconds: 60,
    });
    await rotate();
    await world.runFor(80);
    expect(await waveOf(world)).toMatchObject({ number: 1 });
    world.clock.advance(1);
    const third = await rotate();
    await world.queue.drain();
    expect(await on(world, third)).toEqual(['s004']);
    expect(await waveOf(world)).toMatchObject({ number: 0 });
    await world.runFor(600);
    expect(await on(world, third)).toHaveLength(4);
  });

  test('a server that has expired does not wait for its wave', async () => {
    const { world, first, rotate } = await begin(3, { canaryServers: ['s001'], waveSoakSeconds: 3000 });
    const target = await rotate();
    await world.queue.drain();
    expect(await on(world, first)).toEqual(['s002', 's003']);
    world.vault.update(KEK, first, { expiresOn: new Date(0) });
    await world.hint();
    await world.queue.drainFor(2);
    expect(await on(world, target)).toHaveLength(3);
    for (const id of ['s001', 's002', 's003']) expect(world.isOpen(id)).toBe(true);
    expect(world.postgres.orders.filter(({ kind }) => kind === 'revoke')).toEqual([]);
  });
});

describe('halting', () => {
  test('more failures than the policy bears stop everything within seconds, and say so', async () => {
    const { world, first, rotate } = await begin(12, { waveServers: 4, haltAfterFailures: 2 });
    await spoil(world, 's001', 's002', 's003');
    const target = await rotate();
    await world.queue.drain();
    const now = world.clock.now();
    const { rotation, epoch } = await world.kek();
    expect(rotation).toMatchObject({ state: 'halted', since: now, failures: 3 });
    expect(await on(world, target)).toEqual(['s004']);
    const halts = (await world.audited('kek.rotation')).filter(({ reason }) => reason === 'halted');
    expect(halts).toMatchObject([{ versionAfter: target, detail: { failures: 3 } }]);
    expect(world.topic.idsOf('PgCmk.RotationBlocked')).toEqual([
      `${keyUrl(KEK, target)}:${epoch}:PgCmk.RotationBlocked:halted:${now.toISOString()}`,
    ]);
    await world.runFor(900);
    expect(await on(world, first)).toHaveLength(11);
    expect(world.topic.idsOf('PgCmk.RotationBlocked')).toHaveLength(1);
  });

  test('as many as it bears do not; a failure that is tried again is counted once', async () => {
    const { world, rotate } = await begin(4, { haltAfterFailures: 2 });
    await spoil(world, 's001', 's002');
    const target = await rotate();
    await world.runFor(300);
    expect((await world.row('s001')).rewrapFailure?.attempt).toBeGreaterThan(2);
    expect((await world.kek()).rotation.state).toBe('running');
    expect(await on(world, target)).toEqual(['s003', 's004']);
  });

  test('is never where the policy says so, and asks for no count', async () => {
    const { world, rotate } = await begin(3, { haltAfterFailures: null });
    await spoil(world, 's001', 's002', 's003');
    await rotate();
    await world.queue.drain();
    expect(world.queue.sent.filter(isCount)).toEqual([]);
    await world.runFor(120);
    expect((await world.kek()).rotation.state).toBe('running');
  });

  test('a retry that comes while it is halted moves nobody', async () => {
    const { world, first, rotate } = await begin(3, { haltAfterFailures: 0 });
    const { wrapped } = await world.row('s002');
    await spoil(world, 's002');
    await rotate();
    await world.queue.drain();
    expect((await world.kek()).rotation.state).toBe('halted');
    await world.changeRow('s002', { wrapped });
    await world.queue.drainFor(120);
    expect((await world.row('s002')).wrapped.kekVersion).toBe(first);
  });

  test('a newer version starts anew', async () => {
    const { world, rotate } = await begin(3, { haltAfterFailures: 0 });
    const { wrapped } = await world.row('s002');
    await spoil(world, 's002');
    await rotate();
    await world.queue.drain();
    expect((await world.kek()).rotation.state).toBe('halted');
    await world.changeRow('s002', { wrapped });
    world.clock.advance(1);
    const third = await rotate();
    await world.runFor(300);
    expect(await on(world, third)).toHaveLength(3);
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test('a server that has expired is moved all the same', async () => {
    const { world, first, rotate } = await begin(3, { waveServers: 1, haltAfterFailures: 0 });
    await spoil(world, 's001');
    const target = await rotate();
    await world.queue.drain();
    expect((await world.kek()).rotation.state).toBe('halted');
    world.vault.update(KEK, first, { expiresOn: new Date(0) });
    await world.hint();
    await world.queue.drainFor(2);
    expect(await on(world, target)).toEqual(['s002', 's003']);
  });
});

describe('a pause', () => {
  test('opens no wave and moves nobody; lifted, it all goes on', async () => {
    const { world, first, rotate } = await begin(4, { canaryServers: ['s001'], waveServers: 2 });
    const change = (rewrapPaused: boolean) =>
      world.app.changePolicy({ kek: KEK, change: { rewrapPaused }, by: 'anna', ifMatch: null });
    await rotate();
    await change(true);
    await world.runFor(300);
    expect(await on(world, first)).toHaveLength(4);
    await change(false);
    await world.runFor(60);
    expect(await on(world, first)).toHaveLength(0);
  });

  test('a server that has expired is moved all the same, and never loses access', async () => {
    const { world, first, rotate } = await begin(2, { rewrapPaused: true });
    const target = await rotate();
    await world.runFor(60);
    expect(await on(world, first)).toHaveLength(2);
    world.vault.update(KEK, first, { expiresOn: new Date(0) });
    await world.hint();
    await world.queue.drain();
    expect(await on(world, target)).toHaveLength(2);
    expect(world.isOpen('s001')).toBe(true);
    expect(world.postgres.orders.filter(({ kind }) => kind === 'revoke')).toEqual([]);
  });
});

const isCount = (one: World['queue']['sent'][number]): boolean =>
  one.queue === 'reconcile-keks' &&
  one.message.cause.kind === 'followUp' &&
  one.message.cause.of === 'rotation';
