// The storage queues between the functions.
import type { ProbeMessage, RangeMessage, ReconcileMessage } from '../domain/message.ts';

export interface WorkQueue {
  /** Each is visible after `delaySeconds`. @throws CmkError StoreUnavailable (retryable) */
  enqueueReconcile(message: ReconcileMessage, delaySeconds?: number): Promise<void>;
  enqueueRewrap(messages: readonly RangeMessage[], delaySeconds?: number): Promise<void>;
  enqueueAccess(messages: readonly RangeMessage[], delaySeconds?: number): Promise<void>;
  enqueueProbe(message: ProbeMessage): Promise<void>;
}
