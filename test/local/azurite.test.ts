import { spawn } from 'node:child_process';
import { TableClient } from '@azure/data-tables';
import { BlobServiceClient } from '@azure/storage-blob';
import { QueueServiceClient } from '@azure/storage-queue';
import { expect, test } from 'vitest';
import { startAzurite } from '../../local/azurite.ts';
import { until } from './host/host-under-test.ts';

async function answers(connectionString: string): Promise<boolean> {
  const endpoint = /QueueEndpoint=([^;]+);/.exec(connectionString)?.[1] ?? '';
  return fetch(endpoint).then(
    () => true,
    () => false,
  );
}

test('serves tables, queues and blobs, each instance its own', async () => {
  const [one, other] = await Promise.all([startAzurite(), startAzurite()]);
  const table = TableClient.fromConnectionString(one.connectionString, 'keks', {
    allowInsecureConnection: true,
  });
  await table.createTable();
  await table.createEntity({ partitionKey: 'p', rowKey: 'r', epoch: 7 });
  expect(await table.getEntity('p', 'r')).toMatchObject({ epoch: 7 });
  const queue = QueueServiceClient.fromConnectionString(one.connectionString).getQueueClient('keks');
  await queue.create();
  const container = BlobServiceClient.fromConnectionString(one.connectionString).getContainerClient(
    'dek-escrow',
  );
  await container.create();
  await container.getBlockBlobClient('b').upload('x', 1);
  expect(await container.getBlockBlobClient('b').exists()).toBe(true);
  const elsewhere = QueueServiceClient.fromConnectionString(other.connectionString).getQueueClient('keks');
  expect(await elsewhere.exists()).toBe(false);
  await Promise.all([one.stop(), other.stop()]);
  expect(await answers(one.connectionString)).toBe(false);
});

test('goes away when the process that started it is killed', async () => {
  const url = new URL('../../local/azurite.ts', import.meta.url).href;
  const script = `
    const { startAzurite } = await import(${JSON.stringify(url)});
    console.log((await startAzurite()).connectionString);
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise<string>((resolve) =>
    parent.stdout?.once('data', (text) => resolve(String(text))),
  );
  expect(await answers(line)).toBe(true);
  parent.kill('SIGKILL');
  await until(async () => !(await answers(line)));
});
