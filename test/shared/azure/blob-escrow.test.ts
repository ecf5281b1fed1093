import { BlobServiceClient } from '@azure/storage-blob';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { escrowBlobName, makeBlobEscrow } from '../../../shared/azure/blob-escrow.ts';
import { parseKekId } from '../../../shared/domain/key-id.ts';
import type { WrappedDek } from '../../../shared/domain/wrapped-dek.ts';
import { startFaultyStorage } from '../../fixtures/faulty-storage.ts';

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());

const kek = parseKekId('127.0.0.1:8443', 'orders');

const wrapped = (ciphertext: string): WrappedDek => ({
  kekVersion: '1'.repeat(32),
  algorithm: 'RSA-OAEP-256',
  format: 'bound-1',
  dekId: 'a'.repeat(32),
  ciphertext,
});

const open = () => makeBlobEscrow({ kind: 'connectionString', value: azurite.connectionString });

const blobOf = (serverId: string) =>
  BlobServiceClient.fromConnectionString(azurite.connectionString)
    .getContainerClient('dek-escrow')
    .getBlockBlobClient(escrowBlobName(serverId, kek));

test('files a wrapping and finds it', async () => {
  const escrow = open();
  expect(await escrow.find('pg-1', kek)).toBeUndefined();
  expect(await escrow.file('pg-1', kek, wrapped('first'))).toEqual(wrapped('first'));
  expect(await escrow.find('pg-1', kek)).toEqual(wrapped('first'));
  expect(escrow.placeOf('pg-1', kek)).toBe(`the blob ${escrowBlobName('pg-1', kek)} in dek-escrow`);
});

test('keeps the first wrapping, and returns it to whoever comes later', async () => {
  const escrow = open();
  await escrow.file('pg-2', kek, wrapped('first'));
  expect(await escrow.file('pg-2', kek, wrapped('second'))).toEqual(wrapped('first'));
  expect(await escrow.find('pg-2', kek)).toEqual(wrapped('first'));
});

test('of many who file at once, all get the same', async () => {
  const escrow = open();
  const filed = await Promise.all(
    Array.from({ length: 8 }, (_, index) => escrow.file('pg-3', kek, wrapped(`c${index}`))),
  );
  expect(new Set(filed.map(({ ciphertext }) => ciphertext)).size).toBe(1);
});

test('servers and KEKs are apart', async () => {
  const escrow = open();
  await escrow.file('pg-4', kek, wrapped('first'));
  expect(await escrow.find('pg-4', { ...kek, name: 'other' })).toBeUndefined();
  expect(await escrow.find('pg-5', kek)).toBeUndefined();
});

test('lists the KEKs of a server, and of no other', async () => {
  const escrow = open();
  const other = parseKekId('contoso.vault.azure.net', 'payments');
  expect(await escrow.list('pg-8')).toEqual([]);
  await escrow.file('pg-8', kek, wrapped('first'));
  await escrow.file('pg-8', other, wrapped('second'));
  await escrow.file('pg-80', kek, wrapped('third'));
  expect(await escrow.list('pg-8')).toEqual([kek, other]);
});

test('a name that is none of ours ends the list: nothing is left out in silence', async () => {
  const escrow = open();
  await blobOf('pg-9/what is this').upload('{}', 2);
  await expect(escrow.list('pg-9')).rejects.toMatchObject({ code: 'InvalidRow' });
});

test('gives up one wrapping, and again without a fuss', async () => {
  const escrow = open();
  const other = { ...kek, name: 'other' };
  await escrow.file('pg-10', kek, wrapped('first'));
  await escrow.file('pg-10', other, wrapped('second'));
  await escrow.remove('pg-10', kek);
  await escrow.remove('pg-10', kek);
  expect(await escrow.find('pg-10', kek)).toBeUndefined();
  expect(await escrow.list('pg-10')).toEqual([other]);
  expect(await escrow.file('pg-10', kek, wrapped('new'))).toEqual(wrapped('new'));
});

test.each([
  ['what is not JSON', () => 'hello'],
  ['another shape', () => '{"schema":1}'],
  ['a version that is not concrete', () => filedText({ wrapped: { ...wrapped('x'), kekVersion: 'latest' } })],
  ['another server', () => filedText({ serverId: 'pg-7' })],
  ['another KEK', () => filedText({ key: 'other' })],
])('refuses %s', async (_, makeText) => {
  const escrow = open();
  const text = makeText();
  await blobOf('pg-6').upload(text, Buffer.byteLength(text));
  await expect(escrow.find('pg-6', kek)).rejects.toMatchObject({ code: 'InvalidRow', retryable: false });
  await expect(escrow.file('pg-6', kek, wrapped('new'))).rejects.toMatchObject({ code: 'InvalidRow' });
});

test('an account that is not there is not an escrow without a wrapping', async () => {
  const faulty = await startFaultyStorage(azurite.connectionString, 'Blob');
  const escrow = makeBlobEscrow({ kind: 'connectionString', value: faulty.connectionString });
  faulty.fail({ kind: 'status', status: 404, body: '<html>no such account</html>' });
  await expect(escrow.find('pg-1', kek)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  // The next who asks tries again, and the one after that doesn't ask for the container.
  expect(await escrow.find('nobody', kek)).toBeUndefined();
  const before = faulty.requests.length;
  expect(await escrow.find('nobody', kek)).toBeUndefined();
  expect(faulty.requests.length - before).toBe(1);
  await faulty.stop();
});

test('fails retryably where nothing listens', async () => {
  const dead = makeBlobEscrow({
    kind: 'connectionString',
    value: 'DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:1/a;',
  });
  const failure = { code: 'StoreUnavailable', retryable: true };
  await expect(dead.find('pg-1', kek)).rejects.toMatchObject(failure);
  await expect(dead.file('pg-1', kek, wrapped('x'))).rejects.toMatchObject(failure);
  await expect(dead.list('pg-1')).rejects.toMatchObject(failure);
  await expect(dead.remove('pg-1', kek)).rejects.toMatchObject(failure);
});

const filedText = (change: object): string =>
  JSON.stringify({
    schema: 1,
    serverId: 'pg-6',
    vault: kek.vault,
    key: kek.name,
    wrapped: wrapped('x'),
    ...change,
  });
