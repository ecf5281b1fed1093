// The table `keks`: KEKs, their versions, and the breaker (design 10).
import { odata } from '@azure/data-tables';
import { type CmkError, isCmkError } from '../../domain/errors.ts';
import { kekKey } from '../../domain/key-id.ts';
import type { BreakerStore, KekStore, StoredKek } from '../../ports/kek-store.ts';
import { after, type ConditionalTable } from './conditional-table.ts';
import {
  BREAKER_KEYS,
  breakerFormat,
  KEK_ROW,
  kekFormat,
  VERSION_PREFIX,
  versionFormat,
} from './kek-rows.ts';
import type { makeOutboxWriter } from './outbox-rows.ts';
import { type Entity, invalidRow } from './row-format.ts';
import { toRowWrite, toStored } from './stored-rows.ts';

const KEK_AND_VERSIONS = odata`(RowKey eq ${KEK_ROW} or (RowKey ge ${VERSION_PREFIX} and RowKey lt ${after(VERSION_PREFIX)}))`;

const ofVault = (vault: string): string =>
  odata`PartitionKey ge ${`${vault}|`} and PartitionKey lt ${after(`${vault}|`)}`;

export function makeKekTable(
  table: ConditionalTable,
  toOutboxWrite: ReturnType<typeof makeOutboxWriter>,
  onInvalid: (error: CmkError) => void,
): KekStore & BreakerStore {
  return {
    read: async (kek) => {
      const entities: Entity[] = [];
      const filter = `${odata`PartitionKey eq ${kekKey(kek)}`} and ${KEK_AND_VERSIONS}`;
      for await (const page of table.pages({ filter })) entities.push(...page.entities);
      return entities.length === 0 ? undefined : toStoredKek(entities);
    },

    async *list({ vault, from = null }) {
      const filter = [
        ...(vault === null ? [] : [ofVault(vault)]),
        ...(from === null ? [] : [odata`PartitionKey ge ${kekKey(from)}`]),
        KEK_AND_VERSIONS,
      ].join(' and ');
      for await (const entities of groupPartitions(table.pages({ filter }))) {
        try {
          yield toStoredKek(entities);
        } catch (error) {
          if (!isCmkError(error, 'InvalidRow')) throw error;
          onInvalid(error);
        }
      }
    },

    commit: async (kek, change) => {
      const writes = [
        ...(change.kek === null ? [] : [toRowWrite(KEK_ROW, change.kek, kekFormat)]),
        ...change.versions.map((one) =>
          toRowWrite(`${VERSION_PREFIX}${one.value.version}`, one, versionFormat),
        ),
        ...(change.outbox === null ? [] : [toOutboxWrite(change.outbox)]),
      ];
      await table.commit(kekKey(kek), writes);
    },

    readBreaker: async () => {
      const entity = await table.find(BREAKER_KEYS);
      return entity === undefined ? undefined : toStored(entity, breakerFormat);
    },
    writeBreaker: async (write) => {
      await table.commit(BREAKER_KEYS.partitionKey, [toRowWrite(BREAKER_KEYS.rowKey, write, breakerFormat)]);
    },
  };
}

/** @throws CmkError InvalidRow */
function toStoredKek(entities: readonly Entity[]): StoredKek {
  const kek = entities.find(({ rowKey }) => rowKey === KEK_ROW);
  const versions = entities.filter((entity) => entity !== kek);
  if (kek === undefined) {
    const partitionKey = entities[0]?.partitionKey ?? '';
    throw invalidRow(
      'keks',
      { partitionKey, rowKey: KEK_ROW },
      { column: 'RowKey', problem: 'it is missing, and its versions are there' },
    );
  }
  return {
    kek: toStored(kek, kekFormat),
    versions: versions.map((entity) => toStored(entity, versionFormat)),
  };
}

/** The entities of one partition after the other, of which only one is held at a time. */
async function* groupPartitions(
  pages: AsyncIterable<{ readonly entities: readonly Entity[] }>,
): AsyncIterable<readonly Entity[]> {
  let group: Entity[] = [];
  for await (const { entities } of pages) {
    for (const entity of entities) {
      if (group[0] !== undefined && group[0].partitionKey !== entity.partitionKey) {
        yield group;
        group = [];
      }
      group.push(entity);
    }
  }
  if (group.length > 0) yield group;
}
