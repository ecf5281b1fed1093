// So many a minute of each of many things, in this process.
import { type TokenBucket, takeToken } from '../domain/token-bucket.ts';
import type { Clock } from '../ports/runtime.ts';

/** Seconds to wait; 0: go ahead, and it is counted. */
export type LimitPerKey = (key: string) => number;

/** @param kept how many are remembered; the one asked about longest ago is forgotten first, and starts anew */
export function makeLimitPerKey(options: {
  readonly perMinute: number;
  readonly clock: Pick<Clock, 'now'>;
  readonly kept?: number;
}): LimitPerKey {
  const { perMinute, clock, kept = 10_000 } = options;
  const buckets = new Map<string, TokenBucket>();
  return (key) => {
    const { bucket, waitSeconds } = takeToken(buckets.get(key), perMinute, clock.now());
    buckets.delete(key);
    buckets.set(key, bucket);
    for (const oldest of buckets.keys()) {
      if (buckets.size <= kept) break;
      buckets.delete(oldest);
    }
    return waitSeconds;
  };
}
