// What an export of the tables says of itself. It is written last: a folder without it is no export.
import type { ChainHeadAt, ChainsSeen, ExportedTable } from './table-export.ts';

/** A file of an export. */
export interface ExportedFile {
  readonly file: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface ExportedTableFile extends ExportedFile {
  /** Lines. A row that changed while the export was made may be there twice: then the last line counts. */
  readonly rows: number;
  /** So many lines at the end are such rows. */
  readonly late: number;
  /** Rows that this version of the app can't read; they are exported as they are. */
  readonly unread: number;
}

export interface ExportManifest {
  readonly schema: 1;
  readonly exportedAt: string;
  readonly appVersion: string;
  readonly tables: Readonly<Record<ExportedTable, ExportedTableFile>>;
  /** Key versions that the rows of servers depend on, by `kekKey`. */
  readonly versions: Readonly<Record<string, readonly string[]>>;
  /** Chains of the audit that don't hold together; their heads aren't signed. */
  readonly brokenChains: ChainsSeen['broken'];
  /** Where each chain ends: a compact JWS, or JSON where the app has no key to sign with. */
  readonly heads: ExportedFile & { readonly signed: boolean };
}

export const MANIFEST_FILE = 'manifest.json';
export const SIGNED_HEADS_FILE = 'audit-heads.jws';
export const PLAIN_HEADS_FILE = 'audit-heads.json';

/** What is signed of an export: where the chains of the audit end, and what its files are. */
export interface AuditHeads {
  readonly kind: 'AuditHeads';
  /** The folder of the export. */
  readonly sub: string;
  readonly at: string;
  readonly heads: readonly ChainHeadAt[];
  /** SHA-256 by file. */
  readonly files: Readonly<Record<string, string>>;
}

/** `2026-11-24T02-30-00.000Z`: in the order of time, and good as the name of a folder anywhere. */
export const exportFolder = (exportedAt: Date): string => exportedAt.toISOString().replaceAll(':', '-');
