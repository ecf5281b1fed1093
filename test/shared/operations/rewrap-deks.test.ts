import { describe, expect, test } from 'vitest';
import type { ServerRow } from '../../../shared/domain/server.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { eventCause, KEK, makeWorld, RULES, type World } from '../../fakes/world.ts';

/** `count` servers under a first version; a second is the target, and nothing is rewrapped yet. */
const beginRotation = async (count: number) => {
  const world = makeWorld();
  const first = await world.begin(count);
  world.clock.advance(120);
  const second = world.vault.createVersion(KEK);
  await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
  world.queue.clear();
  const rewrap = async (change = {}) => world.app.rewrapDeks(await world.rangeOf(change));
  return { world, first, second, rewrap };
};
const versionsOf = async (world: World) => (await world.rows()).map((row) => row.wrapped.kekVersion);
const setPolicy = async (world: World, change: object) =>
  world.changeKek({ policy: { ...(await world.kek()).policy, ...change } });
const bytesOf = async (world: World, row: Pick<ServerRow, 'serverId' | 'wrapped'>) => {
  using dek = await unwrapDek(world.vault, KEK, row.serverId, row.wrapped);
  return dek.read((bytes) => Buffer.from(bytes).toString('hex'));
};
const spoilWrapping = async (world: World, serverId: string) => {
  const { wrapped } = await world.row(serverId);
  await world.changeRow(serverId, { wrapped: { ...wrapped, ciphertext: 'AAAA' } });
  return wrapped;
};

