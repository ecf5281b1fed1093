import { expect, test } from 'vitest';
import { findLiveServer, findServer } from '../../../shared/operations/find-server.ts';
import { KEK, makeWorld } from '../../fakes/world.ts';

const OTHER = { ...KEK, name: 'other' };

test('finds the row that the index points to', async () => {
  const world = makeWorld();
  await world.begin(1);
  const found = await findServer(world.stores, 's001');
  expect(found).toEqual(await world.stores.servers.read(KEK, 's001'));
  expect(await findLiveServer(world.stores, 's001')).toEqual(found);
});

test('an id that is not known, or claimed and no more, is no server', async () => {
  const world = makeWorld();
  await expect(findServer(world.stores, 's001')).rejects.toMatchObject({ code: 'ServerNotFound' });
  await world.stores.index.claim('s001', KEK);
  await expect(findServer(world.stores, 's001')).rejects.toMatchObject({ code: 'ServerNotFound' });
});

test('a tombstone is found, and is no live server', async () => {
  const world = makeWorld();
  await world.begin(1);
  await world.changeRow('s001', { tombstone: true });
  expect((await findServer(world.stores, 's001')).value.tombstone).toBe(true);
  await expect(findLiveServer(world.stores, 's001')).rejects.toMatchObject({ code: 'ServerDeleted' });
});

test('a server that moves away between the index and its row is found where it went', async () => {
  const world = makeWorld();
  await world.begin(1);
  const { servers, index } = world.stores;
  const { read } = servers;
  const moved = { ...(await world.row('s001')), kek: OTHER };
  const etag = (await index.find('s001'))?.etag ?? '';
  const stores = {
    index,
    servers: {
      ...servers,
      read: async (kek: typeof KEK, serverId: string) => {
        if (kek.name === OTHER.name) return read(kek, serverId);
        await servers.commit(OTHER, [{ value: moved, etag: null, history: null }], null);
        await index.point('s001', OTHER, etag);
        return undefined;
      },
    },
  };
  expect((await findServer(stores, 's001')).value.kek).toEqual(OTHER);
});

test('one that is freed meanwhile is gone', async () => {
  const world = makeWorld();
  await world.begin(1);
  const { servers, index } = world.stores;
  const etag = (await index.find('s001'))?.etag ?? '';
  const read = () => index.release('s001', etag).then(() => undefined);
  await expect(findServer({ index, servers: { ...servers, read } }, 's001')).rejects.toMatchObject({
    code: 'ServerNotFound',
  });
});
