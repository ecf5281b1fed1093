// Observe, decide, record, fan out: the one way in which a KEK's status ever changes (design 4 and 5).
import type { Cause } from '../domain/audit.ts';
import { CLOSED_BREAKER, isHolding, noteSuspectVault } from '../domain/breaker.ts';
import {
  decideKek,
  type KekDecision,
  type KekObservation,
  type KekRules,
  turnsSuspect,
} from '../domain/decide-kek.ts';
import type { KekSnapshot } from '../domain/kek.ts';
import { kekKey, keyUrl } from '../domain/key-id.ts';
import type { VersionState } from '../domain/key-status.ts';
import { detectionLatencyMs } from '../domain/latency.ts';
import { isRotationCount, type ReconcileMessage } from '../domain/message.ts';
import type { BreakerStore, KekStore, OutboxEntry } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { Meter } from '../ports/telemetry.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { coalesce } from './coalesce.ts';
import type { FanOut } from './fan-out.ts';
import { onConflict } from './on-conflict.ts';
import { toSnapshot } from './snapshot.ts';

export interface ReconcileDeps {
  readonly keks: KekStore & BreakerStore;
  readonly queue: WorkQueue;
  readonly observe: (snapshot: KekSnapshot) => Promise<KekObservation>;
  readonly fanOut: FanOut;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly rules: KekRules & { readonly breakerHoldMinutes: number };
}

/** `insertedAt`: when the message was put into the queue; null where it isn't known. */
export type ReconcileKek = (message: ReconcileMessage, insertedAt: Date | null) => Promise<void>;

/** How far the clocks of the queue and of this process may differ. */
const SKEW_MS = 1000;
/** A version that looks as before is written again only this often. */
const REFRESH_MS = 60_000;

/**
 * Two reconciles of one KEK at a time are harmless: each writes under the ETags it read, and an observation is
 * dropped when a later one has been recorded meanwhile.
 * @throws CmkError StoreUnavailable, WriteConflict: the queue delivers the message again
 */
export function makeReconcileKek(deps: ReconcileDeps): ReconcileKek {
  const { keks, queue, observe, fanOut, clock, log, meter, rules } = deps;

  const isBreakerHolding = async (snapshot: KekSnapshot, observation: KekObservation): Promise<boolean> => {
    const now = clock.now();
    const stored = await keks.readBreaker();
    if (!turnsSuspect(snapshot, observation)) {
      return isHolding(stored?.value ?? CLOSED_BREAKER, now, rules.breakerHoldMinutes);
    }
    const vaults = new Set<string>();
    for await (const one of keks.list({ vault: null })) vaults.add(one.kek.value.kek.vault);
    return onConflict(async () => {
      const read = await keks.readBreaker();
      const before = read?.value ?? CLOSED_BREAKER;
      const after = noteSuspectVault(before, {
        vault: snapshot.kek.kek.vault,
        now,
        vaultsInUse: vaults.size,
        holdMinutes: rules.breakerHoldMinutes,
      });
      await keks.writeBreaker({ value: after, etag: read?.etag ?? null });
      const holding = isHolding(after, now, rules.breakerHoldMinutes);
      if (holding && !isHolding(before, now, rules.breakerHoldMinutes)) {
        log.write('error', 'breaker tripped: most vaults turned suspect at once; suspect verdicts are held', {
          vaults: Object.keys(after.suspects),
        });
      }
      return holding;
    });
  };

  const record = ({ kek, cause, hintedAt }: ReconcileMessage, observation: KekObservation, from: Date) =>
    onConflict(async (): Promise<KekDecision | undefined> => {
      const stored = await keks.read(kek);
      const observedFrom = stored?.kek.value.observedFrom ?? null;
      if (stored === undefined || (observedFrom !== null && observedFrom > from)) return undefined;
      const snapshot = toSnapshot(stored);
      const held = await isBreakerHolding(snapshot, observation);
      const now = clock.now();
      const decision = decideKek(snapshot, observation, { now, rules, held });
      const versions = decision.snapshot.versions.flatMap((value) => {
        const before = stored.versions.find((one) => one.value.version === value.version);
        return isWorthWriting(before?.value, value) ? [{ value, etag: before?.etag ?? null }] : [];
      });
      await keks.commit(kek, {
        kek: { value: { ...decision.snapshot.kek, observedFrom: from }, etag: stored.kek.etag },
        versions,
        outbox: toOutbox(decision, cause, now),
      });
      const seen = { from: observedFrom, now, hintedAt: hintedAt ?? null };
      const latency = detectionLatencyMs(snapshot, decision.snapshot, observation, seen);
      if (latency !== null) meter.time('pgcmk.detection.latency', latency);
      return decision;
    });

  const reconcile = async ([message, insertedAt]: Arrival): Promise<void> => {
    const { kek, cause } = message;
    const stored = await keks.read(kek);
    if (stored === undefined)
      return log.write('debug', 'a look at a key that is not held', { key: keyUrl(kek) });
    const snapshot = toSnapshot(stored);
    const { epoch, fannedOutEpoch, observedFrom } = snapshot.kek;
    if (epoch === fannedOutEpoch && isAnswered(cause, insertedAt, observedFrom))
      return log.write('debug', 'a later look has answered this one', { key: keyUrl(kek) });

    // What was decided already (a hold, what a crash cut short) doesn't wait for a vault that may hang.
    if (epoch !== fannedOutEpoch) await fanOut(kek, cause);
    const from = clock.now();
    const observation = await observe(snapshot);
    const decision = await record(message, observation, from);
    if (decision?.recheckAfterSeconds != null) {
      await queue.enqueueReconcile(
        { kek, cause: { kind: 'followUp', of: 'firstGoodProbe' } },
        decision.recheckAfterSeconds,
      );
    }
    await fanOut(kek, cause);
  };
  const shared = coalesce(reconcile, { keyOf, merge: harder });
  return (...arrival) => shared(arrival);
}

