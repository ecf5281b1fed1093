import { describe, expect, test } from 'vitest';
import type { KekId } from '../../../shared/domain/key-id.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { storeUnavailable } from '../../fakes/memory-tables.ts';
import { eventCause, KEK, makeWorld, type World } from '../../fakes/world.ts';

const OF = (vault: string): KekId => ({ vault: `${vault}.vault.azure.net`, name: 'fleet' });
const FOLLOW_UP = { kind: 'followUp', of: 'test' } as const;
const reconcile = (world: World, kek = KEK) =>
  world.app.reconcileKek({ kek, cause: eventCause('e') }, world.clock.now());

/** Suspect answers every 20 s, until they would be a verdict. */
const beSuspectFor = async (world: World, seconds: number, keks: readonly KekId[] = [KEK]) => {
  for (let passed = 0; passed <= seconds; passed += 20) {
    for (const kek of keks) await world.app.reconcileKek({ kek, cause: FOLLOW_UP }, null);
    await world.queue.drain();
    world.clock.advance(20);
  }
};

describe('reconcileKek', () => {
  test('records a verdict, audits it, announces it and fans out', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    world.vault.update(KEK, version, { enabled: false });
    const { epoch } = await world.kek();
    await reconcile(world);
    expect(await world.kek()).toMatchObject({ epoch: epoch + 1, fannedOutEpoch: epoch + 1 });
    expect(await world.version(version)).toMatchObject({ verdict: 'revoke', verdictReason: 'KeyDisabled' });
    expect(world.queue.waiting('server-access')).toMatchObject([{ message: { from: 's001', to: 's002' } }]);
    expect((await world.audited('kek.verdict')).at(-1)).toMatchObject({
      reason: 'KeyDisabled',
      cause: eventCause('e'),
      detail: { epoch: epoch + 1 },
    });
    expect(world.topic.idsOf('PgCmk.KeyUnusable')).toHaveLength(1);
  });

  test('is idempotent: looking again at the same changes nothing but when it looked', async () => {
    const world = makeWorld();
    await world.begin(2);
    const before = await world.stores.keks.read(KEK);
    const sent = world.queue.sent.length;
    world.clock.advance(10);
    await reconcile(world);
    const after = await world.stores.keks.read(KEK);
    expect(after?.versions).toEqual(before?.versions);
    const now = world.clock.now();
    expect(after?.kek.value).toEqual({ ...before?.kek.value, observedFrom: now });
    expect(world.queue.sent.length).toBe(sent);
  });

  test('writes a version that looks as before once a minute, to say that it was looked at', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    const { provenAt } = await world.version(version);
    world.clock.advance(30);
    await reconcile(world);
    expect((await world.version(version)).provenAt).toEqual(provenAt);
    world.clock.advance(40);
    await reconcile(world);
    expect((await world.version(version)).provenAt).toEqual(world.clock.now());
  });

  test('hands on what was decided already before it asks a vault that may hang', async () => {
    const world = makeWorld();
    await world.begin(2);
    const { epoch } = await world.kek();
    const hold = { by: 'anna', reason: 'incident', since: world.clock.now(), until: null };
    await world.changeKek({ epoch: epoch + 1, hold });
    const handedOn: number[] = [];
    const before = world.queue.sent.length;
    world.vault.hook = () => {
      handedOn.push(world.queue.sent.slice(before).filter(({ queue }) => queue === 'server-access').length);
      return null;
    };
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'operator', by: 'anna' } }, null);
    expect(handedOn[0]).toBe(1);
  });

  test('a version that was never proven is written only when it changes', async () => {
    const world = makeWorld();
    await world.begin(1);
    const newest = world.vault.createVersion(KEK, { enabled: false });
    await reconcile(world);
    expect(await world.kek()).toMatchObject({
      rotation: { state: 'blocked', newest, reason: 'KeyDisabled' },
    });
    const before = await world.stores.keks.read(KEK);
    world.clock.advance(120);
    await reconcile(world);
    const etagOf = (stored: typeof before) =>
      stored?.versions.find(({ value }) => value.version === newest)?.etag;
    expect(etagOf(await world.stores.keks.read(KEK))).toBe(etagOf(before));
    expect(await world.audited('kek.rotation')).toHaveLength(1);
  });

  test('what is not held is said in the log, and no vault is asked', async () => {
    const world = makeWorld();
    await reconcile(world);
    expect(world.log.said('a look at a key that is not held')).toBe(1);
    expect(world.vault.calls).toEqual([]);
  });

  test('the first good look at a lost key asks for the second one, which restores', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    await reconcile(world);
    await world.queue.drain();
    world.vault.update(KEK, version, { enabled: true });
    await reconcile(world);
    expect((await world.version(version)).verdict).toBe('revoke');
    expect(world.queue.waiting('reconcile-keks')).toMatchObject([
      { message: { cause: { kind: 'followUp', of: 'firstGoodProbe' } } },
    ]);
    await world.queue.drainFor(3);
    expect((await world.version(version)).verdict).toBe('serve');
    expect(world.isOpen('s001')).toBe(true);
  });
});

