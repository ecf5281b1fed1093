// What the `keks` table remembers of a KEK.
import type { KekId } from './key-id.ts';
import type { VersionState } from './key-status.ts';
import type { KeyReason } from './reason.ts';

/** What the customer chose for a KEK. */
export interface KekPolicy {
  readonly expiredKeyPolicy: 'revoke' | 'warn';
  readonly transientBuffer: 'alert' | 'revoke';
  readonly rewrapVerification: 'sample' | 'every';
  readonly rewrapPaused: boolean;
}

export const DEFAULT_POLICY: KekPolicy = {
  expiredKeyPolicy: 'revoke',
  transientBuffer: 'alert',
  rewrapVerification: 'sample',
  rewrapPaused: false,
};

export interface Hold {
  readonly by: string;
  readonly reason: string;
  readonly since: Date;
}

export type Rotation =
  | { readonly state: 'idle' }
  | { readonly state: 'running'; readonly startedAt: Date }
  | { readonly state: 'completed'; readonly startedAt: Date; readonly completedAt: Date }
  /** The newest version can't be the target; everything stays where it is. */
  | { readonly state: 'blocked'; readonly newest: string; readonly reason: KeyReason; readonly since: Date };

/** How many wrapped DEKs depend on each key version, as last counted. */
export interface Census {
  readonly countedAt: Date;
  readonly versions: Readonly<Record<string, { readonly servers: number; readonly unproven: number }>>;
  readonly notSettled: number;
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
}

export interface KekSnapshot {
  readonly kek: KekState;
  readonly versions: readonly VersionState[];
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
});

export const findVersion = (snapshot: KekSnapshot, version: string | null): VersionState | undefined =>
  snapshot.versions.find((state) => state.version === version);
