// The outbox and the audit chains (design 10). A chain is named like its KEK's partition, or `app` for what belongs
// to no KEK, such as an event that couldn't be understood.
import type { ChainedRecord } from '../domain/audit.ts';
import type { OutboxEntry } from './kek-store.ts';

/** A name of a chain: `{vault}|{key}` or `app`. */
export type ChainName = string;

export interface OutboxRow {
  /** Unique, and in the order of time within a chain. */
  readonly id: string;
  readonly etag: string;
  /** Audit records as JSON, byte for byte what will be hashed; events to publish. */
  readonly auditBodies: readonly string[];
  readonly events: OutboxEntry['events'];
  /** Whether the audit records are in the chain already. */
  readonly audited: boolean;
}

export interface OutboxStore {
  /** Puts down what has no other effect to be written with. */
  put(chain: ChainName, entry: OutboxEntry): Promise<void>;
  /** The oldest rows of a chain whose audit records are in the chain already (`audited`), or are not; null: of both. */
  pageOutbox(chain: ChainName, audited: boolean | null, limit: number): Promise<readonly OutboxRow[]>;
  /** Both name the row's ETag; a row that is gone already is no error. @throws CmkError WriteConflict */
  markAudited(chain: ChainName, row: OutboxRow): Promise<OutboxRow>;
  remove(chain: ChainName, row: OutboxRow): Promise<void>;
}

export interface AuditStore {
  /** The last records of a chain, oldest first, at most `limit`. */
  tail(chain: ChainName, limit: number): Promise<readonly ChainedRecord[]>;
  /** One transaction of at most 99 records. @throws CmkError WriteConflict if another writer was there */
  append(chain: ChainName, records: readonly ChainedRecord[]): Promise<void>;
  /** The chain in order, from its start or after that sequence number. */
  readChain(chain: ChainName, after?: number): AsyncIterable<ChainedRecord>;
}
