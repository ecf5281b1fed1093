import { describe, expect, test } from 'vitest';
import { makeThrottle, type ThrottledCall, type ThrottleLimits } from '../../../local/key-vault/throttle.ts';

const vaultRead: ThrottledCall = { key: null, makesKey: false };
const use = (kty: 'RSA' | 'RSA-HSM', bits: 2048 | 3072 | 4096): ThrottledCall => ({
  key: { kty, bits },
  makesKey: false,
});

function start() {
  const clock = { ms: 0 };
  const throttle = makeThrottle(() => clock.ms);
  const admitted = (call: ThrottledCall, limits: ThrottleLimits = 'published') => {
    let count = 0;
    while (count < 10_000 && throttle.admit(call, limits) === null) count++;
    return count;
  };
  return { clock, throttle, admitted };
}

test.each<[string, ThrottledCall, number]>([
  ['RSA 2048', use('RSA', 2048), 4000],
  ['RSA 3072', use('RSA', 3072), 1000],
  ['RSA 4096', use('RSA', 4096), 500],
  ['RSA-HSM 2048', use('RSA-HSM', 2048), 2000],
  ['RSA-HSM 3072', use('RSA-HSM', 3072), 500],
  ['RSA-HSM 4096', use('RSA-HSM', 4096), 250],
  ['no key', vaultRead, 4000],
  ['making RSA', { key: null, makesKey: true }, 20],
  ['making RSA-HSM', { key: { kty: 'RSA-HSM', bits: 2048 }, makesKey: true }, 10],
])('%s: the published limit in 10 seconds', (_name, call, limit) => {
  expect(start().admitted(call)).toBe(limit);
});

test('mixed loads add up as fractions; making keys has its own sum', () => {
  const { throttle, admitted } = start();
  for (let count = 0; count < 125; count++) throttle.admit(use('RSA-HSM', 4096), 'published');
  expect(admitted(use('RSA', 2048))).toBe(2000);
  expect(admitted({ key: null, makesKey: true })).toBe(20);
});

test('a number limits all kinds together, and off none', () => {
  const { throttle, admitted } = start();
  expect(throttle.admit({ key: null, makesKey: true }, 5)).toBeNull();
  expect(admitted(vaultRead, 5)).toBe(4);
  expect(admitted(vaultRead, 'off')).toBe(10_000);
});

describe('the window slides', () => {
  test('and refused calls count nothing', () => {
    const { clock, throttle, admitted } = start();
    expect(admitted(vaultRead, 10)).toBe(10);
    clock.ms = 5000;
    expect(admitted(vaultRead, 10)).toBe(0);
    for (let count = 0; count < 100; count++) throttle.admit(vaultRead, 10);
    clock.ms = 9999;
    expect(admitted(vaultRead, 10)).toBe(0);
    clock.ms = 10_000;
    expect(admitted(vaultRead, 10)).toBe(10);
  });

  test('what was spent later is free later', () => {
    const { clock, throttle, admitted } = start();
    for (let count = 0; count < 4; count++) throttle.admit(vaultRead, 10);
    clock.ms = 6000;
    expect(admitted(vaultRead, 10)).toBe(6);
    expect(throttle.admit(vaultRead, 10)).toBe(4);
    clock.ms = 10_500;
    expect(admitted(vaultRead, 10)).toBe(4);
    expect(throttle.admit(vaultRead, 10)).toBe(6);
    clock.ms = 60_000;
    expect(admitted(vaultRead, 10)).toBe(10);
  });
});
