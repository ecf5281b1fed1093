import { expect, test } from 'vitest';
import { findScheduleFault } from '../../shared/ncrontab.ts';

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
