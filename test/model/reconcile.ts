// The programs that look at a KEK: observe, decide, record, fan out; and the two timers. Every decision is the
// product's own; what is here is the order of the steps.
import { CLOSED_BREAKER, isHolding, noteSuspectVault } from '../../shared/domain/breaker.ts';
import {
  decideKek,
  type KekDecision,
  type KekObservation,
  turnsSuspect,
} from '../../shared/domain/decide-kek.ts';
import { findVersion, type KekSnapshot } from '../../shared/domain/kek.ts';
import type { KekId } from '../../shared/domain/key-id.ts';
import {
  classifyObservation,
  isUnsettled,
  type Probe,
  type VersionObservation,
  type VersionState,
} from '../../shared/domain/key-status.ts';
import type { ReconcileMessage } from '../../shared/domain/message.ts';
import type { VaultAnswer } from '../../shared/domain/vault-answer.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import { fanOut } from './fan-out.ts';
import { ask, io, onConflict, type Program, together } from './io.ts';
import { CANARY, type Process, RULES, timedOut } from './site.ts';
import { toCiphertext } from './vault.ts';

const SKEW_MS = 1000;
const REFRESH_MS = 60_000;
const PROBES_AT_A_TIME = 4;
const HINTS: readonly string[] = ['event', 'auditLog', 'probe'];

export function* reconcile(process: Process, message: ReconcileMessage, insertedAt: Date): Program<void> {
  const { kek, cause } = message;
  const { storage } = process;
  const stored = yield* io('store.read', () => storage.readKek(kek));
  if (stored === undefined) return;
  const snapshot = toSnapshot(stored);
  const { epoch, fannedOutEpoch, observedFrom } = snapshot.kek;
  const isAnswered =
    HINTS.includes(cause.kind) &&
    observedFrom !== null &&
    Number(observedFrom) - Number(insertedAt) > SKEW_MS;
  if (epoch === fannedOutEpoch && isAnswered) return;
  if (epoch !== fannedOutEpoch) yield* fanOut(process, kek, cause);
  const from = process.now();
  const observation = yield* observe(process, snapshot);
  const decision = yield* record(process, kek, observation, from);
  if (decision !== null && decision.recheckAfterSeconds !== null) {
    const again = { kek, cause: { kind: 'followUp', of: 'firstGoodProbe' } } as const;
    const { recheckAfterSeconds } = decision;
    yield* io('queue', () => process.enqueue({ queue: 'reconcile', message: again }, recheckAfterSeconds));
  }
  yield* fanOut(process, kek, cause);
}

type Answered = Pick<VersionObservation, 'probe' | 'newCanary'> & { readonly vaultNow: Date | null };

export function* askVault<T>(act: () => VaultAnswer<T>): Program<VaultAnswer<T>> {
  return yield* ask('vault', act, () => ({ ok: false, fault: timedOut, vaultNow: null }));
}

function* unwrapCanary({ vault }: Process, kek: KekId, version: string, canary: string) {
  const answer = yield* askVault(() => vault.unwrap(kek, version, canary));
  const probe: Probe = answer.ok
    ? { kind: 'unwrapped', matches: answer.value === CANARY }
    : { kind: 'fault', fault: answer.fault };
  return { probe, vaultNow: answer.vaultNow };
}

function* probeVersion(
  process: Process,
  kek: KekId,
  version: string,
  known: string | null,
): Program<Answered> {
  const { vault, storage } = process;
  if (known !== null) return { ...(yield* unwrapCanary(process, kek, version, known)), newCanary: null };
  const described = yield* askVault(() => vault.describeVersion(kek, version));
  if (described.ok) {
    const newCanary = toCiphertext(version, CANARY);
    return { ...(yield* unwrapCanary(process, kek, version, newCanary)), newCanary };
  }
  const page = yield* io('store.read', () => storage.pageServers(kek, '', '~'));
  const sample = page.find(({ value }) => value.wrapped.kekVersion === version)?.value.wrapped;
  if (sample === undefined)
    return { probe: { kind: 'fault', fault: described.fault }, newCanary: null, vaultNow: null };
  const answer = yield* askVault(() => vault.unwrap(kek, version, sample.ciphertext));
  const probe: Probe = answer.ok ? { kind: 'none' } : { kind: 'fault', fault: answer.fault };
  return { probe, newCanary: null, vaultNow: answer.vaultNow };
}

function* observe(process: Process, snapshot: KekSnapshot): Program<KekObservation> {
  const { vault } = process;
  const { kek, target } = snapshot.kek;
  const described = yield* askVault(() => vault.describe(kek));
  const newest = described.ok ? described.value.newest : null;
  const watched = new Set(snapshot.versions.filter(({ inUse }) => inUse).map(({ version }) => version));
  for (const version of [target, newest]) if (version !== null) watched.add(version);

  const lookAt = function* (version: string) {
    const attributes = described.ok ? (described.value.attributes.get(version) ?? null) : null;
    if (attributes?.enabled === false)
      return { version, attributes, probe: { kind: 'none' }, newCanary: null, vaultNow: null } as const;
    const known = findVersion(snapshot, version)?.canary ?? null;
    return { version, attributes, ...(yield* probeVersion(process, kek, version, known)) };
  };
  const answers = yield* together([...watched].map(lookAt), PROBES_AT_A_TIME);
  const isGone = ({ probe }: { readonly probe: Probe }) =>
    probe.kind === 'fault' && probe.fault.kind === 'http' && probe.fault.status === 404;
  const deleted = answers.some(isGone)
    ? yield* ask(
        'vault',
        () => vault.askDeleted(kek),
        () => 'unsaid' as const,
      )
    : 'unsaid';
  const versions = answers.map(({ vaultNow: _, ...one }): VersionObservation => {
    return { ...one, deleted: isGone(one) ? deleted : 'unsaid' };
  });
  const clocks = [described, ...answers].flatMap(({ vaultNow }) => vaultNow ?? []);
  const vaultNow = clocks.length === 0 ? process.now() : new Date(Math.max(...clocks.map(Number)));
  return { newest, versions, vaultNow };
}

