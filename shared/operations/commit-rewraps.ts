// The commit of what a range came to, in transactions, and row by row where somebody else has written meanwhile.
import { decideRewrap } from '../domain/decide-server.ts';
import { isCmkError } from '../domain/errors.ts';
import type { KekSnapshot } from '../domain/kek.ts';
import { BATCH_SERVERS, type RangeMessage } from '../domain/message.ts';
import { retryDelaySeconds } from '../domain/retry.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerStore, ServerWrite } from '../ports/server-store.ts';
import type { Meter } from '../ports/telemetry.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { onConflict } from './on-conflict.ts';
import { type Outcome, toAudit, toWrite } from './rewrap-outcome.ts';

export interface CommitRewrapsDeps {
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly meter: Meter;
}

/** @throws CmkError StoreUnavailable, WriteConflict: what was committed is found done, and the others come again */
export async function commitRewraps(
  deps: CommitRewrapsDeps,
  message: RangeMessage,
  snapshot: KekSnapshot,
  outcomes: readonly Outcome[],
): Promise<void> {
  for (let index = 0; index < outcomes.length; index += BATCH_SERVERS)
    await commitBatch(deps, message, snapshot, outcomes.slice(index, index + BATCH_SERVERS));
}

async function commitBatch(
  deps: CommitRewrapsDeps,
  message: RangeMessage,
  snapshot: KekSnapshot,
  outcomes: readonly Outcome[],
): Promise<void> {
  const now = deps.clock.now();
  const commit = async (batch: readonly Outcome[]) => {
    const writes = batch.map((outcome) => toWrite(outcome, now));
    await deps.servers.commit(message.kek, writes, { audit: toAudit(batch, message.cause, now), events: [] });
    for (const [outcome, ones] of Map.groupBy(batch, ({ kind }) => kind))
      deps.meter.count('pgcmk.rewrap.count', ones.length, { outcome });
    await scheduleRetries(deps, message, writes);
  };
  try {
    await commit(outcomes);
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
    for (const outcome of outcomes) {
      await onConflict(async () => {
        const fresh = await refresh(deps, snapshot, outcome);
        if (fresh !== null) await commit([fresh]);
      });
    }
  }
}

/** The outcome on the row as it is now; null where the wrapping changed meanwhile: then what is in hand is dropped. */
async function refresh(
  deps: CommitRewrapsDeps,
  snapshot: KekSnapshot,
  outcome: Outcome,
): Promise<Outcome | null> {
  const { serverId, kek, wrapped } = outcome.stored.value;
  const stored = await deps.servers.read(kek, serverId);
  if (stored === undefined || stored.value.wrapped.ciphertext !== wrapped.ciphertext) return null;
  const work = decideRewrap(
    stored.value,
    snapshot,
    deps.clock.now(),
    0,
    stored.value.rewrapFailure?.attempt ?? null,
  );
  if (outcome.kind === 'rewrapped' && work.kind !== 'rewrap') return null;
  return { ...outcome, stored };
}

async function scheduleRetries(
  deps: CommitRewrapsDeps,
  message: RangeMessage,
  writes: readonly ServerWrite[],
): Promise<void> {
  for (const { value } of writes) {
    if (value.rewrapFailure === null) continue;
    const { attempt } = value.rewrapFailure;
    const retry = { ...message, from: value.serverId, to: value.serverId, attempt };
    await deps.queue.enqueueRewrap([retry], retryDelaySeconds(attempt));
  }
}
