// Taking access away (design 8): flags first, then sessions, then a second look.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { RevokeOrder, RevokeOutcome } from '../ports/server-access.ts';
import { type Database, listClosedByUs, listOpenDatabases, setAllowConnections } from './databases.ts';
import { describeMissingOwnership, readMissingSignalRight } from './missing-rights.ts';
import { type Overtaken, runOrder } from './order-transaction.ts';
import { awaitPrimary } from './replica.ts';
import { type AccessRecord, readRecord } from './schema.ts';
import { rightsMissing } from './server-error.ts';
import { listSessions, type Session, signalSessions } from './sessions.ts';
import type { Timings } from './settings.ts';

/** @throws CmkError ServerRightsMissing, once all is done that the rights allow */
export async function revokeOnPrimary(
  client: Client,
  access: PostgresAccess,
  order: RevokeOrder,
  timings: Timings,
): Promise<RevokeOutcome> {
  const record: AccessRecord = { epoch: order.epoch, desired: 'revoked' };
  const close = () => runOrder(client, access, record, () => closeDatabases(client, access));
  const refused = await close();
  if (refused !== undefined) return refused;
  const found = await settle(client, access, record, { ends: endsSessions(order), close, timings });
  if (found.kind === 'overtaken') return found;
  const unowned = describeMissingOwnership(found.open, access);
  if (unowned.length > 0) throw rightsMissing(unowned);
  return conclude(client, access, order, found, 'primary');
}

/** On a replica ALTER DATABASE fails, and the flags come from the primary by WAL, together with its record. */
export async function revokeOnReplica(
  client: Client,
  access: PostgresAccess,
  order: RevokeOrder,
  timings: Timings,
): Promise<RevokeOutcome> {
  const isClosed = async (record: AccessRecord | undefined) =>
    record?.desired === 'revoked' && (await listOpenDatabases(client, access)).length === 0;
  const record = await awaitPrimary(client, isClosed, timings);
  if (record === undefined) {
    const { length } = await listSessions(client, access);
    return { kind: 'incomplete', reason: 'ReplicaLagging', sessionsEnded: 0, sessionsOpen: length };
  }
  const close = async () => undefined;
  const found = await settle(client, access, record, { ends: endsSessions(order), close, timings });
  if (found.kind === 'overtaken') return found;
  if (found.open.length > 0) {
    const counts = { sessionsEnded: found.sessionsEnded, sessionsOpen: found.sessions.length };
    return { kind: 'incomplete', reason: 'ReplicaLagging', ...counts };
  }
  return conclude(client, access, order, found, 'replica');
}

function endsSessions(order: RevokeOrder): boolean {
  return order.policy === 'terminate' || (order.policy === 'drain' && order.endSessions);
}

/**
 * Invariant I-04: revoking destroys nothing. What is closed is written down in the transaction that closes it, and
 * no revoke takes anything off that list. One database that may not be closed doesn't keep the others open: it is
 * left out here, and told of at the end.
 */
async function closeDatabases(client: Client, access: PostgresAccess): Promise<undefined> {
  const oids = (await listOpenDatabases(client, access)).filter(({ ours }) => ours).map(({ oid }) => oid);
  await client.query(
    `INSERT INTO pgcmk.closed_databases (oid, name)
      SELECT oid, datname FROM pg_database WHERE oid = ANY ($1::oid[])
      ON CONFLICT (oid) DO UPDATE SET name = excluded.name`,
    [oids],
  );
  await setAllowConnections(client, oids, false);
}

interface Found {
  readonly kind: 'found';
  /** Whether the last looks found nothing that the app can do. */
  readonly quiet: boolean;
  readonly open: readonly Database[];
  readonly sessions: readonly Session[];
  readonly sessionsEnded: number;
}

/**
 * Looks until it has found nothing to do twice, `verifyGapMs` apart (a backend that passed the flag just before the
 * commit shows itself a little later), and does what it finds: closes what was created or reopened meanwhile, and
 * ends sessions. A session in a database that may not be closed is ended too, but would come back for ever.
 */
async function settle(
  client: Client,
  access: PostgresAccess,
  record: AccessRecord,
  how: {
    readonly ends: boolean;
    readonly close: () => Promise<Overtaken | undefined>;
    readonly timings: Timings;
  },
): Promise<Found | Overtaken> {
  const { verifyGapMs, maxRounds } = how.timings;
  const ended = new Set<number>();
  for (let round = 1, quietRounds = 0; ; round += 1) {
    const now = await readRecord(client);
    if (now?.epoch !== record.epoch || now.desired !== record.desired) {
      return { kind: 'overtaken', epoch: now?.epoch ?? record.epoch };
    }
    const open = await listOpenDatabases(client, access);
    const sessions = await listSessions(client, access);
    const closable = open.some(({ ours }) => ours);
    const busy = closable || (how.ends && sessions.some(({ endable, closed }) => endable && closed));
    quietRounds = busy ? 0 : quietRounds + 1;
    const quiet = quietRounds === (how.ends ? 2 : 1);
    if (quiet || round === maxRounds)
      return { kind: 'found', quiet, open, sessions, sessionsEnded: ended.size };
    if (closable) {
      const refused = await how.close();
      if (refused !== undefined) return refused;
    }
    if (how.ends && sessions.length > 0) {
      for (const pid of await signalSessions(client, access, record)) ended.add(pid);
    }
    await sleep(busy ? Math.min(verifyGapMs, 10 * 2 ** round, 500) : verifyGapMs);
  }
}

async function conclude(
  client: Client,
  access: PostgresAccess,
  order: RevokeOrder,
  found: Found,
  role: 'primary' | 'replica',
): Promise<RevokeOutcome> {
  const { sessionsEnded } = found;
  const sessionsOpen = found.sessions.length;
  if (!found.quiet || (endsSessions(order) && sessionsOpen > 0)) {
    const unsignalled = await readMissingSignalRight(client, access);
    if (unsignalled.length > 0) throw rightsMissing(unsignalled);
    return { kind: 'incomplete', reason: 'SessionNotEndable', sessionsEnded, sessionsOpen };
  }
  const closed = (await listClosedByUs(client)).filter(({ open }) => !open).map(({ name }) => name);
  return { kind: 'applied', closed, sessionsEnded, sessionsOpen, role };
}
