// Retries of one server's work. Each row has one chain of retries: its attempt number names the message that may go
// on with it, so a duplicate message, or a range that passes by, starts no second chain.

export interface Retry {
  readonly message: string;
  readonly since: Date;
  readonly attempt: number;
  readonly nextAttemptAt: Date;
}

const FIRST_DELAY_SECONDS = 5;
const LONGEST_DELAY_SECONDS = 60;
/** How long a chain that should have gone on is waited for before a range takes the server up again. */
const LOST_AFTER_SECONDS = 60;

/** Seconds to wait before attempt number `attempt` + 1: 5, doubling to 60. */
export const retryDelaySeconds = (attempt: number): number =>
  Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** Math.min(attempt - 1, 10));

/** The retry after one more failure. */
export function nextRetry(previous: Retry | null, message: string, now: Date): Retry {
  const attempt = (previous?.attempt ?? 0) + 1;
  return {
    message,
    since: previous?.since ?? now,
    attempt,
    nextAttemptAt: new Date(now.getTime() + retryDelaySeconds(attempt) * 1000),
  };
}

/**
 * Whether the work may be tried now.
 * @param attempt the attempt that a retry message carries; null for a range that passes by
 */
export function mayAttempt(retry: Retry | null, attempt: number | null, now: Date): boolean {
  if (retry === null) return attempt === null;
  if (attempt !== null) return attempt === retry.attempt;
  return now.getTime() - retry.nextAttemptAt.getTime() > LOST_AFTER_SECONDS * 1000;
}

/**
 * The retry of work whose chain has broken off, or that never began one: whatever passes by may go on with it at once.
 * It is a note for people, and holds nothing back.
 */
export function brokenRetry(previous: Retry | null, message: string, now: Date): Retry {
  const overdue = new Date(now.getTime() - (LOST_AFTER_SECONDS + 1) * 1000);
  return { message, since: previous?.since ?? now, attempt: previous?.attempt ?? 1, nextAttemptAt: overdue };
}
