// How long it took: from a change in the vault until it was seen, from a decision until the last session had ended.
import type { KekObservation } from './decide-kek.ts';
import { findVersion, type KekSnapshot } from './kek.ts';
import type { VersionState } from './key-status.ts';
import type { ServerRow } from './server.ts';

/** Whole seconds of the vault, and how far its clock and ours may differ. */
const SLACK_MS = 2_000;
/** What is said to have happened earlier says nothing of this change. */
const LONGEST_HINT_MS = 86_400_000;

/**
 * From the latest change that this observation was the first to see until it was made, in milliseconds; null where it
 * saw none, or nothing tells when that was. The vault tells of what was done to a version (`updatedOn`), a hint of the
 * rest: roles, networks, deletion. Dates that pass are no change in the vault.
 * @param before as it was recorded; nothing is told of a KEK that is looked at for the first time
 * @param after as the observation leaves it
 * @param hintedAt when it happened, by what made the app look
 */
export function detectionLatencyMs(
  before: KekSnapshot,
  after: KekSnapshot,
  { updatedOn }: Pick<KekObservation, 'updatedOn'>,
  { from, now, hintedAt }: { readonly from: Date | null; readonly now: Date; readonly hintedAt: Date | null },
): number | null {
  if (from === null) return null;
  const changed = after.versions.filter((version) =>
    isChanged(findVersion(before, version.version), version),
  );
  const told = changed
    .flatMap(({ version }) => updatedOn?.get(version)?.getTime() ?? [])
    .filter((at) => at >= from.getTime() - SLACK_MS);
  if (told.length > 0) return Math.max(0, now.getTime() - Math.max(...told));
  if (hintedAt === null || changed.every(isByDate)) return null;
  const ms = now.getTime() - hintedAt.getTime();
  return ms >= 0 && ms <= LONGEST_HINT_MS ? ms : null;
}

/** Not being able to ask is no change either. */
const isChanged = (before: VersionState | undefined, after: VersionState): boolean =>
  after.status !== 'unknown' && (before?.status !== after.status || before.reason !== after.reason);

const isByDate = ({ reason }: VersionState): boolean =>
  reason === 'KeyExpired' || reason === 'KeyNotYetValid';

/**
 * From the decision, which is the verdict on the server's key version or a hold, until its last session had ended, in
 * milliseconds; null where that isn't what has just happened, or sessions were left on purpose.
 */
export function revocationLatencyMs(
  before: ServerRow,
  after: ServerRow,
  snapshot: KekSnapshot,
): number | null {
  const { appliedAt, keyLossPolicy } = after;
  if (before.applied !== 'granted' || after.applied !== 'revoked' || appliedAt === null) return null;
  if (keyLossPolicy === 'drain' || keyLossPolicy === 'denyNew') return null;
  const decidedAt = decisionOf(after, snapshot);
  return decidedAt === null ? null : Math.max(0, appliedAt.getTime() - decidedAt.getTime());
}

function decisionOf(row: ServerRow, { kek, versions }: KekSnapshot): Date | null {
  if (row.desiredReason === 'OperatorHold') return (row.hold ?? kek.hold)?.since ?? null;
  const version = findVersion({ kek, versions }, row.wrapped.kekVersion);
  return version?.verdict === 'revoke' ? version.verdictSince : null;
}
