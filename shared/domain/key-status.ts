// The status of one key version: what an observation says about it, and how verdicts follow from runs of
// observations (design 5).
import type { KeyReason } from './reason.ts';
import { classifyFault, type DeletedAnswer, type FindingClass, type VaultFault } from './vault-answer.ts';

/** What Key Vault says of a version. */
export interface VersionAttributes {
  readonly enabled: boolean;
  readonly notBefore: Date | null;
  readonly expiresOn: Date | null;
  readonly createdOn: Date;
}

export type KeyStatus = 'usable' | 'unusable' | 'unknown';

/** The canary's unwrap: what came back, or why nothing did. `none`: there is nothing to unwrap. */
export type Probe =
  | { readonly kind: 'unwrapped'; readonly matches: boolean }
  | { readonly kind: 'fault'; readonly fault: VaultFault }
  | { readonly kind: 'none' };

export interface VersionObservation {
  readonly version: string;
  /** null: not read, or not readable. */
  readonly attributes: VersionAttributes | null;
  readonly probe: Probe;
  readonly deleted: DeletedAnswer;
  /** A canary that was made on this occasion, base64url. */
  readonly newCanary: string | null;
}

export interface Finding {
  readonly class: FindingClass;
  readonly status: KeyStatus;
  readonly reason: KeyReason | null;
}

/** What servers follow. It changes only by confirmed rules; `unproven`: never seen to unwrap. */
export type Verdict = 'unproven' | 'serve' | 'revoke';

interface Answers {
  readonly since: Date;
  readonly answers: number;
}

/** A run of like answers that isn't a verdict yet; `missing`: the vault's name doesn't resolve, which takes longer. */
export interface Run extends Answers {
  readonly class: 'good' | 'suspect' | 'missing';
  /** The suspect answers of a `missing` run that were about something else than the name. */
  readonly others?: Answers | undefined;
}

export interface VersionState {
  readonly version: string;
  /** The last observation, and since when it has been so. */
  readonly status: KeyStatus;
  readonly reason: KeyReason | null;
  readonly since: Date;
  readonly verdict: Verdict;
  readonly verdictReason: KeyReason | null;
  readonly verdictSince: Date;
  readonly run: Run | null;
  readonly transientSince: Date | null;
  readonly seenDeleted: boolean;
  readonly attributes: VersionAttributes | null;
  readonly canary: string | null;
  /** Whether any server's wrapping depends on it, as far as was counted. */
  readonly inUse: boolean;
  /** The smallest near-expiry tier announced so far, in days. */
  readonly warnedDays: number | null;
  readonly provenAt: Date | null;
  /** Whether the app itself is in trouble over it: not able to ask for too long, or a canary that came back wrong. */
  readonly degraded: boolean;
  /** When an operator retired it: nothing depended on it, and nothing is wrapped under it again. */
  readonly retiredAt: Date | null;
  /** When the last wrapping under it was replaced, as found when it was retired; null: none ever was. */
  readonly lastDependedOn: Date | null;
}

export interface StatusRules {
  /** Seconds from the first suspect answer to the verdict, and the least answers in that run. */
  readonly confirmSuspectSeconds: number;
  /** Seconds between the two good probes that restore. */
  readonly restoreGapSeconds: number;
  /** Hours of not being able to ask before the alert, and before a revocation where the policy says so. */
  readonly transientBufferHours: number;
  readonly transientBuffer: 'alert' | 'revoke';
  readonly expiredKeyPolicy: 'revoke' | 'warn';
}

/** What is the customer's after `exp` and before `nbf`. */
export const GRACE_MS = 5 * 60_000;
const SUSPECT_ANSWERS = 3;
const VAULT_NOT_FOUND_SECONDS = 15 * 60;

/** A version that was never observed. */
export function makeVersionState(version: string, now: Date): VersionState {
  return {
    version,
    status: 'unknown',
    reason: 'CanaryUnavailable',
    since: now,
    verdict: 'unproven',
    verdictReason: null,
    verdictSince: now,
    run: null,
    transientSince: null,
    seenDeleted: false,
    attributes: null,
    canary: null,
    inUse: false,
    warnedDays: null,
    provenAt: null,
    degraded: false,
    retiredAt: null,
    lastDependedOn: null,
  };
}

/** Whether `exp` has passed at `vaultNow`, the customer's five minutes of grace included. */
export const isExpired = (attributes: VersionAttributes | null, vaultNow: Date): boolean =>
  attributes?.expiresOn != null && vaultNow.getTime() > attributes.expiresOn.getTime() + GRACE_MS;

