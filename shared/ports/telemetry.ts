// What the app tells of itself to whoever watches it. The names and attributes are a contract: the alerts and the
// workbook of infra/ read them, and docs/infrastructure.md lists them. Attributes hold ids, never a DEK, a token or a
// ciphertext.
import type { Rotation } from '../domain/kek.ts';
import type { KeyStatus } from '../domain/key-status.ts';
import type { QueueName } from '../domain/message.ts';
import type { ServerState } from '../domain/server.ts';
import type { TraceContext } from '../domain/trace-context.ts';
import type { UnwrapUse } from './key-vault.ts';

/** What is asked of a vault: a read, or what an unwrap is for. */
export type VaultCallKind = 'describe' | 'describeVersion' | 'askDeleted' | UnwrapUse;

/** What is added up, each with its attributes. */
export interface Counters {
  readonly 'pgcmk.rewrap.count': { readonly outcome: 'rewrapped' | 'proven' | 'failed' };
  readonly 'pgcmk.vault.calls': { readonly kind: VaultCallKind; readonly outcome: string };
  readonly 'pgcmk.poison': { readonly queue: QueueName };
}

/** What takes time: milliseconds, each a value of its own. */
export type Duration = 'pgcmk.rewrap.duration' | 'pgcmk.detection.latency' | 'pgcmk.revocation.latency';

/** What is as it is now, each with its attributes; `kek` is the URL of the key. */
export interface Gauges {
  readonly 'pgcmk.servers': { readonly state: ServerState };
  readonly 'pgcmk.kek.status': {
    readonly kek: string;
    readonly version: string;
    readonly status: KeyStatus;
    readonly reason: string;
  };
  readonly 'pgcmk.kek.expiry': { readonly kek: string; readonly version: string };
  readonly 'pgcmk.rotation.age': { readonly kek: string; readonly state: Rotation['state'] };
}

export type Reading = {
  readonly [N in keyof Gauges]: {
    readonly gauge: N;
    readonly value: number;
    readonly attributes: Gauges[N];
  };
}[keyof Gauges];

export interface Meter {
  count<N extends keyof Counters>(name: N, amount: number, attributes: Counters[N]): void;
  time(name: Duration, milliseconds: number): void;
  /**
   * What all gauges show from now on, in place of what they showed, but for no longer than `seconds`: the next readings
   * may be taken by another instance.
   */
  show(readings: readonly Reading[], seconds: number): void;
}

export interface Tracer {
  /** Runs `work` in a span of that name: a child of the first of `causes`, linked to the others. */
  trace<T>(name: string, causes: readonly TraceContext[], work: () => Promise<T>): Promise<T>;
  /** Of the span that this runs in; null where nothing is traced. */
  current(): TraceContext | null;
}
