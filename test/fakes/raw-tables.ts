// Tables of raw rows, and a store of exports, in memory. A hook lets the fleet go on while an export is taken.
import { CmkError } from '../../shared/domain/errors.ts';
import type { ExportedTable, TableRow } from '../../shared/domain/table-export.ts';
import type { TableExport } from '../../shared/ports/export-catalog.ts';
import type {
  ExportStore,
  RawRowFilter,
  RawTables,
  RawTableWriter,
} from '../../shared/ports/export-store.ts';

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

export class FakeRawTables implements RawTables, RawTableWriter {
  readonly #rows: Record<ExportedTable, TableRow[]> = { servers: [], serverindex: [], keks: [], audit: [] };
  readonly #now: () => Date;
  readonly pageRows: number;
  /** Runs after each page was handed out, and after each look for one row. */
  afterRead: (table: ExportedTable, what: string) => void | Promise<void> = () => undefined;

  constructor(now: () => Date, pageRows = 2) {
    this.#now = now;
    this.pageRows = pageRows;
  }

  put(table: ExportedTable, partitionKey: string, rowKey: string, columns: TableRow['columns']): void {
    this.remove(table, partitionKey, rowKey);
    const row = { partitionKey, rowKey, changedAt: this.#now().toISOString(), columns };
    this.#rows[table].push(row);
    this.#rows[table].sort((a, b) => compare(a.partitionKey, b.partitionKey) || compare(a.rowKey, b.rowKey));
  }

  remove(table: ExportedTable, partitionKey: string, rowKey: string): void {
    const rows = this.#rows[table];
    const at = rows.findIndex((row) => row.partitionKey === partitionKey && row.rowKey === rowKey);
    if (at >= 0) rows.splice(at, 1);
  }

  all(table: ExportedTable): readonly TableRow[] {
    return structuredClone(this.#rows[table]);
  }

  async *pages(table: ExportedTable, filter?: RawRowFilter): AsyncIterable<readonly TableRow[]> {
    let last: TableRow | undefined;
    while (true) {
      const rest = this.all(table).filter((row) => {
        const order =
          last === undefined
            ? 1
            : compare(row.partitionKey, last.partitionKey) || compare(row.rowKey, last.rowKey);
        if (order <= 0) return false;
        if (filter === undefined) return true;
        return row.rowKey.startsWith(filter.rowKeyPrefix) && new Date(row.changedAt) >= filter.changedFrom;
      });
      const page = rest.slice(0, this.pageRows);
      yield page;
      await this.afterRead(table, page.map(({ rowKey }) => rowKey).join(' '));
      last = page.at(-1);
      if (last === undefined) return;
    }
  }

  async find(table: ExportedTable, partitionKey: string, rowKey: string): Promise<TableRow | undefined> {
    const found = this.all(table).find((row) => row.partitionKey === partitionKey && row.rowKey === rowKey);
    await this.afterRead(table, `find ${rowKey}`);
    return found;
  }

  findProblem(_table: ExportedTable, { columns }: TableRow): string | null {
    return columns['spoilt'] === true ? 'it is spoilt' : null;
  }

  async isEmpty(table: ExportedTable): Promise<boolean> {
    return this.#rows[table].length === 0;
  }

  async insert(table: ExportedTable, rows: readonly TableRow[]): Promise<number> {
    const [first] = rows;
    if (rows.length > 100 || rows.some(({ partitionKey }) => partitionKey !== first?.partitionKey))
      throw new RangeError('no transaction takes that');
    let present = 0;
    for (const { partitionKey, rowKey, columns } of rows) {
      const isThere = this.#rows[table].some(
        (row) => row.partitionKey === partitionKey && row.rowKey === rowKey,
      );
      if (isThere) present += 1;
      else this.put(table, partitionKey, rowKey, columns);
    }
    return present;
  }
}

export class FakeExportStore implements ExportStore {
  readonly files = new Map<string, Buffer>();
  current: TableExport | undefined;
  /** Runs before an export is noted. */
  beforeRecord: () => void | Promise<void> = () => undefined;
  /** Runs when one was noted. */
  afterRecord: () => void | Promise<void> = () => undefined;
  /** What becomes of a file on its way back. */
  onRead: (name: string, bytes: Buffer) => Buffer = (_, bytes) => bytes;

  open(folder: string, file: string) {
    const name = `${folder}/${file}`;
    const pieces: Uint8Array[] = [];
    return {
      append: async (bytes: Uint8Array) => {
        pieces.push(Uint8Array.from(bytes));
      },
      close: async () => {
        if (this.files.has(name))
          throw new CmkError('WriteConflict', `${name} is there`, { remedy: 'None.' });
        this.files.set(name, Buffer.concat(pieces));
      },
    };
  }

  /** In pieces that end in the middle of lines, and of characters. */
  async *read(folder: string, file: string): AsyncIterable<Uint8Array> {
    const name = `${folder}/${file}`;
    const bytes = this.onRead(name, this.files.get(name) ?? Buffer.alloc(0));
    for (let at = 0; at < bytes.length; at += 101) yield bytes.subarray(at, at + 101);
  }

  async newest(): Promise<TableExport | undefined> {
    return this.current;
  }

  async record(manifest: TableExport): Promise<void> {
    await this.beforeRecord();
    this.current = manifest;
    await this.afterRecord();
  }

  text(folder: string, file: string): string {
    return String(this.files.get(`${folder}/${file}`) ?? '');
  }

  folders(): readonly string[] {
    return [...new Set([...this.files.keys()].map((name) => name.split('/')[0] ?? ''))];
  }
}
