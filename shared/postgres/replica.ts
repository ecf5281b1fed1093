// A replica carries out no order: what its primary did arrives by WAL.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { type AccessRecord, readRecord } from './schema.ts';
import type { Timings } from './settings.ts';

const POLL_MS = 100;
const NONE: AccessRecord = { epoch: 0, desired: 'granted' };

export async function isReplica(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ replica: boolean }>('SELECT pg_is_in_recovery() AS replica');
  return rows[0]?.replica === true;
}

/**
 * Waits until what has arrived fulfils `isDone`; returns the record that came with it, or undefined when the time is
 * up. The record's epoch is the primary's, and doesn't compare with the replica's own orders.
 */
export async function awaitPrimary(
  client: Client,
  isDone: (record: AccessRecord | undefined) => Promise<boolean>,
  timings: Timings,
): Promise<AccessRecord | undefined> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const record = await readRecord(client);
    if (await isDone(record)) return record ?? NONE;
    if (waitedMs >= timings.replicaWaitMs) return undefined;
    await sleep(POLL_MS);
  }
}
