// The service's limits, per vault and 10 seconds (azure-facts 4.1), as a sliding window.
import type { RsaBits } from './key-material.ts';
import type { KeyType } from './key-record.ts';

/** Operations per 10 seconds for all kinds together, the published ones, or none. */
export type ThrottleLimits = 'off' | 'published' | number;

export interface ThrottledCall {
  /** null: the call is about no key, or about one that doesn't exist. */
  readonly key: { readonly kty: KeyType; readonly bits: RsaBits } | null;
  readonly makesKey: boolean;
}

export interface Throttle {
  /** Counts the call and answers null, or refuses it with the seconds after which one is free again. */
  admit(call: ThrottledCall, limits: ThrottleLimits): number | null;
}

const PUBLISHED = {
  RSA: { create: 20, other: { 2048: 4000, 3072: 1000, 4096: 500 } },
  'RSA-HSM': { create: 10, other: { 2048: 2000, 3072: 500, 4096: 250 } },
} as const;
const VAULT_READS = 4000;

const WINDOW_MS = 10_000;
const SLOT_MS = 100;
const SLOTS = WINDOW_MS / SLOT_MS;

/** Mixed loads add up as fractions of their limits; making keys has a sum of its own. */
export function makeThrottle(nowMs: () => number = () => performance.now()): Throttle {
  const creates = makeWindow(nowMs);
  const others = makeWindow(nowMs);
  return {
    admit(call, limits) {
      if (limits === 'off') return null;
      if (typeof limits === 'number') return others.admit(1 / limits);
      return call.makesKey ? creates.admit(1 / createLimit(call)) : others.admit(1 / otherLimit(call));
    },
  };
}

function createLimit({ key }: ThrottledCall): number {
  return PUBLISHED[key?.kty ?? 'RSA'].create;
}

function otherLimit({ key }: ThrottledCall): number {
  return key === null ? VAULT_READS : PUBLISHED[key.kty].other[key.bits];
}

function makeWindow(nowMs: () => number) {
  const spent = new Float64Array(SLOTS);
  let total = 0;
  let current = Math.floor(nowMs() / SLOT_MS);
  const forget = () => {
    const slot = Math.floor(nowMs() / SLOT_MS);
    if (slot - current >= SLOTS) {
      spent.fill(0);
      total = 0;
      current = slot;
    }
    while (current < slot) {
      current++;
      total -= spent[current % SLOTS] ?? 0;
      spent[current % SLOTS] = 0;
    }
  };
  return {
    admit(cost: number): number | null {
      forget();
      // A hair of slack: a thousand thousandths don't add up to exactly one.
      if (total + cost > 1 + 1e-9) return secondsUntilFree(cost);
      const index = current % SLOTS;
      spent[index] = (spent[index] ?? 0) + cost;
      total += cost;
      return null;
    },
  };

  function secondsUntilFree(cost: number): number {
    let left = total;
    for (let age = SLOTS - 1; age > 0; age--) {
      left -= spent[(current - age + SLOTS) % SLOTS] ?? 0;
      if (left + cost <= 1 + 1e-9) return Math.ceil(((SLOTS - age) * SLOT_MS) / 1000);
    }
    return WINDOW_MS / 1000;
  }
}
