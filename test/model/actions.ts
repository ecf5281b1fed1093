// Everything that may happen: to the customer's keys, to the servers, to messages, to workers, to single steps.
import type { Place } from './io.ts';
import { KEKS, SERVERS } from './site.ts';
import type { Refusal, Trouble } from './vault.ts';

/** `key`, `version`, `server`, `worker` and `position` are indexes; those without anything behind them do nothing. */
export type Action =
  | { readonly do: 'rotate'; readonly key: number }
  | {
      readonly do: 'enable' | 'disable' | 'expire' | 'extend';
      readonly key: number;
      readonly version: number;
    }
  | { readonly do: 'expire in a minute'; readonly key: number; readonly version: number }
  | { readonly do: 'delete' | 'recover' | 'allow' | 'heal'; readonly key: number }
  | { readonly do: 'refuse'; readonly key: number; readonly how: Refusal }
  | { readonly do: 'trouble'; readonly key: number; readonly how: Trouble }
  /** An event about a key; one too many is about one that nobody holds. */
  | { readonly do: 'hint'; readonly key: number }
  | { readonly do: 'probe' | 'sweep' }
  | { readonly do: 'stop server' | 'start server'; readonly server: number }
  | { readonly do: 'close' | 'open'; readonly server: number; readonly database: string }
  | { readonly do: 'lose' | 'duplicate' | 'delay' | 'prefer'; readonly position: number }
  /** So many steps of one worker, which takes up a message first where it has none. */
  | { readonly do: 'step'; readonly worker: number; readonly steps: number }
  | { readonly do: 'crash' | 'freeze' | 'thaw'; readonly worker: number }
  /** What becomes of a worker when it next comes to such a step. */
  | { readonly do: 'trap'; readonly worker: number; readonly place: Place; readonly how: 'crash' | 'freeze' }
  | { readonly do: 'spoil'; readonly worker: number; readonly how: 'before' | 'after' | 'conflict' }
  /** Every worker that isn't frozen, a step each in turn, until nothing is visible any more. */
  | { readonly do: 'work' }
  /** A few seconds of what the app does by itself. */
  | { readonly do: 'go on' }
  | { readonly do: 'wait'; readonly seconds: number };

/** Two workers a queue, each a process of its own. */
export const WORKERS = [
  'timer',
  'timer',
  'reconcile',
  'reconcile',
  'rewrap',
  'rewrap',
  'access',
  'access',
] as const;

/** How long a message stays hidden whose worker has crashed or stands still. */
export const HIDDEN_SECONDS = 30;
export const DELIVERIES = 5;

/** What stands in the way is taken away; keys, and what the customer has done to them, stay as they are. */
export const faultsEnd: readonly Action[] = [
  ...KEKS.map((_, key): Action => ({ do: 'heal', key })),
  ...SERVERS.map((_, server): Action => ({ do: 'start server', server })),
  ...WORKERS.map((_, worker): Action => ({ do: 'thaw', worker })),
];

/** Whatever the customer has taken away from the app is given back. */
export const givenBack = (versions: number): readonly Action[] =>
  KEKS.flatMap((_, key): readonly Action[] => [
    { do: 'recover', key },
    { do: 'allow', key },
    ...Array.from({ length: versions }, (_, version): readonly Action[] => [
      { do: 'enable', key, version },
      { do: 'extend', key, version },
    ]).flat(),
  ]);

export const goingOn: readonly Action[] = [{ do: 'wait', seconds: 4 }, { do: 'probe' }, { do: 'work' }];

/** An access worker stands still with an order in its hand, the key is lost and found meanwhile, and then it wakes up. */
export const lateOrder: readonly Action[] = [
  { do: 'trap', worker: 6, place: 'postgres', how: 'freeze' },
  { do: 'disable', key: 0, version: 0 },
  { do: 'go on' },
  { do: 'wait', seconds: 31 },
  { do: 'go on' },
  { do: 'enable', key: 0, version: 0 },
  { do: 'go on' },
  { do: 'go on' },
  { do: 'thaw', worker: 6 },
  { do: 'work' },
];

/** One round of quiet times: the probe, and now and then a sweep. */
export const ROUND_SECONDS = 20;
export const roundOf = (number: number): readonly Action[] => [
  { do: 'wait', seconds: ROUND_SECONDS },
  { do: 'probe' },
  ...(number % 3 === 0 ? [{ do: 'sweep' } as const] : []),
  { do: 'work' },
];
/** At least two sweeps; and so many rounds in a row without anything left to do. */
export const LEAST_ROUNDS = 7;
export const QUIET_ROUNDS = 4;
export const MOST_ROUNDS = 60;

export const toText = ({ do: what, ...rest }: Action): string => [what, ...Object.values(rest)].join(' ');
