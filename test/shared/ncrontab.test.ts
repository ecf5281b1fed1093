import { expect, test } from 'vitest';
import { findScheduleFault, longestGapSeconds } from '../../shared/ncrontab.ts';

test.each([
  '*/10 * * * * *',
  '0 0 0 1 1 0',
  '59 59 23 31 dec SAT',
  '0-30/5,45 * 1-5 * 1-3,6 *',
  '0  *  * * * *',
])('takes %j', (schedule) => {
  expect(findScheduleFault(schedule)).toBeNull();
});

test.each([
  ['* * * * *', 'six fields but 5'],
  ['00:00:10', 'six fields but 1'],
  ['60 * * * * *', 'field 1'],
  ['* 5/10 * * * *', 'field 2'],
  ['* * 24 * * *', 'field 3'],
  ['* * * 0 * *', 'field 4'],
  ['* * * * mon *', 'field 5'],
  ['* * * * * 7', 'field 6'],
  ['5-1 * * * * *', 'field 1'],
  ['*/0 * * * * *', 'field 1'],
  ['1,,2 * * * * *', 'field 1'],
  ['1-x * * * * *', 'field 1'],
])('refuses %j, and says where', (schedule, words) => {
  expect(findScheduleFault(schedule)).toContain(words);
});

test.each([
  ['*/10 * * * * *', 10],
  ['* * * * * *', 1],
  ['*/7 * * * * *', 7],
  ['0 * * * * *', 60],
  ['0,5,30 */2 * * * *', 90],
  ['0 */5 * * * *', 300],
  ['0 0 3 * * *', 86_400],
  ['0 30 8-17/3 * * mon-fri', 54_000],
  ['59 59 23,0 * * 1', 82_800],
])('of %j the longest gap is %i s', (schedule, seconds) => {
  expect(longestGapSeconds(schedule)).toBe(seconds);
});

test('of what is no schedule there is no gap', () => {
  expect(longestGapSeconds('never')).toBe(0);
  expect(longestGapSeconds('x x x x x x')).toBe(0);
  expect(longestGapSeconds('1-x * * * * *')).toBe(0);
});
