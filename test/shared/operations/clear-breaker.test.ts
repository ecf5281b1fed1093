import { describe, expect, test } from 'vitest';
import type { KekId } from '../../../shared/domain/key-id.ts';
import { makeClearBreaker } from '../../../shared/operations/clear-breaker.ts';
import { APP_CHAIN } from '../../../shared/operations/reject-input.ts';
import { makeWorld, type World } from '../../fakes/world.ts';

const keks = ['alpha', 'beta', 'gamma', 'delta'].map(
  (vault): KekId => ({ vault: `${vault}.vault.azure.net`, name: 'fleet' }),
);
const lost = keks.slice(0, 3);

/** Most vaults refuse the app, long enough for verdicts that nothing holds. */
async function beginHeld(): Promise<World> {
  const world = makeWorld();
  for (const kek of keks) await world.begin(1, 'terminate', kek);
  for (const { vault } of lost) world.vault.setVault(vault, { forbidden: 'ForbiddenByRbac' });
  for (let passed = 0; passed <= 120; passed += 20) {
    for (const kek of keks)
      await world.app.reconcileKek({ kek, cause: { kind: 'followUp', of: 'test' } }, null);
    await world.queue.drain();
    world.clock.advance(20);
  }
  return world;
}

const applied = async (world: World) =>
  (await Promise.all(keks.map((kek) => world.rows(kek)))).flat().map((row) => row.applied);

async function audited({ app, stores }: World): Promise<readonly unknown[]> {
  await app.deliverOutbox();
  const records: unknown[] = [];
  for await (const { body } of stores.audit.readChain(APP_CHAIN)) records.push(JSON.parse(body));
  return records;
}

describe('clearBreaker', () => {
  test('what the breaker holds acts at once, on those keys and no other, and is on record', async () => {
    const world = await beginHeld();
    expect(await applied(world)).toEqual(['granted', 'granted', 'granted', 'granted']);
    const vaults = lost.map(({ vault }) => vault);
    const { trippedAt = null } = (await world.stores.keks.readBreaker())?.value ?? {};
    const cleared = await world.app.clearBreaker({ by: 'anna' });
    expect(cleared).toEqual({ wasHolding: true, vaults, keys: 3 });
    await world.queue.drain();
    expect(await applied(world)).toEqual(['revoked', 'revoked', 'revoked', 'granted']);
    expect(await audited(world)).toMatchObject([
      {
        action: 'breaker.cleared',
        cause: { kind: 'operator', by: 'anna' },
        detail: { vaults, trippedAt: trippedAt?.toISOString() },
      },
    ]);
    expect(world.log.said('breaker cleared by an operator: suspect verdicts act')).toBe(1);
  });

  test('the same again changes nothing, and has the keys looked at once more', async () => {
    const world = await beginHeld();
    await world.app.clearBreaker({ by: 'anna' });
    expect(await world.app.clearBreaker({ by: 'anna' })).toEqual({ wasHolding: false, vaults: [], keys: 3 });
    expect(await audited(world)).toHaveLength(1);
  });

  test('I-10: it is written under the ETag that is there now: what came in between is read again', async () => {
    const world = await beginHeld();
    const { keks: store } = world.stores;
    const read = store.readBreaker;
    let reads = 0;
    store.readBreaker = () => {
      reads += 1;
      return reads === 2 ? Promise.resolve(undefined) : read();
    };
    expect(await world.app.clearBreaker({ by: 'anna' })).toMatchObject({ wasHolding: true });
    expect(reads).toBe(3);
    expect((await read())?.value).toMatchObject({ suspects: {}, trippedAt: null });
  });

  test('where nothing is held nothing is written', async () => {
    const world = makeWorld();
    await world.begin(1);
    expect(await world.app.clearBreaker({ by: 'anna' })).toEqual({ wasHolding: false, vaults: [], keys: 0 });
    expect(await world.stores.keks.readBreaker()).toBeUndefined();
    expect(await audited(world)).toEqual([]);
  });

  test('cut short by the store it holds on, and does it when it is told again', async () => {
    const world = await beginHeld();
    world.stores.failNext('keks.writeBreaker', 'before');
    await expect(world.app.clearBreaker({ by: 'anna' })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await world.queue.drain();
    expect(await applied(world)).toEqual(['granted', 'granted', 'granted', 'granted']);
    expect(await world.app.clearBreaker({ by: 'anna' })).toMatchObject({ wasHolding: true, keys: 3 });
    expect(await audited(world)).toHaveLength(2);
  });

  test('I-10: a breaker that changed meanwhile is read again', async () => {
    const world = await beginHeld();
    const { keks: store } = world.stores;
    const held = await store.readBreaker();
    // Another instance notes a vault between the record and the write.
    const put = world.stores.outbox.put;
    const outbox = {
      put: async (...written: Parameters<typeof put>) => {
        await put(...written);
        const suspects = { ...held?.value.suspects, 'late.vault.azure.net': world.clock.now() };
        const value = { suspects, trippedAt: held?.value.trippedAt ?? null };
        await store.writeBreaker({ value, etag: held?.etag ?? null });
      },
    };
    const { queue, clock, log } = world;
    const rules = { breakerHoldMinutes: 60 };
    await makeClearBreaker({ keks: store, outbox, queue, clock, log, rules })({ by: 'anna' });
    expect((await store.readBreaker())?.value).toEqual({ suspects: {}, trippedAt: null });
  });
});
