// The local stack as the bench uses it: one vault with a fleet under one key, the app in a process of its own, and what
// other processes need to reach the same vault and tables. The vault runs in the process that measures, which does
// next to nothing else; the app and every baseline have their own.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmulatedVault } from '../local/key-vault/emulated-vault.ts';
import type { RsaBits } from '../local/key-vault/key-material.ts';
import { type Stack, type StackOptions, startStack } from '../local/stack/start-stack.ts';
import { type KekId, parseKekId } from '../shared/domain/key-id.ts';
import type { ServerRow } from '../shared/domain/server.ts';
import { fillFleet } from './fill-fleet.ts';

const KEY_NAME = 'fleet-kek';

export interface HeapSample {
  /** Since `forgetHeap`, to the second in which it was said. */
  readonly seconds: number;
  readonly mib: number;
}

export interface BenchStack {
  readonly stack: Stack;
  readonly vault: EmulatedVault;
  readonly kek: KekId;
  /** The environment of a process that reaches the same vault and storage. */
  readonly env: Readonly<Record<string, string>>;
  /** What each full collection has left of the host's heap, since the start or `forgetHeap`. */
  liveHeap(): readonly HeapSample[];
  forgetHeap(): void;
  /** What the host and the app have warned of since the start. */
  warnings(): readonly string[];
  stop(): Promise<void>;
}

export interface BenchStackOptions {
  readonly bits?: RsaBits;
  readonly kty?: 'RSA' | 'RSA-HSM';
  readonly servers: number;
  readonly indexed?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
  readonly times?: StackOptions['times'];
}

const MOST_WARNINGS = 100;
/** Takes the lines of a host's log, and keeps the first warnings. */
export function makeWarnings(): { readonly hear: (line: string) => void; readonly all: readonly string[] } {
  const all: string[] = [];
  const hear = (line: string) => {
    if (/^\S+ (warning|error|critical) /.test(line) && all.length < MOST_WARNINGS) all.push(line);
  };
  return { hear, all };
}

/** Node's own options of the host come on top of the heap's watcher. */
export async function startBenchStack(options: BenchStackOptions): Promise<BenchStack> {
  const { servers, indexed = true, bits = 2048, kty = 'RSA', settings = {} } = options;
  let heap: HeapSample[] = [];
  let since = performance.now();
  const warnings = makeWarnings();
  const watcher = new URL('./watch-heap.ts', import.meta.url).href;
  const stack = await startStack({
    times: options.times ?? { probeSeconds: 10, sweepSeconds: 59, confirmSuspectSeconds: 60 },
    vaults: ['payments'],
    settings: { ...settings, NODE_OPTIONS: `--import=${watcher} ${settings['NODE_OPTIONS'] ?? ''}` },
    onHostLog: (line) => {
      warnings.hear(line);
      const match = /^live-heap (\d+)$/.exec(line);
      if (match === null) return;
      const seconds = Math.round((performance.now() - since) / 1000);
      heap.push({ seconds, mib: Math.round((Number(match[1]) / 2 ** 20) * 10) / 10 });
    },
  });
  const directory = mkdtempSync(join(tmpdir(), 'pg-cmk-bench-'));
  const caFile = join(directory, 'ca.pem');
  writeFileSync(caFile, stack.certificates.caPem);
  const stop = async () => {
    await stack.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const vault = stack.vaultEmulator.vault('payments');
    const kek = parseKekId(vault.host, KEY_NAME);
    await vault.createKey(KEY_NAME, { bits, kty });
    await fillFleet(stack, kek, servers, { indexed });
    return {
      stack,
      vault,
      kek,
      env: { ...stack.settings, ...stack.identity.env, NODE_EXTRA_CA_CERTS: caFile, NODE_OPTIONS: '' },
      liveHeap: () => [...heap],
      forgetHeap: () => {
        heap = [];
        since = performance.now();
      },
      warnings: () => warnings.all,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export async function readRows({ stack, kek }: BenchStack): Promise<readonly ServerRow[]> {
  const rows: ServerRow[] = [];
  let after: string | null = null;
  do {
    const page = await stack.stores.servers.page(kek, { after, from: null, to: null, limit: 1000 });
    rows.push(...page.rows.map((one) => one.value));
    after = page.next;
  } while (after !== null);
  return rows;
}
