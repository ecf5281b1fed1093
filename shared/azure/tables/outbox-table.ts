// The outbox: rows in `keks` and in `servers`, beside the effects that they were committed with (design 10).
import { odata } from '@azure/data-tables';
import { type CmkError, isCmkError } from '../../domain/errors.ts';
import type { ChainName, OutboxRow, OutboxStore } from '../../ports/outbox-store.ts';
import { type ConditionalTable, prefixFilter } from './conditional-table.ts';
import {
  makeOutboxFormat,
  type makeOutboxWriter,
  OUTBOX_PREFIX,
  type OutboxContent,
  type OutboxHome,
} from './outbox-rows.ts';
import type { RowFormat } from './row-format.ts';
import { toRowWrite, toStored } from './stored-rows.ts';

interface Home {
  readonly table: ConditionalTable;
  readonly format: RowFormat<OutboxContent>;
}

export function makeOutboxTable(
  tables: Readonly<Record<OutboxHome, ConditionalTable>>,
  toOutboxWrite: ReturnType<typeof makeOutboxWriter>,
  onInvalid: (error: CmkError) => void,
): OutboxStore {
  const homes: Readonly<Record<OutboxHome, Home>> = {
    k: { table: tables.k, format: makeOutboxFormat('keks') },
    s: { table: tables.s, format: makeOutboxFormat('servers') },
  };
  const homeOf = (row: OutboxRow): Home => homes[row.id.endsWith('-k') ? 'k' : 's'];
  const keysOf = (chain: ChainName, row: OutboxRow) => ({
    partitionKey: chain,
    rowKey: `${OUTBOX_PREFIX}${row.id}`,
  });

  return {
    put: async (chain, entry) => {
      await tables.k.commit(chain, [toOutboxWrite(entry)]);
    },

    pageOutbox: async (chain, audited, limit) => {
      const read = async (home: Home) => readOldest(home, chain, audited, limit, onInvalid);
      const rows = (await Promise.all([read(homes.k), read(homes.s)])).flat();
      return rows.toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit);
    },

    markAudited: async (chain, row) => {
      const { table, format } = homeOf(row);
      const { id: _, etag, ...content } = row;
      const { partitionKey, rowKey } = keysOf(chain, row);
      const value = { ...content, audited: true };
      try {
        const [written = etag] = await table.commit(partitionKey, [
          toRowWrite(rowKey, { value, etag }, format),
        ]);
        return { ...row, audited: true, etag: written };
      } catch (error) {
        if (!isCmkError(error, 'WriteConflict')) throw error;
        // Only a row that is still there was changed by another writer.
        if ((await table.find({ partitionKey, rowKey })) !== undefined) throw error;
        return { ...row, audited: true };
      }
    },

    remove: (chain, row) => homeOf(row).table.remove(keysOf(chain, row), row.etag),
  };
}

/** A row that doesn't parse is reported and passed over: it delays no other. */
async function readOldest(
  { table, format }: Home,
  chain: ChainName,
  audited: boolean | null,
  limit: number,
  onInvalid: (error: CmkError) => void,
): Promise<readonly OutboxRow[]> {
  const rows: OutboxRow[] = [];
  const all = prefixFilter(chain, OUTBOX_PREFIX);
  const filter = audited === null ? all : `${all} and ${odata`audited eq ${audited}`}`;
  for await (const { entities } of table.pages({ filter, pageSize: limit })) {
    for (const entity of entities) {
      try {
        const { value, etag } = toStored(entity, format);
        rows.push({ id: entity.rowKey.slice(OUTBOX_PREFIX.length), etag, ...value });
      } catch (error) {
        if (!isCmkError(error, 'InvalidRow')) throw error;
        onInvalid(error);
      }
    }
    if (rows.length >= limit) break;
  }
  return rows;
}
