// One connection for one order, in the maintenance database; it ends with the order, and nothing on it waits for ever.
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import { Client } from 'pg';
import { CmkError, describeError } from '../domain/errors.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';
import { fromConnectError, fromQueryError } from './server-error.ts';
import type { CompleteSettings, Credentials } from './settings.ts';

/**
 * Runs `work` on a connection of its own.
 * @throws CmkError ServerUnreachable, ServerTlsFailed, ServerAuthFailed, ServerRightsMissing, SecretSettingMissing
 */
export async function withConnection<T>(
  settings: CompleteSettings,
  access: PostgresAccess,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const password = await readPassword(settings, access);
  const socket = new Socket();
  const client = new Client({
    host: access.host,
    port: access.port,
    user: access.user,
    password,
    database: access.maintenanceDatabase,
    ssl: toTlsOptions(access, settings.caPem),
    stream: () => socket,
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

async function readPassword(credentials: Credentials, access: PostgresAccess): Promise<string> {
  if (access.auth.kind === 'entra') {
    return credentials.getEntraToken().catch((error: unknown) => {
      if (error instanceof CmkError) throw error;
      throw new CmkError('ServerAuthFailed', `No Entra token for ${access.host}: ${describeError(error)}`, {
        remedy: "Check the app's managed identity.",
        retryable: true,
        cause: error,
      });
    });
  }
  const password = credentials.readSecretSetting(access.auth.name);
  if (password === undefined || password === '') {
    throw new CmkError('SecretSettingMissing', `There is no app setting "${access.auth.name}"`, {
      remedy: `Add the app setting "${access.auth.name}", a Key Vault reference to the password, or register the server with another one.`,
      detail: { setting: access.auth.name },
    });
  }
  return password;
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
