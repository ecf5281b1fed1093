// What the clients of tables, blobs and queues have in common: how long they wait, and what it is called when they give up.
import type { StoragePipelineOptions } from '@azure/storage-blob';
import { CmkError, describeError } from '../domain/errors.ts';

export const PIPELINE = {
  retryOptions: { maxTries: 3, tryTimeoutInMs: 10_000, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 },
} as const satisfies StoragePipelineOptions;

/** Of a call with its tries: what the app sends and reads in one is small, so an answer that takes longer won't come. */
const CALL_MILLISECONDS = 10_000;

/**
 * Ends a call that gets no answer, or only the beginning of one. The SDKs don't: `tryTimeoutInMs` is told to the
 * service only, and a connection that went dead would be waited on for ever.
 */
export async function withinLimit<T>(call: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = startLimit();
  try {
    return await call(limit.abortSignal);
  } finally {
    limit.stop();
  }
}

/** For what takes several answers: each may take as long as a call. */
export function startLimit(): {
  readonly abortSignal: AbortSignal;
  /** From now on nothing is waited for. */
  stop(): void;
  /** From now on the next answer is waited for. */
  again(): void;
} {
  const controller = new AbortController();
  const start = () => setTimeout(() => controller.abort(), CALL_MILLISECONDS);
  let timer = start();
  const stop = () => clearTimeout(timer);
  return {
    abortSignal: controller.signal,
    stop,
    again: () => {
      stop();
      timer = start();
    },
  };
}

/** @param what couldn't be done, for a person */
export const storageUnavailable = (what: string, cause: unknown): CmkError =>
  new CmkError('StoreUnavailable', `${what}: ${describeError(cause)}`, {
    remedy: 'Nothing if storage has an outage. Otherwise check the connection and the role on the account.',
    retryable: true,
    cause,
  });
