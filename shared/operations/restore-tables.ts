// Restores the tables from an export, into an account in which they are empty.
import { CmkError } from '../domain/errors.ts';
import { linesOf, makeDigest } from '../domain/export-lines.ts';
import type { ExportManifest } from '../domain/export-manifest.ts';
import { type LeftOutReason, makeRestorePlan, type RestorePlan } from '../domain/restore-plan.ts';
import {
  EXPORTED_TABLES,
  type ExportedTable,
  exportBroken,
  parseExportLine,
  type TableRow,
  toExportLine,
} from '../domain/table-export.ts';
import type { ExportSource, RawTableWriter } from '../ports/export-store.ts';

export interface RestoreTablesDeps {
  readonly source: ExportSource;
  readonly tables: RawTableWriter;
}

export interface RestoreCommand {
  readonly manifest: ExportManifest;
  /** Also where rows are there already: they stay as they are. For a restore that was cut short. */
  readonly intoNonEmpty: boolean;
}

export interface RestoreReport {
  /** Rows by table. */
  readonly inserted: Readonly<Record<ExportedTable, number>>;
  /** Rows that were there already and were left as they are. */
  readonly present: Readonly<Record<ExportedTable, number>>;
  readonly leftOut: readonly {
    readonly partitionKey: string;
    readonly rowKey: string;
    readonly reason: LeftOutReason;
  }[];
}

/**
 * Every file is read and checked before the first row is written. The app must not run meanwhile.
 * @throws CmkError ExportBroken, RestoreRefused, StoreUnavailable
 */
export type RestoreTables = (command: RestoreCommand) => Promise<RestoreReport>;

/** The app acts on the KEKs that it knows, so they come last. */
const ORDER = ['audit', 'serverindex', 'servers', 'keks'] as const satisfies readonly ExportedTable[];
/** Table Storage takes so many rows in one transaction, and 4 MiB. */
const BATCH_ROWS = 100;
const BATCH_CHARACTERS = 1_000_000;

export function makeRestoreTables(deps: RestoreTablesDeps): RestoreTables {
  return async ({ manifest, intoNonEmpty }) => {
    const plan = await check(deps.source, manifest);
    if (!intoNonEmpty) await assertEmpty(deps.tables);
    const none = { servers: 0, serverindex: 0, keks: 0, audit: 0 };
    const inserted: Record<ExportedTable, number> = { ...none };
    const present: Record<ExportedTable, number> = { ...none };
    const leftOut: RestoreReport['leftOut'][number][] = [];
    for (const table of ORDER) {
      const chosen = chooseRows(deps.source, manifest, table, plan, ({ partitionKey, rowKey }, reason) =>
        leftOut.push({ partitionKey, rowKey, reason }),
      );
      for await (const rows of batchesOf(chosen)) {
        const there = await deps.tables.insert(table, rows);
        inserted[table] += rows.length - there;
        present[table] += there;
      }
    }
    return { inserted, present, leftOut };
  };
}

/** Reads all of it once: hashes, numbers and lines. */
async function check(source: ExportSource, manifest: ExportManifest): Promise<RestorePlan> {
  const { rows, late } = manifest.tables.servers;
  const plan = makeRestorePlan(rows - late + 1);
  for (const table of EXPORTED_TABLES.toSorted(indexFirst)) {
    for await (const { row, line } of rowsOf(source, manifest, table)) plan.see(table, row, line);
  }
  return plan;
}

const indexFirst = (a: ExportedTable, b: ExportedTable): number =>
  Number(b === 'serverindex') - Number(a === 'serverindex');

/** @throws CmkError ExportBroken where the file isn't the one that the manifest names */
async function* rowsOf(
  source: ExportSource,
  { tables }: ExportManifest,
  table: ExportedTable,
): AsyncIterable<{ readonly row: TableRow; readonly line: number }> {
  const { file, sha256, rows } = tables[table];
  const digest = makeDigest();
  let line = 0;
  for await (const text of linesOf(source.read(file), digest)) {
    line += 1;
    yield { row: parseExportLine(text), line };
  }
  if (digest.end().sha256 !== sha256 || line !== rows)
    throw exportBroken(`${file} is not the file that the manifest names`);
}

async function* chooseRows(
  source: ExportSource,
  manifest: ExportManifest,
  table: ExportedTable,
  plan: RestorePlan,
  leaveOut: (row: TableRow, reason: LeftOutReason) => void,
): AsyncIterable<TableRow> {
  for await (const { row, line } of rowsOf(source, manifest, table)) {
    const reason = plan.decide(table, row, line);
    if (reason === null) yield row;
    else leaveOut(row, reason);
  }
}

/** Rows that follow each other in one partition. */
async function* batchesOf(rows: AsyncIterable<TableRow>): AsyncIterable<readonly TableRow[]> {
  let batch: TableRow[] = [];
  let characters = 0;
  for await (const row of rows) {
    const length = toExportLine(row).length;
    const isFull = batch.length === BATCH_ROWS || characters + length > BATCH_CHARACTERS;
    if (batch[0] !== undefined && (isFull || batch[0].partitionKey !== row.partitionKey)) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(row);
    characters += length;
  }
  if (batch.length > 0) yield batch;
}

async function assertEmpty(tables: RawTableWriter): Promise<void> {
  const filled: ExportedTable[] = [];
  for (const table of EXPORTED_TABLES) if (!(await tables.isEmpty(table))) filled.push(table);
  if (filled.length === 0) return;
  throw new CmkError('RestoreRefused', `there are rows in ${filled.join(', ')}`, {
    remedy:
      'Restore into an account of its own. Only to go on with a restore that was cut short: --into-nonempty; rows that are there stay as they are.',
    detail: { tables: filled },
  });
}
