// The plan of a round: everything that will be done to the stack, and when. Pure: the same seed gives the same plan,
// which is what replays a round. Which requests a fault then meets is up to the processes.
import { mulberry32 } from '../mulberry32.ts';

export const KEKS = ['payments', 'ledger'] as const;
export type KekName = (typeof KEKS)[number];

export const HOSTS = 2;
export const POSTGRES = ['pg-1', 'pg-1-replica', 'pg-2'] as const;
export type PostgresName = (typeof POSTGRES)[number];

/** What the owner of a key may do to it that takes its use away or gives it back. */
export const KEY_DEEDS = [
  'disable',
  'disableOldest',
  'enable',
  'delete',
  'recover',
  'expire',
  'extend',
  'notYetValid',
  'denyRole',
  'grantRole',
  'closeFirewall',
  'openFirewall',
  'clockAhead',
] as const;
export type KeyDeed = (typeof KEY_DEEDS)[number];

export const VAULT_FAULTS = [
  '429',
  '429 with Retry-After',
  '500',
  '503',
  'reset',
  'answer lost',
  'timeout',
  'stalled',
  'slow',
  'garbage',
  'truncated',
] as const;
export const TABLE_FAULTS = [
  '412',
  '500',
  '503',
  'reset',
  'answer lost',
  '500 after',
  'timeout',
  'stalled',
  'slow',
] as const;
export const QUEUE_FAULTS = [
  '500',
  'reset',
  'answer lost',
  'duplicate',
  'reorder',
  'timeout',
  'stalled',
  'slow',
] as const;
export const BLOB_FAULTS = ['500', 'reset', 'answer lost', 'timeout', 'stalled', 'slow'] as const;
export const WEBHOOK_FAULTS = ['500', 'reset', 'answer lost', 'duplicate', 'slow'] as const;
export type FaultName =
  | (typeof VAULT_FAULTS)[number]
  | (typeof TABLE_FAULTS)[number]
  | (typeof QUEUE_FAULTS)[number]
  | (typeof BLOB_FAULTS)[number]
  | (typeof WEBHOOK_FAULTS)[number];

/** A wire that faults are put on: a vault by its name, a service of the storage account, or Event Grid's deliveries. */
export type Wire = KekName | 'table' | 'queue' | 'blob' | 'webhook';

export const FORGERIES = ['expired', 'statusHint', 'unknownKey', 'strangeVault', 'malformed'] as const;
export type Forgery = (typeof FORGERIES)[number];

export type Deed =
  | { readonly kind: 'rotate'; readonly kek: KekName }
  | { readonly kind: 'key'; readonly kek: KekName; readonly deed: KeyDeed }
  /** `chance` of a request to meet one of the faults. */
  | {
      readonly kind: 'faults';
      readonly wire: Wire;
      readonly faults: readonly FaultName[];
      readonly chance: number;
      readonly forMs: number;
    }
  | { readonly kind: 'noToken'; readonly forMs: number }
  | { readonly kind: 'topicOutage'; readonly how: 'error' | 'timeout' | 'refuse'; readonly forMs: number }
  | { readonly kind: 'kill'; readonly host: number; readonly forMs: number }
  /** Longer than a message is leased: another host has taken up its work when it wakes. The round may end later for it. */
  | { readonly kind: 'freeze'; readonly host: number; readonly frozenMs: number }
  | {
      readonly kind: 'events';
      readonly lose: number;
      readonly duplicate: number;
      readonly delayMs: number;
      readonly forMs: number;
    }
  | { readonly kind: 'forge'; readonly kek: KekName; readonly forgery: Forgery }
  | { readonly kind: 'postgresCrash'; readonly server: PostgresName; readonly forMs: number }
  | {
      readonly kind: 'postgresNetwork';
      readonly server: PostgresName;
      readonly passage: 'refused' | 'silent' | 'cut';
      readonly forMs: number;
    }
  | { readonly kind: 'register'; readonly kek: KekName; readonly host: number };

export interface Action {
  readonly atMs: number;
  readonly deed: Deed;
}

/** How a key is left when the faults stop: `usable`, or one of the ways not to be. */
export const ENDS = [
  'usable',
  'disabled',
  'newestDisabled',
  'deleted',
  'expired',
  'notYetValid',
  'roleDenied',
  'firewallClosed',
] as const;
export type End = (typeof ENDS)[number];

export interface Plan {
  readonly seed: number;
  readonly lengthMs: number;
  /** In the order of their times. */
  readonly actions: readonly Action[];
  readonly ends: Readonly<Record<KekName, End>>;
  /** Keys that are usable all the time: whatever else fails, no server of theirs may lose access. */
  readonly untouched: readonly KekName[];
}

