// A bench over fleets of several sizes: --servers 1000,5000 and --json FILE.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface Bench<R> {
  /** `import.meta.url` of the bench. */
  readonly url: string;
  /** The sizes, where none are given. */
  readonly servers: string;
  readonly measure: (servers: number) => Promise<R>;
  readonly show: (result: R) => string;
  readonly isSound: (result: R) => boolean;
  /** What it means to be sound. */
  readonly sound: string;
}

/** The exit code is 1 where a result isn't sound. */
export async function runSizes<R>(bench: Bench<R>): Promise<void> {
  const { values } = parseArgs({
    options: { servers: { type: 'string', default: bench.servers }, json: { type: 'string' } },
  });
  const results: R[] = [];
  const sizes = values.servers.split(',');
  const [only] = sizes;
  if (sizes.length === 1 && only !== undefined) {
    const result = await bench.measure(Number(only));
    results.push(result);
    console.log(`${only} servers: ${bench.show(result)}`);
  }
  // Each size in a process of its own: the SDK's credential takes its endpoint from the environment once a process.
  for (const size of sizes.length === 1 ? [] : sizes) {
    const script = fileURLToPath(bench.url);
    const json = join(tmpdir(), `${basename(script)}-${process.pid}.json`);
    spawnSync(process.execPath, [script, '--servers', size, '--json', json], { stdio: 'inherit' });
    const read: { readonly results: readonly R[] } = JSON.parse(readFileSync(json, 'utf8'));
    results.push(...read.results);
    rmSync(json);
  }
  if (values.json !== undefined) {
    await mkdir(dirname(values.json), { recursive: true });
    const text = JSON.stringify({ cpus: navigator.hardwareConcurrency, results }, null, 2);
    await writeFile(values.json, `${text}\n`);
  }
  const sound = results.every(bench.isSound);
  console.log(sound ? bench.sound : 'NOT SOUND');
  process.exitCode = sound ? 0 : 1;
}
