import { expect, test } from 'vitest';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const hold = (world: World, reason: string | null, change = {}) =>
  world.app.holdKek({ kek: KEK, reason, by: 'anna', ifMatch: null, ...change });

test('closes every server under the key, and opens them when an operator lifts it, and nobody else', async () => {
  const world = makeWorld();
  await world.begin(3);
  const { kek } = await hold(world, 'a leak');
  expect(kek.value.hold).toEqual({ by: 'anna', reason: 'a leak', since: world.clock.now(), until: null });
  await world.runFor(120);
  for (const row of await world.rows())
    expect(row).toMatchObject({ applied: 'revoked', desiredReason: 'OperatorHold', hold: null });
  expect(world.isOpen('s003')).toBe(false);
  await hold(world, null, { by: 'ben' });
  await world.queue.drain();
  expect((await world.rows()).map(({ applied }) => applied)).toEqual(['granted', 'granted', 'granted']);
  expect(await world.audited('kek.held')).toMatchObject([
    { servers: [], reason: 'a leak', cause: { by: 'anna' }, detail: { before: null } },
  ]);
  expect(await world.audited('kek.released')).toMatchObject([
    { reason: 'a leak', cause: { by: 'ben' }, detail: { before: { by: 'anna' } } },
  ]);
});

test('reaches the servers at once, also where the vault is out and cannot be asked', async () => {
  const world = makeWorld();
  await world.begin(1);
  world.vault.setVault(KEK.vault, { outage: { kind: 'network', cause: 'timeout' } });
  await hold(world, 'a leak');
  await world.queue.drain();
  expect(world.isOpen('s001')).toBe(false);
});

test('an observation that a hint was just answered by does not swallow it', async () => {
  const world = makeWorld();
  await world.begin(1);
  await world.hint();
  await world.queue.drain();
  await hold(world, 'a leak');
  await world.queue.drain();
  expect(world.isOpen('s001')).toBe(false);
  const { epoch, fannedOutEpoch } = await world.kek();
  expect(fannedOutEpoch).toBe(epoch);
});

test('a server that is registered under a key on hold does not open', async () => {
  const world = makeWorld();
  await world.begin(1);
  await hold(world, 'a leak');
  await world.queue.drain();
  await world.register(1, { prefix: 'late' });
  await world.queue.drain();
  expect(await world.row('late001')).toMatchObject({ desired: 'revoked', desiredReason: 'OperatorHold' });
});

test('the same again changes nothing, and has the key looked at once more', async () => {
  const world = makeWorld();
  await world.begin(1);
  const first = await hold(world, 'a leak');
  const again = await hold(world, 'a leak', { ifMatch: 'old' });
  expect(again.kek).toEqual(first.kek);
  expect(world.queue.waiting('reconcile-keks')).toHaveLength(2);
  expect(await world.audited('kek.held')).toHaveLength(1);
  const { epoch } = (await hold(world, null)).kek.value;
  expect((await hold(world, null)).kek.value.epoch).toBe(epoch);
  expect(await world.audited('kek.released')).toHaveLength(1);
});

test('what was meant for another state, and a key that is not held, are refused', async () => {
  const world = makeWorld();
  await world.begin(1);
  await expect(hold(world, 'x', { ifMatch: 'old' })).rejects.toMatchObject({ code: 'PreconditionFailed' });
  const other = { ...KEK, name: 'other' };
  await expect(hold(world, 'x', { kek: other })).rejects.toMatchObject({ code: 'KekNotFound' });
});

test.each(['before', 'after'] as const)(
  'a write that fails %s it took effect: the same again finishes it, and is recorded once',
  async (when) => {
    const world = makeWorld();
    await world.begin(1);
    world.stores.failNext('keks.commit', when);
    await expect(hold(world, 'a leak')).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await hold(world, 'a leak');
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.audited('kek.held')).toHaveLength(1);
  },
);

test('I-08: where no message was sent, the sweep closes them all the same', async () => {
  const world = makeWorld();
  await world.begin(1);
  world.queue.fate = () => 'drop';
  await hold(world, 'a leak');
  world.queue.fate = () => 'keep';
  await world.app.sweepFleet();
  await world.queue.drain();
  expect(world.isOpen('s001')).toBe(false);
});
