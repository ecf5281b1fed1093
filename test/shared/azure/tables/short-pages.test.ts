// Table Storage may answer with fewer rows than asked for, or none, and a continuation token. Azurite never does, so a
// proxy in front of it puts such a page first.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../../local/azurite.ts';
import { makeTableStores, type TableStores } from '../../../../shared/azure/tables/table-stores.ts';
import { type KekId, kekKey } from '../../../../shared/domain/key-id.ts';
import { collect, newKek } from '../../../contracts/stores.ts';
import { type FaultyStorage, startFaultyStorage } from '../../../fixtures/faulty-storage.ts';
import { plainKek, plainServer, versionOf } from '../../../fixtures/rows.ts';

let azurite: Azurite;
let faulty: FaultyStorage;
let stores: TableStores;
beforeAll(async () => {
  azurite = await startAzurite();
  faulty = await startFaultyStorage(azurite.connectionString);
  stores = makeTableStores({
    connection: { kind: 'connectionString', value: faulty.connectionString },
    onInvalid: () => undefined,
  });
  await stores.ensureTables();
});
afterAll(async () => {
  await faulty.stop();
  await azurite.stop();
});

// As Azurite has them.
const inHeader = (key: string): string => Buffer.from(key).toString('base64');

/** The next answer is a page of rows that hold nothing, and says that more come from `next` on. */
function answerShort(partitionKey: string, next: string, rowKeys: readonly string[]): void {
  const value = rowKeys.map((RowKey) => ({ PartitionKey: partitionKey, RowKey, 'odata.etag': 'W/"1"' }));
  faulty.fail({
    kind: 'status',
    status: 200,
    headers: {
      'content-type': 'application/json',
      'x-ms-continuation-nextpartitionkey': inHeader(partitionKey),
      'x-ms-continuation-nextrowkey': inHeader(next),
    },
    body: JSON.stringify({ value }),
  });
}

async function insertServers(ids: readonly string[]): Promise<KekId> {
  const kek = newKek();
  const writes = ids.map((id) => ({ value: plainServer(kek, id), etag: null, history: null }));
  await stores.servers.commit(kek, writes, null);
  return kek;
}

const page = async (kek: KekId, limit: number) => {
  const { rows, held, next } = await stores.servers.page(kek, { after: null, from: null, to: null, limit });
  return { rows: rows.map(({ value }) => value.serverId), held: held.map(({ rowKey }) => rowKey), next };
};

test('an empty page is not the end', async () => {
  const kek = await insertServers(['a', 'b', 'c', 'd']);
  answerShort(kekKey(kek), 's:a', []);
  expect(await page(kek, 3)).toEqual({ rows: ['a', 'b', 'c'], held: [], next: 'c' });
  answerShort(kekKey(kek), 's:a', []);
  expect(await page(kek, 4)).toEqual({ rows: ['a', 'b', 'c', 'd'], held: [], next: null });
});

test('a short page is filled up, and what is too much comes again', async () => {
  const kek = await insertServers(['a', 'b', 'c', 'd']);
  answerShort(kekKey(kek), 's:b', ['s:a']);
  expect(await page(kek, 3)).toEqual({ rows: ['b', 'c'], held: ['s:a'], next: 'c' });
});

test('a page that is full by chance, with a token, may have more behind it', async () => {
  const kek = await insertServers(['a', 'b', 'c']);
  answerShort(kekKey(kek), 's:c', ['s:a', 's:b']);
  expect(await page(kek, 2)).toEqual({ rows: [], held: ['s:a', 's:b'], next: 'b' });
});

test('hasServersOff looks behind empty pages', async () => {
  const kek = await insertServers(['a']);
  answerShort(kekKey(kek), 's:a', []);
  expect(await stores.servers.hasServersOff(kek, versionOf(2))).toBe(true);
  answerShort(kekKey(kek), 's:a', []);
  expect(await stores.servers.hasServersOff(kek, versionOf(1))).toBe(false);
});

test('so do KEKs, whose versions may come on another page, and the outbox', async () => {
  const kek = newKek();
  const entry = { audit: [], events: [] };
  await stores.keks.commit(kek, { kek: { value: plainKek(kek), etag: null }, versions: [], outbox: entry });
  answerShort(kekKey(kek), 'kek', []);
  expect(await stores.keks.read(kek)).toBeDefined();
  answerShort(kekKey(kek), 'kek', []);
  expect(await collect(stores.keks.list({ vault: kek.vault }))).toHaveLength(1);
  answerShort(kekKey(kek), 'o:', []);
  expect(await stores.outbox.pageOutbox(kekKey(kek), false, 1)).toHaveLength(1);
});
