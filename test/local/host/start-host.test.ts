import { describe, expect, test } from 'vitest';
import { startAzurite } from '../../../local/azurite.ts';
import { HostStartError } from '../../../local/host/errors.ts';
import { startHost } from '../../../local/host/start-host.ts';
import { startFaultyStorage } from '../../fixtures/faulty-storage.ts';
import { fixture, writeHostJson } from './host-under-test.ts';

async function failure(
  entry: string,
  env: Readonly<Record<string, string | undefined>> = {},
  hostJsonText?: string,
): Promise<string> {
  const hostJson = await writeHostJson({}, hostJsonText);
  try {
    const host = await startHost({
      entry: fixture(entry),
      hostJsonPath: hostJson.path,
      env,
      log: () => undefined,
    });
    await host.stop();
    return 'started';
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(HostStartError);
    return thrown instanceof Error ? thrown.message : '';
  } finally {
    await hostJson.dispose();
  }
}

describe('a host does not start', () => {
  test('when the app throws at import', async () => {
    expect(await failure('throws-at-import.ts')).toContain('no configuration, no app');
  });

  test('when the app is missing or registers nothing', async () => {
    expect(await failure('absent.ts')).toContain('absent.ts');
    expect(await failure('registers-nothing.ts')).toContain('registered no function');
  });

  test.each([
    ['setting', ["'lost'", 'NOT_SET']],
    ['connection', ["'lost'", 'NOWHERE']],
    ['schedule', ["'lost'", 'every now and then']],
    ['trigger', ["'lost'", 'blobTrigger']],
    ['output', ["'lost'", "output binding 'blob'"]],
    ['route', ["'lost'", '{b}.{c}']],
    ['appStart', ['hook says no']],
  ])('when the %s of a function is at fault, and says so', async (fault, parts) => {
    const message = await failure('faulty.ts', { FAULT: fault, STATE: 'UseDevelopmentStorage=true' });
    for (const part of parts) expect(message).toContain(part);
  });

  test('when a queue gives no answer', async () => {
    const azurite = await startAzurite();
    const faulty = await startFaultyStorage(azurite.connectionString, 'Queue');
    faulty.fail(...Array.from({ length: 20 }, () => ({ kind: 'hang' }) as const));
    try {
      const message = await failure('process-app.ts', {
        AzureWebJobsStorage: faulty.connectionString,
      });
      expect(message).toContain("function 'slow': The operation was aborted");
    } finally {
      await faulty.stop();
      await azurite.stop();
    }
  });

  test.each([
    ['{', 'host.json'],
    ['{"version":"1.0"}', 'version'],
    ['{"version":"2.0","extensions":{"queues":{"batchSize":33}}}', 'batchSize'],
    ['{"version":"2.0","extensions":{"queues":{"maxPollingInterval":"500"}}}', 'maxPollingInterval'],
    ['{"version":"2.0","extensions":{"queues":{"maxPollingInterval":"00:00:00.05"}}}', 'maxPollingInterval'],
  ])('when host.json is %s', async (text, part) => {
    expect(await failure('directory-app', {}, text)).toContain(part);
  });
});

describe('a host', () => {
  test('takes a directory with package.json, whose main may be a glob', async () => {
    const hostJson = await writeHostJson({ http: { routePrefix: '' } });
    const entry = fixture('directory-app');
    const host = await startHost({ entry, hostJsonPath: hostJson.path, log: () => undefined });
    expect(host.functions.map(({ name }) => name).sort()).toEqual(['first', 'second']);
    expect(await (await fetch(`${host.url}/second`)).text()).toBe('second');
    await host.stop();
    await hostJson.dispose();
  });

  test('gives the app its settings and takes them back', async () => {
    const hostJson = await writeHostJson();
    const before = process.env['SOME_SETTING'];
    const env = { SOME_SETTING: 'given' };
    const entry = fixture('directory-app');
    const host = await startHost({ entry, hostJsonPath: hostJson.path, env, log: () => undefined });
    expect(process.env['SOME_SETTING']).toBe('given');
    await host.stop();
    expect(process.env['SOME_SETTING']).toBe(before);
    await hostJson.dispose();
  });
});
