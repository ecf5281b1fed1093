import { describe, expect, test } from 'vitest';
import { makeLimitPerKey } from '../../../shared/operations/limit-per-key.ts';
import { FakeClock } from '../../fakes/runtime.ts';

describe('makeLimitPerKey', () => {
  test('each key has its own minute', () => {
    const clock = new FakeClock();
    const limit = makeLimitPerKey({ perMinute: 2, clock });
    expect(['a', 'a', 'a', 'b', 'b', 'b'].map(limit)).toEqual([0, 0, 30, 0, 0, 30]);
    clock.advance(30);
    expect(['a', 'a', 'b'].map(limit)).toEqual([0, 30, 0]);
  });

  test('remembers no more than it may, those asked about last', () => {
    const limit = makeLimitPerKey({ perMinute: 1, clock: new FakeClock(), kept: 2 });
    expect(['a', 'b', 'a', 'c'].map(limit)).toEqual([0, 0, 60, 0]);
    // `b` was forgotten for `c`, and `a` wasn't.
    expect(['a', 'c', 'b'].map(limit)).toEqual([60, 60, 0]);
  });
});
