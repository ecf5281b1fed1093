import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { QueueServiceClient } from '@azure/storage-queue';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { spawnHost } from '../../../local/host/spawn-host.ts';
import { fixture, until, writeHostJson } from './host-under-test.ts';

let azurite: Azurite;
let hostJson: Awaited<ReturnType<typeof writeHostJson>>;

beforeAll(async () => {
  azurite = await startAzurite();
  hostJson = await writeHostJson({ queues: { maxPollingInterval: '00:00:00.200' } });
});
afterAll(async () => {
  await azurite?.stop();
  await hostJson?.dispose();
});

function options(env: Readonly<Record<string, string>> = {}, entry = 'process-app.ts') {
  const settings = { AzureWebJobsStorage: azurite.connectionString, ...env };
  return { entry: fixture(entry), hostJsonPath: hostJson.path, env: settings, onLog: () => undefined };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the host as a process', () => {
  test('has its own settings and ends cleanly on SIGTERM', async () => {
    const host = await spawnHost(options({ SOME_SETTING: 'of the child' }));
    const about: unknown = await (await fetch(`${host.url}/api/about`)).json();
    expect(about).toMatchObject({ pid: host.pid, setting: 'of the child' });
    await host.stop();
    expect(await host.exited).toEqual({ code: 0, signal: null });
  });

  test('fails to start with the reason on stderr and exit code 1', async () => {
    await expect(spawnHost(options({}, 'throws-at-import.ts'))).rejects.toThrow('no configuration, no app');
    const main = fileURLToPath(new URL('../../../local/host/main.ts', import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [main], { encoding: 'utf8', env: {} });
    expect(status).toBe(1);
    expect(stderr).toContain('PGCMK_HOST_ENTRY');
  });

  test('ends when its parent is killed', async () => {
    const spawnHostUrl = new URL('../../../local/host/spawn-host.ts', import.meta.url).href;
    const script = `
      const { spawnHost } = await import(${JSON.stringify(spawnHostUrl)});
      const host = await spawnHost(${JSON.stringify({ ...options(), onLog: undefined })});
      console.log(host.pid);
    `;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once('data', (text) => resolve(Number(text))),
    );
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await until(() => !isAlive(pid));
  });

  test('a killed host leaves its message to the next one once the lease ran out', async () => {
    const queue = QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient('slow');
    const first = await spawnHost({ ...options({ SLOW_MS: '60000' }), queueLeaseSeconds: 2 });
    await queue.sendMessage(Buffer.from('{"range":1}').toString('base64'));
    const seenBy = async (url: string): Promise<unknown> => {
      const about: unknown = await (await fetch(`${url}/api/about`)).json();
      return typeof about === 'object' && about !== null && 'seen' in about ? about.seen : undefined;
    };
    await until(async () => JSON.stringify(await seenBy(first.url)).includes('range'));
    await first.kill();
    const second = await spawnHost({ ...options(), queueLeaseSeconds: 2 });
    await until(async () => JSON.stringify(await seenBy(second.url)).includes('range'));
    expect(await seenBy(second.url)).toEqual([{ item: { range: 1 }, dequeueCount: 2 }]);
    await second.stop();
  });

  test('a frozen host answers nobody until it is thawed, and then goes on', async () => {
    const host = await spawnHost(options());
    const ask = () => fetch(`${host.url}/api/about`, { signal: AbortSignal.timeout(500) });
    const thaw = host.freeze();
    await expect(ask()).rejects.toThrow('timeout');
    thaw();
    expect((await ask()).status).toBe(200);
    await host.stop();
  });

  test('renews the lease of a message that takes longer', async () => {
    const queue = QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient('slow');
    const host = await spawnHost({ ...options({ SLOW_MS: '4500' }), queueLeaseSeconds: 2 });
    await queue.sendMessage(Buffer.from('once').toString('base64'));
    await until(async () => ((await queue.getProperties()).approximateMessagesCount ?? 1) === 0);
    const about: unknown = await (await fetch(`${host.url}/api/about`)).json();
    expect(about).toMatchObject({ seen: [{ item: 'once', dequeueCount: 1 }] });
    await host.stop();
  });
});
