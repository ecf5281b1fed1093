// How often something may happen: so many at once, and no more than that many a minute for long.

export interface TokenBucket {
  readonly tokens: number;
  readonly filledAt: Date;
}

/** The bucket afterwards, and how long to wait: 0 where a token was taken, else none was. */
export interface TakenToken {
  readonly bucket: TokenBucket;
  readonly waitSeconds: number;
}

/** @param bucket undefined: a full one */
export function takeToken(bucket: TokenBucket | undefined, perMinute: number, now: Date): TakenToken {
  // A clock that was put back fills nothing, and takes nothing away.
  const passedMs = bucket === undefined ? 0 : Math.max(0, now.getTime() - bucket.filledAt.getTime());
  const before = bucket?.tokens ?? perMinute;
  const tokens = Math.min(perMinute, before + (passedMs / 60_000) * perMinute);
  if (tokens >= 1) return { bucket: { tokens: tokens - 1, filledAt: now }, waitSeconds: 0 };
  return { bucket: { tokens, filledAt: now }, waitSeconds: Math.ceil(((1 - tokens) * 60) / perMinute) };
}
