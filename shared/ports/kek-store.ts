// The `keks` table: what is remembered of every KEK and of its versions (design 10).
import type { AuditRecord } from '../domain/audit.ts';
import type { BreakerState } from '../domain/breaker.ts';
import type { KekState } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { VersionState } from '../domain/key-status.ts';
import type { OwnEvent } from '../domain/own-event.ts';
import type { Stored, Write } from './stored.ts';

/** What goes out because of an effect; written in the same transaction as the effect. */
export interface OutboxEntry {
  readonly audit: readonly AuditRecord[];
  readonly events: readonly OwnEvent[];
}

export interface StoredKek {
  readonly kek: Stored<KekState>;
  readonly versions: readonly Stored<VersionState>[];
}

export interface KekChange {
  readonly kek: Write<KekState> | null;
  readonly versions: readonly Write<VersionState>[];
  readonly outbox: OutboxEntry | null;
}

export interface KekStore {
  /** @throws CmkError InvalidRow, StoreUnavailable */
  read(kek: KekId): Promise<StoredKek | undefined>;
  /**
   * Every KEK, or every KEK of one vault, in the order of `kekKey`; from that one on where `from` names one. Rows that
   * don't parse are reported to `onInvalid` and left out.
   */
  list(filter: { readonly vault: string | null; readonly from?: KekId | null }): AsyncIterable<StoredKek>;
  /** One transaction. @throws CmkError WriteConflict, StoreUnavailable (retryable) */
  commit(kek: KekId, change: KekChange): Promise<void>;
}

export interface BreakerStore {
  readBreaker(): Promise<Stored<BreakerState> | undefined>;
  /** @throws CmkError WriteConflict */
  writeBreaker(write: Write<BreakerState>): Promise<void>;
}
