// What a server's row should say and what should be done about it, given its KEK. Pure.
import { isAdmitted, type Place } from './decide-wave.ts';
import { findVersion, type Hold, isHeld, type KekSnapshot } from './kek.ts';
import { isProven, type VersionState } from './key-status.ts';
import type { Reason } from './reason.ts';
import { mayAttempt } from './retry.ts';
import { isApplied, type ServerRow } from './server.ts';

export interface AccessDecision {
  readonly desired: 'granted' | 'revoked';
  readonly reason: Reason | null;
}

/** The newer version that the rotation moves this server to by itself; undefined where it stays. */
function targetOf(row: ServerRow, snapshot: KekSnapshot): VersionState | undefined {
  const target = findVersion(snapshot, snapshot.kek.target);
  if (
    row.pinned ||
    row.incoming ||
    row.moving !== null ||
    target === undefined ||
    target.retiredAt !== null ||
    target.version === row.wrapped.kekVersion
  )
    return undefined;
  const createdOn = findVersion(snapshot, row.wrapped.kekVersion)?.attributes?.createdOn;
  const isOlder =
    createdOn !== undefined && target.attributes !== null && target.attributes.createdOn < createdOn;
  return isOlder ? undefined : target;
}

/**
 * The access that a server should have now.
 *
 * The status that counts is that of the version its own wrapping names: a server that was rewrapped away from a
 * disabled version keeps its access. An expired version revokes only a server that can't be moved to a newer one; one that was revoked already
 * is opened when it has been moved, never before.
 */
export function decideAccess(row: ServerRow, snapshot: KekSnapshot, now: Date): AccessDecision {
  if (isHeld(row.hold, now) || isHeld(snapshot.kek.hold, now))
    return { desired: 'revoked', reason: 'OperatorHold' };
  const version = findVersion(snapshot, row.wrapped.kekVersion);
  if (version === undefined || version.verdict === 'unproven')
    return { desired: row.desired, reason: 'KeyNotProven' };
  if (version.verdict === 'serve') return { desired: 'granted', reason: null };
  // The target serves, though it may just now not be asked: "could not ask" is never "revoked".
  const stays = row.desired === 'granted' && targetOf(row, snapshot)?.verdict === 'serve';
  if (version.verdictReason === 'KeyExpired' && stays) return { desired: 'granted', reason: 'KeyExpired' };
  const desired = row.keyLossPolicy === 'alertOnly' ? 'granted' : 'revoked';
  return { desired, reason: version.verdictReason };
}

/** The row with that decision in it; the same row where nothing changes. */
export function withDecision(row: ServerRow, decision: AccessDecision, now: Date): ServerRow {
  if (row.desired === decision.desired && row.desiredReason === decision.reason) return row;
  // One that ended by itself is shown no longer than it counts.
  const hold = isHeld(row.hold, now) ? row.hold : null;
  if (row.desired === decision.desired) return { ...row, hold, desiredReason: decision.reason };
  return {
    ...row,
    hold,
    desired: decision.desired,
    desiredReason: decision.reason,
    accessEpoch: row.accessEpoch + 1,
    drainUntil:
      decision.desired === 'revoked' && row.keyLossPolicy === 'drain'
        ? new Date(now.getTime() + row.drainSeconds * 1000)
        : null,
    inspectedAt: null,
    failure: null,
  };
}

/** The row with that hold, which revokes whatever the key says: the KEK needn't be asked. */
export const withHold = (row: ServerRow, hold: Hold, now: Date): ServerRow =>
  withDecision({ ...row, hold }, { desired: 'revoked', reason: 'OperatorHold' }, now);

export interface InspectionPeriods {
  readonly grantedSeconds: number;
  readonly revokedSeconds: number;
}

export type AccessWork = 'none' | 'revoke' | 'restore';

/**
 * What to do at the server now. An inspection is the same order again: revoking and restoring are idempotent, and
 * each repairs the drift it finds.
 *
 * Invariant I-08: everything is level-triggered: the work follows from the row as it is, not from a message.
 * @param attempt the attempt of a retry message; null for a range
 */