/** Whether `nbf` is still to come at `vaultNow`, the same grace included. */
export const isNotYetValid = (attributes: VersionAttributes | null, vaultNow: Date): boolean =>
  attributes?.notBefore != null && vaultNow.getTime() < attributes.notBefore.getTime() - GRACE_MS;

const STATUS_OF: Readonly<Record<FindingClass, KeyStatus>> = {
  good: 'usable',
  definitive: 'unusable',
  suspect: 'unusable',
  transient: 'unknown',
  fault: 'unknown',
};

const finding = (kind: FindingClass, reason: KeyReason | null): Finding => ({
  class: kind,
  status: STATUS_OF[kind],
  reason,
});

/**
 * The class, status and reason of one observation. What the vault says for certain comes first: a disabled
 * version, a definitive refusal, then the dates, and only then what isn't certain.
 * @param vaultNow the vault's own clock
 */
export function classifyObservation(
  observation: VersionObservation,
  context: {
    readonly vaultNow: Date;
    readonly seenDeleted: boolean;
    readonly expiredKeyPolicy: StatusRules['expiredKeyPolicy'];
  },
): Finding {
  const { attributes, probe } = observation;
  if (attributes?.enabled === false) return finding('definitive', 'KeyDisabled');
  const fault =
    probe.kind === 'fault'
      ? classifyFault(probe.fault, { deleted: observation.deleted, seenDeleted: context.seenDeleted })
      : null;
  if (fault?.class === 'definitive') return finding(fault.class, fault.reason);
  const expired = isExpired(attributes, context.vaultNow);
  if (expired && context.expiredKeyPolicy === 'revoke') return finding('definitive', 'KeyExpired');
  if (isNotYetValid(attributes, context.vaultNow)) return finding('definitive', 'KeyNotYetValid');
  if (fault !== null) return finding(fault.class, fault.reason);
  if (probe.kind === 'none') return finding('transient', 'CanaryUnavailable');
  if (probe.kind === 'unwrapped' && !probe.matches) return finding('fault', 'CanaryMismatch');
  return finding('good', expired ? 'KeyExpired' : null);
}

/**
 * The state after one more observation.
 *
 * Invariant I-02: "could not ask" is never "revoked" and never "missing": a transient finding changes no verdict,
 * unless the KEK's own policy limits how long (`transientBuffer: revoke`).
 * @param held whether the breaker holds suspect verdicts
 */
export function advanceVersion(
  state: VersionState,
  observation: VersionObservation,
  context: {
    readonly now: Date;
    readonly vaultNow: Date;
    readonly rules: StatusRules;
    readonly held: boolean;
  },
): VersionState {
  const found = classifyWithRecord(state, observation, context);
  const next: VersionState = {
    ...state,
    status: found.status,
    reason: found.reason,
    since: found.status === state.status && found.reason === state.reason ? state.since : context.now,
    attributes: observation.attributes ?? state.attributes,
    canary: observation.newCanary ?? state.canary,
    seenDeleted: found.class === 'good' ? false : state.seenDeleted || observation.deleted === 'deleted',
    transientSince: found.class === 'transient' ? (state.transientSince ?? context.now) : null,
    provenAt: found.class === 'good' ? context.now : state.provenAt,
    degraded: found.class === 'fault',
  };
  switch (found.class) {
    case 'good':
      return advanceGood(next, context.now, context.rules);
    case 'definitive':
      return { ...withVerdict(next, 'revoke', found.reason, context.now), run: null };
    case 'suspect':
      return advanceSuspect(next, context);
    case 'transient':
      return advanceTransient(next, context.now, context.rules);
    case 'fault':
      return { ...next, run: null };
  }
}

function withVerdict(
  state: VersionState,
  verdict: Verdict,
  reason: KeyReason | null,
  now: Date,
): VersionState {
  if (state.verdict === verdict) return { ...state, verdictReason: reason };
  return { ...state, verdict, verdictReason: reason, verdictSince: now };
}

/**
 * A good unwrap whose attributes couldn't be read says nothing of the dates: the vault unwraps outside them. Where the
 * dates on record are past it is no good answer; nor is it a loss, since they may have been moved.
 */
