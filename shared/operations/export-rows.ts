// The pass over the tables that an export is made in. Nothing stands still meanwhile: docs/decisions/0017-backup.md
// says why the order is this one.

import { CmkError } from '../domain/errors.ts';
import type { ExportedFile } from '../domain/export-manifest.ts';
import { type ExportedTable, exportFile, makeHeadSettler, type TableRow } from '../domain/table-export.ts';
import type { ExportStore, RawTables } from '../ports/export-store.ts';
import { mapBounded } from './bounded.ts';
import { openRowFile, type RowFile } from './export-files.ts';

export interface WrittenTable extends ExportedFile {
  readonly rows: number;
  readonly late: number;
}

export interface ExportRowsDeps {
  readonly tables: RawTables;
  readonly exports: ExportStore;
}

/** More than clocks of ours and of Table Storage may differ. */
const SKEW_MS = 15 * 60_000;
const READS_AT_A_TIME = 16;
const INDEX_ROW = 'server';
/** A server that is moved again and again while it is looked for. */
const LOOKS = 10;

/**
 * Writes every table once. What was written to `servers` since the pass began, and might have slipped through it, is
 * written again at the end of its file: history rows, and the row of every server whose entry in the index changed.
 * @param since when the export began
 * @throws CmkError StoreUnavailable, WriteConflict
 */
export async function writeTables(
  deps: ExportRowsDeps,
  folder: string,
  since: Date,
): Promise<Readonly<Record<ExportedTable, WrittenTable>>> {
  const { tables, exports } = deps;
  const open = (table: ExportedTable) => openRowFile(exports, folder, exportFile(table));

  const servers = open('servers');
  for await (const rows of tables.pages('servers')) await servers.add(rows);
  const before = servers.rows();
  const changedFrom = new Date(since.getTime() - SKEW_MS);
  for await (const rows of tables.pages('servers', { changedFrom, rowKeyPrefix: 'h:' }))
    await servers.add(rows);
  const index = open('serverindex');
  for await (const rows of tables.pages('serverindex'))
    await addIndex(deps, rows, changedFrom, index, servers);

  const keks = open('keks');
  for await (const rows of tables.pages('keks')) await keks.add(rows);
  // After both outboxes: a record that is on its way is in one of the two places, or in both.
  const audit = open('audit');
  const settle = makeHeadSettler();
  for await (const rows of tables.pages('audit')) await audit.add(rows.map(settle));

  const close = async (file: RowFile, late = 0) => ({ rows: file.rows(), late, ...(await file.close()) });
  return {
    servers: await close(servers, servers.rows() - before),
    serverindex: await close(index),
    keks: await close(keks),
    audit: await close(audit),
  };
}

/** An entry that was written lately: its server may have come or moved behind the pass over `servers`. */
async function addIndex(
  deps: ExportRowsDeps,
  rows: readonly TableRow[],
  changedFrom: Date,
  index: RowFile,
  servers: RowFile,
): Promise<void> {
  const settled = await mapBounded(rows, READS_AT_A_TIME, async (entry) =>
    new Date(entry.changedAt) < changedFrom ? { entry, row: undefined } : settle(deps, entry),
  );
  await servers.add(settled.flatMap(({ row }) => row ?? []));
  await index.add(settled.flatMap(({ entry }) => entry ?? []));
}

interface Settled {
  /** undefined: the id was freed. */
  readonly entry: TableRow | undefined;
  /** undefined: the server is being registered, and has none yet. */
  readonly row: TableRow | undefined;
}

/** An entry of the index, and the row that it points to. */
async function settle({ tables }: ExportRowsDeps, first: TableRow): Promise<Settled> {
  let entry = first;
  for (let look = 1; look <= LOOKS; look += 1) {
    const { partitionKey: serverId, columns } = entry;
    const row = await tables.find('servers', String(columns['kek']), `s:${serverId}`);
    if (row !== undefined) return { entry, row };
    const fresh = await tables.find('serverindex', serverId, INDEX_ROW);
    if (fresh === undefined) return { entry: undefined, row: undefined };
    if (fresh.changedAt === entry.changedAt) return { entry, row: undefined };
    entry = fresh;
  }
  throw new CmkError('WriteConflict', `the row of ${first.partitionKey} was not found where the index says`, {
    remedy: 'Nothing: the server was moved meanwhile, and the next export finds it.',
    retryable: true,
  });
}
