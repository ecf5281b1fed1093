import { describe, expect, test } from 'vitest';
import { type TokenBucket, takeToken } from '../../../shared/domain/token-bucket.ts';

const at = (seconds: number) => new Date(Date.UTC(2030, 0, 1) + seconds * 1000);

/** The waits of a run of takings at these seconds. */
function waits(perMinute: number, seconds: readonly number[]): readonly number[] {
  let bucket: TokenBucket | undefined;
  return seconds.map((second) => {
    const taken = takeToken(bucket, perMinute, at(second));
    bucket = taken.bucket;
    return taken.waitSeconds;
  });
}

describe('takeToken', () => {
  test('gives as many at once as the minute has, then says how long to wait', () => {
    expect(waits(3, [0, 0, 0, 0])).toEqual([0, 0, 0, 20]);
  });

  test('one more for each part of the minute that passed; what was refused costs nothing', () => {
    expect(waits(3, [0, 0, 0, 5, 10, 20, 20])).toEqual([0, 0, 0, 15, 10, 0, 20]);
  });

  test('waiting as long as was said is enough', () => {
    expect(waits(7, [0, 0, 0, 0, 0, 0, 0, 0, 9])).toEqual([0, 0, 0, 0, 0, 0, 0, 9, 0]);
  });

  test('never holds more than a minute has', () => {
    expect(waits(2, [0, 600, 600, 600])).toEqual([0, 0, 0, 30]);
  });

  test('a clock that is put back gives nothing and takes nothing', () => {
    expect(waits(1, [100, 40, 70, 100])).toEqual([0, 60, 30, 0]);
  });
});
