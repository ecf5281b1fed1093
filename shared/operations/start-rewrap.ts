// Starts what a rotation would do by itself, or resumes one that was halted.
import { decideKek, type KekDecision, type KekObservation, type KekRules } from '../domain/decide-kek.ts';
import { withResumed } from '../domain/decide-wave.ts';
import { CmkError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import { isProven } from '../domain/key-status.ts';
import { REMEDIES } from '../domain/reason.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { onConflict } from './on-conflict.ts';
import { requireKek } from './require-kek.ts';
import { toRotationRecord } from './rotation-record.ts';
import { toSnapshot } from './snapshot.ts';

export interface StartCommand {
  readonly kek: KekId;
  readonly by: string;
}

/** The same command again changes nothing. @throws CmkError KekNotFound, RotationNotPossible, StoreUnavailable */
export type StartRewrap = (command: StartCommand) => Promise<void>;

export interface StartRewrapDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly observe: (snapshot: KekSnapshot) => Promise<KekObservation>;
  readonly clock: Clock;
  readonly rules: KekRules;
}

/** Looks at the vault first, so that what can't be done is said at once; the doing is the reconcile's. */
export function makeStartRewrap(deps: StartRewrapDeps): StartRewrap {
  const { keks, queue, observe, clock, rules } = deps;

  const resume = ({ kek, by }: StartCommand): Promise<boolean> =>
    onConflict(async () => {
      const stored = await requireKek(keks, kek);
      const now = clock.now();
      const value = withResumed(stored.kek.value, now);
      if (value === stored.kek.value) return false;
      const record = toRotationRecord(value, 'resumed', { kind: 'operator', by }, now);
      await keks.commit(kek, {
        kek: { value, etag: stored.kek.etag },
        versions: [],
        outbox: { audit: [record], events: [] },
      });
      return true;
    });

  return async (command) => {
    const { kek, by } = command;
    const snapshot = toSnapshot(await requireKek(keks, kek));
    const observation = await observe(snapshot);
    const decision = decideKek(snapshot, observation, { now: clock.now(), rules, held: false });
    // A version that answers well again serves when it has done so twice: nobody may look again before the next sweep.
    if (decision.recheckAfterSeconds !== null)
      await queue.enqueueReconcile({ kek, cause: { kind: 'operator', by } });
    assertPossible(decision, snapshot, observation.newest);
    // A newer target starts the rotation anew, halted or not.
    const isNews = decision.snapshot.kek.target !== snapshot.kek.target || (await resume(command));
    // Where nothing changes, servers that were left behind are found by going over all of them.
    await queue.enqueueReconcile({ kek, cause: isNews ? { kind: 'operator', by } : { kind: 'sweep' } });
  };
}

function assertPossible({ snapshot }: KekDecision, before: KekSnapshot, newest: string | null): void {
  const { kek, target, rotation } = snapshot.kek;
  // A rotation under way goes on, whatever became of a version that is newer still.
  const isUnderWay = rotation.state === 'running' || rotation.state === 'halted';
  const wanted = isUnderWay && target === before.kek.target ? target : (newest ?? target);
  const version = findVersion(snapshot, wanted);
  if (version !== undefined && wanted === target && isProven(version)) return;
  const isRetired = version !== undefined && version.retiredAt !== null;
  const returns = version?.status === 'usable' && version.verdict === 'revoke';
  const found = returns ? version.verdictReason : version?.reason;
  const reason = isRetired ? 'VersionRetired' : (found ?? 'KeyNotProven');
  throw new CmkError(
    'RotationNotPossible',
    `nothing can be rewrapped under ${keyUrl(kek, wanted ?? undefined)}: ${reason}`,
    {
      remedy: reason === 'VersionRetired' ? 'Create a new version of the key.' : REMEDIES[reason],
      retryable: version?.status === 'unknown' || (returns && !isRetired),
      detail: { reason, version: wanted },
    },
  );
}
