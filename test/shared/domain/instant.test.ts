import { describe, expect, test } from 'vitest';
import { LATEST_INSTANT, toInstantInRange } from '../../../shared/domain/instant.ts';

describe('a date of somebody else', () => {
  test.each([
    ['2026-11-24T12:00:00.123Z', '2026-11-24T12:00:00.123Z'],
    ['9999-12-31T00:00:00.000Z', '9999-12-31T00:00:00.000Z'],
    ['9999-12-31T23:59:59.000Z', '9999-12-31T00:00:00.000Z'],
    ['+010000-01-01T00:00:00.000Z', '9999-12-31T00:00:00.000Z'],
    ['+275760-09-13T00:00:00.000Z', '9999-12-31T00:00:00.000Z'],
    ['1969-12-31T23:59:59.999Z', '1970-01-01T00:00:00.000Z'],
    ['-000001-01-01T00:00:00.000Z', '1970-01-01T00:00:00.000Z'],
  ])('%s is held as %s', (given, held) => {
    expect(toInstantInRange(new Date(given)).toISOString()).toBe(held);
  });

  test('that is none stays none', () => {
    expect(toInstantInRange(new Date('soon')).getTime()).toBeNaN();
  });

  test('a day after the latest is in a year of four digits', () => {
    const later = new Date(LATEST_INSTANT.getTime() + 86_399_999);
    expect(later.toISOString()).toBe('9999-12-31T23:59:59.999Z');
  });
});
