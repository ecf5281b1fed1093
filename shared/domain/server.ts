// One server: what its row remembers, and the state that follows from it (design 6).
import { CmkError, type ErrorCode } from './errors.ts';
import type { Hold } from './kek.ts';
import type { KekId } from './key-id.ts';
import { isProven, type VersionState } from './key-status.ts';
import { REMEDIES, type Reason, type ServerReason } from './reason.ts';
import type { Retry } from './retry.ts';
import type { AccessSpec, KeyLossPolicy } from './server-spec.ts';
import type { WrappedDek } from './wrapped-dek.ts';

export const SERVER_STATES = [
  'PendingKey',
  'Ready',
  'Suspect',
  'Revoking',
  'Inaccessible',
  'Restoring',
] as const;
export type ServerState = (typeof SERVER_STATES)[number];

/** Access that couldn't be applied. */
export interface Failure extends Retry {
  readonly reason: ServerReason;
}

/** A rewrap or proof that didn't come about; the wrapping on record is untouched. */
export interface RewrapFailure extends Retry {
  readonly code: ErrorCode;
}

/** A move from one KEK to another; it stands on the row that is left and, word for word, on the one that arrives. */
export interface Moving {
  readonly from: KekId;
  readonly to: KekId;
  readonly since: Date;
  readonly by: string;
}

export interface CopyOf {
  readonly serverId: string;
  readonly kind: 'replica' | 'restore';
}

export interface ServerRow {
  readonly serverId: string;
  readonly kek: KekId;
  readonly wrapped: WrappedDek;
  readonly wrappedAt: Date;
  /** When this very wrapping was unwrapped by the vault and found right; null: not yet. */
  readonly provenAt: Date | null;
  /** How many wrappings were replaced so far; numbers the history rows. */
  readonly sequence: number;
  /** The version of this KEK whose wrapping this one replaced; null: none, or another KEK's. */
  readonly replacedVersion: string | null;
  /** Registered with a version in the key id: never rewrapped by itself. */
  readonly pinned: boolean;
  readonly access: AccessSpec;
  readonly keyLossPolicy: KeyLossPolicy;
  /** Seconds from the decision to `drainUntil`, for the policy `drain`. */
  readonly drainSeconds: number;
  readonly principalId: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly hold: Hold | null;
  readonly desired: 'granted' | 'revoked';
  /** Why the desired access is what it is; null when granted without reserve. */
  readonly desiredReason: Reason | null;
  /** Grows with every change of `desired`. */
  readonly accessEpoch: number;
  readonly drainUntil: Date | null;
  /** What was last seen to hold on the server; `none`: nothing yet. */
  readonly applied: 'none' | 'granted' | 'revoked';
  readonly appliedAt: Date | null;
  /** When the order in force was last seen to hold on the server itself; null: not since it was given. */
  readonly inspectedAt: Date | null;
  readonly sessionsOpen: number | null;
  readonly failure: Failure | null;
  readonly rewrapFailure: RewrapFailure | null;
  /** Being moved in, not yet answered for by this partition: workers leave it alone. */
  readonly incoming: boolean;
  /** Being moved to another KEK: its wrapping stays as it is, and the index says which of the two rows answers. */
  readonly moving: Moving | null;
  /** The server whose DEK it shares; a replica shares its KEK too. */
  readonly copyOf: CopyOf | null;
  /** Until when the last release of the DEK may be relied on; null: never released. */
  readonly leaseExpiresOn: Date | null;
  /** Deleted by its owner; its wrapping is still rewrapped and counted. */
  readonly tombstone: boolean;
  readonly createdAt: Date;
}

const SERVER_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** @throws CmkError InvalidServer */
export function parseServerId(text: string): string {
  if (SERVER_ID.test(text)) return text;
  throw new CmkError('InvalidServer', `not a server id: ${JSON.stringify(text.slice(0, 100))}`, {
    remedy: 'Use 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit.',
  });
}

/**
 * Whether the desired access is in force. What was applied under an earlier order says nothing: a worker may have
 * been half way through the opposite one when the order changed.
 */
export const isApplied = (row: ServerRow): boolean =>
  row.applied === row.desired && (row.access.kind === 'none' || row.inspectedAt !== null);

export interface ServerView {
  readonly state: ServerState;
  readonly reason: Reason | null;
  readonly remedy: string | null;
}

/** The state of a server: derived, never stored. `version` is the one that its own wrapping names. */
export function deriveServerState(row: ServerRow, version: VersionState | undefined): ServerView {
  const view = (state: ServerState, reason: Reason | null): ServerView => ({
    state,
    reason,
    remedy: reason === null ? null : REMEDIES[reason],
  });
  const why = row.failure?.reason ?? row.desiredReason;
  if (row.desired === 'revoked') {
    return isApplied(row) ? view('Inaccessible', row.desiredReason) : view('Revoking', why);
  }
  if (row.applied === 'none') return view('PendingKey', why ?? 'AccessNotApplied');
  if (!isApplied(row)) return view('Restoring', why ?? 'AccessNotApplied');
  if (row.desiredReason !== null) return view('Suspect', row.desiredReason);
  return isProven(version) ? view('Ready', null) : view('Suspect', version?.reason ?? 'KeyNotProven');
}
