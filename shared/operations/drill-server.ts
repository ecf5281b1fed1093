// A drill: one server is revoked and restored for real, and both are measured. Its key isn't touched
// (docs/decisions/0012-drills-and-purges.md).
import type { Cause } from '../domain/audit.ts';
import { withHold } from '../domain/decide-server.ts';
import { isCmkError } from '../domain/errors.ts';
import type { Hold } from '../domain/kek.ts';
import { type KekId, kekKey } from '../domain/key-id.ts';
import { toLook } from '../domain/message.ts';
import { REMEDIES, type Reason } from '../domain/reason.ts';
import { isApplied, type ServerRow } from '../domain/server.ts';
import type { OutboxStore } from '../ports/outbox-store.ts';
import { type ApplyAccessDeps, makeApplyServerAccess } from './apply-server-access.ts';
import { assertDrillable, refuseDrill, requireDrillable, watchAccess } from './drill-checks.ts';
import { findArrived, findLiveServer, notFound } from './find-server.ts';
import type { FinishMove } from './finish-move.ts';
import { makeHold, toHoldOutbox } from './hold-record.ts';
import { onConflict } from './on-conflict.ts';
import { toRecord } from './registration-row.ts';
import { requireKek } from './require-kek.ts';
import { toSnapshot } from './snapshot.ts';

export interface DrillCommand {
  readonly serverId: string;
  readonly by: string;
}

export interface DrillResult {
  readonly startedAt: Date;
  /** From the order to the last session ended and every database closed. */
  readonly revokedAfterMilliseconds: number;
  /** From the lift of the hold to every database open again. */
  readonly restoredAfterMilliseconds: number;
  readonly closed: readonly string[];
  readonly reopened: readonly string[];
  readonly sessionsEnded: number;
}

/**
 * DrillRefused says what was against it, or, with `detail.phase`, what went wrong on the way.
 * @throws CmkError ServerNotFound, ServerDeleted, ServerMoving (retryable), DrillRefused, InvalidRow, StoreUnavailable
 */
export type DrillServer = (command: DrillCommand) => Promise<DrillResult>;

export interface DrillDeps extends Omit<ApplyAccessDeps, 'rules'> {
  readonly outbox: OutboxStore;
  readonly finishMove: FinishMove;
}

/** Longer than revoking is waited for. A drill whose process ends in the middle is over then. */
const HOLD_SECONDS = 120;
const GIVE_UP_MS = 60_000;
const POLL_MS = 500;
/** Clocks differ a little, and the hold must have run out when somebody looks. */
const MARGIN_SECONDS = 5;
/** An order that another worker carried out first is given once more, so as to see what it did. */
const AT_ONCE = { inspection: { grantedSeconds: 0, revokedSeconds: 0 } };

/** One drill on its way. */
interface Drill {
  readonly kek: KekId;
  readonly serverId: string;
  readonly cause: Cause;
  readonly hold: Hold;
  readonly apply: ReturnType<typeof makeApplyServerAccess>;
}

interface Obstacle {
  readonly why: string;
  readonly reason: Reason | null;
}

export function makeDrillServer(deps: DrillDeps): DrillServer {
  const { queue, outbox, clock } = deps;

  return async ({ serverId, by }) => {
    const { value: row } = await findArrived(deps, serverId, findLiveServer);
    const { kek } = row;
    const access = requireDrillable(row, toSnapshot(await requireKek(deps.keks, kek)), clock.now());
    await assertDrillable(deps.access, serverId, access);

    const cause = { kind: 'operator', by } as const;
    // Before anything is closed it is certain who opens it again should this process end: the hold runs out, and
    // somebody looks then.
    await queue.enqueueAccess([toLook(kek, serverId, cause)], HOLD_SECONDS + MARGIN_SECONDS);
    const startedAt = clock.now();
    const until = new Date(startedAt.getTime() + HOLD_SECONDS * 1000);
    const { port, seen } = watchAccess(deps.access);
    const apply = makeApplyServerAccess({ ...deps, access: port, rules: AT_ONCE });
    const drill: Drill = {
      kek,
      serverId,
      cause,
      hold: { ...makeHold('drill', by, startedAt), until },
      apply,
    };

    const notRevoked = await revoke(deps, drill);
    const liftedAt = clock.now();
    await lift(deps, drill);
    const notRestored = await reach(deps, drill, isRestored);
    const restoredAt = clock.now();

    const result: DrillResult = {
      startedAt,
      revokedAfterMilliseconds: liftedAt.getTime() - startedAt.getTime(),
      restoredAfterMilliseconds: restoredAt.getTime() - liftedAt.getTime(),
      ...seen(),
    };
    const obstacle = notRevoked ?? notRestored;
    const phase = notRevoked === null ? 'restore' : 'revoke';
    const detail = obstacle === null ? result : { ...seen(), phase, why: obstacle.why };
    const record = toRecord('server.drilled', row, by, restoredAt, { ...detail });
    const entry = { audit: [{ ...record, reason: obstacle?.reason ?? null }], events: [] };
    await outbox.put(kekKey(kek), entry);
    if (obstacle === null) return result;
    const { why, reason } = obstacle;
    const isBack = notRestored === null ? 'It is open again.' : 'What is left to do the app does by itself.';
    const remedy = reason === null ? isBack : `${isBack} ${REMEDIES[reason]}`;
    throw refuseDrill(serverId, why, remedy, { detail: { phase, reason } });
  };
}

