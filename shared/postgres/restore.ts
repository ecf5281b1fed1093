// Giving access back (design 8): what a revoke closed, no more and no less.
import type { Client } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { RestoreOrder, RestoreOutcome } from '../ports/server-access.ts';
import { type Database, listClosedByUs, setAllowConnections } from './databases.ts';
import { describeMissingOwnership } from './missing-rights.ts';
import { runOrder } from './order-transaction.ts';
import { awaitPrimary } from './replica.ts';
import type { AccessRecord } from './schema.ts';
import { rightsMissing } from './server-error.ts';
import type { Timings } from './settings.ts';

/** @throws CmkError ServerRightsMissing, once all is reopened that the rights allow; the rest stays on the list */
export async function restoreOnPrimary(
  client: Client,
  access: PostgresAccess,
  order: RestoreOrder,
): Promise<RestoreOutcome> {
  const record: AccessRecord = { epoch: order.epoch, desired: 'granted' };
  const done = await runOrder(client, access, record, () => reopenDatabases(client));
  if ('kind' in done) return done;
  const unowned = describeMissingOwnership(done, access);
  if (unowned.length > 0) throw rightsMissing(unowned);
  return { kind: 'applied', reopened: done.map(({ name }) => name), role: 'primary' };
}

/** On a replica there is nothing to do but to see that the primary's restore has arrived. */
export async function restoreOnReplica(client: Client, timings: Timings): Promise<RestoreOutcome> {
  const isReopened = async (record: AccessRecord | undefined) =>
    record === undefined || (record.desired === 'granted' && (await listClosedByUs(client)).length === 0);
  const record = await awaitPrimary(client, isReopened, timings);
  if (record === undefined) return { kind: 'incomplete', reason: 'ReplicaLagging' };
  return { kind: 'applied', reopened: [], role: 'replica' };
}

/**
 * Invariant I-04: restoring is exact. Reopened is what is on the list and still exists, by oid: a database that the
 * DBA had closed, or made anew under an old name, isn't on it.
 */
async function reopenDatabases(client: Client): Promise<readonly Database[]> {
  const listed = await listClosedByUs(client);
  const oids = listed.filter(({ ours }) => ours).map(({ oid }) => oid);
  await setAllowConnections(client, oids, true);
  const kept = listed.filter(({ ours }) => !ours).map(({ oid }) => oid);
  await client.query('DELETE FROM pgcmk.closed_databases WHERE oid <> ALL ($1::oid[])', [kept]);
  return listed;
}
