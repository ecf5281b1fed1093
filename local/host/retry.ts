// Retry policies of a function. The real host honours them for timers and Event Hubs only (azure-facts.md 2.4).
import { setTimeout as sleep } from 'node:timers/promises';
import type { RetryContext, RetryOptions } from './core-types.ts';
import type { Invoke } from './invoke.ts';

/** Runs attempts until one succeeds, the policy is used up (-1: never) or `signal` fires. */
export function makeRetryingInvoke(invoke: Invoke, signal: AbortSignal): Invoke {
  return async (fn, input) => {
    const policy = fn.metadata.retryOptions;
    let outcome = await invoke(fn, input);
    for (let retryCount = 1; !outcome.ok && policy !== undefined; retryCount += 1) {
      if (policy.maxRetryCount !== -1 && retryCount > policy.maxRetryCount) break;
      const { message, stack = '' } = outcome.error;
      const retry: RetryContext = {
        retryCount,
        maxRetryCount: policy.maxRetryCount,
        exception: { source: fn.name, message, stackTrace: stack },
      };
      const stopped = await sleep(toDelayMs(policy, retryCount), false, { signal }).catch(() => true);
      if (stopped) break;
      outcome = await invoke(fn, input, retry);
    }
    return outcome;
  };
}

function toDelayMs(policy: RetryOptions, retryCount: number): number {
  if (policy.retryStrategy === 'fixedDelay') return (policy.delayInterval?.seconds ?? 0) * 1000;
  const minimum = (policy.minimumInterval?.seconds ?? 0) * 1000;
  const maximum = (policy.maximumInterval?.seconds ?? 0) * 1000;
  return Math.min(maximum, minimum + backOffMs(retryCount, minimum));
}

/** The host's randomized exponential step: ±20 % around `deltaMs` doubled with every attempt. */
export function backOffMs(attempt: number, deltaMs: number): number {
  return (0.8 + Math.random() * 0.4) * 2 ** (attempt - 1) * deltaMs;
}
