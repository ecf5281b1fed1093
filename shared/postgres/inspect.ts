// What the server itself says about access to it. Nothing is changed by asking, and a schema that isn't there yet
// isn't made.
import type { Client } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { AccessInspection } from '../ports/server-access.ts';
import { listClosedByUs, listOpenDatabases } from './databases.ts';
import { readMissingRights, readPublicConnect } from './missing-rights.ts';
import { isReplica } from './replica.ts';
import { readRecord } from './schema.ts';
import { listSessions } from './sessions.ts';

export async function inspect(client: Client, access: PostgresAccess): Promise<AccessInspection> {
  // One snapshot: an order that is carried out meanwhile is seen whole or not at all.
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const record = await readRecord(client);
  const open = await listOpenDatabases(client, access);
  const publicConnect = await readPublicConnect(client, access);
  const closedByUs = record === undefined ? [] : await listClosedByUs(client);
  const inspection: AccessInspection = {
    role: (await isReplica(client)) ? 'replica' : 'primary',
    epoch: record?.epoch ?? 0,
    desired: record?.desired ?? 'granted',
    openDatabases: open.map(({ name }) => name),
    closedByUs: closedByUs.map(({ name }) => name),
    excludedDatabases: access.excludeDatabases,
    sessionsOpen: (await listSessions(client, access)).length,
    ...(await countHidden(client)),
    missingRights: [
      ...(publicConnect === null ? [] : [publicConnect]),
      ...(await readMissingRights(client, access, [...open, ...closedByUs.filter((one) => !one.open)])),
    ],
    publicConnect,
  };
  await client.query('COMMIT');
  return inspection;
}

/** What outlives the end of every session: neither is ended by a revoke. */
async function countHidden(client: Client) {
  const { rows } = await client.query<{ prepared: number; slots: number }>(
    `SELECT (SELECT count(*)::int FROM pg_prepared_xacts) AS prepared,
      (SELECT count(*)::int FROM pg_replication_slots) AS slots`,
  );
  return { preparedTransactions: rows[0]?.prepared ?? 0, replicationSlots: rows[0]?.slots ?? 0 };
}
