// What is known of the exports of our own tables: an old export restores only while the key versions that its wrapped
// DEKs name are still there.

export interface TableExport {
  readonly exportedAt: Date;
  /** Key versions that the export's wrapped DEKs depend on, by `kekKey`. */
  readonly versions: Readonly<Record<string, readonly string[]>>;
}

export interface ExportCatalog {
  /** The newest export that was read back and found whole; undefined: there is none. @throws CmkError StoreUnavailable, InvalidRow */
  newest(): Promise<TableExport | undefined>;
}
