import { beforeEach, describe, expect, test } from 'vitest';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { eventCause, KEK, makeWorld, VAULT, type World } from '../../fakes/world.ts';

let world: World;
beforeEach(async () => {
  world = makeWorld();
  await world.begin(1);
  await world.begin(1, 'terminate', { vault: VAULT, name: 'other' });
  await world.begin(1, 'terminate', { vault: 'beta.vault.azure.net', name: 'fleet' });
  world.queue.clear();
});

const cause = eventCause('e1');
const waiting = () => world.queue.waiting('reconcile-keks').map(({ message }) => message);

describe('submitHint', () => {
  test('I-01: a hint is a look at one KEK and nothing else: nothing is decided and no vault is asked', async () => {
    const calls = world.vault.calls.length;
    await world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause });
    expect(waiting()).toEqual([{ kek: KEK, cause }]);
    expect(world.vault.calls.length).toBe(calls);
    expect(world.log.said('a hint was taken')).toBe(1);
  });

  test('a hint about a vault is one about each of its KEKs', async () => {
    await world.app.submitHint({ target: { kind: 'vault', vault: VAULT }, cause });
    expect(waiting()).toMatchObject([{ kek: KEK }, { kek: { vault: VAULT, name: 'other' } }]);
    expect(world.log.said('a hint was taken')).toBe(1);
  });

  test('a hint about what is not held is said in the log and that is all', async () => {
    await world.app.submitHint({ target: { kind: 'kek', kek: { vault: VAULT, name: 'x' } }, cause });
    await world.app.submitHint({ target: { kind: 'vault', vault: 'gamma.vault.azure.net' }, cause });
    expect(waiting()).toEqual([]);
    expect(world.log.said('a hint about a key that is not held')).toBe(2);
  });

  test.each([
    [0, 2],
    [999, 2],
    [1000, 0],
  ])('%i ms after a look began, a hint waits %i s', async (milliseconds, seconds) => {
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
    world.clock.advance(milliseconds / 1000);
    await world.hint();
    await world.app.submitHint({ target: { kind: 'vault', vault: VAULT }, cause });
    const now = world.clock.now().getTime();
    const waits = world.queue.waiting('reconcile-keks').map(({ message, visibleAt }) => ({
      key: 'kek' in message && message.kek.name,
      seconds: (visibleAt.getTime() - now) / 1000,
    }));
    expect(waits).toEqual([
      { key: KEK.name, seconds },
      { key: KEK.name, seconds },
      { key: 'other', seconds: 0 },
    ]);
  });

  test('I-01: hints that follow each other without a pause cost about a look a second, and the last one is answered', async () => {
    const looks = world.vault.count('describe');
    for (let sent = 0; sent < 200; sent += 1) {
      await world.hint();
      await world.queue.drain();
      world.clock.advance(0.05);
    }
    const last = world.clock.now();
    await world.queue.drainFor(5);
    const count = world.vault.count('describe') - looks;
    expect(count).toBeGreaterThanOrEqual(5);
    expect(count).toBeLessThanOrEqual(15);
    expect((await world.kek()).observedFrom?.getTime()).toBeGreaterThanOrEqual(last.getTime() - 50);
  });

  describe('a burst', () => {
    const about = (id: string, at?: Date) =>
      world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause: eventCause(id), at });

    test('of hints alike is two messages: one for the first, one for all that came meanwhile', async () => {
      const late = new Date('2026-11-24T12:00:02Z');
      const early = new Date('2026-11-24T12:00:01Z');
      await Promise.all([about('e1'), about('e2', late), about('e3', early), about('e4', late), about('e5')]);
      expect(waiting()).toEqual([
        { kek: KEK, cause: eventCause('e1') },
        { kek: KEK, cause: eventCause('e2'), hintedAt: early },
      ]);
      await about('e6');
      expect(waiting()).toHaveLength(3);
    });

    test('is told what became of the message it shares, each of them', async () => {
      const first = about('e1');
      const others = [about('e2'), about('e3')];
      await first;
      world.queue.failNext('reconcile-keks', storeUnavailable('enqueue'));
      const outcomes = await Promise.allSettled(others);
      expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      expect(waiting()).toHaveLength(1);
    });

    test('of hints that differ in key, in what happened or in who did it is one message each', async () => {
      const by = (name: string) => ({ kind: 'auditLog', id: 'a', operation: 'KeyUpdate', by: name }) as const;
      const causes = [eventCause('e1'), { ...eventCause('e2'), type: 'other' }, by('ann'), by('bob')];
      const other = { vault: VAULT, name: 'other' };
      await Promise.all([
        ...causes.map((one) => world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause: one })),
        world.app.submitHint({ target: { kind: 'kek', kek: other }, cause }),
      ]);
      expect(waiting()).toEqual(
        expect.arrayContaining([...causes.map((one) => ({ kek: KEK, cause: one })), { kek: other, cause }]),
      );
      expect(waiting()).toHaveLength(5);
    });
  });

  test('I-01: a forged hint costs one look and changes nothing', async () => {
    const before = await world.rows();
    await world.hint(KEK, { kind: 'event', id: 'forged', type: 'Microsoft.KeyVault.KeyExpired' });
    await world.queue.drainFor(60);
    expect(await world.rows()).toEqual(before);
  });

  test('that a hint of a key came is noted, once a minute; that of a vault is not', async () => {
    const hint = () => world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause });
    await world.app.submitHint({ target: { kind: 'vault', vault: VAULT }, cause });
    expect((await world.kek()).lastHintAt).toBeNull();
    await hint();
    const first = world.clock.now();
    expect((await world.kek()).lastHintAt).toEqual(first);
    world.clock.advance(59);
    await hint();
    expect((await world.kek()).lastHintAt).toEqual(first);
    world.clock.advance(1);
    await hint();
    expect((await world.kek()).lastHintAt).toEqual(world.clock.now());
  });

  test('a note that can’t be made, for a row that changed or a table that is away, loses no hint', async () => {
    world.stores.failNext('keks.commit', 'before');
    await world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause });
    const undo = world.stores.onBeforeCommit(() => world.changeKek({ observedFrom: world.clock.now() }));
    await world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause });
    undo();
    expect(waiting()).toHaveLength(2);
    expect((await world.kek()).lastHintAt).toBeNull();
  });

  test('what is no fault of the store’s is not swallowed', async () => {
    const undo = world.stores.onBeforeCommit(() => {
      throw new TypeError('broken');
    });
    const hint = world.app.submitHint({ target: { kind: 'kek', kek: KEK }, cause });
    await expect(hint).rejects.toThrow('broken');
    undo();
  });
});
