// Invariant I-05: revoke wins. Every order runs in one transaction under one lock of the server itself and is
// compared with the order on record there, so an older one changes nothing, however late its worker comes.
import type { Client } from 'pg';
import { DatabaseError } from 'pg';
import { ensureSchema, readRecord, writeRecord } from './schema.ts';

/** Held by whoever carries out an order; advisory locks are per database, and only the app gets into this one. */
export const ORDER_LOCK = 0x70_67_63_6d_6b; // "pgcmk"

export interface Order {
  readonly epoch: number;
  readonly desired: 'granted' | 'revoked';
}

export interface Overtaken {
  readonly kind: 'overtaken';
  readonly epoch: number;
}

/** Records `order` and runs `work`, both or neither; or finds the order overtaken and does neither. */
export async function runOrder<T>(
  client: Client,
  order: Order,
  work: () => Promise<T>,
): Promise<T | Overtaken> {
  // Read committed, whatever the role's default is: under repeatable read the snapshot would be taken before the
  // wait for the lock, and the newer order committed meanwhile wouldn't be seen.
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE');
  try {
    // `local`: with `on` a dead synchronous standby would hold up the commit, and with it the revocation, for ever.
    await client.query('SET LOCAL synchronous_commit = local');
    await client.query('SELECT pg_advisory_xact_lock($1)', [ORDER_LOCK]);
    await ensureSchema(client);
    const epoch = await findNewer(client, order);
    const result =
      epoch === undefined ? await record(client, order, work) : ({ kind: 'overtaken', epoch } as const);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // Only where the server answered: on a broken connection it rolls back by itself.
    if (error instanceof DatabaseError) await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

async function record<T>(client: Client, order: Order, work: () => Promise<T>): Promise<T> {
  await writeRecord(client, order);
  return work();
}

/**
 * The epoch on record, if it overtakes `order`. At the same epoch the same order is done again, and the opposite one
 * refused: an epoch stands for one desired access, so a restore can't undo a revoke that it doesn't come after.
 */
async function findNewer(client: Client, order: Order): Promise<number | undefined> {
  const onRecord = await readRecord(client);
  if (onRecord === undefined) return undefined;
  const newer = onRecord.epoch > order.epoch;
  const opposite = onRecord.epoch === order.epoch && onRecord.desired !== order.desired;
  return newer || opposite ? onRecord.epoch : undefined;
}
