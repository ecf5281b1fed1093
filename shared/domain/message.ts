// What travels in the queues. Messages carry a range and an epoch, never the action: the worker derives the action
// from the rows as they are.
import type { Cause } from './audit.ts';
import type { KekId } from './key-id.ts';

export type QueueName = 'reconcile-keks' | 'rewrap-deks' | 'server-access' | 'probe-keks';

/** Look at this KEK. */
export interface ReconcileMessage {
  readonly kek: KekId;
  readonly cause: Cause;
  /** When that happened which led here, as a hint says; nothing is decided by it. */
  readonly hintedAt?: Date | undefined;
}

/** Look at these servers of a KEK, `from` and `to` included. One server's own retry has `from` = `to` and an attempt. */
export interface RangeMessage {
  readonly kek: KekId;
  readonly epoch: number;
  readonly from: string;
  readonly to: string;
  readonly attempt: number | null;
  readonly cause: Cause;
}

/** The cause of a pass that counts how far a rotation is, and opens its next wave or halts it. */
export const ROTATION_COUNT: Cause = { kind: 'followUp', of: 'rotation' };

export const isRotationCount = (cause: Cause): boolean =>
  cause.kind === 'followUp' && cause.of === 'rotation';

/**
 * A look at one server. No fan-out overtakes it: it may be for something that the fan-out came too early for, such as
 * the end of a drain. Attempt 0 begins no chain of retries, and goes on with none.
 */
export const toLook = (kek: KekId, serverId: string, cause: Cause, attempt = 0): RangeMessage => ({
  kek,
  epoch: 0,
  from: serverId,
  to: serverId,
  attempt,
  cause,
});

/** Probe these KEKs: one shard of a large fleet of keys. */
export interface ProbeMessage {
  readonly keks: readonly KekId[];
}

/** At most this many servers in a range: two transactions of 49 rows, 49 histories and an outbox row. */
export const RANGE_SERVERS = 98;
export const BATCH_SERVERS = 49;

/** Whether a newer epoch has been fanned out in full, so that its messages cover whatever this one was for. */
export const isOvertaken = (message: RangeMessage, fannedOutEpoch: number): boolean =>
  message.attempt === null && message.epoch < fannedOutEpoch;
