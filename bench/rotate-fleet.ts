// A rotation of a whole fleet on the local stack, in processes of their own: how long it takes, what it costs at the
// vault, and how much memory the app's process takes, for each size. The numbers are reported, not asserted; that every
// DEK is the same, and wrapped under one version, is.
//   node bench/rotate-fleet.ts [--servers 1000,5000] [--json FILE]
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../local/demo/world.ts';
import { type Stack, startStack } from '../local/stack/start-stack.ts';
import { type KekId, parseKekId } from '../shared/domain/key-id.ts';
import type { ServerRow } from '../shared/domain/server.ts';
import { mapBounded } from '../shared/operations/bounded.ts';
import { fillFleet, residentMiB } from './fill-fleet.ts';
import { runSizes } from './sizes.ts';

const KEY = 'fleet-kek';

interface Result {
  readonly servers: number;
  readonly seconds: number;
  readonly serversPerSecond: number;
  readonly vaultCalls: Readonly<Record<string, number>>;
  readonly dekOperationsPerServer: number;
  readonly hostPeakMiB: number;
  readonly hostBeforeMiB: number;
  /** Servers of which the old wrapping and the new one didn't open to the same bytes, and how. */
  readonly differing: readonly string[];
  readonly versionsAtTheEnd: number;
  /** How many wrappings were replaced, over a sample: 1 for one rotation. */
  readonly historyRowsEach: readonly number[];
}

async function readAll(stack: Stack, kek: KekId): Promise<readonly ServerRow[]> {
  const rows: ServerRow[] = [];
  let after: string | null = null;
  do {
    const page = await stack.stores.servers.page(kek, { after, from: null, to: null, limit: 1000 });
    rows.push(...page.rows.map((one) => one.value));
    after = page.next;
  } while (after !== null);
  return rows;
}

async function measure(servers: number): Promise<Result> {
  const stack = await startStack({
    times: { probeSeconds: 10, sweepSeconds: 30, confirmSuspectSeconds: 60 },
    vaults: ['payments'],
    settings: {},
    onHostLog: () => undefined,
  });
  try {
    const vault = stack.vaultEmulator.vault('payments');
    const kek = parseKekId(vault.host, KEY);
    await vault.createKey(KEY);
    await fillFleet(stack, kek, servers);
    const before = new Map((await readAll(stack, kek)).map((row) => [row.serverId, row.wrapped]));
    await sleep(3000);

    const { pid } = stack.host();
    const hostBeforeMiB = residentMiB(pid);
    let peak = hostBeforeMiB;
    const sampler = setInterval(() => {
      peak = Math.max(peak, residentMiB(pid));
    }, 100);
    vault.resetCounters();
    const since = Date.now();
    await vault.rotateKey(KEY);
    const isDone = async () => {
      await sleep(400);
      return (await stack.stores.keks.read(kek))?.kek.value.rotation.state === 'completed';
    };
    if (!(await until(isDone, 900)))
      throw new Error(`the rotation of ${servers} servers did not end in 15 minutes`);
    const seconds = (Date.now() - since) / 1000;
    clearInterval(sampler);
    const vaultCalls = vault.counters();

    const after = await readAll(stack, kek);
    const open = async (wrapped: ServerRow['wrapped']): Promise<string> => {
      const answer = await stack.vault.unwrap(kek, wrapped.kekVersion, wrapped.ciphertext, 'rewrap');
      return answer.ok ? Buffer.from(answer.value).toString('hex') : JSON.stringify(answer.fault);
    };
    const sample = after.filter((_, index) => index % Math.ceil(servers / 500) === 0);
    const compared = await mapBounded(sample, 16, async ({ serverId, wrapped }) => {
      const old = before.get(serverId);
      if (old === undefined) return [`${serverId}: was not there before`];
      const [was, is] = [await open(old), await open(wrapped)];
      return was === is && was.length === 128
        ? []
        : [`${serverId}: ${was.slice(0, 8)}… → ${is.slice(0, 8)}…`];
    });
    const histories = await mapBounded(
      sample.slice(0, 50),
      4,
      async ({ serverId }) => (await stack.stores.servers.history(kek, serverId)).length,
    );
    return {
      servers,
      seconds,
      serversPerSecond: servers / seconds,
      vaultCalls,
      dekOperationsPerServer: (vaultCalls['unwrapkey:64'] ?? 0) / servers,
      hostBeforeMiB,
      hostPeakMiB: peak,
      differing: [
        ...compared.flat(),
        ...(after.length === servers ? [] : [`${after.length} servers are left`]),
      ],
      versionsAtTheEnd: new Set(after.map((row) => row.wrapped.kekVersion)).size,
      historyRowsEach: [...new Set(histories)],
    };
  } finally {
    await stack.stop();
  }
}

await runSizes({
  url: import.meta.url,
  servers: '1000,5000',
  measure,
  show: (result) =>
    `${result.seconds.toFixed(1)} s, ${result.serversPerSecond.toFixed(0)} servers/s, ${result.dekOperationsPerServer.toFixed(3)} DEK operations a server, host ${result.hostBeforeMiB.toFixed(0)} → peak ${result.hostPeakMiB.toFixed(0)} MiB, vault ${JSON.stringify(result.vaultCalls)}`,
  isSound: (one) =>
    one.differing.length === 0 && one.versionsAtTheEnd === 1 && one.historyRowsEach.join() === '1',
  sound: 'every DEK is the same, under one version, with one wrapping in its history',
});
