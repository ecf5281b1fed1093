// The table `servers`: the server rows and the history of their wrappings (design 10).
import { odata } from '@azure/data-tables';
import { isCmkError } from '../../domain/errors.ts';
import { isSameKek, type KekId, kekKey } from '../../domain/key-id.ts';
import type { ServerRow } from '../../domain/server.ts';
import type { HeldRow, HistoryRow, PageQuery, ServerStore } from '../../ports/server-store.ts';
import type { Stored } from '../../ports/stored.ts';
import { type ConditionalTable, prefixFilter } from './conditional-table.ts';
import type { makeOutboxWriter } from './outbox-rows.ts';
import type { Entity } from './row-format.ts';
import {
  HISTORY_PREFIX,
  historyFormat,
  historyRowKey,
  SERVER_PREFIX,
  serverFormat,
  serverRowKey,
} from './server-rows.ts';
import { toRowWrite, toStored } from './stored-rows.ts';

export function makeServerTable(
  table: ConditionalTable,
  toOutboxWrite: ReturnType<typeof makeOutboxWriter>,
): ServerStore {
  return {
    read: async (kek, serverId) => {
      const entity = await table.find({ partitionKey: kekKey(kek), rowKey: serverRowKey(serverId) });
      return entity === undefined ? undefined : toStored(entity, serverFormat);
    },

    page: async (kek, query) => {
      const entities: Entity[] = [];
      let isLast = true;
      const filter = toPageFilter(kek, query);
      for await (const page of table.pages({ filter, pageSize: query.limit })) {
        entities.push(...page.entities);
        isLast = page.isLast && entities.length <= query.limit;
        if (entities.length >= query.limit) break;
      }
      const shown = entities.slice(0, query.limit);
      const { rows, held } = toRows(shown);
      const last = shown.at(-1)?.rowKey.slice(SERVER_PREFIX.length);
      return { rows, held, next: isLast ? null : (last ?? null) };
    },

    commit: async (kek, writes, outbox) => {
      const stranger = writes.find(({ value }) => !isSameKek(value.kek, kek));
      if (stranger !== undefined) throw new Error(`${stranger.value.serverId} is under another KEK`);
      const rows = writes.flatMap((write) => [
        toRowWrite(serverRowKey(write.value.serverId), write, serverFormat),
        // Inserted: a history row that is there already means that this wrapping was filed by another writer.
        ...(write.history === null ? [] : [toHistoryWrite(write.history)]),
      ]);
      await table.commit(kekKey(kek), [...rows, ...(outbox === null ? [] : [toOutboxWrite(outbox)])]);
    },

    history: async (kek, serverId) => {
      const rows: HistoryRow[] = [];
      const filter = prefixFilter(kekKey(kek), `${HISTORY_PREFIX}${serverId}:`);
      for await (const { entities } of table.pages({ filter }))
        rows.push(...entities.map(historyFormat.fromEntity));
      return rows.toSorted((a, b) => a.sequence - b.sequence);
    },

    remove: (kek, serverId, etag) =>
      table.remove({ partitionKey: kekKey(kek), rowKey: serverRowKey(serverId) }, etag),

    pageHistory: async (kek, version, { after, limit }) => {
      const rows: Stored<HistoryRow>[] = [];
      const bound = after === null ? '' : odata` and RowKey gt ${after}`;
      const filter = `${prefixFilter(kekKey(kek), HISTORY_PREFIX)}${bound}`;
      for await (const { entities, isLast } of table.pages({ filter, pageSize: limit })) {
        for (const entity of entities) {
          const stored = toStored(entity, historyFormat);
          if (stored.value.wrapped.kekVersion === version) rows.push(stored);
        }
        const last = entities.at(-1)?.rowKey;
        // Pages may be empty: then there is nothing yet to go on from.
        if (last !== undefined) return { rows, next: isLast ? null : last };
      }
      return { rows, next: null };
    },

    removeHistory: (kek, { value, etag }) =>
      table.remove({ partitionKey: kekKey(kek), rowKey: historyRowKey(value) }, etag),

    removeHistoryOf: async (kek, serverId) => {
      const partitionKey = kekKey(kek);
      const filter = prefixFilter(partitionKey, `${HISTORY_PREFIX}${serverId}:`);
      for await (const { entities } of table.pages({ filter }))
        for (const { rowKey, etag } of entities) await table.remove({ partitionKey, rowKey }, etag);
    },

    hasServersOff: async (kek, target, upTo) => {
      const follows = odata`kekVersion ne ${target} and pinned eq ${false} and incoming eq ${false} and moving eq ${'null'}`;
      const bound = upTo === undefined ? '' : odata` and RowKey le ${serverRowKey(upTo)}`;
      const filter = `${prefixFilter(kekKey(kek), SERVER_PREFIX)} and ${follows}${bound}`;
      for await (const { entities } of table.pages({ filter, select: ['rowKey'], pageSize: 1 })) {
        if (entities.length > 0) return true;
      }
      return false;
    },
  };
}

const toHistoryWrite = (value: HistoryRow) =>
  toRowWrite(historyRowKey(value), { value, etag: null }, historyFormat);

function toPageFilter(kek: KekId, { after, from, to }: PageQuery): string {
  const bounds = [
    after === null ? null : odata`RowKey gt ${serverRowKey(after)}`,
    from === null ? null : odata`RowKey ge ${serverRowKey(from)}`,
    to === null ? null : odata`RowKey le ${serverRowKey(to)}`,
  ];
  return [prefixFilter(kekKey(kek), SERVER_PREFIX), ...bounds.filter((bound) => bound !== null)].join(
    ' and ',
  );
}

function toRows(entities: readonly Entity[]) {
  const rows: Stored<ServerRow>[] = [];
  const held: HeldRow[] = [];
  for (const entity of entities) {
    try {
      rows.push(toStored(entity, serverFormat));
    } catch (error) {
      if (!isCmkError(error, 'InvalidRow')) throw error;
      held.push({ rowKey: entity.rowKey, problem: error.message });
    }
  }
  return { rows, held };
}