type Arrival = Parameters<ReconcileKek>;

const isHint = (cause: Cause): boolean =>
  cause.kind === 'event' || cause.kind === 'auditLog' || cause.kind === 'probe';

/** Whether an observation that began after this hint was sent has been recorded. */
const isAnswered = (cause: Cause, insertedAt: Date | null, observedFrom: Date | null): boolean =>
  isHint(cause) &&
  insertedAt !== null &&
  observedFrom !== null &&
  observedFrom.getTime() - insertedAt.getTime() > SKEW_MS;

/** What `isAnswered` asks of a message: of two, the one with the later instant is the harder to answer. */
const answeredFrom = ([{ cause }, insertedAt]: Arrival): number =>
  isHint(cause) && insertedAt !== null ? insertedAt.getTime() : Number.POSITIVE_INFINITY;

/** Of messages that share a reconcile: what an earlier observation answers for one may not be answered for another. */
const harder = (held: Arrival, coming: Arrival): Arrival =>
  answeredFrom(coming) > answeredFrom(held) ? coming : held;

/** What they do to the servers differs, so each kind is only shared with its like. */
function keyOf([{ kek, cause }]: Arrival): string {
  const pass = cause.kind === 'sweep' || (isRotationCount(cause) && 'rotation');
  return `${kekKey(kek)}|${pass}`;
}

function isWorthWriting(before: VersionState | undefined, after: VersionState): boolean {
  if (before === undefined) return true;
  const age = (after.provenAt?.getTime() ?? 0) - (before.provenAt?.getTime() ?? 0);
  return (
    age >= REFRESH_MS ||
    JSON.stringify({ ...before, provenAt: null }) !== JSON.stringify({ ...after, provenAt: null })
  );
}

function toOutbox(decision: KekDecision, cause: Cause, at: Date): OutboxEntry | null {
  if (decision.transitions.length === 0) return null;
  const { epoch } = decision.snapshot.kek;
  return {
    audit: decision.transitions.map(({ action, versionBefore, versionAfter, reason }) => ({
      at,
      action,
      cause,
      servers: [],
      versionBefore,
      versionAfter,
      reason,
      detail: { epoch },
    })),
    events: decision.transitions.flatMap(({ event }) => (event === null ? [] : [event])),
  };
}
