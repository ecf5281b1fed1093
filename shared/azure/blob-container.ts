// A container of blobs, and what its answers mean.
import { BlobServiceClient, type ContainerClient, RestError } from '@azure/storage-blob';
import { PIPELINE } from './storage-client.ts';
import type { StorageConnection } from './tables/storage-connection.ts';

/** Asks nothing yet. */
export function openContainer(connection: StorageConnection, name: string): ContainerClient {
  const service =
    connection.kind === 'connectionString'
      ? BlobServiceClient.fromConnectionString(connection.value, PIPELINE)
      : new BlobServiceClient(connection.blobServiceUri, connection.credential, PIPELINE);
  return service.getContainerClient(name);
}

/** Of an answer that is an error; 0: none came. */
export const statusOf = (error: unknown): number =>
  error instanceof RestError ? (error.statusCode ?? 0) : 0;
