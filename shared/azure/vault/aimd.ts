// The decisions of a vault's limiter: a token bucket whose rate rises by addition and falls by multiplication.
// Pure: times are milliseconds of any one clock, budgets are parts of what a vault gives in 10 s (vault-limits.ts).

export interface AimdState {
  /** The highest rate, budget per second. */
  readonly ceiling: number;
  /** The rate now, budget per second. */
  readonly rate: number;
  /** Budget that may be spent at once. */
  readonly tokens: number;
  readonly refilledAt: number;
  readonly raisedAt: number;
  /** Nothing is sent before. */
  readonly pausedUntil: number;
  /** When the rate was last cut: calls sent until then belong to the same burst of 429s. */
  readonly cutAt: number;
  /** Bursts of 429s since the last success. */
  readonly burst: number;
}

/** Tokens for so many seconds may gather: enough to make up for a late timer. */
const GATHER_SECONDS = 0.25;
/** Raised by this part of the ceiling each second that calls succeed. */
const RAISE_PER_SECOND = 0.02;
const CUT = 0.8;
const FLOOR = 0.02;
/** Without Retry-After: 1, 2, 4, 8, 16 s (azure-docs key-vault/general/overview-throttling). */
export const BACKOFF_SECONDS: readonly number[] = [1, 2, 4, 8, 16];
const LONGEST_PAUSE_SECONDS = 60;

/** A limiter that starts at its ceiling. */
export const startAimd = (ceiling: number, now: number): AimdState => ({
  ceiling,
  rate: ceiling,
  tokens: ceiling * GATHER_SECONDS,
  refilledAt: now,
  raisedAt: now,
  pausedUntil: now,
  cutAt: now - 1,
  burst: 0,
});

/** Takes `cost` if it may be spent now; else says in how many milliseconds to ask again, at least one. */
export function takeTokens(
  state: AimdState,
  cost: number,
  now: number,
): { readonly state: AimdState; readonly waitMs: number } {
  if (now < state.pausedUntil) return { state, waitMs: Math.ceil(state.pausedUntil - now) };
  const since = Math.max(state.refilledAt, state.pausedUntil);
  const full = Math.max(state.rate * GATHER_SECONDS, cost);
  const tokens = Math.min(full, state.tokens + (state.rate * Math.max(0, now - since)) / 1000);
  const refilled = { ...state, tokens, refilledAt: now };
  // Sums of fractions aren't exact.
  const missing = cost * (1 - 1e-9) - tokens;
  if (missing <= 0) return { state: { ...refilled, tokens: Math.max(0, tokens - cost) }, waitMs: 0 };
  return { state: refilled, waitMs: Math.max(1, Math.ceil((missing / state.rate) * 1000)) };
}

/** A call that was sent at `sentAt` has been answered without a 429. */
export function noteSuccess(state: AimdState, sentAt: number, now: number): AimdState {
  if (sentAt <= state.cutAt) return state;
  const seconds = Math.min(1, (now - state.raisedAt) / 1000);
  const rate = Math.min(state.ceiling, state.rate + state.ceiling * RAISE_PER_SECOND * seconds);
  return { ...state, rate, raisedAt: now, burst: 0 };
}

/** A call that was sent at `sentAt` has been answered with a 429. Calls of one burst cut the rate once. */
export function noteThrottled(
  state: AimdState,
  sentAt: number,
  retryAfterSeconds: number | null,
  now: number,
): AimdState {
  const pauseUntil = (seconds: number) =>
    Math.max(state.pausedUntil, now + Math.min(seconds, LONGEST_PAUSE_SECONDS) * 1000);
  if (sentAt <= state.cutAt) {
    return retryAfterSeconds === null ? state : { ...state, pausedUntil: pauseUntil(retryAfterSeconds) };
  }
  const step = Math.min(state.burst, BACKOFF_SECONDS.length - 1);
  return {
    ...state,
    rate: Math.max(state.ceiling * FLOOR, state.rate * CUT),
    tokens: 0,
    raisedAt: now,
    pausedUntil: pauseUntil(retryAfterSeconds ?? BACKOFF_SECONDS[step] ?? 1),
    cutAt: now,
    burst: state.burst + 1,
  };
}
