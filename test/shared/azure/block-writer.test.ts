import { BlobServiceClient } from '@azure/storage-blob';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { makeBlobExports } from '../../../shared/azure/blob-exports.ts';
import { openBlockWriter } from '../../../shared/azure/block-writer.ts';

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
  await open().newest();
});
afterAll(() => azurite.stop());

const open = () => makeBlobExports({ kind: 'connectionString', value: azurite.connectionString });
const blobOf = (name: string) =>
  BlobServiceClient.fromConnectionString(azurite.connectionString)
    .getContainerClient('table-exports')
    .getBlockBlobClient(name);

async function readAll(folder: string, file: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of open().read(folder, file)) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

describe('a file of an export', () => {
  test('comes back as it was written, over several blocks', async () => {
    const writer = openBlockWriter(async () => blobOf('one/servers.jsonl'), 10);
    const lines = Array.from({ length: 25 }, (_, number) => `{"ü":${number}}\n`);
    for (const line of lines) await writer.append(Buffer.from(line));
    await writer.close();
    expect(await readAll('one', 'servers.jsonl')).toBe(lines.join(''));
    const { committedBlocks = [] } = await blobOf('one/servers.jsonl').getBlockList('committed');
    expect(committedBlocks.length).toBeGreaterThan(5);
  });

  test.each([
    ['empty.jsonl', 'application/jsonl'],
    ['manifest.json', 'application/json'],
    ['audit-heads.jws', 'application/jose'],
  ])('may be empty, and says what it is: %s', async (file, type) => {
    await open().open('two', file).close();
    expect(await readAll('two', file)).toBe('');
    expect((await blobOf(`two/${file}`).getProperties()).contentType).toBe(type);
  });

  test('is not there before it is closed, and never written over', async () => {
    const first = open().open('three', 'keks.jsonl');
    await first.append(Buffer.from('first'));
    await expect(readAll('three', 'keks.jsonl')).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await first.close();
    const second = open().open('three', 'keks.jsonl');
    await second.append(Buffer.from('second'));
    await expect(second.close()).rejects.toMatchObject({ code: 'WriteConflict' });
    expect(await readAll('three', 'keks.jsonl')).toBe('first');
  });

  test('that can not be written is said to be', async () => {
    const dead = makeBlobExports({
      kind: 'connectionString',
      value: 'DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:1/a;',
    });
    const failure = { code: 'StoreUnavailable', retryable: true };
    await expect(dead.open('a', 'b.json').close()).rejects.toMatchObject(failure);
    const nowhere = BlobServiceClient.fromConnectionString(azurite.connectionString)
      .getContainerClient('no-container')
      .getBlockBlobClient('a');
    const writer = openBlockWriter(async () => nowhere, 1);
    await expect(writer.append(Buffer.from('x'))).rejects.toMatchObject(failure);
  });
});