describe('crashes and duplicates', () => {
  test('I-08: a crash between recording and enqueueing is made good by whoever looks next', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    world.vault.update(KEK, version, { enabled: false });
    world.queue.failNext('server-access', storeUnavailable('queue'));
    await expect(reconcile(world)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const { epoch, fannedOutEpoch } = await world.kek();
    expect(fannedOutEpoch).toBe(epoch - 1);
    // Even a hint that was sent long before that observation fans out.
    await world.app.reconcileKek({ kek: KEK, cause: eventCause('old') }, new Date(0));
    await world.queue.drain();
    expect((await world.kek()).fannedOutEpoch).toBe(epoch);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([false, false]);
  });

  test('a crash before the second look was asked for is made good by the probe', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    await reconcile(world);
    await world.queue.drain();
    world.vault.update(KEK, version, { enabled: true });
    world.queue.failNext('reconcile-keks', storeUnavailable('queue'));
    await expect(reconcile(world)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    world.clock.advance(10);
    await world.app.probes.probeAll();
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(true);
  });

  test('I-10: an answer that is lost after the write took effect costs one more look, and one epoch only', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    const { epoch } = await world.kek();
    world.vault.update(KEK, version, { enabled: false });
    await world.hint();
    world.stores.failNext('keks.commit', 'after');
    await world.queue.drainFor(60);
    expect(await world.kek()).toMatchObject({ epoch: epoch + 1, fannedOutEpoch: epoch + 1 });
    expect(await world.audited('kek.verdict')).toHaveLength(2);
    expect(world.isOpen('s002')).toBe(false);
  });

  test('the same message again, and again, does nothing more', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    world.queue.fate = () => 'duplicate';
    world.vault.update(KEK, version, { enabled: false });
    await world.hint();
    await world.hint();
    await world.queue.drainFor(120);
    expect(await world.audited('kek.verdict')).toHaveLength(2);
    expect(await world.audited('server.accessApplied')).toHaveLength(4);
    expect(world.topic.idsOf('PgCmk.ServerInaccessible')).toHaveLength(2);
  });
});

