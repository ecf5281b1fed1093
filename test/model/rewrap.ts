// The program that rewraps one range of servers.
import { decideRewrap } from '../../shared/domain/decide-server.ts';
import { type CmkError, isCmkError } from '../../shared/domain/errors.ts';
import { findVersion, type KekSnapshot } from '../../shared/domain/kek.ts';
import { type KekId, keyUrl } from '../../shared/domain/key-id.ts';
import { classifyObservation, type Probe } from '../../shared/domain/key-status.ts';
import { isOvertaken, type RangeMessage, ROTATION_COUNT } from '../../shared/domain/message.ts';
import { retryDelaySeconds } from '../../shared/domain/retry.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import { classifyFault, type FindingClass } from '../../shared/domain/vault-answer.ts';
import type { WrappedDek } from '../../shared/domain/wrapped-dek.ts';
import { type Outcome, toWrite } from '../../shared/operations/rewrap-outcome.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import type { Stored } from '../../shared/ports/stored.ts';
import { finishRotation } from './fan-out.ts';
import { io, onConflict, type Program, together } from './io.ts';
import { askVault } from './reconcile.ts';
import { CANARY, dekOf, type Process, RULES } from './site.ts';
import { toCiphertext } from './vault.ts';

const PROOF_MS = 60_000;
const NOT_ASKED = { deleted: 'unsaid', seenDeleted: false } as const;

export function* rewrap(process: Process, message: RangeMessage): Program<void> {
  const { storage } = process;
  const { kek } = message;
  const page = yield* io('store.read', () => storage.pageServers(kek, message.from, message.to));
  const stored = yield* io('store.read', () => storage.readKek(kek));
  if (stored === undefined || isOvertaken(message, stored.kek.value.fannedOutEpoch)) return;
  const { moved, failed, waitSeconds } = yield* rewrapPage(process, message, toSnapshot(stored), page);
  if (waitSeconds !== null) {
    yield* io('queue', () => process.enqueue({ queue: 'rewrap', message }, waitSeconds));
  }
  if (moved === 0) {
    if (failed) yield* followRotation(process, kek, true);
    return;
  }
  const now = yield* io('store.read', () => storage.readKek(kek));
  if (now === undefined) return;
  const { epoch } = now.kek.value;
  if (epoch !== message.epoch) {
    const again = { ...message, epoch, attempt: null };
    yield* io('queue', () => process.enqueue({ queue: 'rewrap', message: again }));
  }
  yield* finishRotation(process, kek);
  yield* followRotation(process, kek, failed);
}

const askToReconcile = (process: Process, kek: KekId) =>
  io('queue', () => {
    const message = { kek, cause: { kind: 'followUp', of: 'rewrap' } } as const;
    process.enqueue({ queue: 'reconcile', message });
  });

/** Without waves there is nothing to count, but after a failure. */
function* followRotation(process: Process, kek: KekId, failed: boolean): Program<void> {
  const stored = yield* io('store.read', () => process.storage.readKek(kek));
  if (stored?.kek.value.rotation.state !== 'running' || !failed) return;
  const message = { kek, cause: ROTATION_COUNT };
  yield* io('queue', () => process.enqueue({ queue: 'reconcile', message }));
}

function* prove(process: Process, kek: KekId, version: string, canary: string): Program<boolean> {
  const id = keyUrl(kek, version);
  const goodAt = process.goodAt.get(id);
  if (goodAt !== undefined && Number(process.now()) - goodAt < PROOF_MS) return true;
  const described = yield* askVault(() => process.vault.describeVersion(kek, version));
  if (!described.ok) return notProven(classifyFault(described.fault, NOT_ASKED).class);
  const answer = yield* askVault(() => process.vault.unwrap(kek, version, canary));
  const probe: Probe = answer.ok
    ? { kind: 'unwrapped', matches: answer.value === CANARY }
    : { kind: 'fault', fault: answer.fault };
  const found = classifyObservation(
    { version, attributes: described.value, probe, deleted: 'unsaid', newCanary: null },
    { vaultNow: answer.vaultNow ?? process.now(), seenDeleted: false, expiredKeyPolicy: 'revoke' },
  );
  if (found.reason !== null) return notProven(found.class);
  process.goodAt.set(id, Number(process.now()));
  return true;
}

/** Where the vault couldn't be asked, the range is delivered again. */
function notProven(kind: FindingClass): false {
  if (kind === 'transient') throw new Stop('unavailable');
  return false;
}

type Unwrapped = 'right' | 'wrong' | 'unavailable' | 'refused';

function* unwrapDek(process: Process, kek: KekId, serverId: string, wrapped: WrappedDek): Program<Unwrapped> {
  const answer = yield* askVault(() => process.vault.unwrap(kek, wrapped.kekVersion, wrapped.ciphertext));
  if (answer.ok) return answer.value === dekOf(serverId) ? 'right' : 'wrong';
  if (answer.fault.kind === 'http' && answer.fault.status === 400) return 'wrong';
  const found = classifyFault(answer.fault, NOT_ASKED);
  return found.class === 'transient' ? 'unavailable' : 'refused';
}

class Stop extends Error {}

