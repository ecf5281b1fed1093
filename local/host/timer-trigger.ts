// The listener of one timer-triggered function. A run never overlaps the one before it; occurrences missed meanwhile
// are skipped. `useMonitor` is accepted and ignored: nothing survives the process.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostFunction } from './host-function.ts';
import type { Invoke, TriggerInput } from './invoke.ts';
import type { Schedule } from './schedule.ts';

export interface TimerTriggerOptions {
  readonly fn: HostFunction;
  readonly schedule: Schedule;
  readonly runOnStartup: boolean;
  readonly invoke: Invoke;
  readonly signal: AbortSignal;
}

const longestSleepMs = 60 * 60 * 1000;

/** Resolves once `signal` fired and the run under way, if any, ended. */
export async function runTimerTrigger(options: TimerTriggerOptions): Promise<void> {
  const { fn, schedule, runOnStartup, invoke, signal } = options;
  let last = new Date(0);
  if (runOnStartup) await invoke(fn, toTimerInput(last, schedule.next(new Date())));
  let due = schedule.next(new Date());
  while (await sleepUntil(due, signal)) {
    // A timer may fire a little early; the next occurrence is counted from the later of the two.
    last = due;
    const following = schedule.next(new Date(Math.max(Date.now(), due.getTime())));
    await invoke(fn, toTimerInput(last, following));
    due = schedule.next(new Date(Math.max(Date.now(), last.getTime())));
  }
}

/** What a timer function receives. Also what the admin endpoint gives it. */
export function toTimerInput(last: Date, next: Date): TriggerInput {
  const timer = {
    Schedule: { AdjustForDST: true },
    ScheduleStatus: { Last: last.toISOString(), Next: next.toISOString(), LastUpdated: last.toISOString() },
    IsPastDue: false,
  };
  return { data: { json: JSON.stringify(timer) } };
}

async function sleepUntil(due: Date, signal: AbortSignal): Promise<boolean> {
  for (
    let left = due.getTime() - Date.now();
    left > 0 && !signal.aborted;
    left = due.getTime() - Date.now()
  ) {
    await sleep(Math.min(left, longestSleepMs), undefined, { signal }).catch(() => undefined);
  }
  return !signal.aborted;
}
