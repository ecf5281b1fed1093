// What would happen if a key, or one version of it, were disabled, deleted or left to expire.
import type { KekId } from '../domain/key-id.ts';
import type { ServerState } from '../domain/server.ts';
import type { KeyLossPolicy } from '../domain/server-spec.ts';

export interface ImpactQuery {
  readonly kek: KekId;
  readonly of: 'disable' | 'delete' | 'expire';
  /** null: the whole key. */
  readonly version: string | null;
  /** Servers after this one; null from the start. */
  readonly after: string | null;
  readonly limit: number;
}

export interface ImpactOnServer {
  readonly serverId: string;
  readonly state: ServerState;
  readonly version: string;
  readonly keyLossPolicy: KeyLossPolicy;
  readonly losesAccess: boolean;
  /** When its access ends; null: never, or as soon as it is seen. */
  readonly at: Date | null;
  /** In a few words. */
  readonly why: string;
  /** Asked now; null: it couldn't be asked, or there is nothing to ask. */
  readonly sessionsOpen: number | null;
}

export interface Impact {
  readonly countedAt: Date;
  readonly servers: number;
  readonly wouldLoseAccess: number;
  readonly wouldKeepAccess: number;
  readonly firstLossAt: Date | null;
  /** The longest that the app takes to see it. */
  readonly detectionSeconds: number;
  readonly page: readonly ImpactOnServer[];
  readonly next: string | null;
}

/** @throws CmkError KekNotFound, VersionNotFound, StoreUnavailable */
export type ReadImpact = (query: ImpactQuery) => Promise<Impact>;
