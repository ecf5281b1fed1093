import { TableClient } from '@azure/data-tables';
import { describe } from 'vitest';
import { startAzurite } from '../../local/azurite.ts';
import { makeTableStores } from '../../shared/azure/tables/table-stores.ts';
import type { CmkError } from '../../shared/domain/errors.ts';
import { kekKey } from '../../shared/domain/key-id.ts';
import { describeKekStore } from './kek-store.ts';
import { describeOutboxStore } from './outbox-store.ts';
import { describeServerStore } from './server-store.ts';
import type { StartStores } from './stores.ts';

const start: StartStores = async () => {
  const azurite = await startAzurite();
  const invalid: CmkError[] = [];
  const stores = makeTableStores({
    connection: { kind: 'connectionString', value: azurite.connectionString },
    onInvalid: (error) => invalid.push(error),
  });
  await stores.ensureTables();
  await stores.ensureTables();
  const spoil = async (table: string, partitionKey: string, rowKey: string, columns: object) => {
    const raw = TableClient.fromConnectionString(azurite.connectionString, table, {
      allowInsecureConnection: true,
    });
    await raw.updateEntity({ partitionKey, rowKey, ...columns }, 'Merge');
  };
  return {
    stores,
    invalid,
    spoilServer: (kek, serverId) => spoil('servers', kekKey(kek), `s:${serverId}`, { desired: 'open' }),
    spoilKek: (kek) => spoil('keks', kekKey(kek), 'kek', { policy: '{' }),
    stop: azurite.stop,
  };
};

describe('stores on Table Storage', () => {
  describeKekStore(start);
  describeServerStore(start);
  describeOutboxStore(start);
});
