// The `servers` and `serverindex` tables (design 10).
import type { KekId } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { OutboxEntry } from './kek-store.ts';
import type { Stored, Write } from './stored.ts';

/** A wrapping that was replaced. Kept until its key version is retired. */
export interface HistoryRow {
  readonly serverId: string;
  readonly sequence: number;
  readonly wrapped: WrappedDek;
  readonly replacedAt: Date;
  readonly replacedBy: string;
}

export interface HistoryQuery {
  /** `next` of the page before; null from the start. */
  readonly after: string | null;
  readonly limit: number;
}

export interface HistoryPage {
  readonly rows: readonly Stored<HistoryRow>[];
  readonly next: string | null;
}

export interface ServerWrite extends Write<ServerRow> {
  /**
   * The wrapping that this write replaces, filed in the same transaction.
   *
   * Invariant I-03: no DEK is ever lost: a wrapping leaves its row only into the history, in one transaction.
   */
  readonly history: HistoryRow | null;
}

/** A row that doesn't parse: held, alerted, and left alone. */
export interface HeldRow {
  readonly rowKey: string;
  readonly problem: string;
}

export interface ServerPage {
  readonly rows: readonly Stored<ServerRow>[];
  readonly held: readonly HeldRow[];
  /** The last server id of this page where there may be more; give it as `after`. */
  readonly next: string | null;
}

export interface PageQuery {
  /** Server ids after this one; null from the start. */
  readonly after: string | null;
  /** Server ids from this one, itself included; null from the start. */
  readonly from: string | null;
  /** Server ids up to this one, itself included; null to the end. */
  readonly to: string | null;
  /** At most so many rows, 1 to 1,000. */
  readonly limit: number;
}

export interface ServerStore {
  /** @throws CmkError InvalidRow, StoreUnavailable */
  read(kek: KekId, serverId: string): Promise<Stored<ServerRow> | undefined>;
  /** In the order of the server ids. */
  page(kek: KekId, query: PageQuery): Promise<ServerPage>;
  /**
   * One transaction: at most 49 writes with history, 98 without, and one outbox row.
   * @throws CmkError WriteConflict, StoreUnavailable (retryable)
   */
  commit(kek: KekId, writes: readonly ServerWrite[], outbox: OutboxEntry | null): Promise<void>;
  /** The replaced wrappings of a server, oldest first. */
  history(kek: KekId, serverId: string): Promise<readonly HistoryRow[]>;
  /**
   * Takes a row away, where its wrapping is answered for elsewhere (a move) or was given up for good (a purge).
   * A row that is gone already is no error. @throws CmkError WriteConflict, StoreUnavailable (retryable)
   */
  remove(kek: KekId, serverId: string, etag: string): Promise<void>;
  /** Replaced wrappings of one key version, of all servers; at most `limit` that are looked at in one page. */
  pageHistory(kek: KekId, version: string, query: HistoryQuery): Promise<HistoryPage>;
  /** A row that is gone already is no error. @throws CmkError WriteConflict, StoreUnavailable (retryable) */
  removeHistory(kek: KekId, row: Stored<HistoryRow>): Promise<void>;
  /** For a purge only: every replaced wrapping of a server, those that don't parse too. @throws CmkError WriteConflict, StoreUnavailable (retryable) */
  removeHistoryOf(kek: KekId, serverId: string): Promise<void>;
  /** Whether a server that follows the rotation, and isn't just being moved, is under another version than `target`; of those with an id up to `upTo` where it is named. */
  hasServersOff(kek: KekId, target: string, upTo?: string): Promise<boolean>;
}

export interface ServerIndex {
  /** Which KEK a server is under. */
  find(serverId: string): Promise<Stored<KekId> | undefined>;
  /** @throws CmkError WriteConflict if the id is taken */
  claim(serverId: string, kek: KekId): Promise<void>;
  /** Says that another KEK's partition answers for the server. @throws CmkError WriteConflict */
  point(serverId: string, kek: KekId, etag: string): Promise<void>;
  /** Frees the id. One that is free already is no error. @throws CmkError WriteConflict */
  release(serverId: string, etag: string): Promise<void>;
}
