// A container of blobs, and what its answers mean.
import type { ContainerClient } from '@azure/storage-blob';
import { loadOnce } from '../load-once.ts';
import { PIPELINE, storageUnavailable, withinLimit } from './storage-client.ts';
import type { StorageConnection } from './tables/storage-connection.ts';

/**
 * The container, made if it is missing. The first call loads the SDK of blobs, a fifth of the app's code, and asks;
 * the start of the app doesn't, so that no outage of blobs keeps an instance from revoking access.
 * @returns throws CmkError StoreUnavailable (retryable)
 */
export const openContainer = (
  connection: StorageConnection,
  name: string,
): (() => Promise<ContainerClient>) =>
  loadOnce(async () => {
    const { BlobServiceClient } = await import('@azure/storage-blob');
    const service =
      connection.kind === 'connectionString'
        ? BlobServiceClient.fromConnectionString(connection.value, PIPELINE)
        : new BlobServiceClient(connection.blobServiceUri, connection.credential, PIPELINE);
    const container = service.getContainerClient(name);
    try {
      await withinLimit((abortSignal) => container.createIfNotExists({ abortSignal }));
    } catch (error) {
      // Never as it came: a 404 of the account is none of a blob.
      throw storageUnavailable(`the container ${name} could not be opened`, error);
    }
    return container;
  });

/** Of an answer that is an error; 0: none came. */
export const statusOf = (error: unknown): number =>
  error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : 0;
