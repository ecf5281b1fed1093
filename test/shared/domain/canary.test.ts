import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { canaryOf, isCanary } from '../../../shared/domain/canary.ts';
import { KEK, V1, V2 } from './states.ts';

test('the canary is SHA-256 of its name and the key version id', () => {
  const expected = createHash('sha256')
    .update(`pg-cmk/canaryhttps://contoso.vault.azure.net/keys/kek/${V1}`)
    .digest();
  expect(Buffer.from(canaryOf(KEK, V1))).toEqual(expected);
});

test('only the canary of that very version is accepted', () => {
  const canary = canaryOf(KEK, V1);
  expect(isCanary(canary, KEK, V1)).toBe(true);
  expect(isCanary(canary, KEK, V2)).toBe(false);
  expect(isCanary(canary, { ...KEK, name: 'other' }, V1)).toBe(false);
  expect(isCanary(canary, { ...KEK, vault: 'other.vault.azure.net' }, V1)).toBe(false);
});

test('bytes of another length are no canary', () => {
  const canary = canaryOf(KEK, V1);
  expect(isCanary(canary.subarray(0, 31), KEK, V1)).toBe(false);
  expect(isCanary(new Uint8Array([...canary, 0]), KEK, V1)).toBe(false);
  expect(isCanary(new Uint8Array(), KEK, V1)).toBe(false);
});
