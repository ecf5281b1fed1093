// The tables of docs/performance.md, from what was measured. Every figure on that page that isn't a target is made here.
import { fitLine, showHeap } from './growth.ts';
import type { Percentiles } from './percentiles.ts';
import { type BenchFile, detectionsOf } from './results-file.ts';
import type { Run } from './rotate.ts';

type Cell = string | number;

const table = (head: readonly string[], rows: readonly (readonly Cell[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
const count = (value: number) => value.toLocaleString('en', { maximumFractionDigits: 0 });
const percent = (share: number, digits = 1) => `${(share * 100).toFixed(digits)} %`;
const seconds = (ms: number) => (ms / 1000).toFixed(1);
const NOT_MEASURED = '**Not measured yet.**';
/** Only of what was measured there is a picture: see report-charts.ts. */
const withPictures = (pictures: Readonly<Record<string, string>>, text: string): string =>
  [...Object.entries(pictures).map(([file, alt]) => `![${alt}](performance/${file})\n`), text].join('\n');

/** By the name of the block on the page. */
export function makeTables(file: BenchFile): Readonly<Record<string, string>> {
  return {
    conditions: conditionsOf(file),
    targets: targetsOf(file),
    rotation: rotationOf(file),
    limits: limitsOf(file),
    detection: detectionOf(file),
    hints: hintsOf(file),
    growth: growthOf(file),
    reading: readingOf(file),
    'cold-import': coldImportOf(file),
    profile: profileOf(file),
    functions: functionsOf(file),
  };
}

function conditionsOf(file: BenchFile): string {
  const records = Object.values(file);
  const [first] = records;
  if (first === undefined) return NOT_MEASURED;
  const { cpu, cpus, memoryGiB, node } = first.machine;
  return [
    `${cpus} cores (${cpu}), ${memoryGiB} GiB, Node ${node}, Linux.`,
    '',
    table(
      ['part', 'ended', 'load average before', 'after'],
      records.map(({ part, measuredAt, machine }) => [
        part,
        measuredAt.slice(0, 16).replace('T', ' '),
        machine.loadBefore.toFixed(1),
        machine.loadAfter.toFixed(1),
      ]),
    ),
  ].join('\n');
}

function targetsOf(file: BenchFile): string {
  const checks = Object.values(file).flatMap((record) => record.checks);
  const missed = checks.filter(({ met }) => !met);
  return [
    `${checks.length - missed.length} of ${checks.length} targets are met.`,
    '',
    table(
      ['', 'what', 'measured', 'target'],
      checks.map(({ met, name, measured, target, why }) => [
        met ? 'met' : '**not met**',
        name,
        met || why === undefined ? measured : `${measured}; ${why}`,
        target,
      ]),
    ),
  ].join('\n');
}

const runRow = (size: string, who: string, run: Run): readonly Cell[] => [
  size,
  who,
  count(run.serversPerSecond),
  run.vaultCallsPerServer.toFixed(2),
  run.challengesPerServer.toFixed(2),
  count(run.peakMiB),
  ((run.cpuSeconds / run.servers) * 1000).toFixed(1),
  ((run.vaultCpuSeconds / run.servers) * 1000).toFixed(1),
  ((run.storageCpuSeconds / run.servers) * 1000).toFixed(1),
];

function rotationOf({ rotation }: BenchFile): string {
  if (rotation === undefined) return NOT_MEASURED;
  const rows = table(
    [
      'fleet',
      'who',
      'servers/s',
      'vault calls a server',
      'and challenges (401)',
      'peak MiB',
      'its CPU, ms a server',
      'the vault’s',
      'the storage’s',
    ],
    rotation.results.flatMap(({ servers, bits, app, sequential, parallel, shared, vaultAlone }) => {
      const size = `${count(servers)}, RSA-${bits}`;
      return [
        runRow(size, '**pg-cmk**', app),
        runRow('', '(a) textbook', sequential),
        runRow('', '(b) textbook, 32 at a time', parallel),
        ...(shared === null ? [] : [runRow('', '(b) with shared clients', shared)]),
        runRow('', '(c) the vault alone, unwraps', vaultAlone),
      ];
    }),
  );
  return withPictures({ 'rotation.svg': 'Servers a second by size of the key' }, rows);
}

function limitsOf({ limits }: BenchFile): string {
  if (limits === undefined) return NOT_MEASURED;
  const sizes = [...new Set(limits.results.map(({ bits }) => bits))];
  const pictures = sizes.map((bits) => [`limits-${bits}.svg`, `Unwraps a second, RSA-${bits}`]);
  const rows = table(
    [
      'key',
      'servers',
      'processes',
      'told of',
      'Retry-After',
      'seconds',
      'of the ceiling',
      'while all had work',
      'of the vault’s limit',
      '429s',
      'DEK operations a server',
    ],
    limits.results.map((one) => [
      `RSA-${one.bits}`,
      count(one.servers),
      one.processes,
      one.toldOf,
      one.retryAfter ? 'yes' : 'no',
      one.seconds.toFixed(1),
      percent(one.ofCeiling),
      percent(one.ofCeilingSteady),
      percent(one.ofVault),
      percent(one.throttledShare, 2),
      one.dekOperationsPerServer.toFixed(3),
    ]),
  );
  return withPictures(Object.fromEntries(pictures), rows);
}

const spread = ({ p50, p95, p99 }: Percentiles) => `${seconds(p50)} / ${seconds(p95)} / ${seconds(p99)}`;

function detectionOf(file: BenchFile): string {
  const results = detectionsOf(file);
  if (results.length === 0) return NOT_MEASURED;
  const rows = table(
    [
      'by',
      'KEKs',
      'real servers',
      'sessions each',
      'trials',
      'first refusal',
      'last session ended',
      'all refused',
      'restored',
    ],
    results.map((one) => [
      one.way === 'event' ? 'event' : `probe, ${one.probeSeconds} s`,
      count(one.keks),
      one.real,
      one.sessions,
      one.trials.length,
      spread(one.firstRefusal),
      spread(one.lastSessionEnded),
      spread(one.allRefused),
      spread(one.restored),
    ]),
  );
  return withPictures({ 'detection.svg': 'Share of trials over time' }, rows);
}

function hintsOf({ hints }: BenchFile): string {
  if (hints === undefined) return NOT_MEASURED;
  return table(
    [
      'hints',
      'in one delivery',
      'accepted a second',
      'refused',
      'worked off after, s',
      'vault reads',
      'looks',
    ],
    hints.results.map((one) => [
      count(one.hints),
      one.perDelivery,
      count(one.hintsPerSecond),
      one.refused,
      one.drainedSeconds.toFixed(1),
      one.vaultReads,
      one.looks,
    ]),
  );
}

function growthOf({ growth }: BenchFile): string {
  if (growth === undefined) return NOT_MEASURED;
  const line = fitLine(growth.results.map(({ servers, seconds: y }) => ({ x: servers, y })));
  const text = [
    table(
      [
        'servers',
        'seconds',
        'servers/s',
        'DEK operations a server',
        'MiB before',
        'peak MiB',
        'live heap, MiB: median / most (collections)',
        'its CPU, ms a server',
        'the storage’s',
      ],
      growth.results.map((one) => [
        count(one.servers),
        one.seconds.toFixed(1),
        count(one.serversPerSecond),
        one.dekOperationsPerServer.toFixed(3),
        count(one.beforeMiB),
        count(one.peakMiB),
        showHeap(one),
        ((one.cpuSeconds / one.servers) * 1000).toFixed(2),
        ((one.storageCpuSeconds / one.servers) * 1000).toFixed(2),
      ]),
    ),
    '',
    `Fit: seconds = ${line.intercept.toFixed(1)} + ${(line.slope * 1000).toFixed(2)} × servers ÷ 1,000, R² = ${line.r2.toFixed(4)}.`,
  ].join('\n');
  return withPictures(
    {
      'growth-time.svg': 'Time of a rotation',
      'growth-memory.svg': 'Memory of the app',
      'growth-heap.svg': 'Live heap during the largest rotation',
    },
    text,
  );
}

const milliseconds = ({ p50, p95, max }: Percentiles) => `${count(p50)} / ${count(p95)} / ${count(max)}`;

function readingOf({ reading }: BenchFile): string {
  if (reading === undefined) return NOT_MEASURED;
  return table(
    [
      'servers',
      'a page of 100, ms',
      'one server, ms',
      'a census, ms',
      'MiB before',
      'peak MiB over ten censuses',
    ],
    reading.results.map((one) => [
      count(one.servers),
      milliseconds(one.pageMilliseconds),
      milliseconds(one.serverMilliseconds),
      milliseconds(one.censusMilliseconds),
      count(one.hostBeforeMiB),
      count(one.hostCensusPeakMiB),
    ]),
  );
}

const SUBJECTS = {
  baseline: 'nothing: Node itself',
  bundle: 'the bundle',
  bundleCached: 'the bundle, with Node’s compile cache filled',
  build: 'the build',
  api: '`functions/http/api` of the build, which the first request loads',
} as const;

function coldImportOf(file: BenchFile): string {
  const results = file['cold-import']?.results[0];
  if (results === undefined) return NOT_MEASURED;
  return table(
    ['import of', 'rounds', 'median, ms', 'least, ms', 'CPU, least, ms', 'process, median, ms'],
    results.map((one) => [
      SUBJECTS[one.subject],
      one.rounds,
      one.importMs.median,
      one.importMs.least,
      one.cpuMs.least,
      one.processMs.median,
    ]),
  );
}

function profileOf({ profile }: BenchFile): string {
  const [one] = profile?.results ?? [];
  if (one === undefined) return NOT_MEASURED;
  return [
    `${count(one.servers)} servers, ${one.busySeconds.toFixed(1)} s of the main thread busy.`,
    '',
    table(
      ['whose code', 'share of its time'],
      one.groups.map(({ name, share }) => [name, percent(share)]),
    ),
  ].join('\n');
}

function functionsOf({ profile }: BenchFile): string {
  const [one] = profile?.results ?? [];
  if (one === undefined) return NOT_MEASURED;
  return table(
    ['function', 'self time'],
    one.functions.map(({ name, share }) => [`\`${name}\``, percent(share)]),
  );
}
