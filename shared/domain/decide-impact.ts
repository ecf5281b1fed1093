// What would become of a server if its key, or one version of it, were disabled, deleted or left to expire. Pure, and
// no second opinion: the real decision on a snapshot in which that has happened.
import { decideAccess } from './decide-server.ts';
import { findVersion, type KekSnapshot } from './kek.ts';
import { GRACE_MS, type VersionState } from './key-status.ts';
import type { KeyReason } from './reason.ts';
import type { ServerRow } from './server.ts';

export interface Loss {
  /** A key is only ever deleted with all its versions, so for `delete` the version makes no difference. */
  readonly of: 'disable' | 'delete' | 'expire';
  /** null: every version. */
  readonly version: string | null;
}

export interface ServerImpact {
  /** `none`: it has no access to lose. */
  readonly outcome: 'loses' | 'keeps' | 'none';
  /** When new sessions are refused; null: as soon as it is seen, or never. */
  readonly deniedAt: Date | null;
  /** When its access ends, what `drain` leaves to open sessions included; null likewise. */
  readonly endsAt: Date | null;
  /** In a few words. */
  readonly why: string;
}

const REASONS = {
  disable: 'KeyDisabled',
  delete: 'KeySoftDeleted',
  expire: 'KeyExpired',
} as const satisfies Record<Loss['of'], KeyReason>;

const WHY = {
  disable: 'its key version would be disabled',
  delete: 'its key would be deleted',
  expire: 'its key version expires',
} as const;

/**
 * Disabling and deleting happen at `now`, and expiring at `exp` and the customer's grace.
 * @param detectionSeconds the longest that the app takes to see it
 */
export function decideImpact(
  row: ServerRow,
  snapshot: KekSnapshot,
  loss: Loss,
  context: { readonly now: Date; readonly detectionSeconds: number },
): ServerImpact {
  const current = decideAccess(row, snapshot, context.now);
  if (current.desired === 'revoked')
    return { ...KEEPS, outcome: 'none', why: `has no access now: ${current.reason}` };
  return follow({ ...row, desired: 'granted' }, snapshot, loss, context);
}

const KEEPS = { outcome: 'keeps', deniedAt: null, endsAt: null } as const;

function follow(
  row: ServerRow,
  snapshot: KekSnapshot,
  loss: Loss,
  context: { readonly now: Date; readonly detectionSeconds: number },
): ServerImpact {
  const version = findVersion(snapshot, row.wrapped.kekVersion);
  if (loss.of !== 'delete' && loss.version !== null && loss.version !== row.wrapped.kekVersion)
    return { ...KEEPS, why: 'its DEK is wrapped under another version' };
  if (loss.of === 'expire' && snapshot.kek.policy.expiredKeyPolicy === 'warn')
    return { ...KEEPS, why: "the key's policy only warns of an expiry" };
  const deniedAt = loss.of === 'expire' ? expiryOf(version) : null;
  if (loss.of === 'expire' && deniedAt === null)
    return { ...KEEPS, why: 'its key version has no expiry on record' };

  const then = deniedAt ?? context.now;
  const decision = decideAccess(row, afterLoss(snapshot, loss, then), then);
  if (decision.desired === 'revoked') {
    const seenAt = deniedAt ?? new Date(context.now.getTime() + context.detectionSeconds * 1000);
    const drained = new Date(seenAt.getTime() + row.drainSeconds * 1000);
    const endsAt = row.keyLossPolicy === 'drain' ? drained : deniedAt;
    return { outcome: 'loses', deniedAt, endsAt, why: WHY[loss.of] };
  }
  if (row.keyLossPolicy === 'alertOnly') return { ...KEEPS, why: 'its policy alertOnly closes nothing' };
  const { target } = snapshot.kek;
  if (target === null || decision.reason !== 'KeyExpired')
    return { ...KEEPS, why: `nothing would be decided: ${decision.reason}` };
  // It is moved before; what expires then is the version that it is moved to.
  const moved = follow({ ...row, wrapped: { ...row.wrapped, kekVersion: target } }, snapshot, loss, context);
  return moved.outcome === 'loses' ? moved : { ...KEEPS, why: `it is rewrapped under ${target} before` };
}

function expiryOf(version: VersionState | undefined): Date | null {
  const expiresOn = version?.attributes?.expiresOn ?? null;
  return expiresOn === null ? null : new Date(expiresOn.getTime() + GRACE_MS);
}

/** The KEK at `then`, when it has happened. Time passes for all versions, whichever is asked for. */
function afterLoss(snapshot: KekSnapshot, { of, version }: Loss, then: Date): KekSnapshot {
  const reason = REASONS[of];
  const isLost = (state: VersionState): boolean => {
    if (of === 'expire') return (expiryOf(state) ?? NEVER) <= then;
    return of === 'delete' || version === null || version === state.version;
  };
  const versions = snapshot.versions.map((state): VersionState => {
    if (!isLost(state)) return state;
    return { ...state, status: 'unusable', reason, verdict: 'revoke', verdictReason: reason };
  });
  return { ...snapshot, versions };
}

const NEVER = new Date(8.64e15);
