// One postmaster: starts on a data directory, says when it takes connections, ends in the ways a server ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Binaries, RunAs } from './binaries.ts';

export interface ServerProcess {
  /** `fast` ends sessions and shuts down cleanly, `crash` kills the postmaster. Resolves when it is gone. */
  end(how: 'fast' | 'crash'): Promise<void>;
}

const startTimeoutMs = 30_000;

/** @throws Error with the last lines of the server's log when it doesn't come up */
export async function startServerProcess(
  binaries: Binaries,
  user: RunAs,
  data: string,
  port: number,
): Promise<ServerProcess> {
  // Detached: an interrupt typed at the terminal is this process's to handle, in its own order.
  const child: ChildProcess = spawn(binaries.postgres, ['-D', data, '-p', String(port)], {
    ...user,
    cwd: data,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    // Nothing of this process's environment: libpq in a replica would look into HOME and PG* variables.
    env: { PATH: process.env['PATH'], HOME: data, LC_ALL: 'C', TZ: 'UTC' },
  });
  const log: string[] = [];
  const ready = Promise.withResolvers<void>();
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', (error) => {
      log.push(error.message);
      resolve();
    });
  });
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (log.push(line) > 20) log.shift();
      if (/ready to accept (?:read-only )?connections/.test(line)) ready.resolve();
    });
  }
  void ended.then(() => setTimeout(() => ready.reject(new Error(`PostgreSQL ended: ${log.join('\n')}`)), 50));
  const timeout = setTimeout(() => {
    ready.reject(new Error(`PostgreSQL took more than ${startTimeoutMs} ms to start: ${log.join('\n')}`));
    child.kill('SIGQUIT');
  }, startTimeoutMs);
  await ready.promise.finally(() => clearTimeout(timeout));
  return {
    async end(how) {
      child.kill(how === 'fast' ? 'SIGINT' : 'SIGKILL');
      const impatient = setTimeout(() => child.kill('SIGQUIT'), 10_000);
      await ended;
      clearTimeout(impatient);
    },
  };
}

export async function findFreePort(): Promise<number> {
  const server = createServer();
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
