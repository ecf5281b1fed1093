// What an observation of a KEK leads to. Pure: the same snapshot, observation and time give the same decision.
//
// Invariant I-06: decisions are pure. All I/O is at the edges.

import type { AuditAction } from './audit.ts';
import { firstWave } from './decide-wave.ts';
import { findVersion, type KekSnapshot, type KekState, type Rotation } from './kek.ts';
import { keyUrl } from './key-id.ts';
import {
  advanceVersion,
  classifyObservation,
  isExpired,
  isProven,
  makeVersionState,
  type StatusRules,
  type VersionObservation,
  type VersionState,
} from './key-status.ts';
import type { OwnEvent } from './own-event.ts';

export interface KekObservation {
  /** The vault's clock, or ours where the vault didn't answer. */
  readonly vaultNow: Date;
  /** The newest version by creation time; null where that couldn't be read. */
  readonly newest: string | null;
  readonly versions: readonly VersionObservation[];
  /** When the vault last changed each version, where it says so. */
  readonly updatedOn?: ReadonlyMap<string, Date>;
}

/** One change, for the audit; and for the world where `event` is set. */
export interface Transition {
  readonly action: AuditAction;
  readonly versionBefore: string | null;
  readonly versionAfter: string | null;
  readonly reason: string | null;
  readonly event: OwnEvent | null;
}

export interface KekDecision {
  readonly snapshot: KekSnapshot;
  readonly transitions: readonly Transition[];
  /** When to look again, where time alone may change the verdict soon. */
  readonly recheckAfterSeconds: number | null;
}

export type KekRules = Pick<
  StatusRules,
  'confirmSuspectSeconds' | 'restoreGapSeconds' | 'transientBufferHours'
>;

export interface KekContext {
  readonly now: Date;
  readonly rules: KekRules;
  /** Whether the breaker holds suspect verdicts. */
  readonly held: boolean;
}

const NEAR_EXPIRY_DAYS = [30, 10, 3, 1] as const;
const DAY_MS = 86_400_000;

const rulesOf = (snapshot: KekSnapshot, rules: KekRules): StatusRules => ({
  ...rules,
  expiredKeyPolicy: snapshot.kek.policy.expiredKeyPolicy,
  transientBuffer: snapshot.kek.policy.transientBuffer,
});

/** Whether some version that serves has just been answered for with suspicion: what the breaker counts. */
export function turnsSuspect(snapshot: KekSnapshot, observation: KekObservation): boolean {
  return observation.versions.some((observed) => {
    const state = findVersion(snapshot, observed.version);
    if (
      state === undefined ||
      state.verdict !== 'serve' ||
      (state.run !== null && state.run.class !== 'good')
    )
      return false;
    const context = {
      vaultNow: observation.vaultNow,
      seenDeleted: state.seenDeleted,
      expiredKeyPolicy: snapshot.kek.policy.expiredKeyPolicy,
    };
    return classifyObservation(observed, context).class === 'suspect';
  });
}

/** Observe, decide, record: this is the deciding. */
export function decideKek(
  snapshot: KekSnapshot,
  observation: KekObservation,
  context: KekContext,
): KekDecision {
  const rules = rulesOf(snapshot, context.rules);
  const observed = new Map(observation.versions.map((one) => [one.version, one]));
  const known = new Set(snapshot.versions.map((state) => state.version));
  const fresh = observation.versions.filter((one) => !known.has(one.version));
  const before = [...snapshot.versions, ...fresh.map((one) => makeVersionState(one.version, context.now))];
  const pairs = before.map((state): Pair => {
    const one = observed.get(state.version);
    if (one === undefined) return { before: state, after: state };
    const next = advanceVersion(state, one, { ...context, rules, vaultNow: observation.vaultNow });
    return { before: state, after: warnNearExpiry(next, observation.vaultNow) };
  });
  const after = pairs.map((pair) => pair.after);

  const target = chooseTarget(snapshot.kek.target, observation.newest, after);
  const verdicts = pairs.filter(
    ({ before, after }) => before.verdict !== after.verdict || before.verdictReason !== after.verdictReason,
  );
  const moved = target !== snapshot.kek.target;
  const epoch = snapshot.kek.epoch + (verdicts.length > 0 || moved ? 1 : 0);
  const rotation = nextRotation(snapshot.kek, target, observation.newest, after, context.now);
  const kek: KekState = { ...snapshot.kek, epoch, target, rotation };

  return {
    snapshot: { kek, versions: after },
    transitions: [
      ...verdicts.map((pair) => verdictTransition(kek, pair, context.now)),
      ...pairs.flatMap((pair) => nearExpiryTransition(kek, pair, context.now)),
      ...pairs.flatMap((pair) => degradedTransition(kek, pair, context.now)),
      ...(moved && target !== null ? [targetTransition(snapshot.kek, kek, target, context.now)] : []),
      ...rotationTransition(snapshot.kek, kek, context.now),
    ],
    recheckAfterSeconds: after.some((state) => state.run?.class === 'good') ? rules.restoreGapSeconds : null,
  };
}

interface Pair {
  readonly before: VersionState;
  readonly after: VersionState;
}

