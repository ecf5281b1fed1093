// Which databases take connections, and the flag that decides it (pg_database.datallowconn). Databases are known by
// oid: a name may be given to another one at any time.
import type { Client } from 'pg';
import { CmkError } from '../domain/errors.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';

export interface Database {
  readonly oid: number;
  readonly name: string;
  readonly owner: string;
  readonly open: boolean;
  /** Whether the app's role may set its flag. */
  readonly ours: boolean;
}

const DATABASE = `d.oid, d.datname AS name, pg_get_userbyid(d.datdba) AS owner, d.datallowconn AS open,
  pg_has_role(d.datdba, 'USAGE') AS ours`;

/** Those that take connections, but for the maintenance database and the excluded ones. (-2: half dropped, takes none.) */
export async function listOpenDatabases(
  client: Client,
  access: PostgresAccess,
): Promise<readonly Database[]> {
  const { rows } = await client.query<Database>(
    `SELECT ${DATABASE} FROM pg_database AS d
      WHERE d.datallowconn AND d.datconnlimit <> -2
        AND d.datname <> current_database() AND d.datname::text <> ALL ($1::text[])
      ORDER BY d.datname`,
    [access.excludeDatabases],
  );
  return rows;
}

/** Those that a revoke has closed and that still exist, whatever has been done to them since. */
export async function listClosedByUs(client: Client): Promise<readonly Database[]> {
  const { rows } = await client.query<Database>(
    `SELECT ${DATABASE} FROM pgcmk.closed_databases AS c JOIN pg_database AS d ON d.oid = c.oid
      WHERE d.datconnlimit <> -2 ORDER BY d.datname`,
  );
  return rows;
}

/** Sets the flag of exactly these databases, inside the caller's transaction. */
export async function setAllowConnections(
  client: Client,
  oids: readonly number[],
  allowed: boolean,
): Promise<void> {
  if (oids.length === 0) return;
  // In one block on the server, which reads the name as it writes it: no name is quoted, or re-encoded, on its way here.
  await client.query(`DO $block$
    DECLARE name name;
    BEGIN
      FOR name IN SELECT datname FROM pg_catalog.pg_database WHERE oid = ANY ('{${oids.join(',')}}'::oid[]) LOOP
        EXECUTE pg_catalog.format('ALTER DATABASE %I WITH ALLOW_CONNECTIONS ${allowed}', name);
      END LOOP;
    END $block$`);
  // Invariant I-04: restoring is exact. A database may have been renamed under our hands; what this transaction has
  // changed is what it was to change, or nothing is.
  const { rows } = await client.query<{ oid: number }>(
    'SELECT oid FROM pg_database WHERE xmin = pg_current_xact_id()::xid AND datallowconn = $1',
    [allowed],
  );
  const changed = new Set(rows.map((row) => row.oid));
  if (changed.size !== oids.length || oids.some((oid) => !changed.has(oid))) {
    throw new CmkError(
      'ServerUnreachable',
      'Databases were renamed or dropped while their access was changed',
      {
        remedy: 'Nothing was changed. The order is tried again.',
        retryable: true,
      },
    );
  }
}
