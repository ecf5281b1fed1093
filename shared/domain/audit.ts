// Audit records and the hash chain that they are moved into, one chain a KEK (design 10).
import { createHash } from 'node:crypto';

/** What made the app look. */
export type Cause =
  | { readonly kind: 'event'; readonly id: string; readonly type: string }
  /** A record of the vault's audit log; `by` is who did it, as the log names them. */
  | { readonly kind: 'auditLog'; readonly id: string; readonly operation: string; readonly by: string | null }
  | { readonly kind: 'probe' }
  | { readonly kind: 'sweep' }
  | { readonly kind: 'operator'; readonly by: string }
  /** The app's own follow-up: a second look, a retry, a range of a fan-out. */
  | { readonly kind: 'followUp'; readonly of: string };

export type AuditAction =
  | 'kek.registered'
  | 'kek.verdict'
  | 'kek.target'
  | 'kek.rotation'
  | 'kek.nearExpiry'
  | 'kek.degraded'
  | 'server.registered'
  | 'server.rewrapped'
  | 'server.proven'
  | 'server.rewrapFailed'
  | 'server.accessDecided'
  | 'server.accessApplied'
  | 'server.accessFailed'
  | 'kek.held'
  | 'kek.released'
  | 'kek.policyChanged'
  | 'kek.versionRetired'
  | 'server.held'
  | 'server.released'
  | 'server.deleted'
  | 'server.purged'
  | 'server.moved'
  | 'server.copied'
  | 'server.drilled'
  | 'server.principalChanged'
  | 'dek.released'
  | 'dek.refused'
  | 'breaker.cleared'
  | 'input.rejected'
  | 'message.poisoned';

/** One decision or one effect. Holds ids only, never a DEK, a token or a ciphertext. */
export interface AuditRecord {
  readonly at: Date;
  readonly action: AuditAction;
  readonly cause: Cause;
  readonly servers: readonly string[];
  readonly versionBefore: string | null;
  readonly versionAfter: string | null;
  readonly reason: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** A record in its chain; `hash` covers everything else, the hash before it and the chain's name included. */
export interface ChainedRecord {
  readonly sequence: number;
  /** The outbox row that it came from: the same row is never chained twice. */
  readonly outboxId: string;
  readonly previousHash: string;
  readonly hash: string;
  /** The record as JSON, byte for byte what was hashed. */
  readonly body: string;
}

/** The hash before the first record, of every chain. */
export const CHAIN_START = '0'.repeat(64);

/** No part of a record that the app makes has a line break, so each text is that of one record only. */
const hashOf = (
  chain: string,
  { sequence, outboxId, previousHash, body }: Omit<ChainedRecord, 'hash'>,
): string =>
  createHash('sha256')
    .update(`pg-cmk/audit-1\n${chain}\n${sequence}\n${outboxId}\n${previousHash}\n${body}`)
    .digest('hex');

/**
 * The record that follows `tail` in the chain of that name; `tail` is null for the first. The name is in every hash,
 * not in the first only: a part of a chain, too, can't be given out for part of another.
 */
export function chainRecord(
  chain: string,
  tail: Pick<ChainedRecord, 'sequence' | 'hash'> | null,
  outboxId: string,
  body: string,
): ChainedRecord {
  const record = {
    sequence: (tail?.sequence ?? 0) + 1,
    outboxId,
    previousHash: tail?.hash ?? CHAIN_START,
    body,
  };
  return { ...record, hash: hashOf(chain, record) };
}

/** The sequence number of the first that doesn't follow from the one before in `chain`; null if all of them do. */
export function findBrokenRecord(chain: string, records: Iterable<ChainedRecord>): number | null {
  let tail: ChainedRecord | null = null;
  for (const record of records) {
    const expected = chainRecord(chain, tail, record.outboxId, record.body);
    if (record.sequence !== expected.sequence || record.hash !== expected.hash) return record.sequence;
    if (record.previousHash !== expected.previousHash) return record.sequence;
    tail = record;
  }
  return null;
}
