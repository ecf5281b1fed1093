import { describe, expect, test } from 'vitest';
import { cliError } from '../../../cli/cli-error.ts';
import { ApiProblem } from '../../../cli/client.ts';
import type { HeldDek, Lease } from '../../../cli/dek/ask-dek.ts';
import { type WatchEnd, watchLease } from '../../../cli/dek/watch-lease.ts';
import { Dek } from '../../../shared/domain/dek.ts';
import { FakeHost, flush } from './fake-host.ts';

const DEK_ID = 'd'.repeat(32);
const SECONDS = 300;

const problem = (status: number, code: string, members: object = {}) =>
  new ApiProblem({ type: 'x', title: 'x', status, code, detail: `${code}!`, remedy: 'wait', ...members });
const unreachable = () => cliError('AppUnreachable', 'no answer', 'Wait.');
const never = () => new Promise<never>(() => {});

function begin(answer: (host: FakeHost, asked: number) => Promise<Lease> | Lease) {
  const host = new FakeHost();
  const said: string[] = [];
  const renewed: Lease[] = [];
  const deks: Dek[] = [];
  const times: number[] = [];
  const stop = new AbortController();
  const lease = (change: Partial<Lease> = {}): Lease => ({
    dekId: DEK_ID,
    beganAtMs: host.monotonicMs(),
    endsAtMs: host.monotonicMs() + SECONDS * 1000,
    expiresOn: '2030-01-01T00:00:00.000Z',
    keyId: 'https://contoso.vault.azure.net/keys/fleet/1',
    wrappedDek: {
      kekVersion: '1',
      algorithm: 'RSA-OAEP-256',
      format: 'bound-1',
      dekId: DEK_ID,
      ciphertext: 'x',
    },
    ...change,
  });
  const start = host.monotonicMs();
  const signals: AbortSignal[] = [];
  const ask = async (signal: AbortSignal): Promise<HeldDek> => {
    signals.push(signal);
    times.push((host.monotonicMs() - start) / 1000);
    const given = await answer(host, times.length);
    const dek = new Dek(new Uint8Array(32).fill(1));
    deks.push(dek);
    return { dek, lease: given };
  };
  const watching = watchLease(
    {
      ask,
      host,
      say: (line) => said.push(line),
      onRenewed: async (one) => void renewed.push(one),
      stop: stop.signal,
    },
    lease(),
  );
  let ended: WatchEnd | undefined;
  void watching.then((end) => {
    ended = end;
  });
  return { host, said, renewed, deks, times, signals, stop, lease, watching, ended: () => ended };
}

