// A rotation under the vault's published limits, which the emulator keeps: how much of its own ceiling the app uses, and
// how often it is refused (429). With one process of the app and with two, with and without Retry-After.
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { until } from '../local/demo/world.ts';
import { type HostProcess, spawnHost } from '../local/host/spawn-host.ts';
import type { RsaBits } from '../local/key-vault/key-material.ts';
import { ceilingOf, costOf } from '../shared/azure/vault/vault-limits.ts';
import { type BenchStack, makeWarnings, startBenchStack } from './bench-stack.ts';
import { type Check, definePart } from './part.ts';

interface Case {
  readonly bits: RsaBits;
  readonly servers: number;
  /** Processes of the app. */
  readonly processes: 1 | 2;
  /** What each of them is told: `PGCMK_MAX_INSTANCES`. */
  readonly toldOf: 1 | 2;
  readonly retryAfter: boolean;
}

export interface LimitsResult extends Case {
  readonly seconds: number;
  /** Unwraps a second that the vault allows, and that all processes together allow themselves. */
  readonly vaultPerSecond: number;
  readonly ceilingPerSecond: number;
  /** From the first unwrap to the last. */
  readonly ofCeiling: number;
  /** While every process had work: until the first second in which fewer unwraps than half the ceiling came. */
  readonly ofCeilingSteady: number;
  readonly ofVault: number;
  readonly throttledShare: number;
  readonly dekOperationsPerServer: number;
  /** Where those are too many: what is known of the reason. */
  readonly surplus?: string;
  /** Unwraps in each second, for the picture. */
  readonly perSecond: readonly number[];
}

const PUBLISHED_SHARE = '1';
const variants = (bits: RsaBits, servers: number): readonly Case[] => [
  { bits, servers, processes: 1, toldOf: 1, retryAfter: false },
  { bits, servers, processes: 2, toldOf: 2, retryAfter: false },
  // Told wrongly: together they ask for nearly twice what the vault gives, so that there are 429s.
  { bits, servers, processes: 2, toldOf: 1, retryAfter: false },
  { bits, servers, processes: 2, toldOf: 1, retryAfter: true },
];
const FULL: readonly Case[] = [
  ...variants(3072, 5_000),
  ...variants(4096, 2_500),
  // Twice as long: what the end of a rotation costs doesn't grow with the fleet.
  { bits: 4096, servers: 5_000, processes: 2, toldOf: 2, retryAfter: false },
];
const SHORT: readonly Case[] = [{ bits: 4096, servers: 400, processes: 1, toldOf: 1, retryAfter: false }];

/** No timers: in Azure a timer runs on one instance only. */
const WITHOUT_TIMERS = Object.fromEntries(
  ['probeKeks', 'sweepFleet', 'deliverOutbox', 'exportTables'].map((name) => [
    `AzureWebJobs.${name}.Disabled`,
    'true',
  ]),
);

function startSecondHost(bench: BenchStack, onLog: (line: string) => void): Promise<HostProcess> {
  const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
  return spawnHost({
    entry: root('functions/index.ts'),
    hostJsonPath: root('host.json'),
    env: { ...bench.env, ...WITHOUT_TIMERS },
    queueLeaseSeconds: 15,
    onLog,
  });
}

