import { describe, expect, test } from 'vitest';
import {
  brokenRetry,
  mayAttempt,
  nextRetry,
  type Retry,
  retryDelaySeconds,
} from '../../../shared/domain/retry.ts';
import { at, T0 } from './states.ts';

test.each([
  [1, 5],
  [2, 10],
  [3, 20],
  [4, 40],
  [5, 60],
  [6, 60],
  [5000, 60],
])('after attempt %i it waits %i s', (attempt, seconds) => expect(retryDelaySeconds(attempt)).toBe(seconds));

describe('nextRetry', () => {
  test('the first failure starts a chain', () => {
    expect(nextRetry(null, 'refused', T0)).toEqual({
      message: 'refused',
      since: T0,
      attempt: 1,
      nextAttemptAt: at(5),
    });
  });

  test('the next one goes on with it, since when it began', () => {
    expect(nextRetry(nextRetry(null, 'refused', T0), 'timeout', at(5))).toEqual({
      message: 'timeout',
      since: T0,
      attempt: 2,
      nextAttemptAt: at(15),
    });
  });
});

describe('mayAttempt', () => {
  const retry: Retry = { message: '', since: T0, attempt: 2, nextAttemptAt: at(10) };
  test.each([
    ['a range, where nothing failed', null, null, 0, true],
    ['a retry of a chain that has ended', null, 2, 0, false],
    ['the retry that the row waits for', retry, 2, 0, true],
    ['a duplicate of the retry before', retry, 1, 0, false],
    ['a range while the chain goes on', retry, null, 10, false],
    ['a range when the chain is a minute late', retry, null, 70, false],
    ['a range when it is lost', retry, null, 70.001, true],
    ['an old retry even then', retry, 1, 999, false],
  ])('%s: %#', (_, current, attempt, seconds, may) => {
    expect(mayAttempt(current, attempt, at(seconds))).toBe(may);
  });
});

describe('brokenRetry', () => {
  test('holds nothing back that passes by, and begins no second chain', () => {
    const broken = brokenRetry(null, 'lost', at(100));
    expect(broken).toMatchObject({ message: 'lost', since: at(100), attempt: 1 });
    expect(mayAttempt(broken, null, at(100))).toBe(true);
    expect(mayAttempt(broken, 0, at(100))).toBe(false);
  });

  test('goes on with the chain that was there', () => {
    const chain = nextRetry(nextRetry(null, 'refused', T0), 'timeout', at(5));
    const broken = brokenRetry(chain, 'lost', at(6));
    expect(broken).toMatchObject({ message: 'lost', since: T0, attempt: 2 });
    expect(mayAttempt(broken, null, at(6))).toBe(true);
    expect(mayAttempt(broken, 2, at(6))).toBe(true);
  });
});
