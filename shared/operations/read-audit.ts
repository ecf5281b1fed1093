// The audit chains, page by page.
import type { ChainedRecord } from '../domain/audit.ts';
import type { KekId } from '../domain/key-id.ts';
import type { ChainName } from '../ports/outbox-store.ts';

/** Where a listing goes on: after that record of that chain. */
export interface AuditPosition {
  readonly chain: ChainName;
  readonly after: number;
}

export interface AuditQuery {
  /** null: all chains, one after the other, and that of the app last. */
  readonly kek: KekId | null;
  readonly serverId: string | null;
  readonly fromTime: Date | null;
  readonly toTime: Date | null;
  readonly from: AuditPosition | null;
  readonly limit: number;
}

export interface AuditListing {
  readonly records: readonly { readonly chain: ChainName; readonly record: ChainedRecord }[];
  readonly next: AuditPosition | null;
}

/** A page may hold fewer than `limit` and still not be the last. @throws CmkError ServerNotFound, StoreUnavailable */
export type ReadAudit = (query: AuditQuery) => Promise<AuditListing>;