/** The newest proven version; never an older one than the target so far, nor one that was retired. */
function chooseTarget(
  current: string | null,
  newest: string | null,
  versions: readonly VersionState[],
): string | null {
  if (newest === null || newest === current) return current;
  const find = (version: string | null) => versions.find((state) => state.version === version);
  const candidate = find(newest);
  if (candidate === undefined || !isProven(candidate)) return current;
  const created = find(current)?.attributes?.createdOn;
  // Without its date nobody can say that it isn't the older one.
  return created && !(candidate.attributes && candidate.attributes.createdOn >= created) ? current : newest;
}

function nextRotation(
  kek: KekState,
  target: string | null,
  newest: string | null,
  versions: readonly VersionState[],
  now: Date,
): Rotation {
  if (target !== kek.target)
    return kek.target === null
      ? { state: 'idle' }
      : { state: 'running', startedAt: now, resumedAt: null, wave: firstWave(kek.policy, now) };
  const { state } = kek.rotation;
  if (state === 'running' || state === 'halted' || newest === null) return kek.rotation;
  const blocker = newest === target ? undefined : versions.find((state) => state.version === newest);
  if (blocker !== undefined && blocker.reason !== null) {
    const same = kek.rotation.state === 'blocked' && kek.rotation.reason === blocker.reason;
    return same && kek.rotation.newest === blocker.version
      ? kek.rotation
      : { state: 'blocked', newest: blocker.version, reason: blocker.reason, since: now };
  }
  return kek.rotation.state === 'blocked' ? { state: 'idle' } : kek.rotation;
}

function warnNearExpiry(state: VersionState, vaultNow: Date): VersionState {
  const expiresOn = state.attributes?.expiresOn ?? null;
  if (expiresOn === null) return state.warnedDays === null ? state : { ...state, warnedDays: null };
  const left = (expiresOn.getTime() - vaultNow.getTime()) / DAY_MS;
  const tier = NEAR_EXPIRY_DAYS.filter((days) => left <= days).at(-1) ?? null;
  if (tier === null) return state.warnedDays === null ? state : { ...state, warnedDays: null };
  return isExpired(state.attributes, vaultNow) || state.warnedDays === tier
    ? state
    : { ...state, warnedDays: tier };
}

const versionEvent = (
  type: OwnEvent['type'],
  kek: KekState,
  version: string,
  now: Date,
  data: Readonly<Record<string, unknown>>,
): OwnEvent => {
  const subject = keyUrl(kek.kek, version);
  return { id: `${subject}:${kek.epoch}:${type}`, type, subject, time: now, data };
};

function verdictTransition(kek: KekState, { before, after }: Pair, now: Date): Transition {
  const { version, verdictReason: reason } = after;
  const type = after.verdict === 'revoke' ? 'PgCmk.KeyUnusable' : 'PgCmk.KeyUsable';
  // The first look at a version that no server is on is news to nobody, nor is another reason for the same verdict.
  const event =
    before.verdict === after.verdict || (before.verdict === 'unproven' && !after.inUse)
      ? null
      : versionEvent(type, kek, version, now, { keyId: keyUrl(kek.kek, version), reason });
  return { action: 'kek.verdict', versionBefore: version, versionAfter: version, reason, event };
}

function nearExpiryTransition(kek: KekState, { before, after }: Pair, now: Date): readonly Transition[] {
  const { warnedDays: days, attributes } = after;
  if (days === null || attributes === null) return [];
  if (before.warnedDays !== null && days >= before.warnedDays) return [];
  const { expiresOn } = attributes;
  const base = versionEvent('PgCmk.KeyNearExpiry', kek, after.version, now, { days, expiresOn });
  const event = {
    ...base,
    id: `${base.subject}:${new Date(Number(expiresOn)).toISOString()}:expires-in-${days}d`,
  };
  const reason = `expires within ${days} days`;
  return [
    { action: 'kek.nearExpiry', versionBefore: after.version, versionAfter: after.version, reason, event },
  ];
}

function degradedTransition(kek: KekState, { before, after }: Pair, now: Date): readonly Transition[] {
  if (!after.degraded || before.degraded) return [];
  const { reason, version, since } = after;
  const base = versionEvent('PgCmk.ControlPlaneDegraded', kek, version, now, { reason, since });
  const event = { ...base, id: `${base.id}:${now.toISOString()}` };
  return [{ action: 'kek.degraded', versionBefore: version, versionAfter: version, reason, event }];
}

function targetTransition(before: KekState, after: KekState, target: string, now: Date): Transition {
  const versions = { versionBefore: before.target, versionAfter: target };
  const event =
    before.target === null ? null : versionEvent('PgCmk.RotationStarted', after, target, now, versions);
  return { action: 'kek.target', ...versions, reason: null, event };
}

function rotationTransition(before: KekState, after: KekState, now: Date): readonly Transition[] {
  if (after.rotation.state !== 'blocked' || before.rotation === after.rotation) return [];
  const { newest, reason, since } = after.rotation;
  const base = versionEvent('PgCmk.RotationBlocked', after, newest, now, { reason, target: after.target });
  const event = { ...base, id: `${base.id}:${reason}:${since.toISOString()}` };
  return [{ action: 'kek.rotation', versionBefore: after.target, versionAfter: newest, reason, event }];
}
