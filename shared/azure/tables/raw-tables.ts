// The tables as they are, for exports and restores: rows of any kind, with every column and its type.
import { odata, type TableClient, type TransactionAction } from '@azure/data-tables';
import * as z from 'zod';
import { isCmkError } from '../../domain/errors.ts';
import {
  type Column,
  EXPORTED_TABLES,
  type ExportedTable,
  type TableRow,
} from '../../domain/table-export.ts';
import type { RawTables, RawTableWriter } from '../../ports/export-store.ts';
import { after } from './conditional-table.ts';
import { formatOf } from './row-kinds.ts';
import type { StorageConnection } from './storage-connection.ts';
import { asStore, isRowMissing, readFailure, toStoreError } from './table-errors.ts';
import { makeTableClient } from './table-stores.ts';

const ROWS_A_PAGE = 1000;

/**
 * What the SDK gives of an entity where it converts nothing. It can't tell a whole number of type Double from an Int32
 * where the service names no type; the app has no column of that type.
 */
const typed = z.discriminatedUnion('type', [
  z.object({ type: z.literal('String'), value: z.string() }),
  z.object({ type: z.literal('Boolean'), value: z.union([z.boolean(), z.stringbool()]) }),
  z.object({ type: z.literal('Int32'), value: z.coerce.number().pipe(z.int()) }),
  z.object({ type: z.literal('Double'), value: z.union([z.number(), z.string()]) }),
  z.object({ type: z.enum(['Int64', 'Guid', 'DateTime', 'Binary']), value: z.string() }),
]);

const stamp = z.union([z.string(), z.object({ value: z.string() }).transform(({ value }) => value)]);
const entity = z.looseObject({ partitionKey: z.string(), rowKey: z.string(), timestamp: stamp });

/** What the service and the SDK add to the columns. */
const isAdded = (name: string): boolean => name === 'etag' || name.startsWith('odata.');

function toRow(given: unknown): TableRow {
  const { partitionKey, rowKey, timestamp, ...columns } = entity.parse(given);
  return {
    partitionKey,
    rowKey,
    changedAt: timestamp,
    columns: Object.fromEntries(
      Object.entries(columns)
        .filter(([name]) => !isAdded(name))
        .map(([name, value]) => [name, toColumn(value)]),
    ),
  };
}

function toColumn(given: unknown): Column {
  const column = typed.parse(given);
  switch (column.type) {
    case 'String':
    case 'Boolean':
    case 'Int32':
      return column.value;
    default:
      return column;
  }
}

const fromColumn = (column: Column): unknown =>
  typeof column === 'number' ? { type: 'Int32', value: column } : column;

const open = (connection: StorageConnection): Readonly<Record<ExportedTable, TableClient>> => ({
  servers: makeTableClient({ connection }, 'servers'),
  serverindex: makeTableClient({ connection }, 'serverindex'),
  keks: makeTableClient({ connection }, 'keks'),
  audit: makeTableClient({ connection }, 'audit'),
});

export function makeRawTables(connection: StorageConnection): RawTables {
  const clients = open(connection);
  return {
    async *pages(table, filter) {
      const prefix = filter?.rowKeyPrefix ?? '';
      const queryOptions =
        filter === undefined
          ? {}
          : {
              filter: odata`RowKey ge ${prefix} and RowKey lt ${after(prefix)} and Timestamp ge ${filter.changedFrom}`,
            };
      const pages = clients[table]
        .listEntities({ queryOptions, disableTypeConversion: true })
        .byPage({ maxPageSize: ROWS_A_PAGE });
      while (true) {
        const next = await asStore(`exporting ${table}`, () => pages.next());
        if (next.done === true) return;
        yield next.value.map(toRow);
      }
    },

    find: async (table, partitionKey, rowKey) => {
      try {
        return toRow(await clients[table].getEntity(partitionKey, rowKey, { disableTypeConversion: true }));
      } catch (thrown) {
        if (isRowMissing(thrown)) return undefined;
        throw toStoreError(thrown, `exporting ${rowKey} of ${partitionKey} in ${table}`);
      }
    },

    findProblem: (table, { partitionKey, rowKey, columns }) => {
      try {
        formatOf(table, rowKey).fromEntity({ partitionKey, rowKey, etag: '', properties: columns });
        return null;
      } catch (error) {
        if (!isCmkError(error, 'InvalidRow')) throw error;
        return error.message;
      }
    },
  };
}

export interface RawTableTarget extends RawTableWriter {
  /** Makes the tables that aren't there. @throws CmkError StoreUnavailable */
  ensureTables(): Promise<void>;
}

export function makeRawTableWriter(connection: StorageConnection): RawTableTarget {
  const clients = open(connection);
  return {
    ensureTables: async () => {
      for (const table of EXPORTED_TABLES)
        await asStore(`creating the table ${table}`, () => clients[table].createTable());
    },

    isEmpty: async (table) => {
      const pages = clients[table].listEntities().byPage({ maxPageSize: 1 });
      // A page may be empty, and others follow.
      while (true) {
        const next = await asStore(`looking into ${table}`, () => pages.next());
        if (next.done === true) return true;
        if (next.value.length > 0) return false;
      }
    },

    insert: async (table, rows) => {
      const client = clients[table];
      const actions = rows.map(
        ({ partitionKey, rowKey, columns }): TransactionAction => [
          'create',
          { ...mapColumns(columns), partitionKey, rowKey },
        ],
      );
      try {
        await client.submitTransaction(actions);
        return 0;
      } catch (thrown) {
        if (readFailure(thrown).status !== 409) throw toStoreError(thrown, `restoring rows of ${table}`);
      }
      // Some are there: those of an earlier restore that was cut short, or of one whose answer was lost.
      let present = 0;
      for (const [, row] of actions) if (!(await insertOne(client, row))) present += 1;
      return present;
    },
  };
}

const mapColumns = (columns: TableRow['columns']): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, fromColumn(column)]));

/** Whether it was not there yet. */
async function insertOne(client: TableClient, row: TransactionAction[1]): Promise<boolean> {
  try {
    await client.createEntity(row);
    return true;
  } catch (thrown) {
    if (readFailure(thrown).status === 409) return false;
    throw toStoreError(thrown, `restoring ${row.rowKey} of ${row.partitionKey} in ${client.tableName}`);
  }
}
