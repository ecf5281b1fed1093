// One limiter per vault and process (design 7): aimd.ts decides, this waits. Only rewraps wait here; probes and
// DEK releases pass by, and tell it of their 429s.
import { makeLane } from '../../domain/lane.ts';
import type { VaultAnswer } from '../../domain/vault-answer.ts';
import type { Clock } from '../../ports/runtime.ts';
import {
  type AimdState,
  BACKOFF_SECONDS,
  noteSuccess,
  noteThrottled,
  startAimd,
  takeTokens,
} from './aimd.ts';

export interface VaultLimiter {
  /**
   * Runs one vault call when its turn comes, and again after each 429, up to five times; then the 429 is the answer.
   * @param cost of the call, in parts of what the vault gives in 10 s
   */
  run<T>(cost: number, call: () => Promise<VaultAnswer<T>>): Promise<VaultAnswer<T>>;
  /** What became of a call that didn't wait here. `sentAt` is milliseconds of the limiter's clock. */
  observe(answer: VaultAnswer<unknown>, sentAt: number): void;
  /** Part of the ceiling in use, 0 to 1. */
  readonly level: number;
}

/** @param ceiling budget per second, see vault-limits.ts */
export function makeVaultLimiter(options: {
  readonly ceiling: number;
  readonly concurrency: number;
  readonly clock: Clock;
}): VaultLimiter {
  const { clock } = options;
  const now = () => clock.now().getTime();
  const lane = makeLane(options.concurrency);
  const turnstile = makeLane(1);
  let state: AimdState = startAimd(options.ceiling, now());

  const take = (cost: number) =>
    turnstile.run(async () => {
      for (;;) {
        const taken = takeTokens(state, cost, now());
        state = taken.state;
        if (taken.waitMs === 0) return;
        await clock.sleep(taken.waitMs);
      }
    });

  /** Whether it was a 429, which slows the limiter down. */
  const noteIfThrottled = (answer: VaultAnswer<unknown>, sentAt: number): boolean => {
    if (answer.ok || answer.fault.kind !== 'http' || answer.fault.status !== 429) return false;
    state = noteThrottled(state, sentAt, answer.fault.retryAfterSeconds, now());
    return true;
  };

  return {
    run: (cost, call) =>
      lane.run(async () => {
        for (let retries = 0; ; retries += 1) {
          await take(cost);
          const sentAt = now();
          const answer = await call();
          if (!noteIfThrottled(answer, sentAt)) {
            // A call that never reached the vault says nothing about its limit.
            if (answer.ok || answer.fault.kind === 'http') state = noteSuccess(state, sentAt, now());
            return answer;
          }
          if (retries === BACKOFF_SECONDS.length) return answer;
        }
      }),
    observe(answer, sentAt) {
      noteIfThrottled(answer, sentAt);
    },
    get level() {
      return state.rate / state.ceiling;
    },
  };
}
