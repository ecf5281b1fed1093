// One rotation of the whole fleet by the app, measured and checked: every DEK the same, one version, one row of history.
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../local/demo/world.ts';
import type { ServerRow } from '../shared/domain/server.ts';
import { mapBounded } from '../shared/operations/bounded.ts';
import { type BenchStack, type HeapSample, readRows } from './bench-stack.ts';
import { findChild, watchProcess } from './process-usage.ts';

export interface Run {
  readonly servers: number;
  readonly seconds: number;
  readonly serversPerSecond: number;
  /** Calls that the vault answered about a key, 429s among them; challenges for a token (401) apart. */
  readonly vaultCallsPerServer: number;
  readonly challengesPerServer: number;
  readonly throttledShare: number;
  readonly peakMiB: number;
  readonly cpuSeconds: number;
  readonly vaultCpuSeconds: number;
  readonly storageCpuSeconds: number;
  /** Servers that it gave up on. */
  readonly failed: number;
}

export interface Rotation extends Run {
  readonly dekOperationsPerServer: number;
  readonly beforeMiB: number;
  readonly liveHeap: readonly HeapSample[];
  readonly faults: readonly string[];
}

/** Measures `work` on the stack: what it cost at the vault, and what the process `pid` took. */
export async function measureRun(
  bench: BenchStack,
  pid: () => Promise<number>,
  work: () => Promise<{ readonly servers: number; readonly failed: number }>,
): Promise<Run & { readonly counters: Readonly<Record<string, number>>; readonly beforeMiB: number }> {
  const { vault } = bench;
  const storage = findChild('azurite');
  vault.resetCounters();
  const since = performance.now();
  const running = work();
  const usage = watchProcess(await pid());
  const vaultUsage = watchProcess(process.pid);
  const storageUsage = storage === null ? null : watchProcess(storage);
  const { servers, failed } = await running;
  const seconds = (performance.now() - since) / 1000;
  const counters = vault.counters();
  const calls = Object.values(counters).reduce((sum, count) => sum + count, 0);
  const challenges = counters['unauthorized'] ?? 0;
  const { peakMiB, beforeMiB, cpuSeconds } = usage();
  return {
    servers,
    seconds,
    serversPerSecond: (servers - failed) / seconds,
    vaultCallsPerServer: (calls - challenges) / servers,
    challengesPerServer: challenges / servers,
    throttledShare: (counters['throttled'] ?? 0) / Math.max(1, calls - challenges),
    peakMiB,
    beforeMiB,
    cpuSeconds,
    vaultCpuSeconds: vaultUsage().cpuSeconds,
    storageCpuSeconds: storageUsage?.().cpuSeconds ?? 0,
    failed,
    counters,
  };
}

const LIMIT_SECONDS = 1800;

export async function rotateFleet(bench: BenchStack, servers: number): Promise<Rotation> {
  const { stack, vault, kek } = bench;
  const before = new Map((await readRows(bench)).map((row) => [row.serverId, row.wrapped]));
  await sleep(2000);
  bench.forgetHeap();
  const { counters, ...run } = await measureRun(
    bench,
    async () => stack.host().pid,
    async () => {
      await vault.rotateKey(kek.name);
      const isDone = async () => {
        await sleep(100);
        return (await stack.stores.keks.read(kek))?.kek.value.rotation.state === 'completed';
      };
      if (!(await until(isDone, LIMIT_SECONDS))) throw new Error(`${servers} servers took too long`);
      return { servers, failed: 0 };
    },
  );
  return {
    ...run,
    dekOperationsPerServer: (counters['unwrapkey:64'] ?? 0) / servers,
    liveHeap: bench.liveHeap(),
    faults: await findFaults(bench, before, servers),
  };
}

const COMPARED = 300;
const HISTORIES = 50;

async function findFaults(
  bench: BenchStack,
  before: ReadonlyMap<string, ServerRow['wrapped']>,
  servers: number,
): Promise<readonly string[]> {
  const { stack, kek } = bench;
  await stack.operations.vault.describe(kek);
  const after = await readRows(bench);
  const open = async ({ kekVersion, ciphertext }: ServerRow['wrapped']): Promise<string> => {
    const answer = await stack.vault.unwrap(kek, kekVersion, ciphertext, 'rewrap');
    return answer.ok ? Buffer.from(answer.value).toString('hex') : JSON.stringify(answer.fault);
  };
  const sample = after.filter((_, index) => index % Math.ceil(servers / COMPARED) === 0);
  const compared = await mapBounded(sample, 16, async ({ serverId, wrapped }) => {
    const old = before.get(serverId);
    if (old === undefined) return [`${serverId}: was not there before`];
    const [was, is] = [await open(old), await open(wrapped)];
    return was === is && was.length === 128
      ? []
      : [`${serverId}: the DEK differs, ${was.slice(0, 8)}… and ${is.slice(0, 8)}…`];
  });
  const histories = await mapBounded(sample.slice(0, HISTORIES), 4, async ({ serverId }) => {
    const { length } = await stack.stores.servers.history(kek, serverId);
    return length === 1 ? [] : [`${serverId}: ${length} rows of history`];
  });
  const versions = new Set(after.map((row) => row.wrapped.kekVersion)).size;
  return [
    ...compared.flat(),
    ...histories.flat(),
    ...(after.length === servers ? [] : [`${after.length} servers are left`]),
    ...(versions === 1 ? [] : [`${versions} versions at the end`]),
  ];
}
