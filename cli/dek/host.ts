// What of the machine `pg-cmk dek` touches beyond the rest of the command line: time that nobody sets, a shell, the
// file descriptor of its output, and the signals that end it.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface DekHost {
  /** Milliseconds of a clock that is never set: leases are counted by it. */
  monotonicMs(): number;
  /** Ends early, and without an error, when `signal` is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** 0 ≤ n < 1. */
  random(): number;
  /** Runs a command in a shell, its output on standard error. The exit code; null: it could not be run, or was killed. */
  runShell(command: string, env: Readonly<Record<string, string>>): Promise<number | null>;
  /** Says when the process is asked to end. Returns how to stop listening. */
  onStop(listener: () => void): () => void;
  /** Closes standard output, so that whoever reads the key from it sees its end while this process stays. */
  closeOutput(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const STDOUT = 1;

export const systemDekHost: DekHost = {
  monotonicMs: () => performance.now(),
  sleep: (milliseconds, signal) =>
    sleep(Math.max(0, milliseconds), undefined, { signal }).catch(() => undefined),
  random: Math.random,
  runShell: (command, env) =>
    new Promise((resolve) => {
      const child = spawn(command, {
        shell: true,
        stdio: ['ignore', process.stderr.fd, process.stderr.fd],
        env: { ...process.env, ...env },
      });
      child.once('error', () => resolve(null));
      child.once('close', resolve);
    }),
  onStop: (listener) => {
    for (const signal of SIGNALS) process.on(signal, listener);
    return () => {
      for (const signal of SIGNALS) process.off(signal, listener);
    };
  },
  closeOutput: () => {
    // Node never closes the descriptor itself. The free number goes to the null device at once: nothing that is
    // opened later may get it, and with it whatever is still printed.
    closeSync(STDOUT);
    openSync('/dev/null', 'w');
  },
};
