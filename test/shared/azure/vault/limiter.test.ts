import { describe, expect, test } from 'vitest';
import { makeVaultLimiter, type VaultLimiter } from '../../../../shared/azure/vault/limiter.ts';
import type { VaultAnswer } from '../../../../shared/domain/vault-answer.ts';
import { FakeClock } from '../../../fakes/runtime.ts';

const GOOD: VaultAnswer<number> = { ok: true, value: 1, vaultNow: null };

const throttled = (retryAfterSeconds: number | null): VaultAnswer<number> => ({
  ok: false,
  fault: { kind: 'http', status: 429, code: 'Throttled', innerCode: null, retryAfterSeconds },
  vaultNow: null,
});

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const run = async (clock: FakeClock, seconds: number, stepMs = 10): Promise<void> => {
  for (let ms = 0; ms < seconds * 1000; ms += stepMs) {
    clock.advance(stepMs / 1000);
    await settle();
  }
};

/** A vault that takes so many calls in each 10 s and answers after 10 ms. */
function makeVault(clock: FakeClock, perTenSeconds: number, sendsRetryAfter: boolean) {
  const stats = { good: 0, refused: 0, inFlight: 0, mostInFlight: 0 };
  let window = -1;
  let used = 0;
  const call = async (): Promise<VaultAnswer<number>> => {
    const now = clock.now().getTime();
    if (Math.floor(now / 10_000) !== window) {
      window = Math.floor(now / 10_000);
      used = 0;
    }
    used += 1;
    const refused = used > perTenSeconds;
    stats.inFlight += 1;
    stats.mostInFlight = Math.max(stats.mostInFlight, stats.inFlight);
    await clock.sleep(10);
    stats.inFlight -= 1;
    stats[refused ? 'refused' : 'good'] += 1;
    return refused ? throttled(sendsRetryAfter ? 10 - (now % 10_000) / 1000 : null) : GOOD;
  };
  return { call, stats };
}

/** Keeps `width` calls waiting at the limiter, for ever. */
function press(limiter: VaultLimiter, cost: number, call: () => Promise<VaultAnswer<number>>, width = 64) {
  const next = async (): Promise<void> => {
    for (;;) await limiter.run(cost, call);
  };
  for (let started = 0; started < width; started += 1) void next();
}

describe('a vault’s limiter', () => {
  test('uses its ceiling and no more, and is never refused below the vault’s limit', async () => {
    const clock = new FakeClock();
    const vault = makeVault(clock, 1_000, false);
    press(makeVaultLimiter({ ceiling: 0.09, concurrency: 32, clock }), 1 / 1_000, vault.call);
    await run(clock, 60);
    expect(vault.stats.good).toBeGreaterThan(0.95 * 90 * 60);
    expect(vault.stats.good).toBeLessThanOrEqual(90 * 60 + 32);
    expect(vault.stats.refused).toBe(0);
  });

  test.each([true, false])('settles at a lower limit than its ceiling (Retry-After: %s)', async (header) => {
    const clock = new FakeClock();
    const vault = makeVault(clock, 400, header);
    press(makeVaultLimiter({ ceiling: 0.1, concurrency: 32, clock }), 1 / 1_000, vault.call);
    await run(clock, 60);
    const before = { ...vault.stats };
    await run(clock, 240);
    const good = vault.stats.good - before.good;
    const refused = vault.stats.refused - before.refused;
    expect(good).toBeGreaterThan(0.7 * 40 * 240);
    expect(refused / (good + refused)).toBeLessThan(0.03);
  });

  test('never has more calls in flight than its concurrency', async () => {
    const clock = new FakeClock();
    const vault = makeVault(clock, 1_000_000, false);
    press(makeVaultLimiter({ ceiling: 0.1, concurrency: 4, clock }), 1e-6, vault.call);
    await run(clock, 2);
    expect(vault.stats.mostInFlight).toBe(4);
  });

  test('returns the 429 after the call and five repeats, 31 s later', async () => {
    const clock = new FakeClock();
    const start = clock.now().getTime();
    const sentAt: number[] = [];
    const limiter = makeVaultLimiter({ ceiling: 0.1, concurrency: 32, clock });
    let answer: VaultAnswer<number> | undefined;
    void limiter
      .run(1e-6, async () => {
        sentAt.push(Math.floor((clock.now().getTime() - start) / 1000));
        return throttled(null);
      })
      .then((given) => {
        answer = given;
      });
    await run(clock, 40);
    expect(answer).toEqual(throttled(null));
    expect(sentAt).toEqual([0, 1, 3, 7, 15, 31]);
  });

  test('the answer of a repeat is the answer', async () => {
    const clock = new FakeClock();
    const limiter = makeVaultLimiter({ ceiling: 0.1, concurrency: 32, clock });
    const answers = [throttled(2), GOOD];
    const running = limiter.run(1e-6, async () => answers.shift() ?? GOOD);
    await run(clock, 3);
    expect(await running).toEqual(GOOD);
    expect(limiter.level).toBeLessThan(1);
  });

  test('other faults are answers at once, and change no rate', async () => {
    const clock = new FakeClock();
    const limiter = makeVaultLimiter({ ceiling: 0.1, concurrency: 32, clock });
    const answer: VaultAnswer<number> = {
      ok: false,
      fault: { kind: 'network', cause: 'refused' },
      vaultNow: null,
    };
    expect(await limiter.run(1e-6, async () => answer)).toBe(answer);
    expect(limiter.level).toBe(1);
  });

  test('a probe’s 429 slows rewraps down; its good answers say nothing', async () => {
    const clock = new FakeClock();
    const limiter = makeVaultLimiter({ ceiling: 0.1, concurrency: 32, clock });
    limiter.observe(GOOD, clock.now().getTime());
    expect(limiter.level).toBe(1);
    limiter.observe(throttled(null), clock.now().getTime());
    expect(limiter.level).toBeCloseTo(0.8);
  });
});
