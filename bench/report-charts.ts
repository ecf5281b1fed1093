// The pictures of docs/performance.md, one for each curve.
import { liveHeapMiB } from './growth.ts';
import { type BenchFile, detectionsOf } from './results-file.ts';
import { drawChart, type Series } from './svg-chart.ts';

/** By the name of the file in docs/performance/; a part that wasn't measured has none. */
export function makeCharts(file: BenchFile): Readonly<Record<string, string>> {
  return { ...rotationCharts(file), ...limitsCharts(file), ...detectionCharts(file), ...growthCharts(file) };
}

function rotationCharts({ rotation }: BenchFile): Readonly<Record<string, string>> {
  if (rotation === undefined) return {};
  const smallest = Math.min(...rotation.results.map(({ servers }) => servers));
  const results = rotation.results.filter(({ servers }) => servers === smallest);
  const series = (name: string, of: (one: (typeof results)[number]) => number): Series => ({
    name,
    points: results.map((one) => ({ x: one.bits, y: of(one) })),
  });
  return {
    'rotation.svg': drawChart({
      title: `Rotation of ${smallest.toLocaleString('en')} servers`,
      xLabel: 'bits of the key',
      yLabel: 'servers a second',
      logX: true,
      series: [
        series('pg-cmk', ({ app }) => app.serversPerSecond),
        series('(a) the textbook function', ({ sequential }) => sequential.serversPerSecond),
        series('(b) the same, 32 at a time', ({ parallel }) => parallel.serversPerSecond),
        series('(c) the vault alone', ({ vaultAlone }) => vaultAlone.serversPerSecond),
      ],
    }),
  };
}

function limitsCharts({ limits }: BenchFile): Readonly<Record<string, string>> {
  if (limits === undefined) return {};
  const byBits = Map.groupBy(limits.results, ({ bits }) => bits);
  return Object.fromEntries(
    [...byBits].map(([bits, results]) => [
      `limits-${bits}.svg`,
      drawChart({
        title: `Unwraps under the published limit of RSA-${bits}`,
        xLabel: 'seconds since the first unwrap',
        yLabel: 'unwraps a second',
        dots: false,
        series: results.map((one) => ({
          name: `${one.servers.toLocaleString('en')} servers, ${one.processes} process${one.processes === 1 ? '' : 'es'}, told of ${one.toldOf}${one.processes > one.toldOf ? `, Retry-After ${one.retryAfter ? 'yes' : 'no'}` : ''}`,
          points: one.perSecond.map((y, x) => ({ x, y })),
        })),
      }),
    ]),
  );
}

function detectionCharts(file: BenchFile): Readonly<Record<string, string>> {
  const results = detectionsOf(file);
  if (results.length === 0) return {};
  const curve = (name: string, values: readonly number[]): Series => {
    const sorted = values.toSorted((a, b) => a - b);
    return {
      name,
      points: sorted.map((ms, index) => ({ x: ms / 1000, y: ((index + 1) / sorted.length) * 100 })),
    };
  };
  const of = (way: 'event' | 'probe') =>
    results.filter((one) => one.way === way).flatMap((one) => one.trials);
  const later = (trial: { readonly lastSessionEnded: number; readonly allRefused: number }) =>
    Math.max(trial.lastSessionEnded, trial.allRefused);
  return {
    'detection.svg': drawChart({
      title: 'From the change at the vault to the last server',
      xLabel: 'seconds',
      yLabel: '% of trials',
      dots: false,
      series: [
        curve('disabled, by an event', of('event').map(later)),
        curve('disabled, by the probe', of('probe').map(later)),
        curve(
          'enabled, by an event',
          of('event').map(({ restored }) => restored),
        ),
        curve(
          'enabled, by the probe',
          of('probe').map(({ restored }) => restored),
        ),
      ].filter(({ points }) => points.length > 0),
    }),
  };
}

function growthCharts({ growth }: BenchFile): Readonly<Record<string, string>> {
  const largest = growth?.results.at(-1);
  if (growth === undefined || largest === undefined) return {};
  const { results } = growth;
  return {
    'growth-time.svg': drawChart({
      title: 'Time of a rotation',
      xLabel: 'servers',
      yLabel: 'seconds',
      series: [
        { name: 'pg-cmk', points: results.map(({ servers, seconds }) => ({ x: servers, y: seconds })) },
      ],
    }),
    'growth-memory.svg': drawChart({
      title: 'Memory of the app during a rotation',
      xLabel: 'servers',
      yLabel: 'MiB',
      logX: true,
      series: [
        {
          name: 'peak, resident',
          points: results.map(({ servers, peakMiB }) => ({ x: servers, y: peakMiB })),
        },
        {
          name: 'live heap after a full collection, median',
          points: results.map((one) => ({ x: one.servers, y: liveHeapMiB(one).p50 })),
        },
      ],
    }),
    'growth-heap.svg': drawChart({
      title: `Live heap while ${largest.servers.toLocaleString('en')} servers are rotated`,
      xLabel: 'seconds',
      yLabel: 'MiB after each full collection',
      series: [
        { name: 'pg-cmk', points: largest.liveHeap.map(({ seconds, mib }) => ({ x: seconds, y: mib })) },
      ],
    }),
  };
}