function classifyWithRecord(
  state: VersionState,
  observation: VersionObservation,
  { vaultNow, rules }: { readonly vaultNow: Date; readonly rules: StatusRules },
): Finding {
  const { seenDeleted, attributes } = state;
  const { expiredKeyPolicy } = rules;
  const found = classifyObservation(observation, { vaultNow, seenDeleted, expiredKeyPolicy });
  if (found.class !== 'good' || observation.attributes !== null || attributes === null) return found;
  const recorded = { ...observation, attributes: { ...attributes, enabled: true } };
  const byRecord = classifyObservation(recorded, { vaultNow, seenDeleted, expiredKeyPolicy });
  return byRecord.class === 'good' ? byRecord : finding('transient', 'UnexpectedAnswer');
}

const withAnswer = (answers: Answers | undefined, now: Date): Answers => ({
  since: answers?.since ?? now,
  answers: (answers?.answers ?? 0) + 1,
});

/** A run of suspect answers in which the vault's name was once missing takes longer, but for the answers about other things. */
function extendRun(run: Run | null, kind: Run['class'], now: Date): Run {
  if (run === null || (run.class === 'good') !== (kind === 'good'))
    return { class: kind, since: now, answers: 1 };
  const all = withAnswer(run, now);
  if (run.class === kind && run.class !== 'missing') return { class: kind, ...all };
  const others = run.class === 'missing' ? run.others : { since: run.since, answers: run.answers };
  if (kind === 'suspect') return { class: 'missing', ...all, others: withAnswer(others, now) };
  return { class: 'missing', ...all, ...(others === undefined ? {} : { others }) };
}

/** Whether a run whose last answer was of this kind is sure now. */
function isConfirmed(run: Run, kind: Run['class'], now: Date, rules: StatusRules): boolean {
  const stands = (answers: Answers | undefined, seconds: number) =>
    answers !== undefined &&
    answers.answers >= SUSPECT_ANSWERS &&
    secondsBetween(answers.since, now) >= seconds;
  if (stands(run, VAULT_NOT_FOUND_SECONDS)) return true;
  const others = run.class === 'missing' ? run.others : run;
  return kind === 'suspect' && stands(others, rules.confirmSuspectSeconds);
}

const secondsBetween = (from: Date, to: Date): number => (to.getTime() - from.getTime()) / 1000;

function advanceGood(state: VersionState, now: Date, rules: StatusRules): VersionState {
  if (state.verdict !== 'revoke') return { ...withVerdict(state, 'serve', null, now), run: null };
  const run = extendRun(state.run, 'good', now);
  return secondsBetween(run.since, now) >= rules.restoreGapSeconds
    ? { ...withVerdict(state, 'serve', null, now), run: null }
    : { ...state, run };
}

function advanceSuspect(
  state: VersionState,
  context: { readonly now: Date; readonly rules: StatusRules; readonly held: boolean },
): VersionState {
  const { now, rules, held } = context;
  if (state.verdict === 'revoke') {
    // Another reason that isn't sure must stand for a while: one that alternates would be news to every server each time.
    const stands = secondsBetween(state.since, now) >= rules.confirmSuspectSeconds;
    return { ...state, verdictReason: stands ? state.reason : state.verdictReason, run: null };
  }
  const kind = state.reason === 'VaultNotFound' ? 'missing' : 'suspect';
  const run = extendRun(state.run, kind, now);
  if (!isConfirmed(run, kind, now, rules) || held) return { ...state, run };
  return { ...withVerdict(state, 'revoke', state.reason, now), run: null };
}

function advanceTransient(state: VersionState, now: Date, rules: StatusRules): VersionState {
  // A run of suspect answers is neither extended nor broken by not being able to ask; a run of good ones is broken.
  const kept = state.run?.class === 'good' ? { ...state, run: null } : state;
  const degraded = isTransientTooLong(kept.transientSince, now, rules);
  return degraded && rules.transientBuffer === 'revoke' && kept.verdict === 'serve'
    ? { ...withVerdict(kept, 'revoke', kept.reason, now), degraded }
    : { ...kept, degraded };
}

const isTransientTooLong = (since: Date | null, now: Date, rules: StatusRules): boolean =>
  since !== null && secondsBetween(since, now) >= rules.transientBufferHours * 3600;

/** Whether an observation that looks like the recorded one can still change the verdict, so must not be skipped. */
export const isUnsettled = (state: VersionState): boolean => state.run !== null;

/**
 * Whether DEKs may be wrapped under this version: it serves, its last observation was good without reserve, and it
 * wasn't retired.
 */
export const isProven = (state: VersionState | undefined): boolean =>
  state?.verdict === 'serve' &&
  state.status === 'usable' &&
  state.reason === null &&
  state.retiredAt === null;
