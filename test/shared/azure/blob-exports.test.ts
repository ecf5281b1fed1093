import { BlobServiceClient } from '@azure/storage-blob';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { makeBlobExports } from '../../../shared/azure/blob-exports.ts';
import type { TableExport } from '../../../shared/ports/export-catalog.ts';

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());

const V1 = '1'.repeat(32);
const V2 = '2'.repeat(32);
const KEY = '127.0.0.1:8443|orders';
const exportOf = (day: number, versions: TableExport['versions'] = { [KEY]: [V1] }): TableExport => ({
  exportedAt: new Date(Date.UTC(2030, 0, day)),
  versions,
});

const open = () => makeBlobExports({ kind: 'connectionString', value: azurite.connectionString });
const container = () =>
  BlobServiceClient.fromConnectionString(azurite.connectionString).getContainerClient('table-exports');
const put = (text: string) =>
  container().getBlockBlobClient('newest.json').upload(text, Buffer.byteLength(text));

beforeEach(async () => {
  await container().createIfNotExists();
  await container().getBlockBlobClient('newest.json').deleteIfExists();
});

describe('the newest export', () => {
  test('is undefined where none was ever noted', async () => {
    expect(await open().newest()).toBeUndefined();
  });

  test('comes back as it was noted, and a newer one takes its place', async () => {
    const first = exportOf(1, { [KEY]: [V1, V2], 'alpha.vault.azure.net|fleet': [] });
    await open().record(first);
    expect(await open().newest()).toEqual(first);
    await open().record(exportOf(2));
    expect(await open().newest()).toEqual(exportOf(2));
  });

  test('stays where an older one, or the same again, is noted late', async () => {
    await open().record(exportOf(5));
    await open().record(exportOf(4));
    await open().record(exportOf(5, { [KEY]: [V2] }));
    expect(await open().newest()).toEqual(exportOf(5));
  });

  test('is one of those that were noted at once; nobody writes over what he has not read (invariant I-10)', async () => {
    const noted = await Promise.allSettled([1, 2, 3, 4].map((day) => open().record(exportOf(day))));
    const refused = noted.filter((one) => one.status === 'rejected').map((one) => one.reason);
    for (const error of refused) expect(error).toMatchObject({ code: 'WriteConflict' });
    expect(refused.length).toBeLessThan(4);
    await open().record(exportOf(9));
    const late = await Promise.allSettled([10, 11, 12].map((day) => open().record(exportOf(day))));
    expect(late.some((one) => one.status === 'fulfilled')).toBe(true);
    expect((await open().newest())?.exportedAt.getTime()).toBeGreaterThan(Date.UTC(2030, 0, 9));
  });

  test('is not noted where it would not parse', async () => {
    await expect(open().record(exportOf(1, { [KEY]: ['latest'] }))).rejects.toMatchObject({
      code: 'InvalidRow',
    });
    expect(await open().newest()).toBeUndefined();
  });
});

const manifest = (change: object): string =>
  JSON.stringify({ schema: 1, exportedAt: '2030-01-01T00:00:00.000Z', versions: { [KEY]: [V1] }, ...change });

test.each([
  ['what is not JSON', 'hello'],
  ['nothing', ''],
  ['another schema', manifest({ schema: 2 })],
  ['a field too many', manifest({ also: [V2] })],
  ['no time', manifest({ exportedAt: 'yesterday' })],
  ['a version that is not concrete', manifest({ versions: { [KEY]: ['latest'] } })],
  ['a key that is none', manifest({ versions: { orders: [V1] } })],
  ['no list of versions', manifest({ versions: { [KEY]: V1 } })],
])('refuses %s, and does not write over it', async (_, text) => {
  await put(text);
  const failure = { code: 'InvalidRow', retryable: false };
  await expect(open().newest()).rejects.toMatchObject(failure);
  await expect(open().record(exportOf(9))).rejects.toMatchObject(failure);
});

test('"could not ask" is not "there is none"', async () => {
  const exports = open();
  expect(await exports.newest()).toBeUndefined();
  await container().delete();
  // The blob's own 404 and the container's are told apart: without its container nothing is known.
  const failure = { code: 'StoreUnavailable', retryable: true };
  await expect(exports.newest()).rejects.toMatchObject(failure);
  await expect(exports.record(exportOf(1))).rejects.toMatchObject(failure);
});

test('fails retryably where nothing listens', async () => {
  const dead = makeBlobExports({
    kind: 'connectionString',
    value: 'DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:1/a;',
  });
  const failure = { code: 'StoreUnavailable', retryable: true };
  await expect(dead.newest()).rejects.toMatchObject(failure);
  await expect(dead.record(exportOf(1))).rejects.toMatchObject(failure);
});
