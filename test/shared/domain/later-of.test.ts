import { expect, test } from 'vitest';
import { laterOf } from '../../../shared/domain/later-of.ts';

const early = new Date('2026-11-24T11:00:00Z');
const late = new Date('2026-11-24T12:00:00Z');

test.each([
  ['the later, whichever comes first', early, late, late],
  ['the later, whichever comes first', late, early, late],
  ['the only one', early, null, early],
  ['the only one', null, early, early],
  ['null where there is none', null, null, null],
])('is %s', (_name, one, other, expected) => {
  expect(laterOf(one, other)).toBe(expected);
});

test('of the same instant twice is that instant', () => {
  expect(laterOf(new Date(early), early)).toEqual(early);
});
