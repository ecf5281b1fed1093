// What the app's role lacks, each as a sentence that a DBA can act on. Rights are asked for as PostgreSQL itself
// checks them: USAGE of a role, which a membership WITH INHERIT FALSE doesn't give.
import { type Client, escapeIdentifier } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { Database } from './databases.ts';
import { describeSchemaRight, readSchemaState } from './schema.ts';

/** `databases`: those to be closed and those to be reopened. */
export async function readMissingRights(
  client: Client,
  access: PostgresAccess,
  databases: readonly Database[],
): Promise<readonly string[]> {
  const schema = describeSchemaRight(await readSchemaState(client), access);
  return [
    ...(schema === undefined ? [] : [schema]),
    ...(await readMissingSignalRight(client, access)),
    ...describeMissingOwnership(databases, access),
  ];
}

/** Not a right, but as bad as one too many: whoever gets into this database is never locked out. */
export async function readPublicConnect(client: Client, access: PostgresAccess): Promise<string | null> {
  const { rows } = await client.query(
    `SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
      WHERE datname = current_database() AND acl.grantee = 0 AND acl.privilege_type = 'CONNECT'`,
  );
  const database = escapeIdentifier(access.maintenanceDatabase);
  return rows.length === 0
    ? null
    : `anyone may connect to the maintenance database: REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`;
}

export async function readMissingSignalRight(
  client: Client,
  access: PostgresAccess,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ may: boolean }>(
    "SELECT pg_has_role('pg_signal_backend', 'USAGE') AS may",
  );
  const user = escapeIdentifier(access.user);
  return rows[0]?.may === true ? [] : [`${user} may not end sessions: GRANT pg_signal_backend TO ${user}`];
}

/** Those of `databases` whose flag the app may not set. */
export function describeMissingOwnership(
  databases: readonly Database[],
  access: PostgresAccess,
): readonly string[] {
  const user = escapeIdentifier(access.user);
  return databases
    .filter(({ ours }) => !ours)
    .map(({ name, owner }) => {
      const database = escapeIdentifier(name);
      return `${user} may not close or reopen ${database}: GRANT ${escapeIdentifier(owner)} TO ${user}, or ALTER DATABASE ${database} OWNER TO ${user}, or list it in excludeDatabases`;
    });
}
