// Which rows of an export are restored. An export is taken while the fleet goes on, so a few rows stand in it twice, or
// on both sides of a move: what was true last is restored, and what is left out is named.
import { type ExportedTable, type TableRow, toExportedHistory, toExportedServer } from './table-export.ts';

/**
 * `replaced`: a later line of the same row counts. `moved`: the server answers from another KEK. `purged`: its id was
 * freed while the export was taken. `ahead`: a wrapping that was replaced only after the row of its server was exported.
 */
export type LeftOutReason = 'replaced' | 'moved' | 'purged' | 'ahead';

export interface RestorePlan {
  /** First every row of `serverindex` and then of `servers`, each with the number of its line, from 1. */
  see(table: ExportedTable, row: TableRow, line: number): void;
  /** Then, for every row of every table: why it is left out; null: it is restored. */
  decide(table: ExportedTable, row: TableRow, line: number): LeftOutReason | null;
}

interface SeenServer {
  readonly line: number;
  readonly incoming: boolean;
  readonly sequence: number;
}

/**
 * Its memory grows with the servers, by a hundred bytes each.
 * @param lateFrom the number of the first line of `servers` that was written after the pass over the table
 */
export function makeRestorePlan(lateFrom: number): RestorePlan {
  const owners = new Map<string, string>();
  const servers = new Map<string, SeenServer>();
  const lateHistory = new Map<string, number>();
  const keyOf = (partitionKey: string, rowKey: string): string => `${partitionKey}/${rowKey}`;

  const decideServer = (kek: string, serverId: string, line: number): LeftOutReason | null => {
    const rowKey = `s:${serverId}`;
    if (servers.get(keyOf(kek, rowKey))?.line !== line) return 'replaced';
    const owner = owners.get(serverId);
    if (owner === undefined) return 'purged';
    if (owner === kek) return null;
    const pointedTo = servers.get(keyOf(owner, rowKey));
    // The other side of a move that is under way: the app finishes it. And no row goes for one that isn't there.
    return pointedTo === undefined || pointedTo.incoming ? null : 'moved';
  };

  const decideHistory = (
    { partitionKey, rowKey }: TableRow,
    { serverId, sequence }: { readonly serverId: string; readonly sequence: number },
    line: number,
  ): LeftOutReason | null => {
    if ((lateHistory.get(keyOf(partitionKey, rowKey)) ?? line) !== line) return 'replaced';
    const server = servers.get(keyOf(partitionKey, `s:${serverId}`));
    if (server === undefined || sequence < server.sequence) return null;
    // The next rewrap would find its place in the history taken.
    return decideServer(partitionKey, serverId, server.line) === null ? 'ahead' : null;
  };

  return {
    see: (table, row, line) => {
      if (table === 'serverindex') owners.set(row.partitionKey, String(row.columns['kek']));
      if (table !== 'servers') return;
      const server = toExportedServer(row);
      if (server !== undefined) {
        const { incoming, sequence } = server;
        servers.set(keyOf(row.partitionKey, row.rowKey), { line, incoming, sequence });
      } else if (line >= lateFrom) lateHistory.set(keyOf(row.partitionKey, row.rowKey), line);
    },

    decide: (table, row, line) => {
      if (table !== 'servers') return null;
      const server = toExportedServer(row);
      if (server !== undefined) return decideServer(server.kek, server.serverId, line);
      const history = toExportedHistory(row);
      return history === undefined ? null : decideHistory(row, history, line);
    },
  };
}
