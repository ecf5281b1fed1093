import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { callsOf, recorder, resetRecorder } from '../../fixtures/host-apps/recorder.ts';
import { type HostUnderTest, startHostUnderTest, until } from './host-under-test.ts';

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
});

async function start(tick: string): Promise<HostUnderTest> {
  const settings = { STATE: azurite.connectionString, AzureWebJobsStorage: azurite.connectionString };
  host = await startHostUnderTest('all-triggers.ts', { ...settings, TICK: tick });
  return host;
}

describe('timer trigger', () => {
  test('fires on an NCRONTAB schedule of whole seconds, each once', async () => {
    const at: number[] = [];
    recorder.handlers['tick'] = () => at.push(Date.now());
    await start('* * * * * *');
    await until(() => at.length >= 3);
    const seconds = at.map((ms) => Math.round(ms / 1000));
    expect(new Set(seconds).size).toBe(at.length);
    const timer = callsOf('tick')[0]?.input;
    expect(timer).toEqual({
      isPastDue: false,
      schedule: { adjustForDST: true },
      scheduleStatus: {
        last: expect.stringMatching(/^20/),
        next: expect.stringMatching(/^20/),
        lastUpdated: expect.any(String),
      },
    });
    expect(callsOf('tick')[0]?.context.triggerMetadata).toBeUndefined();
  });

  test('fires on a constant interval and never overlaps itself', async () => {
    let running = 0;
    let most = 0;
    recorder.handlers['tick'] = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      running -= 1;
    };
    await start('00:00:01');
    await until(() => callsOf('tick').length >= 2);
    expect(most).toBe(1);
  });

  test('runs at startup when asked to, and retries by its policy', async () => {
    recorder.handlers['atStart'] = () => {
      throw new Error('not yet');
    };
    await start('01:00:00');
    await until(() => callsOf('atStart').length === 3);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(callsOf('atStart').map(({ context }) => context.retryContext)).toEqual([
      undefined,
      expect.objectContaining({ retryCount: 1, maxRetryCount: 2, exception: expect.anything() }),
      expect.objectContaining({ retryCount: 2, maxRetryCount: 2 }),
    ]);
    expect(callsOf('tick')).toEqual([]);
  });
});
