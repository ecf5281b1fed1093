// The table `audit`: one chain of records a partition, with a head row that says where it ends (design 10).
import { odata } from '@azure/data-tables';
import { CHAIN_START, type ChainedRecord } from '../../domain/audit.ts';
import { CmkError } from '../../domain/errors.ts';
import type { AuditStore, ChainName } from '../../ports/outbox-store.ts';
import type { Stored } from '../../ports/stored.ts';
import type { ConditionalTable } from './conditional-table.ts';
import { auditRowKey, type ChainHead, HEAD_ROW, headFormat, recordFormat } from './outbox-rows.ts';
import { invalidRow } from './row-format.ts';
import { toRowWrite, toStored } from './stored-rows.ts';

const EMPTY: ChainHead = { sequence: 0, hash: CHAIN_START };

export function makeAuditTable(table: ConditionalTable): AuditStore {
  const readHead = async (chain: ChainName): Promise<Stored<ChainHead> | null> => {
    const entity = await table.find({ partitionKey: chain, rowKey: HEAD_ROW });
    return entity === undefined ? null : toStored(entity, headFormat);
  };

  async function* readRange(chain: ChainName, first: number, last: number): AsyncIterable<ChainedRecord> {
    const filter = odata`PartitionKey eq ${chain} and RowKey ge ${auditRowKey(first)} and RowKey le ${auditRowKey(last)}`;
    for await (const { entities } of table.pages({ filter })) yield* entities.map(recordFormat.fromEntity);
  }

  return {
    tail: async (chain, limit) => {
      const head = await readHead(chain);
      if (head === null) return [];
      const { sequence, hash } = head.value;
      const records: ChainedRecord[] = [];
      const first = Math.max(1, sequence - limit + 1);
      for await (const record of readRange(chain, first, sequence)) records.push(record);
      if (records.at(-1)?.hash !== hash) {
        const problem = `the chain's last record is not the one of sequence ${sequence} that the head names`;
        throw invalidRow('audit', { partitionKey: chain, rowKey: HEAD_ROW }, { column: 'hash', problem });
      }
      return records;
    },

    append: async (chain, records) => {
      const [first, last] = [records[0], records.at(-1)];
      if (first === undefined || last === undefined) return;
      const head = await readHead(chain);
      const { sequence, hash } = head?.value ?? EMPTY;
      if (first.sequence !== sequence + 1 || first.previousHash !== hash)
        throw overtaken(chain, first.sequence);
      // The head goes with the records under its own ETag, so two writers can't both go on from it.
      const value = { sequence: last.sequence, hash: last.hash };
      await table.commit(chain, [
        toRowWrite(HEAD_ROW, { value, etag: head?.etag ?? null }, headFormat),
        ...records.map((record) =>
          toRowWrite(auditRowKey(record.sequence), { value: record, etag: null }, recordFormat),
        ),
      ]);
    },

    readChain: (chain, after = 0) => readRange(chain, after + 1, Number.MAX_SAFE_INTEGER),
  };
}

const overtaken = (chain: ChainName, sequence: number) =>
  new CmkError('WriteConflict', `record ${sequence} doesn't follow the end of the chain ${chain}`, {
    remedy: 'Nothing: another writer was there, and the app reads and decides again.',
  });
