import type { QueueClient } from '@azure/storage-queue';
import { QueueServiceClient } from '@azure/storage-queue';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { callsOf, recorder, resetRecorder } from '../../fixtures/host-apps/recorder.ts';
import { type HostJson, type HostUnderTest, startHostUnderTest, until } from './host-under-test.ts';

let azurite: Azurite;
let host: HostUnderTest | undefined;

beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite?.stop());
beforeEach(resetRecorder);
afterEach(async () => {
  await host?.stop();
  host = undefined;
  for (const name of ['work', 'work-poison', 'returning', 'returning-poison', 'results']) {
    await queue(name).deleteIfExists();
  }
});

function queue(name: string): QueueClient {
  return QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient(name);
}

async function send(name: string, text: string, encoding: 'base64' | 'none' = 'base64'): Promise<void> {
  await queue(name).createIfNotExists();
  await queue(name).sendMessage(encoding === 'base64' ? Buffer.from(text).toString('base64') : text);
}

async function depth(name: string): Promise<number> {
  return (await queue(name).getProperties()).approximateMessagesCount ?? 0;
}

async function start(queues: HostJson, env: HostJson = {}): Promise<HostUnderTest> {
  const settings = { STATE: azurite.connectionString, AzureWebJobsStorage: azurite.connectionString };
  const extensions = { queues: { maxPollingInterval: '00:00:00.200', ...queues } };
  host = await startHostUnderTest('all-triggers.ts', { ...settings, ...env }, extensions);
  return host;
}

describe('queue trigger', () => {
  test('parses JSON, tells about the message and deletes it', async () => {
    await start({});
    await send('work', '{"kek":"k1"}');
    await until(() => callsOf('work').length === 1);
    const call = callsOf('work')[0];
    expect(call?.input).toEqual({ kek: 'k1' });
    expect(call?.context.triggerMetadata).toMatchObject({
      queueTrigger: { kek: 'k1' },
      dequeueCount: 1,
      id: expect.any(String),
      popReceipt: expect.any(String),
      insertionTime: expect.stringMatching(/^20\d\d-/),
      expirationTime: expect.stringMatching(/^20\d\d-/),
      nextVisibleTime: expect.stringMatching(/^20\d\d-/),
    });
    await until(async () => (await depth('work')) === 0);
  });

  test('creates its queue, passes plain text and writes the return value', async () => {
    await start({});
    recorder.handlers['returning'] = (input) => `done ${input}`;
    await queue('returning').sendMessage(Buffer.from('plain').toString('base64'));
    await until(async () => (await queue('results').exists()) && (await depth('results')) === 1);
    const [item] = (await queue('results').receiveMessages()).receivedMessageItems;
    expect(Buffer.from(item?.messageText ?? '', 'base64').toString()).toBe('done plain');
  });

  test('retries with a growing dequeue count, then moves the message to the poison queue', async () => {
    recorder.handlers['work'] = () => {
      throw new Error('vault is away');
    };
    await start({ maxDequeueCount: 3 });
    await send('work', '{"bad":true}');
    await until(() => callsOf('workPoison').length === 1);
    expect(callsOf('work').map((call) => call.context.triggerMetadata?.['dequeueCount'])).toEqual([1, 2, 3]);
    expect(callsOf('workPoison')[0]?.input).toEqual({ bad: true });
    expect(await depth('work')).toBe(0);
  });

  test('keeps a failed message invisible for the visibility timeout', async () => {
    const at: number[] = [];
    recorder.handlers['work'] = () => {
      at.push(Date.now());
      if (at.length === 1) throw new Error('once');
    };
    await start({ visibilityTimeout: '00:00:02' });
    await send('work', 'x');
    await until(() => at.length === 2);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(1500);
  });

  test('a failed message of a poison queue has no poison queue and stays invisible', async () => {
    recorder.handlers['workPoison'] = () => {
      throw new Error('cannot even park it');
    };
    await start({ maxDequeueCount: 1 });
    await send('work-poison', 'x');
    await until(() => host?.log.some(({ message }) => message.includes('cannot even park it')) ?? false);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(callsOf('workPoison')).toHaveLength(1);
    expect(await depth('work-poison')).toBe(1);
    expect(await queue('work-poison-poison').exists()).toBe(false);
  });

  test('moves what is not base64 to the poison queue unread', async () => {
    await start({});
    await send('returning', 'not base64!', 'none');
    await until(
      async () => (await queue('returning-poison').exists()) && (await depth('returning-poison')) === 1,
    );
    expect(callsOf('returning')).toEqual([]);
    const [item] = (await queue('returning-poison').peekMessages()).peekedMessageItems;
    expect(item?.messageText).toBe('not base64!');
  });

  test('reads raw text when host.json says so', async () => {
    await start({ messageEncoding: 'none' });
    await send('work', '{"raw":1}', 'none');
    await until(() => callsOf('work').length === 1);
    expect(callsOf('work')[0]?.input).toEqual({ raw: 1 });
  });

  test('runs at most batchSize + newBatchThreshold messages at a time', async () => {
    let running = 0;
    let most = 0;
    const gates: (() => void)[] = [];
    recorder.handlers['work'] = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => gates.push(resolve));
      running -= 1;
    };
    for (let at = 0; at < 12; at += 1) await send('work', `m${at}`);
    await start({ batchSize: 3, newBatchThreshold: 1 });
    await until(() => running === 3);
    // Two still running exceed the threshold of one: nothing new. One running: a batch of three more.
    gates.shift()?.();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(running).toBe(2);
    gates.shift()?.();
    await until(() => running === 4);
    await until(() => {
      for (const open of gates.splice(0)) open();
      return callsOf('work').length === 12 && running === 0;
    });
    expect(most).toBe(4);
  });

  test('works through many messages without waiting for the polling interval', async () => {
    for (let at = 0; at < 40; at += 1) await send('work', `m${at}`);
    await start({ batchSize: 4, newBatchThreshold: 0, maxPollingInterval: '00:01:00' });
    await until(() => callsOf('work').length === 40);
    expect(new Set(callsOf('work').map(({ input }) => input)).size).toBe(40);
  });

  test('a disabled function leaves its messages alone', async () => {
    await send('work', 'x');
    await start({}, { 'AzureWebJobs.work.Disabled': 'true' });
    await send('returning', 'y');
    await until(() => callsOf('returning').length === 1);
    expect(callsOf('work')).toEqual([]);
  });

  test('stop waits for a running message and takes no new one', async () => {
    const gate = Promise.withResolvers<void>();
    recorder.handlers['work'] = () => gate.promise;
    const started = await start({});
    await send('work', 'first');
    await until(() => callsOf('work').length === 1);
    const stopped = started.stop();
    await send('work', 'second');
    gate.resolve();
    await stopped;
    host = undefined;
    expect(callsOf('work').map(({ input }) => input)).toEqual(['first']);
    await until(async () => (await depth('work')) === 1);
  });
});
