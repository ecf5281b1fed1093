// How the app reaches its storage account: tables, queues and blobs alike.
import type { TokenCredential } from '@azure/identity';

export type StorageConnection =
  | { readonly kind: 'connectionString'; readonly value: string }
  | {
      readonly kind: 'identity';
      readonly tableServiceUri: string;
      readonly queueServiceUri: string;
      readonly blobServiceUri: string;
      readonly credential: TokenCredential;
    };

export type StorageService = 'table' | 'queue' | 'blob';

/** Whether the service is reached by plain http. Only an emulator's is, and only there may the SDK be told to allow it. */
export function isInsecure(connection: StorageConnection, service: StorageService): boolean {
  if (connection.kind === 'identity') return isHttp(connection[`${service}ServiceUri`]);
  const { value } = connection;
  if (/(?:^|;)\s*UseDevelopmentStorage=true/i.test(value)) return true;
  const endpoint = readSetting(value, `${service}Endpoint`);
  return endpoint === null
    ? readSetting(value, 'DefaultEndpointsProtocol')?.toLowerCase() === 'http'
    : isHttp(endpoint);
}

const isHttp = (url: string): boolean => /^http:/i.test(url.trim());

const readSetting = (text: string, name: string): string | null =>
  new RegExp(`(?:^|;)\\s*${name}=([^;]*)`, 'i').exec(text)?.[1] ?? null;
