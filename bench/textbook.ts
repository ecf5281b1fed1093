// The baselines as programs of their own, with the same SDK as the app. Started by baselines.ts; prints one line of JSON.
//   textbook MODE     MODE: sequential, parallel, shared, bare
// sequential  the textbook function: for each server a client, unwrap, wrap, update, one server after the other
// parallel    the same, 32 servers at a time
// shared      parallel, with one client a key version for all servers
// bare        no SDK: unwraps over keep-alive connections, 32 at a time, for so many seconds
import { Agent, request } from 'node:https';
import { TableClient, type TableEntityResult } from '@azure/data-tables';
import { ManagedIdentityCredential } from '@azure/identity';
import { CryptographyClient } from '@azure/keyvault-keys';
import { mapBounded } from '../shared/operations/bounded.ts';
import { TEXTBOOK_TABLE } from './textbook-table.ts';

const AT_A_TIME = 32;
const ALGORITHM = 'RSA-OAEP-256';

interface Row {
  readonly keyId: string;
  readonly wrapped: Uint8Array;
}

const setting = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};

const credential = new ManagedIdentityCredential();
const newKeyId = setting('BENCH_NEW_KEY');
const mode = process.argv[2];

const makeClient = (keyId: string) =>
  new CryptographyClient(keyId, credential, { disableChallengeResourceVerification: true });

async function rewrapAll(atATime: number, clientOf: (keyId: string) => CryptographyClient) {
  const table = TableClient.fromConnectionString(setting('AzureWebJobsStorage'), TEXTBOOK_TABLE, {
    allowInsecureConnection: true,
  });
  const rows: TableEntityResult<Row>[] = [];
  for await (const row of table.listEntities<Row>()) rows.push(row);
  let failed = 0;
  await mapBounded(rows, atATime, async (row) => {
    try {
      const dek = await clientOf(row.keyId).unwrapKey(ALGORITHM, row.wrapped);
      const wrapped = await clientOf(newKeyId).wrapKey(ALGORITHM, dek.result);
      const { partitionKey = '', rowKey = '', etag } = row;
      await table.updateEntity(
        { partitionKey, rowKey, keyId: newKeyId, wrapped: wrapped.result },
        'Replace',
        { etag },
      );
    } catch {
      failed += 1;
    }
  });
  return { servers: rows.length, failed };
}

function shareClients(): (keyId: string) => CryptographyClient {
  const clients = new Map<string, CryptographyClient>();
  return (keyId) => {
    const client = clients.get(keyId) ?? makeClient(keyId);
    clients.set(keyId, client);
    return client;
  };
}

async function unwrapBare(seconds: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME });
  const token = await credential.getToken('https://vault.azure.net/.default');
  const body = JSON.stringify({ alg: ALGORITHM, value: setting('BENCH_CIPHERTEXT') });
  const url = `${setting('BENCH_OLD_KEY')}/unwrapkey?api-version=2025-07-01`;
  const headers = {
    authorization: `Bearer ${token.token}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
  const unwrap = () =>
    new Promise<number>((resolve, reject) => {
      const sent = request(url, { method: 'POST', agent, headers }, (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode ?? 0));
      });
      sent.once('error', reject);
      sent.end(body);
    });
  const end = performance.now() + seconds * 1000;
  let servers = 0;
  let failed = 0;
  const lane = async () => {
    while (performance.now() < end) {
      servers += 1;
      if ((await unwrap()) !== 200) failed += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  agent.destroy();
  return { servers, failed };
}

function run(): Promise<{ servers: number; failed: number }> {
  switch (mode) {
    case 'sequential':
      return rewrapAll(1, makeClient);
    case 'parallel':
      return rewrapAll(AT_A_TIME, makeClient);
    case 'shared':
      return rewrapAll(AT_A_TIME, shareClients());
    case 'bare':
      return unwrapBare(Number(setting('BENCH_SECONDS')));
    default:
      throw new Error(`there is no mode ${mode}`);
  }
}

const since = performance.now();
const done = await run();
console.log(JSON.stringify({ ...done, seconds: (performance.now() - since) / 1000 }));
process.exit(0);
