// An operator's hold on one server: its access is revoked whatever its key says, and only an operator lifts it.
import type { AuditRecord } from '../domain/audit.ts';
import { withHold } from '../domain/decide-server.ts';
import { type Hold, isHeld } from '../domain/kek.ts';
import { toLook } from '../domain/message.ts';
import type { ServerRow } from '../domain/server.ts';
import type { Clock } from '../ports/runtime.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { toOutbox } from './access-record.ts';
import { type FindServerDeps, findLiveServer, isMoving } from './find-server.ts';
import type { FinishMove } from './finish-move.ts';
import { assertMatches } from './if-match.ts';
import { onConflict } from './on-conflict.ts';

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
  readonly queue: WorkQueue;
  readonly finishMove: FinishMove;
  readonly clock: Clock;
}

/**
 * The decision stands in the row together with the hold, so the DEK is refused from then on; the worker does the rest.
 * Lifting decides nothing: what the key says now is for the worker to read.
 */
export function makeHoldServer(deps: HoldServerDeps): HoldServer {
  const { servers, queue, clock } = deps;

  return async ({ serverId, reason, by, ifMatch }) => {
    const cause = { kind: 'operator', by } as const;
    const { kek } = await onConflict(async () => {
      const stored = await findWritable(deps, serverId);
      const row = stored.value;
      const now = clock.now();
      if (isAsked(row.hold, reason, by)) return row;
      assertMatches(stored.etag, ifMatch);
      const value = reason === null ? { ...row, hold: null } : withHold(row, makeHold(reason, by, now), now);
      const decided = toOutbox([{ before: row, after: value }], cause, now);
      const about = { servers: [serverId], reason, cause, at: now };
      const audit = [...toHoldRecords(row.hold, about, 'server'), ...(decided?.audit ?? [])];
      const outbox = audit.length === 0 ? null : { audit, events: [] };
      await servers.commit(row.kek, [{ value, etag: stored.etag, history: null }], outbox);
      return value;
    });
    await queue.enqueueAccess([toLook(kek, serverId, cause)]);
    return await findLiveServer(deps, serverId);
  };
}

/** A row that has just arrived takes over what the row it came from says: what is written to it may be lost. */
async function findWritable(deps: HoldServerDeps, serverId: string): Promise<Stored<ServerRow>> {
  const found = await findLiveServer(deps, serverId);
  if (!found.value.incoming) return found;
  await deps.finishMove(found.value);
  const again = await findLiveServer(deps, serverId);
  if (again.value.incoming) throw isMoving(serverId);
  return again;
}

export const makeHold = (reason: string, by: string, since: Date): Hold => ({
  by,
  reason,
  since,
  until: null,
});

/** Whether nothing is left to change. A hold that ends by itself is not what an operator asked for. */
export const isAsked = (hold: Hold | null, reason: string | null, by: string): boolean =>
  reason === null ? hold === null : hold?.reason === reason && hold.by === by && hold.until === null;

/** What is said of a hold that was set, or of one that was lifted; a hold that had run out already was none. */
export function toHoldRecords(
  before: Hold | null,
  { at, cause, servers, reason }: Pick<AuditRecord, 'at' | 'cause' | 'servers' | 'reason'>,
  of: 'server' | 'kek',
): readonly AuditRecord[] {
  const plain = { at, cause, servers, versionBefore: null, versionAfter: null };
  if (reason !== null)
    return [{ ...plain, action: `${of}.held`, reason, detail: { before: toDetail(before, at) } }];
  if (!isHeld(before, at)) return [];
  return [
    {
      ...plain,
      action: `${of}.released`,
      reason: before?.reason ?? null,
      detail: { before: toDetail(before, at) },
    },
  ];
}

const toDetail = (hold: Hold | null, at: Date) =>
  isHeld(hold, at) ? { by: hold?.by, reason: hold?.reason, since: hold?.since } : null;