describe('rewrapDeks', () => {
  test('I-03: brings the same DEKs under the target, and files each old wrapping in the history', async () => {
    const { world, first, second, rewrap } = await beginRotation(120);
    const before = await world.rows();
    const bytes = await Promise.all(before.map((row) => bytesOf(world, row)));
    await rewrap();
    const after = await world.rows();
    expect(new Set(after.map((row) => row.wrapped.kekVersion))).toEqual(new Set([second]));
    expect(await Promise.all(after.map((row) => bytesOf(world, row)))).toEqual(bytes);
    for (const [index, row] of after.entries()) {
      const old = before[index];
      expect(row).toMatchObject({ sequence: 1, rewrapFailure: null, wrappedAt: world.clock.now() });
      expect(await world.history(row.serverId)).toEqual([
        {
          serverId: row.serverId,
          sequence: 0,
          wrapped: old?.wrapped,
          replacedAt: world.clock.now(),
          replacedBy: second,
        },
      ]);
    }
    const records = await world.audited('server.rewrapped');
    expect(records.flatMap(({ servers }) => servers)).toHaveLength(120);
    expect(records[0]).toMatchObject({ versionBefore: first, versionAfter: second });
  });

  test('I-05: changes the wrapping and never access', async () => {
    const { world, rewrap } = await beginRotation(3);
    await world.changeRow('s002', { desired: 'revoked', applied: 'revoked', accessEpoch: 7 });
    const accessOf = (row: ServerRow) => [row.desired, row.applied, row.accessEpoch, row.appliedAt];
    const before = (await world.rows()).map(accessOf);
    const orders = world.postgres.orders.length;
    await rewrap();
    expect((await world.rows()).map(accessOf)).toEqual(before);
    expect(world.postgres.orders.length).toBe(orders);
  });

  test('costs one unwrap a server, and one for the proof of each range', async () => {
    const { world, rewrap } = await beginRotation(98);
    const before = world.vault.calls.length;
    await rewrap();
    expect(world.vault.calls.length - before).toBe(99);
    expect((await world.rows()).filter((row) => row.provenAt !== null && row.sequence === 1)).toHaveLength(1);
  });

  test('pinned and incoming servers stay; a deleted one moves with the rest', async () => {
    const { world, first, second, rewrap } = await beginRotation(3);
    await world.changeRow('s001', { pinned: true });
    await world.changeRow('s002', { incoming: true });
    await world.changeRow('s003', { tombstone: true });
    await rewrap();
    expect(await versionsOf(world)).toEqual([first, first, second]);
  });

  test('nothing moves while the rotation is paused', async () => {
    const { world, first, rewrap } = await beginRotation(2);
    await setPolicy(world, { rewrapPaused: true });
    await rewrap();
    expect(await versionsOf(world)).toEqual([first, first]);
  });

  test('a server that was waiting to be moved away from an expired version is looked at when it is', async () => {
    const world = makeWorld();
    const first = await world.begin(1);
    world.vault.update(KEK, first, { expiresOn: new Date(0) });
    await world.hint();
    await world.queue.drain();
    expect(world.isOpen('s001')).toBe(false);
    world.clock.advance(60);
    const second = world.vault.createVersion(KEK);
    await world.hint();
    await world.queue.drain();
    expect(await world.row('s001')).toMatchObject({
      wrapped: { kekVersion: second },
      desired: 'granted',
      desiredReason: null,
      applied: 'granted',
    });
    expect(world.isOpen('s001')).toBe(true);
  });

  test('an expired version is moved away from; a bare wrapping is bound on the way', async () => {
    const { world, first, second, rewrap } = await beginRotation(1);
    await world.changeVersion(first, { verdict: 'revoke', verdictReason: 'KeyExpired' });
    const row = await world.row('s001');
    const described = await world.vault.describeVersion(KEK, first);
    if (!described.ok || described.value.publicKey === null) throw new Error('not described');
    using dek = await unwrapDek(world.vault, KEK, 's001', row.wrapped);
    const bare = dek.read((bytes) => Uint8Array.from(bytes));
    const ciphertext = await world.vault.wrap(described.value.publicKey, bare);
    await world.changeRow('s001', { wrapped: { ...row.wrapped, format: 'bare-0', ciphertext } });
    await rewrap();
    expect((await world.row('s001')).wrapped).toMatchObject({
      kekVersion: second,
      format: 'bound-1',
      dekId: row.wrapped.dekId,
    });
  });

  test('the same message again does nothing and asks no vault', async () => {
    const { world, rewrap } = await beginRotation(3);
    await rewrap();
    const before = world.vault.calls.length;
    const rows = await world.rows();
    await rewrap();
    expect(world.vault.calls.length).toBe(before);
    expect(await world.rows()).toEqual(rows);
  });

  test('a KEK that is not held, or vanishes meanwhile, ends it', async () => {
    const { world, rewrap } = await beginRotation(1);
    const message = await world.rangeOf();
    await world.app.rewrapDeks({ ...message, kek: { ...KEK, name: 'other' } });
    const { read } = world.stores.keks;
    let reads = 0;
    world.stores.keks.read = (kek) => {
      reads += 1;
      return reads > 2 ? Promise.resolve(undefined) : read(kek);
    };
    await rewrap();
    world.stores.keks.read = read;
    expect((await world.kek()).rotation.state).toBe('running');
  });

  test('a row that does not parse is held and the others go on', async () => {
    const { world, second, rewrap } = await beginRotation(3);
    world.stores.spoilServer(KEK, 's002');
    await rewrap();
    expect(await versionsOf(world)).toEqual([second, second]);
    expect(world.log.errors()).toEqual(['a server row does not parse: held']);
  });
});

