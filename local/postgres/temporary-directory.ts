// A temporary directory that goes away with this process, however it ends, and takes the PostgreSQL server in its
// subdirectory `data` along. A shell waits on a pipe only this process holds open, and cleans up when it closes.
import { type ChildProcess, spawn } from 'node:child_process';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunAs } from './binaries.ts';

export interface TemporaryDirectory {
  readonly path: string;
  /** Only once no server runs in it any more. */
  remove(): Promise<void>;
}

// A process id may have been given to another process meanwhile: only a command line naming the directory is ours.
const afterUs = `
trap '' INT TERM HUP
cat > /dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
ours() { [ -n "$pid" ] && ps -o args= -p "$pid" 2> /dev/null | grep -qF -- "$1/data"; }
if ours "$1"; then kill -QUIT "$pid"; fi
tries=0
while ours "$1" && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$1"
`;

export async function makeTemporaryDirectory(
  label: string,
  { uid, gid }: RunAs,
): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), `pgcmk-${label}-`));
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
  const watchdog: ChildProcess = spawn('sh', ['-c', afterUs, 'sh', path], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.stdin?.on('error', () => undefined);
  watchdog.unref();
  if (watchdog.stdin !== null && 'unref' in watchdog.stdin && typeof watchdog.stdin.unref === 'function') {
    watchdog.stdin.unref();
  }
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
      watchdog.stdin?.end();
    },
  };
}
