// The triggers that act on their own: queues and timers. Event Hubs have no local counterpart, so their functions are
// accepted and run only through the admin endpoint.
import { HostStartError, toError } from './errors.ts';
import type { HostFunction } from './host-function.ts';
import { isTriggerType, stringOption } from './host-function.ts';
import type { QueueSettings } from './host-json.ts';
import type { Invoke } from './invoke.ts';
import type { HostLog } from './log.ts';
import { limited, type QueueClients } from './queue-clients.ts';
import { runQueueTrigger } from './queue-trigger.ts';
import { makeRetryingInvoke } from './retry.ts';
import { parseSchedule } from './schedule.ts';
import { runTimerTrigger } from './timer-trigger.ts';

export interface ListenerOptions {
  readonly functions: readonly HostFunction[];
  readonly clients: QueueClients;
  readonly queues: QueueSettings;
  readonly leaseSeconds: number;
  readonly timezone: string;
  readonly invoke: Invoke;
  readonly log: HostLog;
  readonly signal: AbortSignal;
}

export interface Listeners {
  /** Resolves once all of them ended after `signal`. */
  start(): Promise<void>;
}

/** Checks every trigger and creates missing queues; nothing runs before `start`. */
export async function makeListeners(options: ListenerOptions): Promise<Listeners> {
  const runs: (() => Promise<void>)[] = [];
  for (const fn of options.functions) {
    if (fn.metadata.retryOptions !== undefined && !isRetried(fn)) {
      const message = `the retry policy is ignored: ${fn.trigger.type} functions have none`;
      options.log({ level: 'warning', category: 'system', message, functionName: fn.name });
    }
    const run = await makeListener(fn, options);
    if (run !== undefined && !fn.disabled) runs.push(run);
  }
  return {
    async start() {
      await Promise.all(runs.map((run) => run()));
    },
  };
}

async function makeListener(
  fn: HostFunction,
  options: ListenerOptions,
): Promise<(() => Promise<void>) | undefined> {
  const { clients, queues: settings, leaseSeconds, timezone, invoke, log, signal } = options;
  try {
    if (isTriggerType(fn.trigger.type, 'queueTrigger')) {
      const { queue } = clients.forBinding(fn, fn.trigger);
      if (!fn.disabled) await queue.createIfNotExists(limited());
      return () => runQueueTrigger({ fn, clients, settings, leaseSeconds, invoke, log, signal });
    }
    if (isTriggerType(fn.trigger.type, 'timerTrigger')) {
      const schedule = parseSchedule(stringOption(fn, fn.trigger, 'schedule'), timezone);
      const runOnStartup = fn.trigger['runOnStartup'] === true;
      return () =>
        runTimerTrigger({ fn, schedule, runOnStartup, invoke: makeRetryingInvoke(invoke, signal), signal });
    }
    return undefined;
  } catch (thrown) {
    if (thrown instanceof HostStartError) throw thrown;
    throw new HostStartError(`function '${fn.name}': ${toError(thrown).message}`, { cause: thrown });
  }
}

/** Whether a retry policy applies to a function of this trigger. */
function isRetried(fn: HostFunction): boolean {
  return isTriggerType(fn.trigger.type, 'timerTrigger') || isTriggerType(fn.trigger.type, 'eventHubTrigger');
}