const record = (process: Process, kek: KekId, observation: KekObservation, from: Date) =>
  onConflict(function* (): Program<KekDecision | null> {
    const { storage } = process;
    const stored = yield* io('store.read', () => storage.readKek(kek));
    const observedFrom = stored?.kek.value.observedFrom ?? null;
    if (stored === undefined || (observedFrom !== null && observedFrom > from)) return null;
    const snapshot = toSnapshot(stored);
    const held = yield* isBreakerHolding(process, snapshot, observation);
    const decision = decideKek(snapshot, observation, { now: process.now(), rules: RULES, held });
    const versions = decision.snapshot.versions.flatMap((value) => {
      const before = stored.versions.find((one) => one.value.version === value.version);
      return isNews(before?.value, value) ? [{ value, etag: before?.etag ?? null }] : [];
    });
    const row = { value: { ...decision.snapshot.kek, observedFrom: from }, etag: stored.kek.etag };
    yield* io('store.write', () => storage.commitKek(kek, row, versions));
    return decision;
  });

function* isBreakerHolding(process: Process, snapshot: KekSnapshot, observation: KekObservation) {
  const { storage } = process;
  const now = process.now();
  const { breakerHoldMinutes: holdMinutes } = RULES;
  const stored = yield* io('store.read', () => storage.readBreaker());
  if (!turnsSuspect(snapshot, observation))
    return isHolding(stored?.value ?? CLOSED_BREAKER, now, holdMinutes);
  const keks = yield* io('store.read', () => storage.listKeks());
  const vaultsInUse = new Set(keks.map(({ kek }) => kek.value.kek.vault)).size;
  const { vault } = snapshot.kek.kek;
  return yield* onConflict(function* () {
    const read = yield* io('store.read', () => storage.readBreaker());
    const before = read?.value ?? CLOSED_BREAKER;
    const value = noteSuspectVault(before, { vault, now, vaultsInUse, holdMinutes });
    yield* io('store.write', () => storage.writeBreaker({ value, etag: read?.etag ?? null }));
    return isHolding(value, now, holdMinutes);
  });
}

/** A version that looks as before is written only once a minute. */
function isNews(before: VersionState | undefined, after: VersionState): boolean {
  if (before === undefined) return true;
  if (Number(after.provenAt) - Number(before.provenAt) >= REFRESH_MS) return true;
  return JSON.stringify({ ...before, provenAt: null }) !== JSON.stringify({ ...after, provenAt: null });
}

export function* sweep(process: Process): Program<void> {
  const keks = yield* io('store.read', () => process.storage.listKeks());
  for (const { kek } of keks) {
    const message = { kek: kek.value.kek, cause: { kind: 'sweep' } } as const;
    yield* io('queue', () => process.enqueue({ queue: 'reconcile', message }));
  }
}

export function* probe(process: Process): Program<void> {
  const keks = yield* io('store.read', () => process.storage.listKeks());
  const changed = new Set<string>();
  const probeOne = function* (kek: KekId, state: VersionState, policy: 'revoke' | 'warn'): Program<void> {
    if (state.canary === null) return;
    const { probe: answer, vaultNow } = yield* unwrapCanary(process, kek, state.version, state.canary);
    const attributes = state.attributes && { ...state.attributes, enabled: true };
    const found = classifyObservation(
      { version: state.version, attributes, probe: answer, deleted: 'unsaid', newCanary: null },
      { vaultNow: vaultNow ?? process.now(), seenDeleted: false, expiredKeyPolicy: policy },
    );
    const isGone = found.reason === 'KeyNotFound' && state.reason === 'KeySoftDeleted';
    const isAsRecorded = isGone || (found.status === state.status && found.reason === state.reason);
    const isExpired = state.verdict === 'revoke' && state.reason === 'KeyExpired';
    if ((isAsRecorded && !isUnsettled(state) && !isExpired) || changed.has(kek.vault)) return;
    changed.add(kek.vault);
    const message = { kek, cause: { kind: 'probe' } } as const;
    yield* io('queue', () => process.enqueue({ queue: 'reconcile', message }));
  };
  const due = keks.flatMap(({ kek: { value: one }, versions }) =>
    versions
      .filter(({ value }) => value.inUse || value.version === one.target)
      .map(({ value }) => probeOne(one.kek, value, one.policy.expiredKeyPolicy)),
  );
  yield* together(due, due.length);
}
