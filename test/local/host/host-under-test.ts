// A started host on a fixture app, its settings and its log, for the tests beside it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostLogEntry } from '../../../local/host/log.ts';
import { type Host, startHost } from '../../../local/host/start-host.ts';

export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/host-apps/${name}`, import.meta.url));
}

export interface HostJson {
  readonly [key: string]: unknown;
}

/** A host.json in a directory of its own, removed by `dispose`. */
export async function writeHostJson(
  extensions: HostJson = {},
  text = JSON.stringify({ version: '2.0', extensions }),
): Promise<{ readonly path: string; dispose(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'pgcmk-host-'));
  const path = join(directory, 'host.json');
  await writeFile(path, text);
  return { path, dispose: () => rm(directory, { recursive: true, force: true }) };
}

export interface HostUnderTest extends Host {
  readonly log: readonly HostLogEntry[];
}

export async function startHostUnderTest(
  entry: string,
  env: Readonly<Record<string, string | undefined>>,
  extensions: HostJson = {},
): Promise<HostUnderTest> {
  const hostJson = await writeHostJson(extensions);
  const log: HostLogEntry[] = [];
  const host = await startHost({
    entry: fixture(entry),
    hostJsonPath: hostJson.path,
    env: { TICK: '01:00:00', RESULT_QUEUE: 'results', ...env },
    log: (line) => log.push(line),
  });
  return {
    ...host,
    log,
    async stop(graceMs) {
      await host.stop(graceMs);
      await hostJson.dispose();
    },
  };
}

export async function until(what: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
