// The deployed package, built and run away from this repository: what it forgot to take along isn't found there.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type Azurite, startAzurite } from '../local/azurite.ts';
import { type HostProcess, spawnHost } from '../local/host/spawn-host.ts';
import { startIngestion } from './fixtures/ingestion.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const listed = z.array(z.object({ name: z.string(), config: z.unknown() }));

let directory: string;
let azurite: Azurite;
const hosts: HostProcess[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pg-cmk-bundle-'));
  const { status, stderr } = spawnSync(process.execPath, ['scripts/bundle.ts', directory], {
    cwd: root,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  azurite = await startAzurite();
});
afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
  await azurite?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function start(
  entry: string,
  hostJsonPath: string,
  more: Readonly<Record<string, string>> = {},
): Promise<HostProcess> {
  const env = {
    AzureWebJobsStorage: azurite.connectionString,
    PGCMK_CREDENTIAL: 'managedIdentity',
    AuditEventHub: 'Endpoint=sb://nowhere.invalid/;SharedAccessKeyName=none;SharedAccessKey=bm9uZQ==',
    PGCMK_LOG_LEVEL: 'warn',
    // Only what is registered matters here; no timer needs to fire.
    PGCMK_PROBE_SCHEDULE: '0 0 0 1 1 *',
    PGCMK_SWEEP_SCHEDULE: '0 0 0 1 1 *',
    PGCMK_OUTBOX_SCHEDULE: '0 0 0 1 1 *',
    ...more,
  };
  const host = await spawnHost({ entry, hostJsonPath, env, onLog: () => undefined });
  hosts.push(host);
  return host;
}

const list = async ({ url }: HostProcess) => {
  const functions = listed.parse(await (await fetch(`${url}/admin/functions`)).json());
  return functions.toSorted((a, b) => a.name.localeCompare(b.name));
};

describe('the bundle', () => {
  test('registers the same functions with the same bindings as the sources', async () => {
    // As the Functions host: the directory, and main of its package.json.
    const bundled = await start(directory, join(directory, 'host.json'));
    const plain = await start(join(root, 'functions/index.ts'), join(root, 'host.json'));
    const functions = await list(bundled);
    expect(functions.length).toBeGreaterThan(20);
    expect(functions).toEqual(await list(plain));
  });

  test('serves what is loaded on the first request only', async () => {
    const documents = await Promise.all(hosts.map(({ url }) => fetch(`${url}/api/openapi.json`)));
    expect(documents.map(({ status }) => status)).toEqual([200, 200]);
    const [bundled, plain] = await Promise.all(
      documents.map((document): Promise<unknown> => document.json()),
    );
    expect(bundled).toMatchObject({ openapi: '3.1.0' });
    expect(bundled).toEqual(plain);
  });

  test('sends traces where that is configured: what it takes is in the bundle', async () => {
    const ingestion = await startIngestion();
    const caFile = join(directory, '..', `${basename(directory)}-ca.pem`);
    await writeFile(caFile, ingestion.caPem);
    const host = await start(directory, join(directory, 'host.json'), {
      PGCMK_TELEMETRY: 'azureMonitor',
      APPLICATIONINSIGHTS_CONNECTION_STRING: ingestion.connectionString,
      // The exporter's reports about itself would go to Microsoft.
      APPLICATION_INSIGHTS_NO_STATSBEAT: 'true',
      NODE_EXTRA_CA_CERTS: caFile,
    });
    expect((await fetch(`${host.url}/api/openapi.json`)).status).toBe(200);
    await host.stop();
    ingestion.close();
    await rm(caFile);
    const names = ingestion.ofType('RemoteDependencyData').map(({ data }) => data.baseData['name']);
    expect(names).toEqual(['readOpenApi']);
  });

  test('holds host.json as it is, a source map beside each file, and nothing of zod that nobody asked for', async () => {
    const files = await readdir(directory);
    const scripts = files.filter((file) => file.endsWith('.js'));
    expect(files.toSorted()).toEqual(
      [
        ...scripts,
        ...scripts.map((file) => `${file}.map`),
        'host.json',
        'package.json',
        '.funcignore',
      ].toSorted(),
    );
    expect(await readFile(join(directory, 'host.json'), 'utf8')).toBe(
      await readFile(join(root, 'host.json'), 'utf8'),
    );
    const texts = await Promise.all(scripts.map((file) => readFile(join(directory, file), 'utf8')));
    // `import { z } from 'zod'` takes the whole of it along, with its 50 languages; `import * as z` what is used.
    const locales = texts.flatMap((text) => text.match(/node_modules\/zod\/v4\/locales\/[\w-]+\.js/g) ?? []);
    expect([...new Set(locales)]).toEqual(['node_modules/zod/v4/locales/en.js']);
  });

  test('leaves the building to us: its .funcignore does not speak of node_modules', async () => {
    expect(await readFile(join(directory, '.funcignore'), 'utf8')).not.toContain('node_modules');
  });

  test("imports none of Node's own modules but one: it requires them", async () => {
    const index = await readFile(join(directory, 'index.js'), 'utf8');
    const imports = index.matchAll(/^import [^;]*?from ["'](?<from>[^."'][^"']*)["'];/gm);
    expect([...imports].map(({ groups }) => groups?.['from'])).toEqual(['node:module']);
  });
});
