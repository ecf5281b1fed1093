// What is known of exports of the tables, in memory.
import type { ExportCatalog, TableExport } from '../../shared/ports/export-catalog.ts';

export class FakeExportCatalog implements ExportCatalog {
  /** undefined: there is none. */
  current: TableExport | undefined;
  #failure: Error | null = null;

  /** The next question fails. */
  failNext(error: Error): void {
    this.#failure = error;
  }

  async newest(): Promise<TableExport | undefined> {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
    return this.current;
  }
}
