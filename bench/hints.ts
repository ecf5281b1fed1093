// How many hints a second the Event Grid endpoint takes, and what a burst of duplicates costs at the vault.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { QueueServiceClient } from '@azure/storage-queue';
import { until } from '../local/demo/world.ts';
import { keyUrl } from '../shared/domain/key-id.ts';
import { mapBounded } from '../shared/operations/bounded.ts';
import { startBenchStack } from './bench-stack.ts';
import { type Check, definePart } from './part.ts';
import { watchProcess } from './process-usage.ts';

export interface HintsResult {
  readonly hints: number;
  /** Events in one delivery. */
  readonly perDelivery: number;
  readonly seconds: number;
  readonly hintsPerSecond: number;
  readonly refused: number;
  /** Until the queue was empty. */
  readonly drainedSeconds: number;
  /** Calls about the key while the burst was taken and worked off, probes left out. */
  readonly vaultReads: number;
  readonly looks: number;
  readonly peakMiB: number;
  readonly cpuSeconds: number;
}

interface Case {
  readonly hints: number;
  readonly perDelivery: number;
}

const AT_A_TIME = 32;
const DRAIN_SECONDS = 900;

async function measure({ hints, perDelivery }: Case): Promise<HintsResult> {
  const times = { probeSeconds: 59, sweepSeconds: 59, confirmSuspectSeconds: 60 };
  const bench = await startBenchStack({ servers: 10, times });
  try {
    const { stack, vault, kek } = bench;
    await sleep(3000);
    const version = vault.keys()[0]?.versions.at(-1)?.version ?? '';
    const event = {
      specversion: '1.0',
      type: 'PgCmk.KeyStatusHint',
      source: '/bench',
      subject: kek.name,
      time: new Date().toISOString(),
      data: { keyId: keyUrl(kek, version) },
    };
    const url = `${stack.host().url}/runtime/webhooks/EventGrid?functionName=keyDisabled`;
    const headers = {
      'aeg-event-type': 'Notification',
      'content-type': 'application/cloudevents-batch+json',
    };
    const queue = QueueServiceClient.fromConnectionString(stack.azurite.connectionString).getQueueClient(
      'reconcile-keks',
    );
    let refused = 0;
    const deliver = async (): Promise<void> => {
      const events = Array.from({ length: perDelivery }, () => ({ ...event, id: randomUUID() }));
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(events) });
      await answer.arrayBuffer();
      if (!answer.ok) refused += perDelivery;
    };
    await deliver();
    await sleep(2000);
    vault.resetCounters();
    const usage = watchProcess(stack.host().pid);
    const since = performance.now();
    await mapBounded(Array.from({ length: hints / perDelivery }), AT_A_TIME, deliver);
    const seconds = (performance.now() - since) / 1000;
    const isDrained = async () => (await queue.getProperties()).approximateMessagesCount === 0;
    const drained = await until(isDrained, DRAIN_SECONDS);
    if (!drained) throw new Error('the queue was not empty after 15 minutes');
    const drainedSeconds = (performance.now() - since) / 1000;
    await sleep(1500);
    const { unauthorized: _challenges, ...counters } = vault.counters();
    const { peakMiB, cpuSeconds } = usage();
    return {
      hints,
      perDelivery,
      seconds,
      hintsPerSecond: hints / seconds,
      refused,
      drainedSeconds,
      vaultReads: Object.values(counters).reduce((sum, count) => sum + count, 0),
      looks: counters['listversions'] ?? 0,
      peakMiB,
      cpuSeconds,
    };
  } finally {
    await bench.stop();
  }
}

/**
 * By design a forged hint may cost a whole read. The short bench asks for less: in a second or two the first looks weigh
 * more, and how many fit into the burst depends on the machine.
 */
const HINTS_A_READ = 100;
const SHORT_HINTS_A_READ = 25;

function checks(results: readonly HintsResult[], short: boolean): readonly Check[] {
  const hintsARead = short ? SHORT_HINTS_A_READ : HINTS_A_READ;
  return results.map((one) => ({
    name: `${one.hints} duplicate hints, ${one.perDelivery} a delivery`,
    target: `none refused, at most one vault read for ${hintsARead} hints`,
    measured: `${one.refused} refused, ${one.vaultReads} vault reads in ${one.looks} looks`,
    met: one.refused === 0 && one.vaultReads <= one.hints / hintsARead,
  }));
}

export const hints = definePart<Case, HintsResult>({
  name: 'hints',
  cases: (short) =>
    short
      ? [{ hints: 1_000, perDelivery: 1 }]
      : [
          { hints: 10_000, perDelivery: 1 },
          { hints: 10_000, perDelivery: 100 },
        ],
  measure,
  show: (one) =>
    `${one.hints} hints for one KEK, ${one.perDelivery} a delivery: ${one.hintsPerSecond.toFixed(0)} a second, ${one.refused} refused, worked off after ${one.drainedSeconds.toFixed(1)} s with ${one.vaultReads} vault reads in ${one.looks} looks; ${one.peakMiB.toFixed(0)} MiB, ${one.cpuSeconds.toFixed(1)} s CPU`,
  checks,
});
