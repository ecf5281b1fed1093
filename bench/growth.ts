// The same rotation from 1,000 to 100,000 servers: time must grow with the fleet and memory must not.
import { startBenchStack } from './bench-stack.ts';
import { type Check, definePart } from './part.ts';
import { type Percentiles, percentiles } from './percentiles.ts';
import { type Rotation, rotateFleet } from './rotate.ts';

const FULL = [1_000, 5_000, 20_000, 100_000];
const SHORT = [200, 800];

/** Past what a process takes once; what is left must not depend on the fleet. */
const LIVE_HEAP_GROWTH = 1.25;
const RESIDENT_GROWTH = 1.25;
const CPU_GROWTH = 1.25;

async function measure(servers: number): Promise<Rotation> {
  // Azurite looks through the whole index for each id that is added: 100,000 of them take it a quarter of an hour.
  const bench = await startBenchStack({
    servers,
    indexed: false,
    settings: { PGCMK_VAULT_LIMIT_PER_10S: '100000' },
  });
  try {
    return await rotateFleet(bench, servers);
  } finally {
    await bench.stop();
  }
}

interface Fit {
  readonly slope: number;
  readonly intercept: number;
  readonly r2: number;
}

/** Least squares of y over x. */
export function fitLine(points: readonly { readonly x: number; readonly y: number }[]): Fit {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanX = mean(points.map(({ x }) => x));
  const meanY = mean(points.map(({ y }) => y));
  const sum = (of: (point: { readonly x: number; readonly y: number }) => number) =>
    points.reduce((total, point) => total + of(point), 0);
  const slope = sum(({ x, y }) => (x - meanX) * (y - meanY)) / sum(({ x }) => (x - meanX) ** 2);
  const intercept = meanY - slope * meanX;
  const residual = sum(({ x, y }) => (y - intercept - slope * x) ** 2);
  return { slope, intercept, r2: 1 - residual / sum(({ y }) => (y - meanY) ** 2) };
}

/** After each full collection. The most of them depends on how many there were; the median doesn't. */
export const liveHeapMiB = ({ liveHeap }: Rotation): Percentiles =>
  percentiles(liveHeap.map(({ mib }) => mib));

export function showHeap(one: Rotation): string {
  const { p50, max, count } = liveHeapMiB(one);
  return `${p50.toFixed(0)} / ${max.toFixed(0)} (${count})`;
}

/** The exponent of y = a·x^b: 1 where the time is linear. */
const exponentOf = (results: readonly Rotation[]): Fit =>
  fitLine(results.map(({ servers, seconds }) => ({ x: Math.log(servers), y: Math.log(seconds) })));

function checks(results: readonly Rotation[], short: boolean): readonly Check[] {
  const [first, last] = [results[0], results.at(-1)];
  if (first === undefined || last === undefined) return [];
  const faults = results.flatMap((one) => one.faults);
  const line = fitLine(results.map(({ servers, seconds }) => ({ x: servers, y: seconds })));
  // A process that has just started hasn't yet taken what one rotation takes: the second size is where it has.
  const base = short ? first : (results.find(({ servers }) => servers >= 5_000) ?? first);
  const sizes = `${base.servers} to ${last.servers} servers`;
  const live = liveHeapMiB(last).p50 / Math.max(1, liveHeapMiB(base).p50);
  const resident = last.peakMiB / base.peakMiB;
  const cpu = ({ cpuSeconds, servers }: Rotation) => (cpuSeconds / servers) * 1000;
  const storage = ({ storageCpuSeconds, servers }: Rotation) => (storageCpuSeconds / servers) * 1000;
  return [
    {
      name: 'DEKs the same at every size',
      target: 'no fault',
      measured: faults[0] ?? 'no fault',
      met: faults.length === 0,
    },
    {
      name: 'time is linear',
      target: short
        ? 'at most twice the time a server at the larger size'
        : 'seconds = a + b × servers with R² ≥ 0.99, and exponent ≤ 1.1',
      measured: `${line.intercept.toFixed(1)} s + ${(line.slope * 1000).toFixed(2)} ms a server, R² ${line.r2.toFixed(4)}; exponent ${exponentOf(results).slope.toFixed(2)}`,
      met: short
        ? last.seconds / last.servers <= (2 * first.seconds) / first.servers
        : line.r2 >= 0.99 && exponentOf(results).slope <= 1.1,
      why: `Azurite's CPU a server: ${storage(base).toFixed(2)} ms at ${base.servers}, ${storage(last).toFixed(2)} ms at ${last.servers}`,
    },
    {
      name: `the app's CPU a server is flat, ${sizes}`,
      target: `at most ${CPU_GROWTH} times`,
      measured: `${cpu(base).toFixed(2)} to ${cpu(last).toFixed(2)} ms`,
      met: cpu(last) <= CPU_GROWTH * cpu(base),
    },
    ...(short
      ? []
      : [
          {
            name: `live heap is flat, ${sizes}`,
            target: `at most ${LIVE_HEAP_GROWTH} times`,
            measured: `median ${liveHeapMiB(base).p50.toFixed(0)} to ${liveHeapMiB(last).p50.toFixed(0)} MiB`,
            met: live <= LIVE_HEAP_GROWTH,
          },
        ]),
    {
      name: `peak of resident memory is flat, ${sizes}`,
      target: `at most ${RESIDENT_GROWTH} times`,
      measured: `${base.peakMiB.toFixed(0)} to ${last.peakMiB.toFixed(0)} MiB`,
      met: resident <= RESIDENT_GROWTH,
    },
  ];
}

export const growth = definePart<number, Rotation>({
  name: 'growth',
  cases: (short) => (short ? SHORT : FULL),
  measure,
  show: (one) =>
    `${one.servers} servers: ${one.seconds.toFixed(1)} s, ${one.serversPerSecond.toFixed(0)}/s, ${one.dekOperationsPerServer.toFixed(3)} DEK operations each, ${one.beforeMiB.toFixed(0)} → peak ${one.peakMiB.toFixed(0)} MiB, live heap ${showHeap(one)} MiB`,
  checks,
});
