// The host as a process: settings come in the environment, one JSON line on stdout says it is ready.
//   PGCMK_HOST_ENTRY  the app's entry file or directory     PGCMK_HOST_JSON  path of host.json
//   PGCMK_HOST_PORT   0 or absent: any free port            PGCMK_HOST_QUEUE_LEASE_SECONDS  600 or absent: as in Azure
// It never outlives its parent: when the IPC channel or a piped stdin closes, it stops as on SIGTERM.
import { fstatSync } from 'node:fs';
import { toError } from './errors.ts';
import { startHost } from './start-host.ts';

try {
  const env = process.env;
  const entry = env['PGCMK_HOST_ENTRY'];
  const hostJsonPath = env['PGCMK_HOST_JSON'];
  if (entry === undefined || hostJsonPath === undefined) {
    throw new Error('PGCMK_HOST_ENTRY and PGCMK_HOST_JSON must be set');
  }
  const queueLeaseSeconds = Number(env['PGCMK_HOST_QUEUE_LEASE_SECONDS'] ?? '600');
  const port = Number(env['PGCMK_HOST_PORT'] ?? '0');
  const host = await startHost({ entry, hostJsonPath, port, queueLeaseSeconds });

  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    host.stop().then(
      () => process.exit(0),
      (thrown: unknown) => fail(thrown),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('disconnect', stop);
  if (isPipe(0)) process.stdin.on('end', stop).on('error', stop).resume();
  process.stdout.write(`${JSON.stringify({ ready: true, url: host.url, pid: process.pid })}\n`);
} catch (thrown) {
  fail(thrown);
}

function fail(thrown: unknown): never {
  process.stderr.write(`${toError(thrown).message}\n`);
  process.exit(1);
}

/** Node gives children sockets for pipes; a shell gives FIFOs. A terminal, a file or /dev/null is no parent. */
function isPipe(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