async function revoke(deps: DrillDeps, drill: Drill): Promise<Obstacle | null> {
  try {
    await giveHold(deps, drill);
    return await reach(deps, drill, (row) => isRevoked(row, drill.hold));
  } catch (error) {
    // As far as it can be done now; else the hold runs out. Where it was refused, there is none, or another drill's.
    if (!isCmkError(error, 'DrillRefused')) await lift(deps, drill).catch(() => undefined);
    throw error;
  }
}

/** Looks once more at what a drill needs: the key, an operator or another drill may have been faster. */
async function giveHold(deps: DrillDeps, { kek, serverId, hold, cause }: Drill): Promise<void> {
  await onConflict(async () => {
    const stored = await deps.servers.read(kek, serverId);
    if (stored === undefined) throw notFound(serverId);
    const { value: before, etag } = stored;
    const now = deps.clock.now();
    requireDrillable(before, toSnapshot(await requireKek(deps.keks, kek)), now);
    const value = withHold(before, hold, now);
    const outbox = toHoldOutbox({ before, after: value }, cause, now);
    await deps.servers.commit(kek, [{ value, etag, history: null }], outbox);
  });
}

const isSame = (a: Hold | null, b: Hold): boolean =>
  a?.by === b.by && a.until?.getTime() === b.until?.getTime() && a.since.getTime() === b.since.getTime();

/** A hold that an operator has put in its place meanwhile stays. */
async function lift({ servers, clock }: DrillDeps, { kek, serverId, hold, cause }: Drill): Promise<void> {
  await onConflict(async () => {
    const stored = await servers.read(kek, serverId);
    if (stored === undefined || !isSame(stored.value.hold, hold)) return;
    const { value: before, etag } = stored;
    const value = { ...before, hold: null };
    const outbox = toHoldOutbox({ before, after: value }, cause, clock.now());
    await servers.commit(kek, [{ value, etag, history: null }], outbox);
  });
}

/** What a row says of the way to where the drill wants it: there, not yet, or never. */
type Look = (row: ServerRow) => 'there' | 'underway' | Obstacle;

const isRevoked = (row: ServerRow, hold: Hold): ReturnType<Look> => {
  if (!isSame(row.hold, hold))
    return { why: "somebody else set or lifted the server's hold meanwhile", reason: null };
  return row.desired === 'revoked' && isApplied(row) ? 'there' : 'underway';
};

const isRestored: Look = (row) => {
  if (row.desired === 'revoked')
    return { why: `it stays revoked: ${row.desiredReason}`, reason: row.desiredReason };
  return isApplied(row) ? 'there' : 'underway';
};

/** Does the worker's work in this process until the row says so; null: it does. */
async function reach(deps: DrillDeps, drill: Drill, look: Look): Promise<Obstacle | null> {
  const { servers, clock } = deps;
  const { kek, serverId, cause, apply } = drill;
  const giveUpAt = clock.now().getTime() + GIVE_UP_MS;
  let attempt = 0;
  for (;;) {
    await apply(toLook(kek, serverId, cause, attempt));
    const row = (await servers.read(kek, serverId))?.value;
    if (row === undefined || row.tombstone)
      return { why: 'it was deleted, or moved to another key, meanwhile', reason: null };
    const seen = look(row);
    if (seen === 'there') return null;
    if (seen !== 'underway') return seen;
    if (clock.now().getTime() >= giveUpAt) {
      const { message, reason } = row.failure ?? { message: 'it took too long', reason: null };
      return { why: `${row.desired === 'revoked' ? 'revoking' : 'restoring'} failed: ${message}`, reason };
    }
    await clock.sleep(POLL_MS);
    // What failed is tried again when its time comes, here or by the worker that is told.
    attempt = row.failure !== null && row.failure.nextAttemptAt <= clock.now() ? row.failure.attempt : 0;
  }
}
