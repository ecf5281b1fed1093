// A PostgreSQL server as a DBA would set it up for pg-cmk: databases of an owner role that the app is a member of, a
// maintenance database closed to PUBLIC, and one database that the DBA had closed before.
import pg from 'pg';
import type { PostgresAccess } from '../../shared/domain/server-spec.ts';

/** How to reach a server as its superuser. */
export interface SuperuserAccess {
  readonly host: string;
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
}

export const APP_USER = 'cmk_app';
export const CLIENT_USER = 'app';
export const OPEN_DATABASES = ['orders', 'billing', 'crm'] as const;
export const CLOSED_BY_DBA = 'archive_2019';
const MAINTENANCE_DATABASE = 'cmk_admin';

/** Runs statements one by one as the superuser. */
export async function runAsSuperuser(
  server: SuperuserAccess,
  database: string,
  statements: readonly string[],
): Promise<void> {
  const client = new pg.Client({
    ...server,
    user: server.superuser,
    database,
    ssl: { rejectUnauthorized: false },
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The set-up that docs/onboarding asks a DBA for. Passwords are the local stack's own and protect nothing. */
export async function prepareServer(server: SuperuserAccess, appPassword: string): Promise<void> {
  const { password } = server;
  await runAsSuperuser(server, 'postgres', [
    'CREATE ROLE fleet_owner NOLOGIN',
    `CREATE ROLE ${APP_USER} LOGIN PASSWORD '${appPassword}' IN ROLE fleet_owner, pg_signal_backend`,
    `CREATE ROLE ${CLIENT_USER} LOGIN PASSWORD '${password}'`,
    ...[...OPEN_DATABASES, CLOSED_BY_DBA].map((name) => `CREATE DATABASE ${name} OWNER fleet_owner`),
    `ALTER DATABASE ${CLOSED_BY_DBA} ALLOW_CONNECTIONS false`,
    `CREATE DATABASE ${MAINTENANCE_DATABASE} OWNER ${APP_USER}`,
    `REVOKE CONNECT ON DATABASE ${MAINTENANCE_DATABASE} FROM PUBLIC`,
    'ALTER DATABASE postgres OWNER TO fleet_owner',
    'ALTER DATABASE template1 OWNER TO fleet_owner',
  ]);
}

/** How the app reaches such a server. `passwordSetting` names the app setting with its password. */
export const toAccess = (server: SuperuserAccess, passwordSetting: string): PostgresAccess => ({
  kind: 'postgres',
  host: server.host,
  port: server.port,
  maintenanceDatabase: MAINTENANCE_DATABASE,
  excludeDatabases: [],
  user: APP_USER,
  tls: 'verify-full',
  auth: { kind: 'setting', name: passwordSetting },
});

/** The databases of a server that take connections, asked through the maintenance database. */
export async function readOpenDatabases(server: SuperuserAccess): Promise<readonly string[]> {
  const client = new pg.Client({
    ...server,
    user: server.superuser,
    database: MAINTENANCE_DATABASE,
    ssl: { rejectUnauthorized: false },
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ datname: string }>(
      'SELECT datname FROM pg_database WHERE datallowconn AND datname <> $1 ORDER BY 1',
      [MAINTENANCE_DATABASE],
    );
    return rows.map((row) => row.datname);
  } finally {
    await client.end();
  }
}
