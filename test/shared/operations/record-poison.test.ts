import { describe, expect, test } from 'vitest';
import { kekKey } from '../../../shared/domain/key-id.ts';
import { APP_CHAIN } from '../../../shared/operations/reject-input.ts';
import { eventCause, KEK, makeWorld } from '../../fakes/world.ts';

const recordedIn = async (world: ReturnType<typeof makeWorld>, chain: string) => {
  const [row] = await world.stores.outbox.pageOutbox(chain, false, 10);
  return { audit: JSON.parse(row?.auditBodies[0] ?? 'null'), events: row?.events };
};

describe('recordPoison', () => {
  test('a range is noted in the chain of its KEK, with the range, and announced', async () => {
    const world = makeWorld();
    const message = { kek: KEK, epoch: 1, from: 'a', to: 'b', attempt: null, cause: eventCause('e') };
    await world.app.recordPoison({ queue: 'server-access', id: 'm1', message });
    expect(await recordedIn(world, kekKey(KEK))).toMatchObject({
      audit: {
        action: 'message.poisoned',
        cause: eventCause('e'),
        reason: 'server-access',
        detail: { id: 'm1', from: 'a', to: 'b' },
      },
      events: [
        {
          id: 'poison:server-access:m1',
          type: 'PgCmk.ControlPlaneDegraded',
          subject: 'https://alpha.vault.azure.net/keys/fleet',
        },
      ],
    });
    expect(world.log.errors()).toHaveLength(1);
  });

  test('a look at a KEK is noted there too, without a range', async () => {
    const world = makeWorld();
    const message = { kek: KEK, cause: eventCause('e') };
    await world.app.recordPoison({ queue: 'reconcile-keks', id: 'm2', message });
    expect((await recordedIn(world, kekKey(KEK))).audit.detail).toEqual({ id: 'm2' });
  });

  test('a shard of probes belongs to no KEK; a message without an id is named by the time', async () => {
    const world = makeWorld();
    await world.app.recordPoison({ queue: 'probe-keks', id: null, message: { keks: [KEK] } });
    expect(await recordedIn(world, APP_CHAIN)).toMatchObject({
      audit: { cause: { kind: 'followUp', of: 'probe-keks' }, detail: { id: null } },
      events: [{ id: `poison:probe-keks:${world.clock.now().getTime()}`, subject: 'probe-keks' }],
    });
  });

  test('I-08: poison is never the end of a revocation: the sweep takes it up again', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    world.vault.update(KEK, version, { enabled: false });
    const deliver = world.queue.handlers?.deliver;
    let broken = true;
    world.queue.handlers = {
      deliver: async (one) => {
        if (broken && one.queue === 'server-access') throw new Error('a fault of ours');
        await deliver?.(one);
      },
      poison: (one) => world.app.recordPoison(one),
    };
    await world.hint();
    await world.queue.drainFor(150);
    expect(world.telemetry.sum('pgcmk.poison', { queue: 'server-access' })).toBe(1);
    expect(world.isOpen('s001')).toBe(true);
    broken = false;
    await world.runFor(60);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([false, false]);
  });
});

describe('an order to one server', () => {
  const lookAt = (attempt: number | null) => ({
    queue: 'server-access' as const,
    id: 'm1',
    message: { kek: KEK, epoch: 1, from: 's001', to: 's001', attempt, cause: eventCause('e') },
  });
  const failing = (attempt: number) =>
    ({
      reason: 'ServerUnreachable',
      message: 'refused',
      since: new Date(0),
      attempt,
      nextAttemptAt: new Date('2031-01-01'),
    }) as const;

  test('is noted on its row together with the record', async () => {
    const world = makeWorld();
    await world.begin(1);
    await world.app.recordPoison(lookAt(null));
    expect((await world.row('s001')).failure).toMatchObject({
      reason: 'AccessNotApplied',
      message: 'a message about this server failed on its last attempt',
      since: world.clock.now(),
      attempt: 1,
    });
    expect(await world.audited('message.poisoned')).toHaveLength(1);
  });

  test('I-08: holds no range back: what passes by next acts, and the note goes', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, null);
    world.queue.clear();
    await world.changeRow('s001', { desired: 'revoked', desiredReason: 'KeyDisabled', inspectedAt: null });
    await world.app.recordPoison(lookAt(0));
    await world.settle();
    expect(world.isOpen('s001')).toBe(false);
    expect(await world.row('s001')).toMatchObject({ applied: 'revoked', failure: null });
  });

  test('a chain of retries that broke off with it goes on from where it was, and says since when', async () => {
    const world = makeWorld();
    await world.begin(1);
    await world.changeRow('s001', { failure: failing(3) });
    await world.app.recordPoison(lookAt(3));
    expect((await world.row('s001')).failure).toMatchObject({
      reason: 'ServerUnreachable',
      message: 'refused',
      attempt: 3,
      since: new Date(0),
    });
    await world.settle();
    expect((await world.row('s001')).failure).toBeNull();
  });

  test.each([
    ['whose chain of retries goes on without it', { failure: failing(3) }],
    ['without access', { access: { kind: 'none' } }],
    ['that was deleted', { tombstone: true }],
    ['that is being moved in', { incoming: true }],
  ] as const)('a server %s is left as it is, and it is recorded all the same', async (_, change) => {
    const world = makeWorld();
    await world.begin(1);
    await world.changeRow('s001', change);
    const before = await world.row('s001');
    await world.app.recordPoison(lookAt(null));
    expect(await world.row('s001')).toEqual(before);
    expect(await world.audited('message.poisoned')).toHaveLength(1);
  });

  test('so it is with one that is gone, and with a row that does not parse', async () => {
    const world = makeWorld();
    await world.app.recordPoison(lookAt(null));
    await world.begin(1);
    world.stores.spoilServer(KEK, 's001');
    await world.app.recordPoison(lookAt(null));
    expect(await world.audited('message.poisoned')).toHaveLength(2);
  });

  test('a store that is out is told to the queue', async () => {
    const world = makeWorld();
    world.stores.failNext('servers.read', 'before');
    await expect(world.app.recordPoison(lookAt(null))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  test('one of a rotation is recorded alone', async () => {
    const world = makeWorld();
    await world.begin(1);
    const before = await world.row('s001');
    await world.app.recordPoison({ ...lookAt(null), queue: 'rewrap-deks' });
    expect(await world.row('s001')).toEqual(before);
    expect(await world.audited('message.poisoned')).toMatchObject([{ reason: 'rewrap-deks' }]);
  });
});
