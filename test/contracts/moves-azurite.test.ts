// A move on the real tables and blobs: what is compared and carried over there has been written and read as columns.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startAzurite } from '../../local/azurite.ts';
import { makeBlobEscrow } from '../../shared/azure/blob-escrow.ts';
import { makeTableStores } from '../../shared/azure/tables/table-stores.ts';
import { kekKey, keyUrl } from '../../shared/domain/key-id.ts';
import { makeFinishMove } from '../../shared/operations/finish-move.ts';
import { makeMoveServer } from '../../shared/operations/move-server.ts';
import { makeTargetProofs } from '../../shared/operations/target-proofs.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import { makeWorld, type World } from '../fakes/world.ts';
import { fullServer, plainKek } from '../fixtures/rows.ts';
import { newKek } from './stores.ts';

let azurite: Awaited<ReturnType<typeof startAzurite>>;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());

/** The DEK of a server, and a proven version of another key to move it to. */
const begin = async (world: World, serverId: string) => {
  const connection = { kind: 'connectionString', value: azurite.connectionString } as const;
  const stores = makeTableStores({ connection, onInvalid: (error) => expect(error).toBeNull() });
  const escrow = makeBlobEscrow(connection);
  await stores.ensureTables();
  const [from, to] = [newKek(), newKek()];
  const first = world.vault.createVersion(from);
  await world.app.registerServer(world.orderOf(serverId, { keyId: keyUrl(from, first) }));
  const { wrapped } = await world.row(serverId, from);
  const row = {
    ...fullServer(from, serverId),
    wrapped,
    incoming: false,
    moving: null,
    tombstone: false,
    copyOf: null,
  };
  await stores.servers.commit(from, [{ value: row, etag: null, history: null }], null);
  await stores.index.claim(serverId, from);
  const version = world.vault.createVersion(to);
  await world.app.registerServer(world.orderOf('other', { keyId: keyUrl(to) }));
  await world.settle();
  const proven = await world.version(version, to);
  await stores.keks.commit(to, {
    kek: { value: { ...plainKek(to), target: version }, etag: null },
    versions: [{ value: proven, etag: null }],
    outbox: null,
  });
  const { vault, clock, random, log, queue } = world;
  const { servers, index, keks } = stores;
  const move = {
    ...{ keks, servers, index, escrow, queue, clock, random, log, vault, localWrap: vault },
    proofs: makeTargetProofs({ vault, clock }),
    reconcileKek: () => Promise.resolve(),
    keyVaultDnsSuffixes: ['vault.azure.net'],
  };
  return { stores, escrow, from, to, row, version, move };
};

test('ends with one row, in every field as it was but for the wrapping', async () => {
  const world = makeWorld();
  const { stores, escrow, from, to, row, version, move } = await begin(world, 'moved');
  const { value } = await makeMoveServer(move)({
    serverId: 'moved',
    keyId: keyUrl(to),
    by: 'anna',
    ifMatch: null,
  });
  expect(value).toEqual({
    ...row,
    kek: to,
    wrapped: { ...row.wrapped, kekVersion: version, ciphertext: value.wrapped.ciphertext },
    wrappedAt: world.clock.now(),
    provenAt: world.clock.now(),
    sequence: row.sequence + 1,
    replacedVersion: null,
    pinned: false,
    inspectedAt: null,
    failure: null,
    rewrapFailure: null,
  });
  using dek = await unwrapDek(world.vault, to, 'moved', value.wrapped);
  expect(dek.id).toBe(row.wrapped.dekId);
  expect(await stores.servers.read(from, 'moved')).toBeUndefined();
  expect((await stores.servers.history(from, 'moved')).map(({ wrapped }) => wrapped)).toEqual([row.wrapped]);
  expect((await stores.index.find('moved'))?.value).toEqual(to);
  expect(await escrow.find('moved', to)).toEqual(value.wrapped);
  expect(await stores.outbox.pageOutbox(kekKey(from), false, 10)).toHaveLength(1);
});

test('is undone and leaves the old row in every field as it was', async () => {
  const world = makeWorld();
  const { stores, from, to, row, move } = await begin(world, 'undone');
  const point = stores.index.point;
  const cut = { ...stores.index, point: () => Promise.reject(new Error('dead')) };
  const moving = makeMoveServer({ ...move, index: cut })({
    serverId: 'undone',
    keyId: keyUrl(to),
    by: 'anna',
    ifMatch: null,
  });
  await expect(moving).rejects.toThrow('dead');
  expect((await stores.servers.read(to, 'undone'))?.value.incoming).toBe(true);
  world.clock.advance(300);
  const marked = await stores.servers.read(from, 'undone');
  if (marked === undefined) throw new Error('not there');
  await makeFinishMove({ ...move, index: { ...stores.index, point } })(marked.value);
  expect((await stores.servers.read(from, 'undone'))?.value).toEqual(row);
  expect(await stores.servers.read(to, 'undone')).toBeUndefined();
});
