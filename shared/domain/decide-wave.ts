// Rotations in waves: which servers a rotation has come to, when it goes on to more, and when it halts itself. Pure.
import type { KekPolicy, KekState, Rotation, Wave } from './kek.ts';
import { laterOf } from './later-of.ts';
import type { RewrapFailure, ServerRow } from './server.ts';

type Running = Extract<Rotation, { readonly state: 'running' }>;

const hasWaves = ({ canaryServers, waveServers }: KekPolicy): boolean =>
  canaryServers.length > 0 || waveServers !== null;

/** Where a rotation begins: with the canaries alone; null: with everybody. */
export const firstWave = (policy: KekPolicy, now: Date): Wave | null =>
  hasWaves(policy) ? { number: 0, upTo: '', openedAt: now } : null;

/** Whether the rotation has come to this server. */
export function isAdmitted(serverId: string, { rotation, policy }: KekState): boolean {
  if (rotation.state === 'halted') return false;
  if (rotation.state !== 'running' || rotation.wave === null) return true;
  return serverId <= rotation.wave.upTo || policy.canaryServers.includes(serverId);
}

/** The KEK under another policy. In a rotation under way, waves begin or end with it. */
export function withPolicy(kek: KekState, policy: KekPolicy, now: Date): KekState {
  const { rotation } = kek;
  if (rotation.state !== 'running' && rotation.state !== 'halted') return { ...kek, policy };
  const kept = hasWaves(kek.policy) ? rotation.wave : firstWave(policy, now);
  return { ...kek, policy, rotation: { ...rotation, wave: hasWaves(policy) ? kept : null } };
}

/**
 * Where a server is in the rotation of its KEK. `stays`: it doesn't follow. `stuck`: it follows, and its version
 * doesn't unwrap any more.
 */
export type Place = 'stays' | 'done' | 'behind' | 'stuck';

/** What one pass over all servers tells of a rotation. As large for a hundred thousand servers as for one. */
export interface RotationCount {
  /** Servers that failed since the rotation began, or was resumed. */
  readonly failures: number;
  /** Servers of the waves so far that the next wave waits for. */
  readonly holding: number;
  /** Servers that are left for later waves. */
  readonly later: number;
  /** The last server of the next wave; null: there are fewer. */
  readonly upTo: string | null;
  /** When the last server of the waves so far was rewrapped; null: none was. */
  readonly rewrappedAt: Date | null;
}

export const NO_SERVERS: RotationCount = {
  failures: 0,
  holding: 0,
  later: 0,
  upTo: null,
  rewrappedAt: null,
};

/** The count with one more server in it. Servers come in the order of their ids. */
export function countServer(
  count: RotationCount,
  row: ServerRow,
  place: Place,
  kek: KekState,
): RotationCount {
  const { rotation, policy } = kek;
  if (rotation.state !== 'running') return count;
  const failures = count.failures + (isFailure(row.rewrapFailure, rotation) ? 1 : 0);
  if (rotation.wave === null || place === 'stays') return { ...count, failures };
  if (!isAdmitted(row.serverId, kek)) {
    const later = count.later + (place === 'behind' ? 1 : 0);
    const upTo = later > count.later && later === policy.waveServers ? row.serverId : count.upTo;
    return { ...count, failures, later, upTo };
  }
  const holds = isHolding(row, place, rotation.wave);
  const wasRewrapped = place === 'done' && row.replacedVersion !== null;
  return {
    ...count,
    failures,
    holding: count.holding + (holds ? 1 : 0),
    rewrappedAt: wasRewrapped ? laterOf(count.rewrappedAt, row.wrappedAt) : count.rewrappedAt,
  };
}

/** Failures from before it was resumed are forgiven, those of the very instant among them. */
function isFailure(failure: RewrapFailure | null, { startedAt, resumedAt }: Running): boolean {
  if (failure === null) return false;
  return resumedAt === null ? failure.since >= startedAt : failure.since > resumedAt;
}

/** Every canary must have been rewrapped; of later waves as many may fail as the policy bears. */
const isHolding = (row: ServerRow, place: Place, wave: Wave): boolean =>
  wave.number === 0 ? place !== 'done' : place === 'behind' && row.rewrapFailure === null;

export type WaveDecision =
  | { readonly kind: 'none' }
  | { readonly kind: 'halt'; readonly failures: number }
  /** null: everybody is admitted from now on. */
  | { readonly kind: 'open'; readonly wave: Wave | null };

/** What follows for the rotation from a count that was made under this very state of the KEK. */
export function decideWave({ rotation, policy }: KekState, count: RotationCount, now: Date): WaveDecision {
  if (rotation.state !== 'running') return { kind: 'none' };
  const { failures, later, upTo } = count;
  if (policy.haltAfterFailures !== null && failures > policy.haltAfterFailures)
    return { kind: 'halt', failures };
  const { wave } = rotation;
  if (wave === null || policy.rewrapPaused || count.holding > 0 || later === 0) return { kind: 'none' };
  if (now < soakEnd(wave, policy, count)) return { kind: 'none' };
  if (upTo === null || later === policy.waveServers) return { kind: 'open', wave: null };
  return { kind: 'open', wave: { number: wave.number + 1, upTo, openedAt: now } };
}

/** A wave without a server in it, because there are no canaries, needn't soak. */
function soakEnd(wave: Wave, { canaryServers, waveSoakSeconds }: KekPolicy, count: RotationCount): Date {
  if (wave.number === 0 && canaryServers.length === 0) return wave.openedAt;
  const end = laterOf(count.rewrappedAt, wave.openedAt);
  return new Date(end.getTime() + waveSoakSeconds * 1000);
}

/** The KEK after that decision. */
export function withWave(kek: KekState, decision: WaveDecision, now: Date): KekState {
  const { rotation } = kek;
  if (decision.kind === 'none' || rotation.state !== 'running') return kek;
  if (decision.kind === 'halt') {
    const { startedAt, wave } = rotation;
    const halted: Rotation = { state: 'halted', startedAt, since: now, failures: decision.failures, wave };
    return { ...kek, rotation: halted };
  }
  return { ...kek, epoch: kek.epoch + 1, rotation: { ...rotation, wave: decision.wave } };
}

/** A halted rotation that goes on where it was: the failures so far are forgiven. */
export function withResumed(kek: KekState, now: Date): KekState {
  const { rotation } = kek;
  if (rotation.state !== 'halted') return kek;
  const { startedAt, wave } = rotation;
  const running: Rotation = { state: 'running', startedAt, resumedAt: now, wave };
  return { ...kek, epoch: kek.epoch + 1, rotation: running };
}
