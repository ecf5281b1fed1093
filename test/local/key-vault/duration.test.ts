import { expect, test } from 'vitest';
import { parseDurationSeconds } from '../../../local/key-vault/duration.ts';
import { DAY } from './emulator-fixture.ts';

test.each([
  ['P30D', 30],
  ['P2W', 14],
  ['P1M', 30],
  ['P2Y', 730],
  ['P1Y2M3D', 428],
  ['P0D', 0],
])('%s is %i days', (text, days) => {
  expect(parseDurationSeconds(text)).toBe(days * DAY);
});

test.each(['', 'P', '30D', 'PT5H', 'P30', 'P-1D', 'P1D2Y', ' P1D'])('%j is none', (text) => {
  expect(parseDurationSeconds(text)).toBeNull();
});
