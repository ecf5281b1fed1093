#!/usr/bin/env node
// The program pg-cmk: the real outside for run-cli.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CliIo } from './io.ts';
import { readVersion } from './read-version.ts';
import { runCli } from './run-cli.ts';

const io: CliIo = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  fetch: globalThis.fetch,
  now: () => new Date(),
  sleep: (milliseconds) => sleep(milliseconds),
  loadCredential: async () => {
    const { DefaultAzureCredential } = await import('@azure/identity');
    return new DefaultAzureCredential();
  },
};

// `pg-cmk servers | head`: whoever reads has read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `pg-cmk dek` listens while it writes the key, and ends by itself: there, nobody has read enough.
  if (process.stdout.listenerCount('error') > 1) return;
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runCli(process.argv.slice(2), io, await readVersion(import.meta.dirname));
