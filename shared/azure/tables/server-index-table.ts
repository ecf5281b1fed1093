// The table `serverindex`: which KEK a server is under. Inserted first, so that ids are unique (design 10).
import type { ServerIndex } from '../../ports/server-store.ts';
import type { ConditionalTable } from './conditional-table.ts';
import { indexFormat } from './server-rows.ts';
import { toRowWrite, toStored } from './stored-rows.ts';

const ROW = 'server';

export const makeServerIndexTable = (table: ConditionalTable): ServerIndex => ({
  find: async (serverId) => {
    const entity = await table.find({ partitionKey: serverId, rowKey: ROW });
    return entity === undefined ? undefined : toStored(entity, indexFormat);
  },
  claim: async (serverId, kek) => {
    await table.commit(serverId, [toRowWrite(ROW, { value: kek, etag: null }, indexFormat)]);
  },
  point: async (serverId, kek, etag) => {
    await table.commit(serverId, [toRowWrite(ROW, { value: kek, etag }, indexFormat)]);
  },
  release: (serverId, etag) => table.remove({ partitionKey: serverId, rowKey: ROW }, etag),
});
