import { expect, test } from 'vitest';
import type { ServerRow } from '../../../shared/domain/server.ts';
import { makeHoldServer } from '../../../shared/operations/hold-server.ts';
import { KEK, makeWorld, type World } from '../../fakes/world.ts';

const hold = (world: World, reason: string | null, change = {}) =>
  world.app.holdServer({ serverId: 's001', reason, by: 'anna', ifMatch: null, ...change });

test('closes the server at once, whatever its key says, and refuses its DEK before a worker has acted', async () => {
  const world = makeWorld();
  await world.begin(2);
  const { value } = await hold(world, 'a leak');
  expect(value).toMatchObject({
    hold: { by: 'anna', reason: 'a leak', since: world.clock.now(), until: null },
    desired: 'revoked',
    desiredReason: 'OperatorHold',
    accessEpoch: 2,
  });
  expect(world.isOpen('s001')).toBe(true);
  await world.queue.drain();
  expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([false, true]);
  expect(await world.row('s001')).toMatchObject({ applied: 'revoked', desiredReason: 'OperatorHold' });
  expect(await world.audited('server.held')).toMatchObject([
    {
      servers: ['s001'],
      reason: 'a leak',
      cause: { kind: 'operator', by: 'anna' },
      detail: { before: null },
    },
  ]);
  expect(await world.audited('server.accessDecided')).toHaveLength(1);
});

test('no probe and no sweep lifts it; an operator does, and exactly what was closed is opened', async () => {
  const world = makeWorld();
  await world.begin(1);
  world.server('s001').allowConnections('template1', false);
  await hold(world, 'a leak');
  await world.runFor(600);
  expect(world.isOpen('s001')).toBe(false);
  const { value } = await hold(world, null, { by: 'ben' });
  // Decided with the hold's end, as the key says; done by the worker.
  expect(value).toMatchObject({ hold: null, desired: 'granted', desiredReason: null });
  expect(world.isOpen('s001')).toBe(false);
  await world.queue.drain();
  expect(world.isOpen('s001')).toBe(true);
  expect(world.server('s001').takesConnections('template1')).toBe(false);
  expect(await world.audited('server.released')).toMatchObject([
    {
      servers: ['s001'],
      reason: 'a leak',
      cause: { kind: 'operator', by: 'ben' },
      detail: { before: { by: 'anna', reason: 'a leak' } },
    },
  ]);
});

test('a server whose key is lost too stays closed when the hold is lifted', async () => {
  const world = makeWorld();
  const version = await world.begin(1);
  await hold(world, 'a leak');
  world.vault.update(KEK, version, { enabled: false });
  await world.runFor(20);
  await hold(world, null);
  await world.runFor(20);
  expect(world.isOpen('s001')).toBe(false);
  expect(await world.row('s001')).toMatchObject({ desired: 'revoked', desiredReason: 'KeyDisabled' });
});

test('the same again changes nothing, whatever it matches, and has the server looked at once more', async () => {
  const world = makeWorld();
  await world.begin(1);
  const { etag } = await hold(world, 'a leak');
  await world.queue.drain();
  const before = await world.stores.servers.read(KEK, 's001');
  world.clock.advance(10);
  expect((await hold(world, 'a leak', { ifMatch: etag })).etag).toBe(before?.etag);
  expect(world.queue.waiting('server-access')).toHaveLength(1);
  expect(await world.audited('server.held')).toHaveLength(1);
  await hold(world, null);
  await hold(world, null);
  expect(await world.audited('server.released')).toHaveLength(1);
});

test("another reason, or another operator, takes the hold's place and says whose it was", async () => {
  const world = makeWorld();
  await world.begin(1);
  await hold(world, 'a leak');
  await hold(world, 'a leak', { by: 'ben' });
  await hold(world, 'a theft', { by: 'ben' });
  expect(await world.row('s001')).toMatchObject({ hold: { by: 'ben', reason: 'a theft' }, accessEpoch: 2 });
  expect((await world.audited('server.held')).map(({ detail }) => detail['before'])).toMatchObject([
    null,
    { by: 'anna' },
    { by: 'ben', reason: 'a leak' },
  ]);
});

