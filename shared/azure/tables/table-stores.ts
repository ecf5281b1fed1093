// Every table of the app, on Azure Table Storage (design 10).
import { TableClient, type TableServiceClientOptions } from '@azure/data-tables';
import type { CmkError } from '../../domain/errors.ts';
import type { BreakerStore, KekStore } from '../../ports/kek-store.ts';
import type { AuditStore, OutboxStore } from '../../ports/outbox-store.ts';
import type { ServerIndex, ServerStore } from '../../ports/server-store.ts';
import { withinLimit } from '../storage-client.ts';
import { makeAuditTable } from './audit-table.ts';
import { type ConditionalTable, makeConditionalTable } from './conditional-table.ts';
import { makeKekTable } from './kek-table.ts';
import { makeOutboxWriter } from './outbox-rows.ts';
import { makeOutboxTable } from './outbox-table.ts';
import { makeServerIndexTable } from './server-index-table.ts';
import { makeServerTable } from './server-table.ts';
import { isInsecure, type StorageConnection } from './storage-connection.ts';

export interface TableStores {
  readonly keks: KekStore & BreakerStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly outbox: OutboxStore;
  readonly audit: AuditStore;
  /** Makes the tables that aren't there. @throws CmkError StoreUnavailable */
  ensureTables(): Promise<void>;
}

export interface TableStoresOptions {
  readonly connection: StorageConnection;
  /** Told of every row that was left out because it doesn't parse. */
  readonly onInvalid: (error: CmkError) => void;
  readonly now?: () => Date;
  readonly clientOptions?: Pick<TableServiceClientOptions, 'httpClient' | 'retryOptions'>;
}

const RETRIES = { maxRetries: 3, retryDelayInMs: 500, maxRetryDelayInMs: 5000 };

export function makeTableStores(options: TableStoresOptions): TableStores {
  const { onInvalid, now = () => new Date() } = options;
  const open = (name: string): ConditionalTable => makeConditionalTable(makeTableClient(options, name));
  const keks = open('keks');
  const servers = open('servers');
  const index = open('serverindex');
  const audit = open('audit');
  const toKekOutbox = makeOutboxWriter('k', 'keks', now);
  return {
    keks: makeKekTable(keks, toKekOutbox, onInvalid),
    servers: makeServerTable(servers, makeOutboxWriter('s', 'servers', now)),
    index: makeServerIndexTable(index),
    outbox: makeOutboxTable({ k: keks, s: servers }, toKekOutbox, onInvalid),
    audit: makeAuditTable(audit),
    ensureTables: async () => {
      await Promise.all([keks, servers, index, audit].map((table) => table.ensure()));
    },
  };
}

export function makeTableClient(
  { connection, clientOptions }: Pick<TableStoresOptions, 'connection' | 'clientOptions'>,
  name: string,
): TableClient {
  const settings: TableServiceClientOptions = {
    retryOptions: RETRIES,
    ...clientOptions,
    allowInsecureConnection: isInsecure(connection, 'table'),
    additionalPolicies: [{ policy: deadline, position: 'perRetry' }],
  };
  return connection.kind === 'identity'
    ? new TableClient(connection.tableServiceUri, name, connection.credential, settings)
    : TableClient.fromConnectionString(connection.value, name, settings);
}

type Policy = NonNullable<TableServiceClientOptions['additionalPolicies']>[number]['policy'];

const deadline: Policy = {
  name: 'deadline',
  sendRequest: (request, next) =>
    withinLimit((abortSignal) => {
      request.abortSignal = abortSignal;
      return next(request);
    }),
};
