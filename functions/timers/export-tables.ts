// Timer: export the tables, and sign where the chains of the audit end. A run that fails is retried by the host.

export interface ExportTablesPorts {
  readonly exportTables: () => Promise<unknown>;
}

export const makeExportTablesHandler =
  ({ exportTables }: ExportTablesPorts) =>
  async (): Promise<void> => {
    await exportTables();
  };
