import { describe, expect, test } from 'vitest';
import { parseSchedule } from '../../../local/host/schedule.ts';

function next(schedule: string, after: string, timezone = 'UTC'): string {
  return parseSchedule(schedule, timezone).next(new Date(after)).toISOString();
}

describe('parseSchedule', () => {
  test.each([
    ['*/10 * * * * *', '2026-01-01T00:00:00Z', '2026-01-01T00:00:10.000Z'],
    ['*/10 * * * * *', '2026-01-01T00:00:09.500Z', '2026-01-01T00:00:10.000Z'],
    ['0 */5 * * * *', '2026-01-01T00:05:00Z', '2026-01-01T00:10:00.000Z'],
    ['*/5 * * * *', '2026-01-01T00:05:01Z', '2026-01-01T00:10:00.000Z'],
    ['0 30 9 * Jan Mon', '2026-01-01T00:00:00Z', '2026-01-05T09:30:00.000Z'],
    ['0 30 9 * January Monday', '2026-01-01T00:00:00Z', '2026-01-05T09:30:00.000Z'],
    // Day of month and day of week must both hold: the next Friday that is a 13th.
    ['0 0 0 13 * 5', '2026-01-01T00:00:00Z', '2026-02-13T00:00:00.000Z'],
    ['00:00:30', '2026-01-01T00:00:00Z', '2026-01-01T00:00:30.000Z'],
    ['1.00:00:00', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00.000Z'],
  ])('%s after %s', (schedule, after, expected) => {
    expect(next(schedule, after)).toBe(expected);
  });

  test('counts in the time zone of the app', () => {
    expect(next('0 0 9 * * *', '2026-01-01T00:00:00Z', 'Europe/Berlin')).toBe('2026-01-01T08:00:00.000Z');
  });

  test.each([
    '',
    '* * * *',
    '* * * * * * *',
    '@hourly',
    '0 0 0 L * *',
    '0 0 0 ? * 5#2',
    '61 * * * * *',
    '00:00:00',
  ])('refuses %j', (schedule) => {
    expect(() => parseSchedule(schedule, 'UTC')).toThrow();
  });
});
