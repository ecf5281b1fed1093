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

export function makeSweepFleet({ keks, queue, clock, meter, rules }: SweepDeps): () => Promise<void> {
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
    const readings = makeFleetReadings(now);
    const due: KekId[] = [];
    for await (const stored of keks.list({ vault: null })) {
      readings.add(toSnapshot(stored));
      if (isDue(stored, now)) due.push(stored.kek.value.kek);
    }
    // Before the queue is asked: what it does or doesn't take says nothing about the fleet.
    meter.show(readings.all(), rules.everySeconds * SHOWN_FOR);
    for (const kek of due) await queue.enqueueReconcile({ kek, cause: { kind: 'sweep' } });
  };
}
