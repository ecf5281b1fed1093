// Starts main.ts as a child: a host that can be killed, with a module cache and an environment of its own.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { HostStartError } from './errors.ts';
import type { Settings } from './host-function.ts';

export interface SpawnHostOptions {
  readonly entry: string;
  readonly hostJsonPath: string;
  /** Joins the parent's environment. */
  readonly env?: Settings;
  readonly port?: number;
  readonly queueLeaseSeconds?: number;
  /** Takes the lines the child writes to stderr: its log. By default they pass through. */
  readonly onLog?: (line: string) => void;
}

export interface HostProcess {
  readonly url: string;
  readonly pid: number;
  /** Settles when the process ended, however it did. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** SIGTERM, and the wait for the end. */
  stop(): Promise<void>;
  /** SIGKILL, and the wait for the end: what a crash or a scale-in does. */
  kill(): Promise<void>;
  /** SIGSTOP, until what it returns is called: what a host that is starved of its processor goes through. */
  freeze(): () => void;
}

const ready = z.object({ ready: z.literal(true), url: z.string(), pid: z.number() });
const main = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url),
);

/** @throws HostStartError with the child's last words when it ends before it is ready */
export async function spawnHost(options: SpawnHostOptions): Promise<HostProcess> {
  const child = spawn(process.execPath, [main], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...options.env,
      PGCMK_HOST_ENTRY: options.entry,
      PGCMK_HOST_JSON: options.hostJsonPath,
      PGCMK_HOST_PORT: String(options.port ?? 0),
      PGCMK_HOST_QUEUE_LEASE_SECONDS: String(options.queueLeaseSeconds ?? 600),
    },
  });
  child.stdin.on('error', () => undefined);
  const lastWords: string[] = [];
  const onLog = options.onLog ?? ((line: string) => process.stderr.write(`${line}\n`));
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (lastWords.push(line) > 20) lastWords.shift();
    onLog(line);
  });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: null, signal: null }));
  });
  const started = Promise.withResolvers<z.infer<typeof ready>>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = line.startsWith('{"ready"') ? ready.safeParse(JSON.parse(line)) : undefined;
    if (message?.success === true) started.resolve(message.data);
    else onLog(line);
  });
  void exited.then(({ code, signal }) => {
    started.reject(new HostStartError(`the host ended (${code ?? signal}): ${lastWords.join('\n')}`));
  });
  const { url, pid } = await started.promise;
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    child.kill(signal);
    await exited;
  };
  return {
    url,
    pid,
    exited,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    freeze: () => {
      child.kill('SIGSTOP');
      // A child that has ended meanwhile gets no signal, whoever has its number now.
      return () => void child.kill('SIGCONT');
    },
  };
}
