// One connection for one order, in the maintenance database; it ends with the order, and nothing on it waits for ever.
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import type { Client } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import { makeClient } from './client.ts';
import { readPassword } from './credentials.ts';
import { fromConnectError, fromQueryError } from './server-error.ts';
import type { CompleteSettings } from './settings.ts';

/**
 * Runs `work` on a connection of its own.
 * @throws CmkError ServerUnreachable, ServerTlsFailed, ServerAuthFailed, ServerRightsMissing, SecretSettingMissing,
 *   ServerHostRefused
 */
export async function withConnection<T>(
  settings: CompleteSettings,
  access: PostgresAccess,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const password = await readPassword(settings, access);
  const socket = new Socket();
  const client = makeClient({
    socket,
    mayBeSent: password.mayBeSent,
    host: access.host,
    port: access.port,
    user: access.user,
    password: password.text,
    database: access.maintenanceDatabase,
    ssl: toTlsOptions(access, settings.caPem),
    keepAlive: true,
    application_name: 'pg-cmk',
    options: '-c search_path=pg_catalog',
    connectionTimeoutMillis: settings.connectTimeoutMs,
    statement_timeout: settings.statementTimeoutMs,
    lock_timeout: settings.lockTimeoutMs,
    idle_in_transaction_session_timeout: settings.idleInTransactionTimeoutMs,
    // Later than the server's own limits, so that it only tells of a server or a network that is gone.
    query_timeout: settings.statementTimeoutMs + settings.connectTimeoutMs,
  });
  // pg emits `error` besides rejecting, twice when its session is ended, and Node ends the process if nobody listens.
  client.on('error', () => {});
  try {
    await client.connect().catch((error: unknown) => {
      throw fromConnectError(error, access);
    });
    return await work(client).catch((error: unknown) => {
      throw fromQueryError(error, access);
    });
  } finally {
    // A server that no longer answers would never confirm the goodbye.
    const ended = client.end().catch(() => {});
    await Promise.race([ended, sleep(1_000, undefined, { ref: false })]);
    socket.destroy();
  }
}

/** libpq's sslmode of the same name, for Node. */
function toTlsOptions(access: PostgresAccess, caPem: string | undefined): ConnectionOptions | false {
  const ca = caPem === undefined ? {} : { ca: caPem };
  switch (access.tls) {
    case 'verify-full':
      return { ...ca, rejectUnauthorized: true };
    case 'verify-ca':
      return { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
    case 'require':
      return { rejectUnauthorized: false };
    case 'disable':
      return false;
  }
}
