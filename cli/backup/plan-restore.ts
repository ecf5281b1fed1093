// What a restore of an export would write, and what it would leave out.
import { type LeftOutReason, makeRestorePlan } from '../../shared/domain/restore-plan.ts';
import { EXPORTED_TABLES, type ExportedTable, toExportedServer } from '../../shared/domain/table-export.ts';
import { cliError } from '../cli-error.ts';
import { type ExportFolder, readTable } from './check-export.ts';

export interface LeftOut {
  readonly partitionKey: string;
  readonly rowKey: string;
  readonly reason: LeftOutReason;
}

export interface RestoreOutline {
  readonly rows: Readonly<Record<ExportedTable, number>>;
  /** How many, by `kekKey`. */
  readonly servers: Readonly<Record<string, number>>;
  readonly leftOut: readonly LeftOut[];
  /** The id of each server's DEK. */
  readonly deks: ReadonlyMap<string, string>;
}

/** @throws CliError FileUnusable where a file isn't what was written */
export async function planRestore(opened: ExportFolder): Promise<RestoreOutline> {
  const { rows: lines, late } = opened.manifest.tables.servers;
  const restore = makeRestorePlan(lines - late + 1);
  for (const table of ['serverindex', 'servers', 'keks', 'audit'] as const) {
    const { file, problem } = await readTable(opened, table, (row, line) => restore.see(table, row, line));
    if (problem !== null)
      throw cliError(
        'FileUnusable',
        `${file}: ${problem}`,
        'Do not restore it: take another export, or download it anew.',
      );
  }
  const rows: Record<ExportedTable, number> = { servers: 0, serverindex: 0, keks: 0, audit: 0 };
  const servers: Record<string, number> = {};
  const leftOut: LeftOut[] = [];
  const deks = new Map<string, string>();
  for (const table of EXPORTED_TABLES) {
    await readTable(opened, table, (row, line) => {
      const reason = restore.decide(table, row, line);
      const { partitionKey, rowKey } = row;
      if (reason !== null) {
        leftOut.push({ partitionKey, rowKey, reason });
        return;
      }
      rows[table] += 1;
      const server = table === 'servers' ? toExportedServer(row) : undefined;
      if (server === undefined) return;
      servers[partitionKey] = (servers[partitionKey] ?? 0) + 1;
      // On both sides of a move the DEK is the same.
      deks.set(server.serverId, String(row.columns['dekId']));
    });
  }
  return { rows, servers, leftOut, deks };
}
