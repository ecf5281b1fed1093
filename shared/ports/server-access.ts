// Taking a PostgreSQL server's access away and giving it back (design 8). Chosen per server by `access.kind`.
import type { KeyLossPolicy, PostgresAccess } from '../domain/server-spec.ts';

/** One order to a server. Orders carry the epoch of the desired access; the server refuses an older one. */
export interface RevokeOrder {
  readonly serverId: string;
  /** Grows with every change of the desired access (design 6, `accessEpoch`). */
  readonly epoch: number;
  /** `terminate` ends every session; `drain` ends them only if `endSessions` is true; `denyNew` never does. */
  readonly policy: Exclude<KeyLossPolicy, 'alertOnly'>;
  /** For `drain`: whether drainUntil has passed. */
  readonly endSessions: boolean;
}

export interface RestoreOrder {
  readonly serverId: string;
  readonly epoch: number;
}

export type RevokeOutcome =
  /** New sessions are refused, and the sessions that the policy ends are gone (two zero counts 2 s apart). */
  | {
      readonly kind: 'applied';
      /** Databases that are closed by us now, by name. */
      readonly closed: readonly string[];
      readonly sessionsEnded: number;
      /** Sessions still open (only `drain` before its time, and `denyNew`). */
      readonly sessionsOpen: number;
      readonly role: 'primary' | 'replica';
    }
  /**
   * The server has already seen a newer order, of this `epoch`, or the opposite one of the same epoch: nothing was
   * changed, or nothing more. Whoever still wants it orders it again with an epoch above this one; so it is with a
   * promoted replica and a server restored from a backup too, whose record may be ahead of their row.
   */
  | { readonly kind: 'overtaken'; readonly epoch: number }
  /**
   * Not all of it is done. The caller tries again. `SessionNotEndable`: new sessions are refused, but some of the old
   * ones don't end. `ReplicaLagging`: what the primary did hasn't arrived; no session was ended before it has.
   */
  | {
      readonly kind: 'incomplete';
      readonly reason: 'SessionNotEndable' | 'ReplicaLagging';
      readonly sessionsEnded: number;
      readonly sessionsOpen: number;
    };

export type RestoreOutcome =
  | { readonly kind: 'applied'; readonly reopened: readonly string[]; readonly role: 'primary' | 'replica' }
  | { readonly kind: 'overtaken'; readonly epoch: number }
  | { readonly kind: 'incomplete'; readonly reason: 'ReplicaLagging' };

/** What the server itself says; nothing is changed by asking. */
export interface AccessInspection {
  readonly role: 'primary' | 'replica';
  /** The order on record in the maintenance database; epoch 0 and `granted` where none was ever given. */
  readonly epoch: number;
  readonly desired: 'granted' | 'revoked';
  /** Databases (neither excluded nor the maintenance database) that take connections now. */
  readonly openDatabases: readonly string[];
  /** Databases that we closed and that still exist. */
  readonly closedByUs: readonly string[];
  readonly excludedDatabases: readonly string[];
  /** Client sessions in any database but the maintenance database and the excluded ones. */
  readonly sessionsOpen: number;
  readonly preparedTransactions: number;
  readonly replicationSlots: number;
  /**
   * Rights that a revoke would lack, each as a sentence a DBA can act on; empty when all is well. A maintenance
   * database that PUBLIC may connect to is among them, though it makes no order fail.
   */
  readonly missingRights: readonly string[];
  /** The one of `missingRights` about a maintenance database that is open to PUBLIC; null where it is closed. */
  readonly publicConnect: string | null;
}

/**
 * The three operations, each idempotent, each with its own connection that ends with it. On a replica the epoch of an
 * order isn't compared: the record there is its primary's.
 * @throws CmkError ServerUnreachable (retryable: the network, a restart, a lock, a concurrent ALTER DATABASE),
 *   ServerTlsFailed, ServerAuthFailed, SecretSettingMissing, ServerHostRefused; ServerRightsMissing with
 *   `detail.missingRights`, when all is done that the rights allow: one database that can't be closed keeps no other open
 */
export interface ServerAccess {
  revoke(access: PostgresAccess, order: RevokeOrder): Promise<RevokeOutcome>;
  restore(access: PostgresAccess, order: RestoreOrder): Promise<RestoreOutcome>;
  inspect(access: PostgresAccess): Promise<AccessInspection>;
}
