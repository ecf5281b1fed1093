// The real Azurite (tables, queues, blobs) as one child process, in memory, on free ports. It ends with this process,
// even when that is killed: the child watches its stdin, which only this process holds open.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';

export interface Azurite {
  /** For any storage SDK, also good as AzureWebJobsStorage. */
  readonly connectionString: string;
  stop(): Promise<void>;
}

const account = 'devstoreaccount1';
// The account key that every storage emulator has, published by Microsoft.
const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const services = ['Blob', 'Queue', 'Table'] as const;

// Runs in the child. Azurite closes on SIGTERM, but keep-alive connections hold it up: with memory only, nothing is lost.
const untilParentIsGone = `process.stdin.on('end',()=>process.exit()).on('error',()=>process.exit()).resume();`;

/** @throws Error with what Azurite said when it doesn't come up */
export async function startAzurite(): Promise<Azurite> {
  const entry = createRequire(import.meta.url).resolve('azurite/dist/src/azurite.js');
  const ports = services.flatMap((service) => [`--${service.toLowerCase()}Port`, '0']);
  const flags = [
    '--silent',
    '--disableTelemetry',
    '--skipApiVersionCheck',
    '--inMemoryPersistence',
    ...ports,
  ];
  const watchdog = `data:text/javascript,${encodeURIComponent(untilParentIsGone)}`;
  const child = spawn(process.execPath, ['--import', watchdog, entry, ...flags], {
    cwd: tmpdir(),
    stdio: 'pipe',
  });
  child.stdin.on('error', () => undefined);

  const output: string[] = [];
  const endpoints = new Map<string, string>();
  const started = Promise.withResolvers<void>();
  const exited = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      output.push(error.message);
      resolve();
    });
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    output.push(line);
    const match = /^Azurite (\w+) service is successfully listening at (http:\S+)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) return;
    endpoints.set(match[1], match[2]);
    if (endpoints.size === services.length) started.resolve();
  });
  createInterface({ input: child.stderr }).on('line', (line) => output.push(line));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  void exited.then(() => started.reject(new Error(`Azurite ended: ${output.slice(-10).join('\n')}`)));
  try {
    await started.promise;
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  const urls = services.map((service) => `${service}Endpoint=${endpoints.get(service)}/${account};`);
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${key};${urls.join('')}`;
  return { connectionString, stop };
}
