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
    expect(world.log.counted('poison')).toBe(1);
    expect(world.isOpen('s001')).toBe(true);
    broken = false;
    await world.runFor(60);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([false, false]);
  });
});