function* rewrapPage(
  process: Process,
  message: RangeMessage,
  snapshot: KekSnapshot,
  rows: readonly Stored<ServerRow>[],
): Program<{ readonly moved: number; readonly failed: boolean; readonly waitSeconds: number | null }> {
  const { kek } = message;
  const nothing = { moved: 0, failed: false, waitSeconds: null };
  const now = process.now();
  const decided = rows.map((stored) => ({
    stored,
    work: decideRewrap(stored.value, snapshot, now, RULES.proveAfterSeconds, message.attempt),
  }));
  const [waitSeconds = null] = decided.flatMap(({ work }) => (work.kind === 'wait' ? [work.seconds] : []));
  const works = decided.filter(({ work }) => work.kind === 'rewrap' || work.kind === 'prove');
  if (works.length === 0) return { ...nothing, waitSeconds };
  const target = findVersion(snapshot, snapshot.kek.target);
  if (works.some(({ work }) => work.kind === 'rewrap')) {
    const canary = target?.canary ?? null;
    const proven =
      target !== undefined && canary !== null && (yield* prove(process, kek, target.version, canary));
    if (!proven) {
      yield* askToReconcile(process, kek);
      return nothing;
    }
  }
  const handleOne = function* ({ stored, work }: (typeof works)[number]): Program<Outcome | Unwrapped> {
    const { serverId, wrapped } = stored.value;
    const unwrapped = yield* unwrapDek(process, kek, serverId, wrapped);
    if (unwrapped === 'wrong')
      return { kind: 'failed', stored, code: 'DekBindingMismatch', message: 'other bytes' };
    if (unwrapped !== 'right') return unwrapped;
    if (work.kind !== 'rewrap') return { kind: 'proven', stored };
    const ciphertext = toCiphertext(work.target, dekOf(serverId));
    return {
      kind: 'rewrapped',
      stored,
      proven: false,
      wrapped: { ...wrapped, kekVersion: work.target, ciphertext },
    };
  };
  const tried = yield* together(works.map(handleOne), 32);
  const made = tried.flatMap((one) => (typeof one === 'string' ? [] : [one]));
  const stops = tried.filter((one) => typeof one === 'string');
  const outcomes = yield* proveSample(process, kek, made);
  if (typeof outcomes === 'string') return yield* endRange(process, kek, outcomes);
  if (outcomes.length > 0) yield* commitBatch(process, message, snapshot, outcomes);
  const moved = outcomes.filter(({ kind }) => kind === 'rewrapped');
  if (moved.some(({ stored }) => stored.value.desiredReason !== null)) {
    const again = { ...message, epoch: snapshot.kek.epoch, attempt: null };
    yield* io('queue', () => process.enqueue({ queue: 'access', message: again }));
  }
  const [stop] = stops;
  if (stop !== undefined) yield* endRange(process, kek, stop);
  const failed = outcomes.some(
    ({ kind, stored }) => kind === 'failed' && stored.value.rewrapFailure === null,
  );
  return { moved: moved.length, failed, waitSeconds };
}

function* proveSample(
  process: Process,
  kek: KekId,
  outcomes: readonly Outcome[],
): Program<readonly Outcome[] | Unwrapped> {
  const picked = outcomes.find((one) => one.kind === 'rewrapped');
  if (picked === undefined) return outcomes;
  const unwrapped = yield* unwrapDek(process, kek, picked.stored.value.serverId, picked.wrapped);
  if (unwrapped !== 'right') return unwrapped;
  return outcomes.map((one) => (one === picked ? { ...picked, proven: true } : one));
}

/** What refuses the key is found out by a reconcile; whatever else it was, the range is delivered again. */
function* endRange(process: Process, kek: KekId, why: Unwrapped) {
  if (why !== 'refused') throw new Stop(why);
  yield* askToReconcile(process, kek);
  return { moved: 0, failed: false, waitSeconds: null };
}

/** Whether an error is one that a worker may meet: its message is delivered again. */
export const isExpected = (error: unknown): error is CmkError | Stop =>
  error instanceof Stop || isCmkError(error, 'StoreUnavailable') || isCmkError(error, 'WriteConflict');

function* commitBatch(
  process: Process,
  message: RangeMessage,
  snapshot: KekSnapshot,
  outcomes: readonly Outcome[],
): Program<void> {
  const { storage } = process;
  const { kek } = message;
  const now = process.now();
  const commit = function* (batch: readonly Outcome[]): Program<void> {
    const writes = batch.map((outcome) => toWrite(outcome, now));
    yield* io('store.write', () => storage.commitServers(kek, writes));
    for (const { value } of writes) {
      if (value.rewrapFailure === null) continue;
      const { attempt } = value.rewrapFailure;
      const retry = { ...message, from: value.serverId, to: value.serverId, attempt };
      yield* io('queue', () =>
        process.enqueue({ queue: 'rewrap', message: retry }, retryDelaySeconds(attempt)),
      );
    }
  };
  try {
    yield* commit(outcomes);
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
    for (const outcome of outcomes) {
      yield* onConflict(function* (): Program<void> {
        const { serverId, wrapped } = outcome.stored.value;
        const stored = yield* io('store.read', () => storage.readServer(kek, serverId));
        if (stored === undefined || stored.value.wrapped.ciphertext !== wrapped.ciphertext) return;
        const attempt = stored.value.rewrapFailure?.attempt ?? null;
        const work = decideRewrap(stored.value, snapshot, process.now(), 0, attempt);
        if (outcome.kind !== 'rewrapped' || work.kind === 'rewrap') yield* commit([{ ...outcome, stored }]);
      });
    }
  }
}