const LENGTH_MS = 3000;
const LEAST_FOR_MS = 300;
const MOST_FROZEN_MS = 9000;

export function planRound(seed: number): Plan {
  const random = mulberry32(seed);
  const whole = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));
  const pick = <T>(items: readonly [T, ...T[]]): T => items[whole(0, items.length - 1)] ?? items[0];
  const some = <T>(items: readonly T[]): readonly T[] => {
    const chosen = items.filter(() => random() < 0.4);
    return chosen.length === 0 ? [items[whole(0, items.length - 1)]].flatMap((one) => one ?? []) : chosen;
  };
  const forMs = () => whole(LEAST_FOR_MS, LENGTH_MS);
  const chance = () => pick([0.05, 0.1, 0.2, 0.4, 0.7, 1]);
  const faults = (wire: Wire, names: readonly FaultName[]): Deed => ({
    kind: 'faults',
    wire,
    faults: some(names),
    chance: chance(),
    forMs: forMs(),
  });

  const touched = KEKS.filter(() => random() < 0.55);
  const deeds: Deed[] = [];
  for (const kek of KEKS) {
    if (random() < 0.5) deeds.push({ kind: 'rotate', kek });
    if (touched.includes(kek)) {
      for (let left = whole(1, 4); left > 0; left -= 1)
        deeds.push({ kind: 'key', kek, deed: pick(KEY_DEEDS) });
    } else {
      // What nobody touches must stand whatever its vault answers: each round asks for that.
      deeds.push(faults(kek, VAULT_FAULTS));
    }
  }
  for (let left = whole(4, 10); left > 0; left -= 1) {
    const make = pick<() => Deed>([
      () => faults(pick(KEKS), VAULT_FAULTS),
      () => faults(pick(KEKS), VAULT_FAULTS),
      () => faults('table', TABLE_FAULTS),
      () => faults('table', TABLE_FAULTS),
      () => faults('queue', QUEUE_FAULTS),
      () => faults('blob', BLOB_FAULTS),
      () => faults('webhook', WEBHOOK_FAULTS),
      () => ({ kind: 'noToken', forMs: forMs() }),
      () => ({ kind: 'topicOutage', how: pick(['error', 'timeout', 'refuse']), forMs: forMs() }),
      () => ({ kind: 'kill', host: whole(0, HOSTS - 1), forMs: whole(0, 1000) }),
      () => ({ kind: 'kill', host: whole(0, HOSTS - 1), forMs: whole(0, 1000) }),
      () => ({
        kind: 'events',
        lose: pick([0, 0.3, 1]),
        duplicate: pick([0, 0.5, 1]),
        delayMs: pick([0, 300, 1500]),
        forMs: forMs(),
      }),
      () => ({ kind: 'forge', kek: pick(KEKS), forgery: pick(FORGERIES) }),
      () => ({ kind: 'postgresCrash', server: pick(POSTGRES), forMs: whole(0, 1500) }),
      () => ({
        kind: 'postgresNetwork',
        server: pick(POSTGRES),
        passage: pick(['refused', 'silent', 'cut']),
        forMs: forMs(),
      }),
      () => ({ kind: 'register', kek: pick(KEKS), host: whole(0, HOSTS - 1) }),
    ]);
    deeds.push(make());
  }
  const at = (deed: Deed): Action => ({ atMs: whole(0, LENGTH_MS), deed });
  const actions = deeds.map(at);
  const end = (kek: KekName): End => (touched.includes(kek) && random() < 0.6 ? pick(ENDS) : 'usable');
  const ends = { payments: end('payments'), ledger: end('ledger') };
  if (random() < 0.4)
    actions.push(at({ kind: 'freeze', host: whole(0, HOSTS - 1), frozenMs: whole(1000, MOST_FROZEN_MS) }));
  return {
    seed,
    lengthMs: LENGTH_MS,
    actions: actions.toSorted((a, b) => a.atMs - b.atMs),
    ends,
    untouched: KEKS.filter((kek) => !touched.includes(kek)),
  };
}

/** One line a deed, for people. */
export function describePlan({ actions, ends, untouched }: Plan): readonly string[] {
  const lines = actions.map(({ atMs, deed: { kind, ...rest } }) => {
    const details = Object.entries(rest).map(
      ([name, value]) => `${name} ${Array.isArray(value) ? value.join('|') : value}`,
    );
    return `${String(atMs).padStart(5)} ms  ${kind}  ${details.join(', ')}`;
  });
  const left = KEKS.map((kek) => `${kek} ${ends[kek]}${untouched.includes(kek) ? ' (untouched)' : ''}`);
  return [...lines, `      end  ${left.join(', ')}`];
}
