import { describe, expect, test } from 'vitest';
import { Dek } from '../../../shared/domain/dek.ts';
import { makeWrapping, rewrapDek, wrapDek } from '../../../shared/operations/make-wrapping.ts';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const begin = async () => {
  const world = makeWorld();
  const first = await world.begin(1);
  world.clock.advance(60);
  const second = world.vault.createVersion(KEK);
  await world.hint();
  await world.queue.drain();
  const { vault, random } = world;
  const deps = { vault, localWrap: vault, proofs: world.app.proofs, random };
  return { world, first, second, deps };
};

describe('a wrapping', () => {
  test('is of a new DEK each time, bound to its server', async () => {
    const { world, second, deps } = await begin();
    const version = await world.version(second);
    const wrapped = await makeWrapping(deps, KEK, 'db-1', version);
    expect(wrapped).toMatchObject({ kekVersion: second, format: 'bound-1' });
    expect((await makeWrapping(deps, KEK, 'db-1', version)).dekId).not.toBe(wrapped.dekId);
    await expect(unwrapDek(world.vault, KEK, 'db-2', wrapped)).rejects.toMatchObject({
      code: 'DekBindingMismatch',
    });
  });

  test('of a DEK that is there is of that very DEK, under another version', async () => {
    const { world, first, second, deps } = await begin();
    const wrapped = await makeWrapping(deps, KEK, 'db-1', await world.version(first));
    const next = await rewrapDek(deps, KEK, 'db-1', wrapped, await world.version(second));
    expect(next).toMatchObject({ kekVersion: second, dekId: wrapped.dekId });
    using dek = await unwrapDek(world.vault, KEK, 'db-1', next);
    expect(dek.id).toBe(wrapped.dekId);
  });

  test.each([
    ['disabled', { enabled: false }, { retryable: false, detail: { reason: 'KeyDisabled' } }],
    ['expired', { expiresOn: new Date(0) }, { retryable: false, detail: { reason: 'KeyExpired' } }],
  ])('I-03: is not made under a version that is %s', async (_, change, expected) => {
    const { world, second, deps } = await begin();
    world.clock.advance(60);
    world.vault.update(KEK, second, change);
    using dek = new Dek(world.random.bytes(32));
    await expect(wrapDek(deps, KEK, 'db-1', dek, await world.version(second))).rejects.toMatchObject({
      code: 'KekNotProven',
      ...expected,
    });
  });

  test('I-02: nor while the vault cannot be asked, which passes', async () => {
    const { world, second, deps } = await begin();
    world.clock.advance(60);
    world.vault.setVault(KEK.vault, { outage: { kind: 'network', cause: 'timeout' } });
    using dek = new Dek(world.random.bytes(32));
    const bare = { version: second, canary: null };
    await expect(wrapDek(deps, KEK, 'db-1', dek, bare)).rejects.toMatchObject({
      code: 'KekNotProven',
      retryable: true,
    });
  });
});