async function measure({ bits, servers, processes, toldOf, retryAfter }: Case): Promise<LimitsResult> {
  const bench = await startBenchStack({
    servers,
    bits,
    settings: { PGCMK_VAULT_SHARE: PUBLISHED_SHARE, PGCMK_MAX_INSTANCES: String(toldOf) },
  });
  let second: HostProcess | null = null;
  const warnings = makeWarnings();
  try {
    if (processes === 2) second = await startSecondHost(bench, warnings.hear);
    const { vault, stack, kek } = bench;
    await vault.setSwitches({ throttle: 'published', retryAfter });
    await sleep(11_000);
    vault.resetCounters();
    const samples: number[] = [];
    const times: number[] = [];
    const sampler = setInterval(() => {
      samples.push(vault.counters()['unwrapkey:64'] ?? 0);
      times.push(performance.now());
    }, 100);
    const since = performance.now();
    await vault.rotateKey(kek.name);
    const readKek = async () => (await stack.stores.keks.read(kek))?.kek.value;
    const isDone = async () => (await readKek())?.rotation.state === 'completed';
    if (!(await until(isDone, 900))) throw new Error('the rotation did not end in 15 minutes');
    const seconds = (performance.now() - since) / 1000;
    clearInterval(sampler);
    const counters = vault.counters();
    const calls = Object.values(counters).reduce((sum, count) => sum + count, 0);
    const limits = { share: Number(PUBLISHED_SHARE), maxInstances: toldOf };
    const cost = costOf(`RSA-${bits}`, limits);
    const vaultPerSecond = 0.1 / cost;
    const ceilingPerSecond = (ceilingOf(limits) * processes) / cost;
    const first = samples.findIndex((count) => count > 0);
    const lastIndex = samples.indexOf(samples.at(-1) ?? 0);
    const rate = (from: number, to: number) =>
      ((samples[to] ?? 0) - (samples[from] ?? 0)) / (((times[to] ?? 0) - (times[from] ?? 0)) / 1000);
    const perSecond = samples
      .slice(first)
      .filter((_, index) => index % 10 === 0)
      .map((count, index, all) => count - (all[index - 1] ?? 0))
      .slice(1);
    const slow = perSecond.findIndex((count, index) => index > 2 && count < ceilingPerSecond / 2);
    const steadyEnd = slow === -1 ? lastIndex : Math.min(lastIndex, first + slow * 10);
    const perSecondAll = rate(first, lastIndex);
    const dekOperationsPerServer = (counters['unwrapkey:64'] ?? 0) / servers;
    const said = [...bench.warnings(), ...warnings.all];
    const surplus = `epoch ${(await readKek())?.epoch} where 2 is one rotation; warnings: ${said.join(' | ') || 'none'}`;
    return {
      bits,
      servers,
      processes,
      toldOf,
      retryAfter,
      seconds,
      vaultPerSecond,
      ceilingPerSecond,
      ofCeiling: perSecondAll / ceilingPerSecond,
      ofCeilingSteady: rate(first, steadyEnd) / ceilingPerSecond,
      ofVault: perSecondAll / vaultPerSecond,
      throttledShare: (counters['throttled'] ?? 0) / (calls - (counters['unauthorized'] ?? 0)),
      dekOperationsPerServer,
      ...(dekOperationsPerServer > 1.02 ? { surplus } : {}),
      perSecond,
    };
  } finally {
    await second?.stop();
    await bench.stop();
  }
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const nameOf = ({ bits, servers, processes, toldOf, retryAfter }: Case) =>
  `RSA-${bits}, ${servers} servers, ${processes === 1 ? 'one process' : `two processes${toldOf === 2 ? '' : ' that each think they are alone'}`}${processes > toldOf ? `, ${retryAfter ? 'with' : 'without'} Retry-After` : ''}`;

function checks(results: readonly LimitsResult[], short: boolean): readonly Check[] {
  return results
    .filter(({ processes, toldOf }) => processes === toldOf)
    .flatMap((one): readonly Check[] => [
      {
        name: `${nameOf(one)}: use of the ceiling`,
        target: short ? '≥ 80 %' : '≥ 95 %',
        measured: `${percent(one.ofCeiling)}; ${percent(one.ofCeilingSteady)} while every process had work`,
        met: one.ofCeiling >= (short ? 0.8 : 0.95),
      },
      {
        name: `${nameOf(one)}: 429s`,
        target: '≤ 1 %',
        measured: percent(one.throttledShare),
        met: one.throttledShare <= 0.01,
      },
      {
        name: `${nameOf(one)}: DEK operations a server`,
        target: short ? '≤ 1.1' : '≤ 1.02',
        measured: one.dekOperationsPerServer.toFixed(3),
        met: one.dekOperationsPerServer <= (short ? 1.1 : 1.02),
        ...(one.surplus === undefined ? {} : { why: one.surplus }),
      },
    ]);
}

export const limits = definePart<Case, LimitsResult>({
  name: 'limits',
  cases: (short) => (short ? SHORT : FULL),
  measure,
  show: (one) =>
    `${nameOf(one)}: ${one.seconds.toFixed(1)} s, ${percent(one.ofCeiling)} of its ceiling (${percent(one.ofCeilingSteady)} steady), ${percent(one.ofVault)} of the vault's limit, ${percent(one.throttledShare)} 429s`,
  checks,
});
