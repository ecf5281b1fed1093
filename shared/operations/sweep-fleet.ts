// The sweep: every KEK is reconciled from scratch every few minutes, and every minute while something is not as it
// should be. What a lost message, a crash or a lost event left undone is found here.
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';

export interface SweepDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly rules: { readonly sweepSeconds: number; readonly unsettledSeconds: number };
}

export function makeSweepFleet({ keks, queue, clock, rules }: SweepDeps): () => Promise<void> {
  const isDue = ({ kek, versions }: StoredKek, now: Date): boolean => {
    const { census, hold, epoch, fannedOutEpoch, rotation } = kek.value;
    if (census === null || epoch !== fannedOutEpoch) return true;
    const age = (now.getTime() - census.countedAt.getTime()) / 1000;
    const lost = versions.some(({ value }) => value.inUse && value.verdict === 'revoke');
    const unsettled = lost || hold !== null || census.notSettled > 0 || rotation.state === 'running';
    return age >= (unsettled ? rules.unsettledSeconds : rules.sweepSeconds);
  };
  return async () => {
    const now = clock.now();
    for await (const stored of keks.list({ vault: null })) {
      if (!isDue(stored, now)) continue;
      await queue.enqueueReconcile({ kek: stored.kek.value.kek, cause: { kind: 'sweep' } });
    }
  };
}