describe('several at once', () => {
  test('I-10: an older observation is dropped when a later one has been recorded meanwhile', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    const other = world.startInstance();
    let turn = 0;
    const off = world.stores.onBeforeCommit(async (operation) => {
      turn += 1;
      if (operation !== 'keks.commit' || turn > 1) return;
      // This instance has seen the key enabled; another one looks later, sees it disabled, and is first to write.
      world.clock.advance(1);
      world.vault.update(KEK, version, { enabled: false });
      await other.reconcileKek({ kek: KEK, cause: FOLLOW_UP }, null);
    });
    await reconcile(world);
    off();
    expect(await world.version(version)).toMatchObject({ verdict: 'revoke', status: 'unusable', run: null });
    expect(world.queue.waiting('reconcile-keks')).toEqual([]);
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
  });

  test('I-10: an older row that was written meanwhile is read again, and the observation kept', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.vault.update(KEK, version, { enabled: false });
    let turn = 0;
    world.stores.onBeforeCommit(async () => {
      turn += 1;
      if (turn > 1) return;
      await world.changeKek({ policy: { ...(await world.kek()).policy, rewrapPaused: true } });
    });
    await reconcile(world);
    expect((await world.version(version)).verdict).toBe('revoke');
    expect((await world.kek()).policy.rewrapPaused).toBe(true);
  });

  test('two reconciles at once, in two processes, come to one verdict', async () => {
    const world = makeWorld();
    const version = await world.begin(2);
    const { epoch } = await world.kek();
    world.vault.update(KEK, version, { enabled: false });
    const other = world.startInstance();
    await Promise.all([reconcile(world), other.reconcileKek({ kek: KEK, cause: FOLLOW_UP }, null)]);
    await world.queue.drain();
    expect((await world.kek()).epoch).toBe(epoch + 1);
    expect(await world.audited('kek.verdict')).toHaveLength(2);
  });

  test('I-01: a burst of a hundred hints costs at most two looks at the vault', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.clock.advance(10);
    const insertedAt = world.clock.now();
    const before = world.vault.count('describe');
    const hints = Array.from({ length: 100 }, (_, index) =>
      world.app.reconcileKek({ kek: KEK, cause: eventCause(`e${index}`) }, insertedAt),
    );
    await Promise.all(hints);
    expect(world.vault.count('describe') - before).toBe(2);
  });

  test('I-01: hints that were sent before the last look began are answered by it', async () => {
    const world = makeWorld();
    await world.begin(1);
    for (let index = 0; index < 50; index += 1) await world.hint(KEK, eventCause(`e${index}`));
    world.clock.advance(5);
    const before = world.vault.count('describe');
    await world.queue.drain();
    expect(world.vault.count('describe') - before).toBe(1);
    expect(world.log.said('a later look has answered this one')).toBe(49);
  });

  test('only hints are answered by an earlier look: a message of unknown age, or an order, is not', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.clock.advance(60);
    await reconcile(world);
    const before = world.vault.count('describe');
    const old = new Date(0);
    await world.app.reconcileKek({ kek: KEK, cause: eventCause('e') }, null);
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'operator', by: 'anna' } }, old);
    expect(world.vault.count('describe') - before).toBe(2);
    await world.app.reconcileKek({ kek: KEK, cause: { kind: 'probe' } }, old);
    await world.app.reconcileKek(
      { kek: KEK, cause: { kind: 'auditLog', id: 'l', operation: 'KeyUpdate', by: null } },
      old,
    );
    expect(world.vault.count('describe') - before).toBe(2);
  });

  test('of messages that share a look, one that no earlier look answers gets its look', async () => {
    const world = makeWorld();
    const version = await world.begin(1);
    world.clock.advance(60);
    const gate = Promise.withResolvers<void>();
    let first = true;
    world.vault.hook = async (call) => {
      if (call.kind !== 'describe' || !first) return null;
      first = false;
      await gate.promise;
      return null;
    };
    const old = new Date(world.clock.now().getTime() - 30_000);
    const running = reconcile(world);
    const answered = world.app.reconcileKek({ kek: KEK, cause: eventCause('late') }, old);
    // After the running look has read the vault, the key is disabled and a hint of it sent.
    world.vault.hook = null;
    gate.resolve();
    const fresh = world.app.reconcileKek({ kek: KEK, cause: eventCause('new') }, world.clock.now());
    const older = world.app.reconcileKek({ kek: KEK, cause: eventCause('older') }, new Date(0));
    await running;
    world.vault.update(KEK, version, { enabled: false });
    await Promise.all([answered, fresh, older]);
    expect((await world.version(version)).verdict).toBe('revoke');
  });

  test('an order that shares a look with old hints gets its look', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.clock.advance(60);
    const before = world.vault.count('describe');
    const order = { kek: KEK, cause: { kind: 'operator', by: 'anna' } } as const;
    await Promise.all([
      world.app.reconcileKek({ kek: KEK, cause: eventCause('a') }, world.clock.now()),
      world.app.reconcileKek({ kek: KEK, cause: eventCause('b') }, new Date(0)),
      world.app.reconcileKek(order, new Date(0)),
      world.app.reconcileKek({ kek: KEK, cause: eventCause('c') }, null),
    ]);
    expect(world.vault.count('describe') - before).toBe(2);
  });

  test('a look that fails fails those that wait for it only where theirs fails too', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.stores.failNext('keks.read', 'before');
    const [first, second] = await Promise.allSettled([reconcile(world), reconcile(world)]);
    expect([first?.status, second?.status]).toEqual(['rejected', 'fulfilled']);
  });
});

