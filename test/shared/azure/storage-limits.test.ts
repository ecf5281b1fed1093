// A service that takes a request and never answers, or begins an answer and stops, must not hold a worker for ever.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { makeBlobEscrow } from '../../../shared/azure/blob-escrow.ts';
import { makeBlobExports } from '../../../shared/azure/blob-exports.ts';
import { makeTableStores } from '../../../shared/azure/tables/table-stores.ts';
import { makeWorkQueue } from '../../../shared/azure/work-queue.ts';
import { describeError, isCmkError } from '../../../shared/domain/errors.ts';
import { parseKekId } from '../../../shared/domain/key-id.ts';
import { collect } from '../../contracts/stores.ts';
import { startFaultyStorage } from '../../fixtures/faulty-storage.ts';
import { plainServer } from '../../fixtures/rows.ts';

const kek = parseKekId('contoso.vault.azure.net', 'orders');
const { wrapped } = plainServer(kek, 'a');
const exportedAt = new Date('2026-11-25T00:00:00Z');
const services = ['Table', 'Queue', 'Blob'] as const;
/** More than any case makes requests, with the SDK's tries. */
const MANY = 100;

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
  const connection = { kind: 'connectionString', value: azurite.connectionString } as const;
  const exports = makeBlobExports(connection);
  await exports.record({ exportedAt, versions: {} });
  const writer = exports.open('there', 'audit.jsonl');
  await writer.append(Buffer.from('{}\n'));
  await writer.close();
  await makeBlobEscrow(connection).file('there', kek, wrapped);
  await makeTableStores({ connection, onInvalid: () => undefined }).ensureTables();
  await makeWorkQueue(connection, { current: () => null }).ensureQueues();
});
afterAll(() => azurite.stop());

type Call = (connection: { readonly kind: 'connectionString'; readonly value: string }) => Promise<unknown>;

const calls: Readonly<Record<(typeof services)[number], Readonly<Record<string, Call>>>> = {
  Table: {
    read: (connection) => makeTableStores({ connection, onInvalid: () => undefined }).servers.read(kek, 'a'),
    list: (connection) =>
      collect(makeTableStores({ connection, onInvalid: () => undefined }).keks.list({ vault: null })),
    commit: (connection) =>
      makeTableStores({ connection, onInvalid: () => undefined }).servers.commit(
        kek,
        [{ value: plainServer(kek, 'a'), etag: null, history: null }],
        null,
      ),
  },
  Queue: {
    send: (connection) => makeWorkQueue(connection, { current: () => null }).enqueueProbe({ keks: [kek] }),
    depths: (connection) => makeWorkQueue(connection, { current: () => null }).depths(),
    ensure: (connection) => makeWorkQueue(connection, { current: () => null }).ensureQueues(),
  },
  Blob: {
    'escrow: file': (connection) => makeBlobEscrow(connection).file('new', kek, wrapped),
    'escrow: find': (connection) => makeBlobEscrow(connection).find('there', kek),
    'escrow: list': (connection) => makeBlobEscrow(connection).list('there'),
    'escrow: remove': (connection) => makeBlobEscrow(connection).remove('other', kek),
    'exports: newest': (connection) => makeBlobExports(connection).newest(),
    'exports: record': (connection) => makeBlobExports(connection).record({ exportedAt, versions: {} }),
    'exports: write': async (connection) => {
      const writer = makeBlobExports(connection).open('new', 'audit.jsonl');
      await writer.append(Buffer.from('{}\n'));
      await writer.close();
    },
    'exports: read': (connection) => collect(makeBlobExports(connection).read('there', 'audit.jsonl')),
  },
};

/** Their answers are heads alone, which arrive before anything can stall. */
const HEADS = ['Queue depths'];

async function outcomeOf(
  kind: 'hang' | 'stall',
  service: (typeof services)[number],
  call: Call,
): Promise<string> {
  const faulty = await startFaultyStorage(azurite.connectionString, service);
  try {
    faulty.fail(...Array.from({ length: MANY }, () => ({ kind }) as const));
    await call({ kind: 'connectionString', value: faulty.connectionString });
    return `done, with ${faulty.requests.length} requests`;
  } catch (error) {
    return isCmkError(error, 'StoreUnavailable') && error.retryable
      ? 'StoreUnavailable'
      : describeError(error);
  } finally {
    await faulty.stop();
  }
}

test.each(['hang', 'stall'] as const)(
  'no call waits for ever where the answers %s',
  { timeout: 60_000 },
  async (kind) => {
    const named = services
      .flatMap((service) =>
        Object.entries(calls[service]).map(([name, call]) => ({ name: `${service} ${name}`, service, call })),
      )
      .filter(({ name }) => kind === 'hang' || !HEADS.includes(name));
    // Side by side, since each waits for its limit.
    const outcomes = await Promise.all(
      named.map(async ({ name, service, call }) => [name, await outcomeOf(kind, service, call)]),
    );
    expect(outcomes).toEqual(named.map(({ name }) => [name, 'StoreUnavailable']));
  },
);
