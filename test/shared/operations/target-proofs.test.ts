import { describe, expect, test } from 'vitest';
import { canaryOf } from '../../../shared/domain/canary.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const prepare = async () => {
  const world = makeWorld();
  const version = world.vault.createVersion(KEK);
  const { proofs } = world.startInstance();
  const described = await world.vault.describeVersion(KEK, version);
  if (!described.ok || described.value.publicKey === null) throw new Error('not described');
  const canary = await world.vault.wrap(described.value.publicKey, canaryOf(KEK, version));
  return { world, version, proofs, canary, prove: () => proofs.prove(KEK, version, canary) };
};

describe('what is remembered of a version', () => {
  test('for 60 s what the vault said of it, and that its canary came back', async () => {
    const { world, version, proofs } = await prepare();
    expect(proofs.recall(KEK, version)).toBeUndefined();
    expect(proofs.isGood(KEK, version)).toBe(false);
    const said = await proofs.inspect(KEK, version);
    proofs.noteGood(KEK, version);
    world.clock.advance(59);
    expect(proofs.recall(KEK, version)).toEqual(said);
    expect(proofs.isGood(KEK, version)).toBe(true);
    world.clock.advance(1);
    expect(proofs.recall(KEK, version)).toBeUndefined();
    expect(proofs.isGood(KEK, version)).toBe(false);
  });

  test('nothing of a vault that did not answer', async () => {
    const { world, version, proofs } = await prepare();
    world.vault.hook = () => httpFault(503, null);
    expect(await proofs.inspect(KEK, version)).toMatchObject({ ok: false });
    expect(proofs.recall(KEK, version)).toBeUndefined();
  });

  test.each([
    [{ keyType: 'EC' }, 'a key of type EC: RSA of 2048 to 4096 bits is asked for'],
    [{ bits: 1024 }, 'a key of type RSA and 1024 bits: RSA of 2048 to 4096 bits is asked for'],
  ])(
    'a key that nothing can be wrapped under is inspected, and never described or proven: %j',
    async (options, what) => {
      const { world, proofs } = await prepare();
      const version = world.vault.createVersion(KEK, options);
      expect(await proofs.inspect(KEK, version)).toMatchObject({ ok: true, value: { publicKey: null } });
      expect(await proofs.describe(KEK, version)).toMatchObject({
        ok: false,
        fault: { kind: 'answer', what },
      });
      proofs.noteGood(KEK, version);
      expect(await proofs.prove(KEK, version, 'x')).toEqual({
        proven: false,
        reason: 'UnexpectedAnswer',
        transient: true,
      });
    },
  );
});

describe('prove', () => {
  test('costs two calls, is good for 60 s, and is made anew after that', async () => {
    const { world, prove } = await prepare();
    const before = world.vault.calls.length;
    expect(await prove()).toMatchObject({ proven: true, publicKey: { bits: 2048 } });
    world.clock.advance(59);
    expect(await prove()).toMatchObject({ proven: true });
    expect(world.vault.calls.length - before).toBe(2);
    world.clock.advance(1);
    await prove();
    expect(world.vault.calls.length - before).toBe(4);
  });

  test('a canary that was seen to unwrap is a proof, once the public key is known', async () => {
    const { world, version, proofs, prove } = await prepare();
    proofs.noteGood(KEK, version);
    await proofs.describe(KEK, version);
    const before = world.vault.calls.length;
    expect(await prove()).toMatchObject({ proven: true });
    expect(world.vault.calls.length).toBe(before);
  });

  test.each([
    ['disabled', { enabled: false }, 'KeyDisabled'],
    ['expired', { expiresOn: new Date('2029-01-01T00:00:00Z') }, 'KeyExpired'],
    ['not yet valid', { notBefore: new Date('2031-01-01T00:00:00Z') }, 'KeyNotYetValid'],
  ])('%s: refused', async (_, change, reason) => {
    const { world, version, prove } = await prepare();
    world.vault.update(KEK, version, change);
    expect(await prove()).toEqual({ proven: false, reason, transient: false });
  });

  test('refused where the version cannot be read, or its canary does not come back', async () => {
    const { world, version, prove } = await prepare();
    world.vault.hook = (call) => (call.kind === 'unwrap' ? { kind: 'network', cause: 'reset' } : null);
    expect(await prove()).toEqual({ proven: false, reason: 'VaultUnreachable', transient: true });
    world.vault.hook = () => httpFault(404, 'KeyNotFound');
    expect(await prove()).toEqual({ proven: false, reason: 'KeyNotFound', transient: false });
    world.vault.hook = () => httpFault(429, null);
    expect(await prove()).toEqual({ proven: false, reason: 'Throttled', transient: true });
    world.vault.hook = null;
    world.vault.corrupt(KEK, version);
    expect(await prove()).toEqual({ proven: false, reason: 'CanaryMismatch', transient: false });
  });

  test('remembers 10,000 versions, and forgets the one that was noted longest ago', async () => {
    const { world, version, proofs, prove } = await prepare();
    await prove();
    for (let index = 0; index < 9_999; index += 1) proofs.noteGood(KEK, index.toString(16).padStart(32, '0'));
    const before = world.vault.calls.length;
    await prove();
    expect(world.vault.calls.length).toBe(before);
    proofs.noteGood(KEK, 'f'.repeat(32));
    await prove();
    expect(world.vault.calls.length).toBe(before + 2);
    expect(version).toHaveLength(32);
  });
});
