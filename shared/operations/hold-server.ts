// An operator's hold on one server: its access is revoked whatever its key says, and only an operator lifts it.
import { decideAccess, withDecision, withHold } from '../domain/decide-server.ts';
import { toLook } from '../domain/message.ts';
import type { ServerRow } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { type FindServerDeps, findArrived, findLiveServer } from './find-server.ts';
import type { FinishMove } from './finish-move.ts';
import { isAsked, makeHold, toHoldOutbox } from './hold-record.ts';
import { assertMatches } from './if-match.ts';
import { onConflict } from './on-conflict.ts';
import { requireKek } from './require-kek.ts';
import { toSnapshot } from './snapshot.ts';

export interface HoldServerCommand {
  readonly serverId: string;
  /** Why; null lifts the hold. */
  readonly reason: string | null;
  readonly by: string;
  /** The ETag that the row must have, where there is anything to change; null: any. */
  readonly ifMatch: string | null;
}

/**
 * The same command again changes nothing, and has the server looked at once more.
 * @throws CmkError ServerNotFound, ServerDeleted, ServerMoving (retryable), PreconditionFailed, InvalidRow, StoreUnavailable
 */
export type HoldServer = (command: HoldServerCommand) => Promise<Stored<ServerRow>>;

export interface HoldServerDeps extends FindServerDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly finishMove: FinishMove;
  readonly clock: Clock;
}

/**
 * The decision stands in the row together with the hold, so the DEK is refused from then on; the worker does the rest.
 * So it is with the end of a hold, which leaves the decision to what the key says, read after the row (I-11).
 */
export function makeHoldServer(deps: HoldServerDeps): HoldServer {
  const { servers, queue, clock } = deps;

  return async ({ serverId, reason, by, ifMatch }) => {
    const cause = { kind: 'operator', by } as const;
    const { kek } = await onConflict(async () => {
      // A row that has just arrived takes over what the row it came from says: what is written to it may be lost.
      const stored = await findArrived(deps, serverId, findLiveServer);
      const row = stored.value;
      const now = clock.now();
      if (isAsked(row.hold, reason, by)) return row;
      assertMatches(stored.etag, ifMatch);
      const value =
        reason === null ? await release(deps.keks, row, now) : withHold(row, makeHold(reason, by, now), now);
      await servers.commit(
        row.kek,
        [{ value, etag: stored.etag, history: null }],
        toHoldOutbox({ before: row, after: value }, cause, now),
      );
      return value;
    });
    await queue.enqueueAccess([toLook(kek, serverId, cause)]);
    return await findLiveServer(deps, serverId);
  };
}

async function release(keks: KekStore, row: ServerRow, now: Date): Promise<ServerRow> {
  const snapshot = toSnapshot(await requireKek(keks, row.kek));
  const lifted = { ...row, hold: null };
  return withDecision(lifted, decideAccess(lifted, snapshot, now), now);
}
