import { expect, test } from 'vitest';
import { ceilingOf, costOf, limitClassOf } from '../../../../shared/azure/vault/vault-limits.ts';

test.each([
  ['RSA-HSM-4096', { share: 0.5, maxInstances: 2 }, 5.625],
  ['RSA-2048', { share: 1, maxInstances: 1 }, 360],
  ['RSA-2048', { share: 1, maxInstances: 1, perTenSeconds: { 'RSA-2048': 1_000 } }, 90],
  ['RSA-3072', { share: 1, maxInstances: 1, perTenSeconds: { 'RSA-2048': 1_000 } }, 90],
] as const)('%s with %j: %d unwraps a second', (limitClass, limits, perSecond) => {
  expect(ceilingOf(limits) / costOf(limitClass, limits)).toBeCloseTo(perSecond, 9);
});

test.each([
  ['RSA', 256, 'RSA-2048'],
  ['RSA', 384, 'RSA-3072'],
  ['RSA-HSM', 512, 'RSA-HSM-4096'],
  ['RSA-HSM', 100, 'RSA-HSM-4096'],
] as const)('a ciphertext of an %s key of %d bytes is of class %s', (keyType, bytes, limitClass) => {
  expect(limitClassOf(keyType, bytes)).toBe(limitClass);
});
