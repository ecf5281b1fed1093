// What the clients of blobs and of queues have in common: how long they try, and what it is called when they give up.
import type { StoragePipelineOptions } from '@azure/storage-blob';
import { CmkError, describeError } from '../domain/errors.ts';

export const PIPELINE = {
  retryOptions: { maxTries: 3, tryTimeoutInMs: 10_000, retryDelayInMs: 200, maxRetryDelayInMs: 2_000 },
} as const satisfies StoragePipelineOptions;

/** @param what couldn't be done, for a person */
export const storageUnavailable = (what: string, cause: unknown): CmkError =>
  new CmkError('StoreUnavailable', `${what}: ${describeError(cause)}`, {
    remedy: 'Nothing if storage has an outage. Otherwise check the connection and the role on the account.',
    retryable: true,
    cause,
  });
