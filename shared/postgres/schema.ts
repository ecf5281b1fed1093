// The record that the server itself keeps, in schema pgcmk of the maintenance database. It travels in the same WAL as
// the flags it explains, so neither a failover nor a point-in-time restore can separate them.
import { type Client, escapeIdentifier } from 'pg';
import { CmkError } from '../domain/errors.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';
import { rightsMissing } from './server-error.ts';

export interface AccessRecord {
  readonly epoch: number;
  readonly desired: 'granted' | 'revoked';
}

/** `foreign`: there, but not ours, so what it says can't be trusted. */
export type SchemaState =
  | { readonly kind: 'absent'; readonly mayCreate: boolean }
  | { readonly kind: 'foreign'; readonly owner: string }
  | { readonly kind: 'ours'; readonly complete: boolean };

export async function readSchemaState(client: Client): Promise<SchemaState> {
  const { rows } = await client.query<{
    may_create: boolean;
    owner: string | null;
    ours: boolean;
    tables: number;
  }>(
    `SELECT has_database_privilege(current_database(), 'CREATE') AS may_create, n.owner,
        coalesce(n.ours, false) AND coalesce(t.ours, true) AS ours, coalesce(t.tables, 0)::int AS tables
      FROM (VALUES (1)) AS one
      LEFT JOIN (SELECT oid, nspowner::regrole::text AS owner, pg_has_role(nspowner, 'USAGE') AS ours
        FROM pg_namespace WHERE nspname = 'pgcmk') AS n ON true
      LEFT JOIN (SELECT relnamespace, count(*) AS tables, bool_and(pg_has_role(relowner, 'USAGE') AND relkind = 'r') AS ours
        FROM pg_class WHERE relname IN ('access', 'closed_databases') GROUP BY relnamespace) AS t ON t.relnamespace = n.oid`,
  );
  const row = rows[0];
  if (row === undefined || row.owner === null) return { kind: 'absent', mayCreate: row?.may_create ?? false };
  if (!row.ours) return { kind: 'foreign', owner: row.owner };
  return { kind: 'ours', complete: row.tables === 2 };
}

/** What the app's role lacks to keep its record; undefined when it lacks nothing. */
export function describeSchemaRight(state: SchemaState, access: PostgresAccess): string | undefined {
  const user = escapeIdentifier(access.user);
  const database = escapeIdentifier(access.maintenanceDatabase);
  if (state.kind === 'absent' && !state.mayCreate) {
    return `${user} may not keep its record: GRANT CREATE ON DATABASE ${database} TO ${user}`;
  }
  if (state.kind === 'foreign') {
    return `${user} must own schema pgcmk of ${database} and its tables, which belong to others (schema: ${state.owner})`;
  }
  return undefined;
}

/** Creates what is missing. Only under the order lock: IF NOT EXISTS alone fails when two workers come at once. */
export async function ensureSchema(client: Client, access: PostgresAccess): Promise<void> {
  const state = await readSchemaState(client);
  const lacking = describeSchemaRight(state, access);
  if (lacking !== undefined) throw rightsMissing([lacking]);
  if (state.kind === 'absent') {
    await client.query(`
      CREATE SCHEMA pgcmk;
      COMMENT ON SCHEMA pgcmk IS 'pg-cmk: what was closed when the key was lost, to be reopened. Do not edit.'`);
  }
  if (state.kind === 'ours' && state.complete) return;
  await client.query(`
    CREATE TABLE IF NOT EXISTS pgcmk.access (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      epoch bigint NOT NULL CHECK (epoch >= 0),
      desired text NOT NULL CHECK (desired IN ('granted', 'revoked')),
      changed_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE IF NOT EXISTS pgcmk.closed_databases (
      oid oid PRIMARY KEY,
      name text NOT NULL,
      closed_at timestamptz NOT NULL DEFAULT now()
    )`);
}

/** The last order that was carried out; undefined where none ever was, or none can be read. */
export async function readRecord(client: Client): Promise<AccessRecord | undefined> {
  const state = await readSchemaState(client);
  if (state.kind !== 'ours' || !state.complete) return undefined;
  const { rows } = await client.query<{ epoch: string; desired: 'granted' | 'revoked' }>(
    'SELECT epoch, desired FROM pgcmk.access',
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  const epoch = Number(row.epoch);
  if (Number.isSafeInteger(epoch)) return { epoch, desired: row.desired };
  // The app counts from one: no order of its own could ever be newer than this.
  throw new CmkError(
    'ServerRightsMissing',
    `pgcmk.access names epoch ${row.epoch}, which is none of the app's`,
    {
      remedy:
        'See who wrote it. Then set it to the accessEpoch of the server: UPDATE pgcmk.access SET epoch = …;',
      detail: { missingRights: [] },
    },
  );
}

export async function writeRecord(client: Client, record: AccessRecord): Promise<void> {
  await client.query(
    `INSERT INTO pgcmk.access (epoch, desired) VALUES ($1, $2)
      ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch, desired = excluded.desired, changed_at = now()
      WHERE (access.epoch, access.desired) IS DISTINCT FROM (excluded.epoch, excluded.desired)`,
    [record.epoch, record.desired],
  );
}
