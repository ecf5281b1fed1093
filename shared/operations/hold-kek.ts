// An operator's hold on a whole key: every server under it loses access, whatever the key says.
import { kekTag } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { isAsked, makeHold, toHoldRecords } from './hold-record.ts';
import { assertMatches } from './if-match.ts';
import { onConflict } from './on-conflict.ts';
import { requireKek } from './require-kek.ts';

export interface HoldKekCommand {
  readonly kek: KekId;
  /** Why; null lifts the hold. */
  readonly reason: string | null;
  readonly by: string;
  /** The ETag that the KEK's row must have, where there is anything to change; null: any. */
  readonly ifMatch: string | null;
}

/**
 * The same command again changes nothing, and has the key looked at once more.
 * @throws CmkError KekNotFound, PreconditionFailed, InvalidRow, StoreUnavailable
 */
export type HoldKek = (command: HoldKekCommand) => Promise<StoredKek>;

export interface HoldKekDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
}

/** A new epoch, so that the reconcile fans out to all servers, whatever the vault says to it. */
export function makeHoldKek({ keks, queue, clock }: HoldKekDeps): HoldKek {
  return async ({ kek, reason, by, ifMatch }) => {
    const cause = { kind: 'operator', by } as const;
    await onConflict(async () => {
      const { value, etag } = (await requireKek(keks, kek)).kek;
      if (isAsked(value.hold, reason, by)) return;
      assertMatches(kekTag(value), ifMatch);
      const now = clock.now();
      const hold = reason === null ? null : makeHold(reason, by, now);
      const audit = toHoldRecords('kek', value.hold, hold, { servers: [], cause, at: now });
      await keks.commit(kek, {
        kek: { value: { ...value, hold, epoch: value.epoch + 1 }, etag },
        versions: [],
        outbox: { audit, events: [] },
      });
    });
    await queue.enqueueReconcile({ kek, cause });
    return await requireKek(keks, kek);
  };
}