export function decideAccessWork(
  row: ServerRow,
  now: Date,
  periods: InspectionPeriods,
  attempt: number | null,
): AccessWork {
  if (row.incoming || row.tombstone || !mayAttempt(row.failure, attempt, now)) return 'none';
  const work = row.desired === 'revoked' ? 'revoke' : 'restore';
  if (!isApplied(row)) return isWaitingForKey(row) ? 'none' : work;
  if (row.failure !== null) return work;
  if (row.access.kind === 'none') return 'none';
  const period = row.desired === 'revoked' ? periods.revokedSeconds : periods.grantedSeconds;
  const due = now.getTime() - Number(row.inspectedAt) >= period * 1000;
  return due ? work : 'none';
}

/** A server whose key was never proven isn't opened: nothing says that its DEK can be had. */
const isWaitingForKey = (row: ServerRow): boolean =>
  row.desired === 'granted' && row.desiredReason === 'KeyNotProven';

export type RewrapWork =
  | { readonly kind: 'none' }
  | { readonly kind: 'rewrap'; readonly target: string }
  /** A target that serves is in doubt: it couldn't be asked, or what it said isn't confirmed yet. */
  | { readonly kind: 'wait'; readonly seconds: number }
  | { readonly kind: 'prove' };

/**
 * What to do with the wrapping now. A wrapping whose version doesn't unwrap any more can't be moved; an expired one
 * can: the vault still unwraps it.
 *
 * Invariant I-05: a rewrap changes the wrapping and never access.
 * @param proveAfterSeconds how old an unproven wrapping must be before the sweep spends a vault call on it
 */
export function decideRewrap(
  row: ServerRow,
  snapshot: KekSnapshot,
  now: Date,
  proveAfterSeconds: number,
  attempt: number | null,
): RewrapWork {
  if (row.incoming || !mayAttempt(row.rewrapFailure, attempt, now)) return { kind: 'none' };
  const current = findVersion(snapshot, row.wrapped.kekVersion);
  if (!unwraps(current)) return { kind: 'none' };
  const target = targetOf(row, snapshot);
  if (target !== undefined && isTurn(row, current, snapshot)) {
    if (isProven(target)) return { kind: 'rewrap', target: target.version };
    if (isInDoubt(target)) return { kind: 'wait', seconds: waitSeconds(target.since, now) };
  }
  const old = now.getTime() - row.wrappedAt.getTime() >= proveAfterSeconds * 1000;
  return row.provenAt === null && old && isProven(current) ? { kind: 'prove' } : { kind: 'none' };
}

/** It serves, only what was seen of it last isn't good. When it is lost, the epoch changes, and with it all work. */
const isInDoubt = ({ verdict, status }: VersionState): boolean => verdict === 'serve' && status !== 'usable';

const SHORTEST_WAIT_SECONDS = 10;
const LONGEST_WAIT_SECONDS = 300;

/** As long again as the doubt has lasted: a probe or two where it is new, and few looks in a long outage. */
const waitSeconds = (since: Date, now: Date): number =>
  Math.min(LONGEST_WAIT_SECONDS, Math.max(SHORTEST_WAIT_SECONDS, (now.getTime() - since.getTime()) / 1000));

const unwraps = (version: VersionState | undefined): boolean =>
  version !== undefined && (version.verdict !== 'revoke' || isOutOfDate(version));

/** Lost by its dates alone: the vault unwraps under it all the same. */
const isOutOfDate = (version: VersionState | undefined): boolean =>
  version?.verdict === 'revoke' &&
  (version.verdictReason === 'KeyExpired' || version.verdictReason === 'KeyNotYetValid');

/**
 * Pauses, halts and waves hold back no server whose own version is out of date: it would lose access, or stay without
 * it, over a precaution (docs/decisions/0013-waves.md).
 */
const isTurn = (row: ServerRow, current: VersionState | undefined, { kek }: KekSnapshot): boolean =>
  isOutOfDate(current) || (!kek.policy.rewrapPaused && isAdmitted(row.serverId, kek));

const followsRotation = ({ pinned, incoming, moving }: ServerRow): boolean =>
  !pinned && !incoming && moving === null;

/** Whether a rotation to `target` isn't done yet because of this server. */
export const isOff = (row: ServerRow, target: string): boolean =>
  followsRotation(row) && row.wrapped.kekVersion !== target;

/** Where the server is in its KEK's rotation. */
export function placeInRotation(row: ServerRow, snapshot: KekSnapshot): Place {
  if (!followsRotation(row)) return 'stays';
  if (row.wrapped.kekVersion === snapshot.kek.target) return 'done';
  if (targetOf(row, snapshot) === undefined) return 'stays';
  return unwraps(findVersion(snapshot, row.wrapped.kekVersion)) ? 'behind' : 'stuck';
}
