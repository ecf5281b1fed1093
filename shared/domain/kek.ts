// What the `keks` table remembers of a KEK.
import { createHash } from 'node:crypto';
import type { KekId } from './key-id.ts';
import type { VersionState } from './key-status.ts';
import type { KeyReason } from './reason.ts';

/** What the customer chose for a KEK. */
export interface KekPolicy {
  readonly expiredKeyPolicy: 'revoke' | 'warn';
  readonly transientBuffer: 'alert' | 'revoke';
  readonly rewrapVerification: 'sample' | 'every';
  /** Nothing is rewrapped, but for servers whose version has expired: those would lose access otherwise. */
  readonly rewrapPaused: boolean;
  /** These servers are rewrapped first, and the others only when all of them are. */
  readonly canaryServers: readonly string[];
  /** How many servers each wave after the canaries admits; null: all that are left. */
  readonly waveServers: number | null;
  /** From the end of one wave to the start of the next. */
  readonly waveSoakSeconds: number;
  /** More servers than these that fail in one rotation halt it; null: never. */
  readonly haltAfterFailures: number | null;
}

export const DEFAULT_POLICY: KekPolicy = {
  expiredKeyPolicy: 'revoke',
  transientBuffer: 'alert',
  rewrapVerification: 'sample',
  rewrapPaused: false,
  canaryServers: [],
  waveServers: null,
  waveSoakSeconds: 0,
  haltAfterFailures: 10,
};

export interface Hold {
  readonly by: string;
  readonly reason: string;
  readonly since: Date;
  /** A hold that ends by itself then (a drill's); null: only an operator lifts it. */
  readonly until: Date | null;
}

/** Whether a hold is in force. */
export const isHeld = (hold: Hold | null, now: Date): boolean =>
  hold !== null && (hold.until === null || now < hold.until);

/** Which servers a rotation in waves has come to: the canaries (number 0), or all ids up to `upTo` as well. */
export interface Wave {
  readonly number: number;
  readonly upTo: string;
  readonly openedAt: Date;
}

export type Rotation =
  | { readonly state: 'idle' }
  /** `wave` null: every server is admitted. */
  | {
      readonly state: 'running';
      readonly startedAt: Date;
      readonly resumedAt: Date | null;
      readonly wave: Wave | null;
    }
  /** More servers failed than the policy bears: nothing is rewrapped until an operator resumes it. */
  | {
      readonly state: 'halted';
      readonly startedAt: Date;
      readonly since: Date;
      readonly failures: number;
      readonly wave: Wave | null;
    }
  | { readonly state: 'completed'; readonly startedAt: Date; readonly completedAt: Date }
  /** The newest version can't be the target; everything stays where it is. */
  | { readonly state: 'blocked'; readonly newest: string; readonly reason: KeyReason; readonly since: Date };

/** How many wrapped DEKs depend on each key version, as last counted. */
export interface VersionCount {
  /** Wrappings under the version, tombstones' and copies' included. */
  readonly servers: number;
  readonly tombstones: number;
  readonly copies: number;
  /** Of `servers`, those whose wrapping the vault hasn't unwrapped yet. */
  readonly unproven: number;
  /** Wrappings under other versions that replaced one of this version and aren't proven yet. */
  readonly unprovenSuccessors: number;
}

export interface Census {
  readonly countedAt: Date;
  readonly versions: Readonly<Record<string, VersionCount>>;
  /** By version and state, servers that answer and aren't deleted; the state as if the version were proven. */
  readonly states: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly notSettled: number;
  /** Servers that follow the rotation and aren't on its target yet. */
  readonly behind: number;
  /** The last of them by name: as long as it is behind, the rotation isn't done. */
  readonly lastBehind: string | null;
}

export interface KekState {
  readonly kek: KekId;
  /** Grows with every change of status, target, hold or policy. */
  readonly epoch: number;
  /** The last epoch whose messages were all enqueued. */
  readonly fannedOutEpoch: number;
  /** The version that DEKs are wrapped under: the newest one that was proven. */
  readonly target: string | null;
  readonly rotation: Rotation;
  readonly policy: KekPolicy;
  readonly hold: Hold | null;
  readonly census: Census | null;
  /** When the last reconcile began to observe: hints older than that are answered by it. */
  readonly observedFrom: Date | null;
  /** When an event or a record of the vault's audit log last led to a look at this KEK. */
  readonly lastHintAt: Date | null;
}

export interface KekSnapshot {
  readonly kek: KekState;
  readonly versions: readonly VersionState[];
}

/**
 * Names what an operator may change of a KEK, the policy and the hold: the app's own looking and counting, which writes
 * the row all the time, leaves it as it is.
 */
export function kekTag({ policy, hold }: KekState): string {
  const sorted = Object.entries(policy).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const told = hold === null ? null : [hold.by, hold.reason, hold.since, hold.until];
  return createHash('sha256')
    .update(JSON.stringify([sorted, told]))
    .digest('base64url');
}

/** A KEK that was never reconciled. */
export const makeKekState = (kek: KekId): KekState => ({
  kek,
  epoch: 0,
  fannedOutEpoch: 0,
  target: null,
  rotation: { state: 'idle' },
  policy: DEFAULT_POLICY,
  hold: null,
  census: null,
  observedFrom: null,
  lastHintAt: null,
});

export const findVersion = (snapshot: KekSnapshot, version: string | null): VersionState | undefined =>
  snapshot.versions.find((state) => state.version === version);
