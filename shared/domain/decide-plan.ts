// The KEK as a rotation would find it: what the vault says of its versions now, taken over what is on record. Pure.
import { findVersion, type KekSnapshot } from './kek.ts';
import {
  classifyObservation,
  makeVersionState,
  type VersionAttributes,
  type VersionState,
} from './key-status.ts';
import type { KeyReason } from './reason.ts';
import { classifyFault, type VaultAnswer } from './vault-answer.ts';

interface Versions {
  readonly versions: readonly { readonly version: string; readonly attributes: VersionAttributes }[];
  readonly newest: string;
}

export interface PlannedTarget {
  /** With the newest version as its target, where that can be one, and its rotation free of pauses, waves and halts. */
  readonly snapshot: KekSnapshot;
  readonly newest: string | null;
  /** Why the newest version can't be the target; null: it is, or would be. */
  readonly blocked: string | null;
}

/** Plans as if the newest version were the target already, unless something is known against it. */
export function planTarget(
  snapshot: KekSnapshot,
  described: VaultAnswer<Versions>,
  now: Date,
): PlannedTarget {
  const policy = { ...snapshot.kek.policy, rewrapPaused: false };
  const kek = { ...snapshot.kek, policy, rotation: { state: 'idle' } } as const;
  if (!described.ok) {
    const blocked = classifyFault(described.fault, { deleted: 'unsaid', seenDeleted: false }).reason;
    return { snapshot: { ...snapshot, kek }, newest: null, blocked };
  }
  const { newest, versions: read } = described.value;
  const { expiredKeyPolicy } = kek.policy;
  const vaultNow = described.vaultNow ?? now;
  const attributesOf = new Map(read.map((one) => [one.version, one.attributes]));
  const isNew = findVersion(snapshot, newest) === undefined;
  const fresh = isNew ? [{ ...makeVersionState(newest, now), reason: null }] : [];
  const versions = [...snapshot.versions, ...fresh].map((state) => {
    const attributes = attributesOf.get(state.version);
    return attributes === undefined ? state : asRead(state, attributes, vaultNow, expiredKeyPolicy);
  });
  if (newest === kek.target) return { snapshot: { kek, versions }, newest, blocked: null };
  const [blocked = null] = versions.flatMap((state) =>
    state.version === newest ? (whatIsAgainst(state) ?? []) : [],
  );
  if (blocked !== null) return { snapshot: { kek, versions }, newest, blocked };
  const planned = versions.map((state) =>
    state.version === newest ? ({ ...state, ...WELL } satisfies VersionState) : state,
  );
  return { snapshot: { kek: { ...kek, target: newest }, versions: planned }, newest, blocked: null };
}

/** A version on record, as its attributes now say. */
function asRead(
  state: VersionState,
  attributes: VersionAttributes,
  vaultNow: Date,
  expiredKeyPolicy: 'revoke' | 'warn',
): VersionState {
  const { version } = state;
  const found = classifyObservation(
    { version, attributes, probe: { kind: 'unwrapped', matches: true }, deleted: 'unsaid', newCanary: null },
    { vaultNow, seenDeleted: false, expiredKeyPolicy },
  );
  const { status, reason } = found;
  if (found.class === 'definitive')
    return { ...state, attributes, status, reason, verdict: 'revoke', verdictReason: reason };
  if (reason !== null) return { ...state, attributes, reason };
  return isByAttributes(state.reason) ? { ...state, attributes, ...WELL } : { ...state, attributes };
}

/** Reasons that the attributes alone decide: when they are gone from there, they are gone. */
const isByAttributes = (reason: KeyReason | null): boolean =>
  reason === 'KeyDisabled' || reason === 'KeyExpired' || reason === 'KeyNotYetValid';

/** Why the vault couldn't be asked then; it has answered now. */
const PASSED: ReadonlySet<KeyReason> = new Set([
  'IdentityUnavailable',
  'Throttled',
  'VaultUnreachable',
  'VaultNotFound',
  'UnexpectedAnswer',
]);

function whatIsAgainst(state: VersionState): string | null {
  if (state.retiredAt !== null) return 'VersionRetired';
  return state.reason === null || PASSED.has(state.reason) ? null : state.reason;
}

const WELL = { status: 'usable', reason: null, verdict: 'serve', verdictReason: null } as const;
