// Exports of the app's tables: raw rows in, files in a folder out, and back.
import type { ExportedTable, TableRow } from '../domain/table-export.ts';
import type { ExportCatalog, TableExport } from './export-catalog.ts';

export interface RawRowFilter {
  /** Written since then, by the clock of Table Storage. */
  readonly changedFrom: Date;
  readonly rowKeyPrefix: string;
}

/** The tables as they are: every row with every column, also what this version of the app doesn't know. */
export interface RawTables {
  /** In the order of partition and row keys. Pages may be empty. @throws CmkError StoreUnavailable */
  pages(table: ExportedTable, filter?: RawRowFilter): AsyncIterable<readonly TableRow[]>;
  /** @throws CmkError StoreUnavailable */
  find(table: ExportedTable, partitionKey: string, rowKey: string): Promise<TableRow | undefined>;
  /** Why this version of the app can't read the row, without any of its values; null: it can. */
  findProblem(table: ExportedTable, row: TableRow): string | null;
}

export interface RawTableWriter {
  /** @throws CmkError StoreUnavailable */
  isEmpty(table: ExportedTable): Promise<boolean>;
  /**
   * Inserts rows of one partition and never writes over one that is there.
   * @returns how many were there already
   * @throws CmkError StoreUnavailable
   */
  insert(table: ExportedTable, rows: readonly TableRow[]): Promise<number>;
}

/** A file on its way. It isn't there before it is closed. */
export interface ExportWriter {
  append(bytes: Uint8Array): Promise<void>;
  /** @throws CmkError WriteConflict where there is such a file: none is ever written over */
  close(): Promise<void>;
}

export interface ExportStore extends ExportCatalog {
  open(folder: string, file: string): ExportWriter;
  /** @throws CmkError StoreUnavailable, also where there is no such file */
  read(folder: string, file: string): AsyncIterable<Uint8Array>;
  /**
   * Notes an export that was read back and found whole. One that is not newer than the one on record changes nothing.
   * @throws CmkError WriteConflict where another export was noted meanwhile, StoreUnavailable (retryable), InvalidRow
   */
  record(manifest: TableExport): Promise<void>;
}

/** The files of one export, wherever they are. */
export interface ExportSource {
  read(file: string): AsyncIterable<Uint8Array>;
}
