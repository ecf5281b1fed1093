// Invariant I-05: revoke wins. Every order runs in one transaction under one lock of the server itself and is
// compared with the order on record there, so an older one changes nothing, however late its worker comes.
import { type Client, DatabaseError } from 'pg';
import type { PostgresAccess } from '../domain/server-spec.ts';
import { type AccessRecord, ensureSchema, readRecord, writeRecord } from './schema.ts';

/** Held by whoever carries out an order. Advisory locks are per database, and only the app gets into this one. */
export const ORDER_LOCK = 0x70_67_63_6d_6b; // "pgcmk"

export interface Overtaken {
  readonly kind: 'overtaken';
  readonly epoch: number;
}

/** Records `order` and runs `work`, both or neither; or finds the order overtaken and does neither. */
export async function runOrder<T>(
  client: Client,
  access: PostgresAccess,
  order: AccessRecord,
  work: () => Promise<T>,
): Promise<T | Overtaken> {
  // Read committed, whatever the role's default is: under repeatable read the snapshot would be taken before the
  // wait for the lock, and a newer order committed meanwhile wouldn't be seen.
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE');
  try {
    // `local`: with `on`, a dead synchronous standby would hold up the commit, and so the revocation, for ever.
    await client.query('SET LOCAL synchronous_commit = local');
    await client.query('SELECT pg_advisory_xact_lock($1)', [ORDER_LOCK]);
    await ensureSchema(client, access);
    const overtaken = findNewer(await readRecord(client), order);
    const result = overtaken ?? (await record(client, order, work));
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // pg's own errors mean a broken connection, where the server rolls back by itself.
    if (error instanceof DatabaseError) await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

async function record<T>(client: Client, order: AccessRecord, work: () => Promise<T>): Promise<T> {
  await writeRecord(client, order);
  return work();
}

/**
 * What overtakes `order`: anything newer, and the opposite at the same epoch. An epoch stands for one desired access,
 * so a restore never undoes a revoke that it doesn't come after. The same order again is done again.
 */
function findNewer(onRecord: AccessRecord | undefined, order: AccessRecord): Overtaken | undefined {
  if (onRecord === undefined || onRecord.epoch < order.epoch) return undefined;
  if (onRecord.epoch === order.epoch && onRecord.desired === order.desired) return undefined;
  return { kind: 'overtaken', epoch: onRecord.epoch };
}