describe('suspect answers and the breaker', () => {
  const denyAll = (world: World, keks: readonly KekId[]) => {
    for (const { vault } of keks) world.vault.setVault(vault, { forbidden: 'ForbiddenByRbac' });
  };

  test('suspect loss acts only after a minute and three answers', async () => {
    const world = makeWorld();
    await world.begin(1);
    denyAll(world, [KEK]);
    await beSuspectFor(world, 40);
    expect(world.isOpen('s001')).toBe(true);
    await beSuspectFor(world, 20);
    expect(world.isOpen('s001')).toBe(false);
  });

  const four = ['alpha', 'beta', 'gamma', 'delta'].map(OF);
  const beginFour = async () => {
    const world = makeWorld();
    for (const kek of four) await world.begin(1, 'terminate', kek);
    return world;
  };
  const isRevoked = async (world: World, kek: KekId) =>
    (await world.rows(kek)).every((row) => row.desired === 'revoked');

  test('most of three or more vaults suspect at once: held, said once, and acted upon when the hold ends', async () => {
    const world = await beginFour();
    const suspects = four.slice(0, 3);
    denyAll(world, suspects);
    await beSuspectFor(world, 120, suspects);
    expect(await Promise.all(suspects.map((kek) => isRevoked(world, kek)))).toEqual([false, false, false]);
    expect(world.log.errors()).toMatchObject([expect.stringContaining('breaker tripped')]);
    world.clock.advance(60 * 60);
    await beSuspectFor(world, 20, suspects);
    expect(await Promise.all(suspects.map((kek) => isRevoked(world, kek)))).toEqual([true, true, true]);
  });

  test('definitive loss is never held, not even while the breaker is', async () => {
    const world = await beginFour();
    const suspects = four.slice(0, 3);
    denyAll(world, suspects);
    await beSuspectFor(world, 20, suspects);
    const [, , , delta = KEK] = four;
    world.vault.deleteKey(delta);
    await world.app.reconcileKek({ kek: delta, cause: FOLLOW_UP }, null);
    await world.queue.drain();
    expect(await isRevoked(world, delta)).toBe(true);
  });

  test('with fewer than three vaults nothing is held', async () => {
    const world = makeWorld();
    const two = four.slice(0, 2);
    for (const kek of two) await world.begin(1, 'terminate', kek);
    denyAll(world, two);
    await beSuspectFor(world, 80, two);
    expect(await Promise.all(two.map((kek) => isRevoked(world, kek)))).toEqual([true, true]);
    expect(world.log.errors()).toEqual([]);
  });

  test('I-10: two that turn suspect at once are both counted', async () => {
    const world = await beginFour();
    denyAll(world, four);
    const others = four.map(() => world.startInstance());
    await Promise.all(four.map((kek, index) => others[index]?.reconcileKek({ kek, cause: FOLLOW_UP }, null)));
    const stored = await world.stores.keks.readBreaker();
    expect(Object.keys(stored?.value.suspects ?? {})).toHaveLength(4);
    expect(stored?.value.trippedAt).not.toBeNull();
  });

  test('I-02: not being able to ask revokes nothing, however long', async () => {
    const world = makeWorld();
    await world.begin(1);
    world.vault.setVault(KEK.vault, { outage: httpFault(503, 'ServiceUnavailable') });
    for (let hour = 0; hour < 30; hour += 1) {
      await world.app.reconcileKek({ kek: KEK, cause: FOLLOW_UP }, null);
      world.clock.advance(3600);
    }
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(true);
    expect(await world.audited('kek.degraded')).toHaveLength(1);
    expect(world.topic.idsOf('PgCmk.ControlPlaneDegraded')).toHaveLength(1);
  });
});