test("an operator's hold takes the place of one that would have ended by itself", async () => {
  const world = makeWorld();
  await world.begin(1);
  const until = new Date(world.clock.now().getTime() + 5000);
  await world.changeRow('s001', { hold: { by: 'anna', reason: 'drill', since: world.clock.now(), until } });
  expect((await hold(world, 'drill')).value.hold?.until).toBeNull();
});

test('lifting a hold that has run out tidies up and is no release', async () => {
  const world = makeWorld();
  await world.begin(1);
  const now = world.clock.now();
  await world.changeRow('s001', { hold: { by: 'anna', reason: 'drill', since: now, until: now } });
  expect((await hold(world, null)).value.hold).toBeNull();
  expect(await world.audited('server.released')).toEqual([]);
  await world.changeRow('s001', { hold: { by: 'anna', reason: 'drill', since: now, until: now } });
  await hold(world, 'a leak');
  expect(await world.audited('server.held')).toMatchObject([{ detail: { before: null } }]);
});

test('a hold works on a server that is only reported on, and on one that has nothing but its DEK', async () => {
  const world = makeWorld();
  await world.begin(1, 'alertOnly');
  await world.register(1, { prefix: 'n', access: { kind: 'none' } });
  await world.settle();
  await hold(world, 'a leak');
  await hold(world, 'a leak', { serverId: 'n001' });
  await world.queue.drain();
  expect(world.isOpen('s001')).toBe(false);
  expect(await world.row('n001')).toMatchObject({ desired: 'revoked', applied: 'revoked' });
});

test('what was meant for another state of the row, an unknown server and a tombstone are refused', async () => {
  const world = makeWorld();
  await world.begin(1);
  await expect(hold(world, 'x', { ifMatch: 'old' })).rejects.toMatchObject({ code: 'PreconditionFailed' });
  const { etag = '' } = (await world.stores.servers.read(KEK, 's001')) ?? {};
  await hold(world, 'x', { ifMatch: etag });
  await expect(hold(world, 'x', { serverId: 'nobody' })).rejects.toMatchObject({ code: 'ServerNotFound' });
  await world.changeRow('s001', { tombstone: true });
  await expect(hold(world, 'x')).rejects.toMatchObject({ code: 'ServerDeleted' });
});

test.each(['before', 'after'] as const)(
  'a write that fails %s it took effect: the same again finishes it, and is recorded once',
  async (when) => {
    const world = makeWorld();
    await world.begin(1);
    world.stores.failNext('servers.commit', when);
    await expect(hold(world, 'a leak')).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await hold(world, 'a leak');
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.audited('server.held')).toHaveLength(1);
  },
);

test('I-08: where no message was sent, the sweep closes it all the same', async () => {
  const world = makeWorld();
  await world.begin(1);
  world.queue.fate = () => 'drop';
  await hold(world, 'a leak');
  world.queue.fate = () => 'keep';
  await world.settle();
  expect(world.isOpen('s001')).toBe(false);
});

test('I-10: a row that changes in between is decided about again, and what changed stays', async () => {
  const world = makeWorld();
  await world.begin(1);
  let done = false;
  world.stores.onBeforeCommit(async (operation) => {
    if (done || operation !== 'servers.commit') return;
    done = true;
    await world.changeRow('s001', { labels: { team: 'blue' } });
  });
  const { value } = await hold(world, 'a leak');
  expect(value).toMatchObject({ labels: { team: 'blue' }, hold: { reason: 'a leak' } });
});

test('a row that has just arrived takes no hold before its move has ended', async () => {
  const world = makeWorld();
  await world.begin(1);
  await world.changeRow('s001', { incoming: true });
  const finished: ServerRow[] = [];
  const { keks, servers, index } = world.stores;
  const holdWith = (finishMove: (row: ServerRow) => Promise<void>) =>
    makeHoldServer({ keks, servers, index, queue: world.queue, finishMove, clock: world.clock });
  const command = { serverId: 's001', reason: 'a leak', by: 'anna', ifMatch: null };
  const stuck = holdWith(async (row) => void finished.push(row))(command);
  await expect(stuck).rejects.toMatchObject({ code: 'ServerMoving', retryable: true });
  expect(finished).toHaveLength(1);
  const { value } = await holdWith(() => world.changeRow('s001', { incoming: false }))(command);
  expect(value.hold?.reason).toBe('a leak');
});
