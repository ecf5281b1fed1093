// Which kind of row a row is, from its table and its key.
import type { ExportedTable } from '../../domain/table-export.ts';
import {
  BREAKER_KEYS,
  breakerFormat,
  KEK_ROW,
  kekFormat,
  VERSION_PREFIX,
  versionFormat,
} from './kek-rows.ts';
import { HEAD_ROW, headFormat, makeOutboxFormat, OUTBOX_PREFIX, recordFormat } from './outbox-rows.ts';
import { invalidRow, type RowFormat } from './row-format.ts';
import { HISTORY_PREFIX, historyFormat, indexFormat, SERVER_PREFIX, serverFormat } from './server-rows.ts';

const outboxOf = { keks: makeOutboxFormat('keks'), servers: makeOutboxFormat('servers') };

/** For rows of a kind that this version of the app doesn't know. */
const unknownFormat = (table: ExportedTable): RowFormat<unknown> => ({
  columns: new Set(),
  fromEntity: (keys) => {
    throw invalidRow(table, keys, { column: 'RowKey', problem: 'no kind of row that this version knows' });
  },
  toColumns: () => ({}),
});

export function formatOf(table: ExportedTable, rowKey: string): Pick<RowFormat<unknown>, 'fromEntity'> {
  switch (table) {
    case 'servers':
      if (rowKey.startsWith(SERVER_PREFIX)) return serverFormat;
      if (rowKey.startsWith(HISTORY_PREFIX)) return historyFormat;
      return rowKey.startsWith(OUTBOX_PREFIX) ? outboxOf.servers : unknownFormat(table);
    case 'serverindex':
      return indexFormat;
    case 'keks':
      if (rowKey === KEK_ROW) return kekFormat;
      if (rowKey === BREAKER_KEYS.rowKey) return breakerFormat;
      if (rowKey.startsWith(VERSION_PREFIX)) return versionFormat;
      return rowKey.startsWith(OUTBOX_PREFIX) ? outboxOf.keks : unknownFormat(table);
    case 'audit':
      return rowKey === HEAD_ROW ? headFormat : recordFormat;
  }
}
