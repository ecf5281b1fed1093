// The sweep: every KEK is reconciled from scratch every few minutes, and every minute while something is not as it
// should be. What a lost message, a crash or a lost event left undone is found here.
import type { KekId } from '../domain/key-id.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { Meter } from '../ports/telemetry.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { makeFleetReadings } from './fleet-readings.ts';
import { toSnapshot } from './snapshot.ts';

export interface SweepDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly rules: {
    readonly sweepSeconds: number;
    readonly unsettledSeconds: number;
    /** From one run of the sweep to the next. */
    readonly everySeconds: number;
  };
}

/** As long as until the sweep after next is half due: one that is late leaves no gap, one elsewhere soon counts alone. */
const SHOWN_FOR = 1.5;

/** Of many keys so many a second, or as many more as it takes to have asked for all well before the next sweep. */
const KEYS_A_SECOND = 20;
const WITHIN = 0.75;

/**
 * What isn't as it should be comes first. Of a large fleet the others come bit by bit: what an event asks about another
 * key waits in the same queue.
 */
export function makeSweepFleet({ keks, queue, clock, meter, rules }: SweepDeps): () => Promise<void> {
  /** null: not yet. */
  const findDue = ({ kek, versions }: StoredKek, now: Date): 'unsettled' | 'settled' | null => {
    const { census, hold, epoch, fannedOutEpoch, rotation } = kek.value;
    if (census === null || epoch !== fannedOutEpoch) return 'unsettled';
    const age = (now.getTime() - census.countedAt.getTime()) / 1000;
    const lost = versions.some(({ value }) => value.inUse && value.verdict === 'revoke');
    if (lost || hold !== null || census.notSettled > 0 || rotation.state === 'running')
      return age >= rules.unsettledSeconds ? 'unsettled' : null;
    return age >= rules.sweepSeconds ? 'settled' : null;
  };
  return async () => {
    const now = clock.now();
    const readings = makeFleetReadings(now);
    const due: Record<'unsettled' | 'settled', KekId[]> = { unsettled: [], settled: [] };
    for await (const stored of keks.list({ vault: null })) {
      readings.add(toSnapshot(stored));
      const found = findDue(stored, now);
      if (found !== null) due[found].push(stored.kek.value.kek);
    }
    // Before the queue is asked: what it does or doesn't take says nothing about the fleet.
    meter.show(readings.all(), rules.everySeconds * SHOWN_FOR);
    const ordered = [...due.unsettled, ...due.settled];
    const perSecond = Math.max(KEYS_A_SECOND, ordered.length / (rules.everySeconds * WITHIN));
    for (const [index, kek] of ordered.entries())
      await queue.enqueueReconcile({ kek, cause: { kind: 'sweep' } }, Math.floor(index / perSecond));
  };
}
