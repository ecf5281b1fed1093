import { describe, expect, test } from 'vitest';
import { unwrapDek } from '../../../shared/operations/unwrap-dek.ts';
import { httpFault } from '../../fakes/key-vault.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

describe('unwrapDek', () => {
  test('gives the DEK of that server, checked against its id', async () => {
    const world = makeWorld();
    await world.begin(1);
    const { wrapped } = await world.row('s001');
    using dek = await unwrapDek(world.vault, KEK, 's001', wrapped);
    expect(dek.id).toBe(wrapped.dekId);
    await expect(unwrapDek(world.vault, KEK, 's002', wrapped)).rejects.toMatchObject({
      code: 'DekBindingMismatch',
    });
    const renamed = { ...wrapped, dekId: '0'.repeat(32) };
    await expect(unwrapDek(world.vault, KEK, 's001', renamed)).rejects.toMatchObject({
      code: 'DekIdMismatch',
    });
  });

  test.each([
    ['400 is about this ciphertext', httpFault(400, 'BadParameter'), 'WrappedDekMalformed', false],
    ['a disabled key', httpFault(403, 'Forbidden', 'KeyDisabled'), 'VaultRefused', false],
    ['a key that is not found', httpFault(404, 'KeyNotFound'), 'VaultRefused', false],
    ['throttling', httpFault(429, 'Throttled'), 'VaultUnavailable', true],
    ['no connection', { kind: 'network', cause: 'timeout' } as const, 'VaultUnavailable', true],
  ])('%s', async (_, fault, code, retryable) => {
    const world = makeWorld();
    await world.begin(1);
    const { wrapped } = await world.row('s001');
    world.vault.hook = () => fault;
    await expect(unwrapDek(world.vault, KEK, 's001', wrapped)).rejects.toMatchObject({ code, retryable });
  });
});