describe('proof', () => {
  test('I-03: a sample that does not unwrap to its DEK commits nothing of the range', async () => {
    const { world, first, second, rewrap } = await beginRotation(60);
    const before = await world.rows();
    await world.app.proofs.prove(KEK, second, (await world.version(second)).canary ?? '');
    world.vault.corrupt(KEK, second);
    await expect(rewrap()).rejects.toMatchObject({ code: 'RewrapProofFailed' });
    expect(await world.rows()).toEqual(before);
    expect(await world.history('s001')).toEqual([]);
    expect(new Set(await versionsOf(world))).toEqual(new Set([first]));
  });

  test('I-03: with `every`, each new wrapping is proven before it is committed', async () => {
    const { world, second, rewrap } = await beginRotation(10);
    await setPolicy(world, { rewrapVerification: 'every' });
    const before = world.vault.calls.length;
    await rewrap();
    expect(world.vault.calls.length - before).toBe(20);
    for (const row of await world.rows())
      expect(row).toMatchObject({ provenAt: world.clock.now(), wrapped: { kekVersion: second } });
  });

  test('a target that is lost between the wrapping and its proof commits nothing, and is looked at', async () => {
    const { world, first, second, rewrap } = await beginRotation(5);
    await world.app.proofs.prove(KEK, second, (await world.version(second)).canary ?? '');
    world.vault.update(KEK, second, { enabled: false });
    world.queue.clear();
    await rewrap();
    expect(new Set(await versionsOf(world))).toEqual(new Set([first]));
    await world.queue.drain();
    expect((await world.version(second)).verdict).toBe('revoke');
  });

  test('I-03: with `every`, what fails its proof is not committed', async () => {
    const { world, first, second, rewrap } = await beginRotation(3);
    await setPolicy(world, { rewrapVerification: 'every' });
    await world.app.proofs.prove(KEK, second, (await world.version(second)).canary ?? '');
    world.vault.corrupt(KEK, second);
    await expect(rewrap()).rejects.toMatchObject({ code: 'RewrapProofFailed' });
    expect(await versionsOf(world)).toEqual([first, first, first]);
  });

  test('a vault that cannot be asked for the proof is no failed proof', async () => {
    const { world, first, second, rewrap } = await beginRotation(1);
    world.vault.hook = ({ kind, version }) =>
      kind === 'unwrap' && version === second ? httpFault(503, null) : null;
    await world.app.proofs.noteGood(KEK, second);
    await expect(rewrap()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
    expect(await versionsOf(world)).toEqual([first]);
  });

  test('the target is proven again after a minute: one that is not usable any more moves nothing', async () => {
    const { world, first, second, rewrap } = await beginRotation(2);
    world.clock.advance(61);
    world.vault.update(KEK, second, { enabled: false });
    await rewrap();
    expect(await versionsOf(world)).toEqual([first, first]);
    expect(world.queue.waiting('reconcile-keks')).toMatchObject([
      { message: { cause: { kind: 'followUp', of: 'target:KeyDisabled' } } },
    ]);
  });

  test.each([
    ['its reading', 'describeVersion'],
    ['its canary', 'unwrap'],
  ] as const)(
    'a target that the vault is too busy to prove, %s: the range is delivered again',
    async (_, kind) => {
      const { world, first, second, rewrap } = await beginRotation(2);
      world.clock.advance(61);
      world.vault.hook = (call) =>
        call.kind === kind && call.version === second ? httpFault(429, null) : null;
      await expect(rewrap()).rejects.toMatchObject({ code: 'VaultUnavailable', retryable: true });
      expect(await versionsOf(world)).toEqual([first, first]);
      expect(world.queue.waiting()).toEqual([]);
    },
  );

  describe('a target that is in doubt for a moment', () => {
    const beginDoubt = async () => {
      const rotation = await beginRotation(2);
      const { world, second } = rotation;
      world.vault.hook = ({ version }) => (version === second ? httpFault(429, null) : null);
      await world.app.reconcileKek({ kek: KEK, cause: eventCause('e') }, null);
      expect(await world.version(second)).toMatchObject({ verdict: 'serve', reason: 'Throttled' });
      const message = await world.rangeOf();
      await world.app.rewrapDeks(message);
      return { ...rotation, message };
    };
    const isGoodAgain = async (world: World) => {
      world.vault.hook = null;
      await world.app.reconcileKek({ kek: KEK, cause: eventCause('e') }, null);
    };

    test('moves nothing, and the range comes again when it was asked anew', async () => {
      const { world, first, second, message } = await beginDoubt();
      expect(await versionsOf(world)).toEqual([first, first]);
      expect(world.queue.waiting('rewrap-deks')).toMatchObject([{ message }]);
      await isGoodAgain(world);
      await world.queue.drainFor(9);
      expect(await versionsOf(world)).toEqual([first, first]);
      await world.queue.drainFor(1);
      expect(await versionsOf(world)).toEqual([second, second]);
      expect((await world.kek()).rotation.state).toBe('completed');
    });

    test('in a long outage the range comes again ever later, and sweeps add no other', async () => {
      const { world, first, second } = await beginDoubt();
      let deliveries = 0;
      world.queue.afterDelivery = ({ queue }) => {
        if (queue === 'rewrap-deks') deliveries += 1;
      };
      for (let minute = 0; minute < 60; minute += 1) {
        await world.app.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
        await world.queue.drainFor(60);
      }
      expect(await versionsOf(world)).toEqual([first, first]);
      expect(world.queue.waiting('rewrap-deks')).toHaveLength(1);
      expect(deliveries).toBeLessThan(20);
      await isGoodAgain(world);
      await world.queue.drainFor(300);
      expect(await versionsOf(world)).toEqual([second, second]);
    });

    test('once it is lost, its ranges come to nothing', async () => {
      const { world, first, second } = await beginDoubt();
      world.vault.hook = null;
      world.vault.update(KEK, second, { enabled: false });
      await world.app.reconcileKek({ kek: KEK, cause: eventCause('e') }, null);
      await world.queue.drainFor(60);
      expect(await versionsOf(world)).toEqual([first, first]);
      expect(world.queue.waiting('rewrap-deks')).toEqual([]);
    });

    test('of a new epoch all ranges are put into the queue, since those of the old one are overtaken', async () => {
      const { world, second } = await beginDoubt();
      await world.changeKek({ epoch: (await world.kek()).epoch + 1 });
      await world.app.reconcileKek({ kek: KEK, cause: eventCause('e') }, null);
      await isGoodAgain(world);
      await world.queue.drainFor(10);
      expect(await versionsOf(world)).toEqual([second, second]);
    });
  });

  test('a target that lost its canary moves nothing, and is looked at', async () => {
    const { world, first, second, rewrap } = await beginRotation(1);
    await world.changeVersion(second, { canary: null });
    await rewrap();
    expect(await versionsOf(world)).toEqual([first]);
    expect(world.queue.waiting('reconcile-keks')).toMatchObject([
      { message: { cause: { of: 'target:no canary' } } },
    ]);
  });

  test('an unproven wrapping is proven at leisure, and once', async () => {
    const { world, rewrap } = await beginRotation(4);
    await rewrap();
    const unproven = () => world.rows().then((rows) => rows.filter((row) => row.provenAt === null).length);
    expect(await unproven()).toBe(3);
    world.clock.advance(RULES.proveAfterSeconds - 1);
    await rewrap();
    expect(await unproven()).toBe(3);
    world.clock.advance(1);
    await rewrap();
    expect(await unproven()).toBe(0);
    expect(await world.audited('server.proven')).toMatchObject([{ servers: expect.any(Array) }]);
  });
});

describe("one server's fault", () => {
  test('is noted on its row, tried again by itself, and spoils nothing for the others', async () => {
    const { world, first, second, rewrap } = await beginRotation(3);
    const good = await spoilWrapping(world, 's002');
    await rewrap();
    expect(await versionsOf(world)).toEqual([second, first, second]);
    expect((await world.row('s002')).rewrapFailure).toMatchObject({
      code: 'WrappedDekMalformed',
      attempt: 1,
    });
    expect(await world.audited('server.rewrapFailed')).toMatchObject([
      { servers: ['s002'], reason: 'WrappedDekMalformed', versionBefore: first, versionAfter: first },
    ]);
    await world.changeRow('s002', { wrapped: good });
    await world.queue.drainFor(5);
    expect(await world.row('s002')).toMatchObject({
      rewrapFailure: null,
      wrapped: { kekVersion: second },
    });
    expect((await world.kek()).rotation.state).toBe('completed');
  });

  test('is one chain of retries, 5 s doubling to 60, whatever else passes by', async () => {
    const { world, rewrap } = await beginRotation(1);
    await spoilWrapping(world, 's001');
    world.queue.fate = () => 'duplicate';
    const start = world.clock.now().getTime();
    await rewrap();
    for (let passed = 0; passed < 300; passed += 5) {
      await rewrap();
      await world.queue.drainFor(5);
    }
    const sent = world.queue.sent.filter(
      ({ queue, message }) => queue === 'rewrap-deks' && 'attempt' in message && message.attempt !== null,
    );
    const delays = sent.map(({ insertedAt, visibleAt }) => (+visibleAt - +insertedAt) / 1000);
    expect(delays).toEqual([5, 10, 20, 40, 60, 60, 60, 60]);
    expect(world.clock.now().getTime() - start).toBe(300_000);
  });

  test('an error that is none of ours ends the message', async () => {
    const { world, rewrap } = await beginRotation(1);
    world.vault.hook = () => Promise.reject(new TypeError('a fault of ours'));
    await expect(rewrap()).rejects.toThrow(TypeError);
  });
});

describe("the key's fault", () => {
  /** From the unwrap after `good` good ones on, the vault answers `fault`. */
  const breakAfter = (world: World, good: number, fault: ReturnType<typeof httpFault>) => {
    let count = 0;
    world.vault.hook = ({ kind, version }) => {
      if (kind !== 'unwrap') return null;
      count += 1;
      return count > good && version !== null ? fault : null;
    };
  };

  test('ends the range after what succeeded was committed; the message comes back', async () => {
    const { world, first, second, rewrap } = await beginRotation(60);
    const proven = world.vault.unwrap.bind(world.vault);
    world.vault.unwrap = (kek, version, ciphertext, use) => {
      if (version === second) world.vault.hook = null;
      return proven(kek, version, ciphertext, use);
    };
    breakAfter(world, 40, httpFault(503, null));
    await expect(rewrap()).rejects.toMatchObject({ code: 'VaultUnavailable' });
    const versions = await versionsOf(world);
    expect(versions.filter((version) => version === second)).toHaveLength(40);
    expect(versions.filter((version) => version === first)).toHaveLength(20);
    expect((await world.rows()).every((row) => row.rewrapFailure === null)).toBe(true);
    world.vault.hook = null;
    await rewrap();
    expect(new Set(await versionsOf(world))).toEqual(new Set([second]));
  });

  test('a refusal ends it without an error: the reconcile finds out what it means', async () => {
    const { world, first, rewrap } = await beginRotation(90);
    breakAfter(world, 0, httpFault(403, 'Forbidden', 'KeyDisabled'));
    const before = world.vault.count('unwrap');
    await rewrap();
    expect(new Set(await versionsOf(world))).toEqual(new Set([first]));
    // Those that were under way have asked; the others don't.
    expect(world.vault.count('unwrap') - before).toBe(32);
    expect(world.queue.waiting('reconcile-keks')).toMatchObject([
      { message: { cause: { kind: 'followUp', of: 'refused:sweep' } } },
    ]);
  });
});

describe('others at the same rows', () => {
  const meanwhile = (world: World, act: () => Promise<void>) => {
    let done = false;
    world.stores.onBeforeCommit(async (operation) => {
      if (done || operation !== 'servers.commit') return;
      done = true;
      await act();
    });
  };

  test('I-10: a row that changed otherwise is read again, and its change kept', async () => {
    const { world, second, rewrap } = await beginRotation(3);
    meanwhile(world, () => world.changeRow('s002', { labels: { team: 'blue' } }));
    await rewrap();
    expect(await versionsOf(world)).toEqual([second, second, second]);
    expect((await world.row('s002')).labels).toEqual({ team: 'blue' });
  });

  test('I-10: a wrapping that changed meanwhile: the DEK in hand is dropped', async () => {
    const { world, second, rewrap } = await beginRotation(2);
    const other = world.startInstance();
    meanwhile(world, async () => other.rewrapDeks(await world.rangeOf({ from: 's001', to: 's001' })));
    await rewrap();
    expect(await versionsOf(world)).toEqual([second, second]);
    expect((await world.row('s001')).sequence).toBe(1);
    expect(await world.history('s001')).toHaveLength(1);
  });

  test('I-10: a proof of a wrapping that was replaced meanwhile proves nothing of the new one', async () => {
    const { world, second, rewrap } = await beginRotation(1);
    await setPolicy(world, { rewrapPaused: true });
    await world.changeRow('s001', { provenAt: null, wrappedAt: new Date(0) });
    meanwhile(world, async () => {
      const { wrapped } = await world.row('s001');
      await world.changeRow('s001', { wrapped: { ...wrapped, kekVersion: second, ciphertext: 'AAAA' } });
    });
    await rewrap();
    expect((await world.row('s001')).provenAt).toBeNull();
  });

  test('a server that must not move any more, or is gone, is left; a proof and a failure are noted all the same', async () => {
    const { world, first, second, rewrap } = await beginRotation(4);
    await spoilWrapping(world, 's002');
    await world.changeRow('s003', { pinned: true, provenAt: null, wrappedAt: new Date(0) });
    const { read } = world.stores.servers;
    world.stores.servers.read = (kek, id) => (id === 's004' ? Promise.resolve(undefined) : read(kek, id));
    meanwhile(world, async () => {
      await world.changeRow('s001', { pinned: true });
      await world.changeRow('s003', { labels: { team: 'blue' } });
    });
    await rewrap();
    expect(await versionsOf(world)).toEqual([first, first, first, first]);
    expect((await world.row('s002')).rewrapFailure?.attempt).toBe(1);
    expect((await world.row('s003')).provenAt).toEqual(world.clock.now());
    expect(second).not.toBe(first);
  });

  test('an answer that is lost after the commit: the message comes again and finds it done', async () => {
    const { world, second, rewrap } = await beginRotation(3);
    world.stores.failNext('servers.commit', 'after');
    await expect(rewrap()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await rewrap();
    expect(await versionsOf(world)).toEqual([second, second, second]);
    expect((await world.rows()).map((row) => row.sequence)).toEqual([1, 1, 1]);
    expect(await world.history('s002')).toHaveLength(1);
  });

  test('a message of an epoch that was fanned out anew is dropped; a retry of one server is not', async () => {
    const { world, first, second, rewrap } = await beginRotation(2);
    const { epoch } = await world.kek();
    await rewrap({ epoch: epoch - 1 });
    expect(await versionsOf(world)).toEqual([first, first]);
    await spoilWrapping(world, 's001');
    await rewrap();
    expect(await versionsOf(world)).toEqual([first, second]);
    await rewrap({ epoch: epoch - 1, from: 's001', to: 's001', attempt: 1 });
    expect((await world.row('s001')).rewrapFailure?.attempt).toBe(2);
  });

  test('a target that moves while a range is under way: the range goes round once more', async () => {
    const { world, rewrap } = await beginRotation(3);
    const other = world.startInstance();
    let third = '';
    meanwhile(world, async () => {
      world.clock.advance(1);
      third = world.vault.createVersion(KEK);
      await other.reconcileKek({ kek: KEK, cause: { kind: 'sweep' } }, null);
    });
    await rewrap();
    await world.queue.drain();
    expect(await versionsOf(world)).toEqual([third, third, third]);
    expect(await world.history('s001')).toHaveLength(2);
  });

  test('two workers at the same range at once rewrap each server once', async () => {
    const { world, second, rewrap } = await beginRotation(60);
    const other = world.startInstance();
    await Promise.all([rewrap(), other.rewrapDeks(await world.rangeOf())]);
    for (const row of await world.rows()) {
      expect(row).toMatchObject({ sequence: 1, wrapped: { kekVersion: second } });
      expect(await world.history(row.serverId)).toHaveLength(1);
    }
  });

  test('the same range twice at once in one process: the second finds it done, at no call of the vault', async () => {
    const { world, second, rewrap } = await beginRotation(60);
    let unwraps = 0;
    world.vault.hook = ({ use }) => {
      if (use === 'rewrap') unwraps += 1;
      return Promise.resolve(null);
    };
    await Promise.all([rewrap(), rewrap()]);
    expect(new Set(await versionsOf(world))).toEqual(new Set([second]));
    // One of each server, and the proof of the range.
    expect(unwraps).toBe(61);
  });

  test('of a range that comes again and again while it is under way, the latest epoch counts', async () => {
    const { world, second, rewrap } = await beginRotation(3);
    const { epoch } = await world.kek();
    let isFirst = true;
    world.vault.hook = ({ use }) => {
      const fault = isFirst && use === 'rewrap' ? httpFault(503, null) : null;
      isFirst = false;
      return Promise.resolve(fault);
    };
    const older = { epoch: epoch - 1 };
    const ends = await Promise.allSettled([rewrap(), rewrap(older), rewrap(), rewrap(older)]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(await versionsOf(world)).toEqual([second, second, second]);
  });

  test('a long range is worked through page by page', async () => {
    const { world, second, rewrap } = await beginRotation(110);
    await rewrap();
    expect(new Set(await versionsOf(world))).toEqual(new Set([second]));
  });
});

describe('turns', () => {
  test("ranges of one vault take turns, two at a time; those of another don't wait", async () => {
    const world = makeWorld();
    const other = { vault: 'beta.vault.azure.net', name: 'fleet' };
    await world.begin(4);
    await world.begin(1, 'terminate', other);
    world.clock.advance(120);
    const second = world.vault.createVersion(KEK);
    world.vault.createVersion(other);
    for (const kek of [KEK, other]) await world.app.reconcileKek({ kek, cause: { kind: 'sweep' } }, null);
    world.queue.clear();
    const gate = Promise.withResolvers<void>();
    const begun: string[] = [];
    world.vault.hook = async ({ kek, use }) => {
      if (use !== 'rewrap') return null;
      begun.push(kek.vault);
      await gate.promise;
      return null;
    };
    const alone = (id: string) => world.rangeOf({ from: id, to: id });
    const ranges = await Promise.all(['s001', 's002', 's003', 's004'].map(alone));
    const running = [
      ...ranges,
      await world.rangeOf({ kek: other, epoch: (await world.kek(other)).epoch }),
    ].map((range) => world.app.rewrapDeks(range));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(begun.toSorted()).toEqual([KEK.vault, KEK.vault, other.vault]);
    gate.resolve();
    await Promise.all(running);
    expect(new Set(await versionsOf(world))).toEqual(new Set([second]));
  });

  test('a range that waited for its turn is read when it has it: what others did meanwhile is not unwrapped again', async () => {
    const { world, second } = await beginRotation(6);
    const other = world.startInstance();
    const alone = (id: string) => world.rangeOf({ from: id, to: id });
    const gate = Promise.withResolvers<void>();
    const unwrapped: number[] = [];
    let isHeld = true;
    world.vault.hook = async ({ use }) => {
      if (use !== 'rewrap') return null;
      unwrapped.push(1);
      if (isHeld) await gate.promise;
      return null;
    };
    const twice = await world.rangeOf({ from: 's003', to: 's006' });
    const [one, two] = await Promise.all([alone('s001'), alone('s002')]);
    const running = [one, two, twice].map((range) => world.app.rewrapDeks(range));
    await new Promise((resolve) => setTimeout(resolve, 20));
    isHeld = false;
    await other.rewrapDeks(twice);
    gate.resolve();
    await Promise.all(running);
    expect(new Set(await versionsOf(world))).toEqual(new Set([second]));
    // One of each server, and the proofs of the three ranges.
    expect(unwrapped).toHaveLength(9);
  });
});