describe('watchLease', () => {
  test('renews at half the life of each lease, and keeps no DEK of it', async () => {
    const held = begin(() => held.lease());
    await held.host.advance(1000);
    expect(held.times).toEqual([150, 300, 450, 600, 750, 900]);
    expect(held.renewed).toHaveLength(6);
    expect(held.ended()).toBeUndefined();
    for (const dek of held.deks) expect(() => dek.id).toThrow(TypeError);
  });

  test('a little sooner by chance', async () => {
    const held = begin((host) => {
      host.chance = 0.25;
      return held.lease();
    });
    await held.host.advance(300);
    expect(held.times).toEqual([150, 292.5]);
  });

  test('the lease counts from when it was asked for, not from when the answer came', async () => {
    const held = begin(async (host, asked) => {
      const lease = held.lease();
      if (asked === 1) await host.sleep(100_000, new AbortController().signal);
      return lease;
    });
    await held.host.advance(300);
    // Asked at 150, answered at 250, renewed at 150 + 150.
    expect(held.times).toEqual([150, 300]);
  });

  test.each([
    ['an app that is not reached', unreachable],
    ['a vault that is not reached', () => problem(503, 'VaultUnavailable')],
    ['a token that has run out', () => problem(401, 'TokenExpired')],
    ['a role that is missing', () => problem(403, 'RoleMissing')],
    ['a proxy that says 404', () => problem(404, 'AnswerNotUnderstood')],
    [
      'a refusal of the vault that the app would not act on yet',
      () => problem(403, 'VaultRefused', { reason: 'FirewallDenied' }),
    ],
    ['a fault of this program', () => new TypeError('undefined is not a function')],
    ['another DEK', null],
  ])('is not lost by %s: it is asked again, and counts again', async (_, fault) => {
    let broken = true;
    const held = begin(() => {
      if (!broken) return held.lease();
      if (fault === null) return held.lease({ dekId: 'e'.repeat(32) });
      throw fault();
    });
    await held.host.advance(280);
    expect(held.ended()).toBeUndefined();
    expect(held.renewed).toEqual([]);
    // A twentieth of the lease between two tries.
    expect(held.times).toEqual([150, 165, 180, 195, 210, 225, 240, 255, 270]);
    expect(held.said.at(-1)).toMatch(/again in 15 s, the lease ends in 30 s/);
    for (const dek of held.deks) expect(() => dek.id).toThrow(TypeError);
    broken = false;
    await held.host.advance(20);
    expect(held.renewed).toHaveLength(1);
    expect(held.ended()).toBeUndefined();
  });

  test('one that is not renewed is lost when it ends, not sooner and not later', async () => {
    const held = begin(() => {
      throw problem(503, 'VaultUnavailable');
    });
    await held.host.advance(299.9);
    expect(held.ended()).toBeUndefined();
    await held.host.advance(0.1);
    expect(held.ended()).toMatchObject({
      kind: 'lost',
      code: 'LeaseEnded',
      message: expect.stringContaining('VaultUnavailable'),
      remedy: 'wait',
    });
  });

  test('one whose renewal gets no answer at all is lost when it ends', async () => {
    const held = begin(never);
    await held.host.advance(299);
    expect(held.ended()).toBeUndefined();
    await held.host.advance(1);
    expect(held.ended()).toMatchObject({ kind: 'lost', code: 'LeaseEnded' });
  });

  test('an answer that nobody waits for any more is given up', async () => {
    const held = begin(never);
    await held.host.advance(SECONDS - 1);
    expect(held.signals.map(({ aborted }) => aborted)).toEqual([false]);
    await held.host.advance(1);
    expect(held.signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(held.ended()).toMatchObject({ code: 'LeaseEnded' });
  });

  test('a renewal that comes after the end changes nothing, and leaves no DEK', async () => {
    let answer: (lease: Lease) => void = () => undefined;
    const held = begin(
      () =>
        new Promise<Lease>((resolve) => {
          answer = resolve;
        }),
    );
    await held.host.advance(SECONDS);
    expect(held.ended()).toMatchObject({ code: 'LeaseEnded' });
    answer(held.lease());
    await flush();
    expect(held.renewed).toEqual([]);
    expect(held.deks).toHaveLength(1);
    expect(() => held.deks[0]?.id).toThrow(TypeError);
  });

  test('a renewal after failures begins a whole lease anew', async () => {
    const held = begin((_, asked) => {
      if (asked < 3) throw unreachable();
      return held.lease();
    });
    await held.host.advance(180 + 149);
    expect(held.times).toEqual([150, 165, 180]);
    await held.host.advance(2);
    expect(held.times.at(-1)).toBe(330);
    expect(held.renewed).toHaveLength(2);
  });

  test('asks again when it was told to', async () => {
    const held = begin((_, asked) => {
      if (asked === 1) throw problem(429, 'DekRateLimited', { retryAfterSeconds: 40 });
      return held.lease();
    });
    await held.host.advance(200);
    expect(held.times).toEqual([150, 190]);
  });

  test('asks at most once a second, whatever it was told', async () => {
    const held = begin(() => {
      throw problem(429, 'DekRateLimited', { retryAfterSeconds: 1e-9 });
    });
    await held.host.advance(155);
    expect(held.times).toEqual([150, 151, 152, 153, 154, 155]);
  });

  test.each([
    ['DekRefused', { state: 'Revoking', reason: 'KeyDisabled' }],
    ['VaultRefused', { reason: 'KeyDisabled' }],
    ['VaultRefused', {}],
    ['PrincipalMismatch', {}],
    ['ServerNotFound', {}],
    ['ServerDeleted', {}],
  ])('is lost at once by %s %j', async (code, members) => {
    const held = begin(() => {
      throw problem(403, code, members);
    });
    await held.host.advance(150);
    expect(held.ended()).toEqual({ kind: 'lost', code, message: `${code}!`, remedy: 'wait' });
    expect(held.host.sleeping).toBe(0);
  });

  test('stops when it is told to, asleep or while it asks', async () => {
    const asleep = begin(() => asleep.lease());
    await asleep.host.advance(10);
    asleep.stop.abort();
    expect(await asleep.watching).toEqual({ kind: 'stopped' });
    expect(asleep.times).toEqual([]);

    const asking = begin(never);
    await asking.host.advance(160);
    asking.stop.abort();
    expect(await asking.watching).toEqual({ kind: 'stopped' });
    expect(asking.host.sleeping).toBe(0);
  });

  test('the shortest lease is renewed in time', async () => {
    let failing = false;
    const held = begin((host) => {
      failing = !failing;
      if (failing) throw unreachable();
      return held.lease({ endsAtMs: host.monotonicMs() + 10_000 });
    });
    await held.host.advance(600);
    expect(held.ended()).toBeUndefined();
    expect(held.renewed.length).toBeGreaterThan(60);
  });
});
