// What a rotation would do, and what stands in its way; nothing is changed by asking.
import type { Rotation } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';

export interface RewrapPlan {
  readonly target: string | null;
  readonly newest: string | null;
  /** Why the newest version is not the target; null: it is. */
  readonly blocked: string | null;
  readonly toRewrap: number;
  readonly upToDate: number;
  /** Servers that would stay where they are, by reason, with some of their names. */
  readonly cannotMove: readonly {
    readonly reason: string;
    readonly servers: number;
    readonly examples: readonly string[];
  }[];
  readonly waves: number;
  readonly vaultOperations: number;
  /** At the share of the vault's limit that the app may use. */
  readonly expectedSeconds: number;
  readonly rotation: Rotation;
}

/** Asks the vault for the key's versions: one call. @throws CmkError KekNotFound, StoreUnavailable */
export type PlanRewrap = (kek: KekId) => Promise<RewrapPlan>;
