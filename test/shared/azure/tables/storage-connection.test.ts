import { describe, expect, test } from 'vitest';
import { isInsecure } from '../../../../shared/azure/tables/storage-connection.ts';

const credential = { getToken: () => Promise.resolve(null) };
const identity = (scheme: string) => ({
  kind: 'identity' as const,
  tableServiceUri: `${scheme}://a.table.core.windows.net`,
  queueServiceUri: 'https://a.queue.core.windows.net',
  blobServiceUri: 'https://a.blob.core.windows.net',
  credential,
});

describe('isInsecure', () => {
  test.each<[string, boolean]>([
    ['UseDevelopmentStorage=true', true],
    ['usedevelopmentstorage=TRUE;', true],
    ['DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a==;EndpointSuffix=core.windows.net', false],
    ['DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a==;EndpointSuffix=core.windows.net', true],
    ['AccountName=a;AccountKey=a==;TableEndpoint=http://127.0.0.1:1/a;', true],
    ['DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a==;TableEndpoint=https://a.example.com', false],
    ['DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a==;TableEndpoint=HTTP://127.0.0.1:1/a', true],
    ['TableEndpoint=https://a.table.core.windows.net;SharedAccessSignature=sig', false],
    ['AccountName=http;AccountKey=http', false],
  ])('%s: %s', (value, insecure) => {
    expect(isInsecure({ kind: 'connectionString', value }, 'table')).toBe(insecure);
  });

  test('looks at the service that is meant', () => {
    const value = 'BlobEndpoint=http://127.0.0.1:1/a;QueueEndpoint=https://q;TableEndpoint=https://t';
    const connection = { kind: 'connectionString', value } as const;
    expect(isInsecure(connection, 'blob')).toBe(true);
    expect(isInsecure(connection, 'queue')).toBe(false);
    expect(isInsecure(identity('http'), 'table')).toBe(true);
    expect(isInsecure(identity('http'), 'queue')).toBe(false);
    expect(isInsecure(identity('https'), 'table')).toBe(false);
  });
});
