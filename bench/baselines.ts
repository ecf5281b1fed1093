// What the app is measured against (textbook.ts), on the same vault and the same storage, in the same run.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TableClient, TableTransaction } from '@azure/data-tables';
import { z } from 'zod';
import { keyUrl } from '../shared/domain/key-id.ts';
import type { ServerRow } from '../shared/domain/server.ts';
import { type BenchStack, readRows } from './bench-stack.ts';
import { measureRun, type Run } from './rotate.ts';
import { TEXTBOOK_TABLE } from './textbook-table.ts';

export type Mode = 'sequential' | 'parallel' | 'shared' | 'bare';

export interface Baselines {
  run(mode: Mode): Promise<Run>;
}

const done = z.object({ servers: z.number(), failed: z.number(), seconds: z.number() });
const TRANSACTION_ROWS = 100;

/** @param bareSeconds how long the bare client unwraps */
export async function prepareBaselines(
  bench: BenchStack,
  versions: { readonly old: string; readonly new: string },
  bareSeconds: number,
): Promise<Baselines> {
  // Each server as it was before the app's rotation, which is what its history holds: the old version still opens it.
  const rows = await readRows(bench);
  const olds = await Promise.all(rows.slice(0, 1).map((row) => readOld(bench, row)));
  const [first] = olds;
  if (first === undefined) throw new Error('there are no servers');
  const table = TableClient.fromConnectionString(bench.stack.azurite.connectionString, TEXTBOOK_TABLE, {
    allowInsecureConnection: true,
  });
  await table.createTable();
  const env = {
    BENCH_OLD_KEY: keyUrl(bench.kek, versions.old),
    BENCH_NEW_KEY: keyUrl(bench.kek, versions.new),
    BENCH_CIPHERTEXT: first,
    BENCH_SECONDS: String(bareSeconds),
  };
  const fill = async () => {
    for (let start = 0; start < rows.length; start += TRANSACTION_ROWS) {
      const transaction = new TableTransaction();
      for (const { serverId } of rows.slice(start, start + TRANSACTION_ROWS)) {
        // One wrapping for all: what is in it costs nobody more or less.
        const wrapped = Buffer.from(first, 'base64url');
        transaction.upsertEntity(
          { partitionKey: 'fleet', rowKey: serverId, keyId: env.BENCH_OLD_KEY, wrapped },
          'Replace',
        );
      }
      await table.submitTransaction(transaction.actions);
    }
  };
  return {
    run: async (mode) => {
      if (mode !== 'bare') await fill();
      const child = start(mode, { ...bench.env, ...env });
      const {
        counters: _counters,
        beforeMiB: _before,
        ...run
      } = await measureRun(
        bench,
        async () => child.pid,
        async () => child.ended,
      );
      // Its own time: the start of its process isn't what is compared.
      const { seconds } = await child.ended;
      return { ...run, seconds, serversPerSecond: (run.servers - run.failed) / seconds };
    },
  };
}

async function readOld({ stack, kek }: BenchStack, { serverId }: ServerRow): Promise<string> {
  const [old] = await stack.stores.servers.history(kek, serverId);
  if (old === undefined) throw new Error(`${serverId} has no history`);
  return old.wrapped.ciphertext;
}

function start(mode: Mode, env: Readonly<Record<string, string>>) {
  const script = fileURLToPath(new URL('./textbook.ts', import.meta.url));
  const child = spawn(process.execPath, [script, mode], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += String(chunk);
  });
  const ended = new Promise<z.infer<typeof done>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(done.parse(JSON.parse(output)));
      else reject(new Error(`the baseline ${mode} ended with ${code}`));
    });
  });
  if (child.pid === undefined) throw new Error(`the baseline ${mode} didn't start`);
  return { pid: child.pid, ended };
}
