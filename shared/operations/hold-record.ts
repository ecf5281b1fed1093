// What a hold is, and what is written down of one that was set or lifted, on a server or on a key.
import type { AuditRecord, Cause } from '../domain/audit.ts';
import { type Hold, isHeld } from '../domain/kek.ts';
import type { ServerRow } from '../domain/server.ts';
import type { OutboxEntry } from '../ports/kek-store.ts';
import { type RowChange, toOutbox } from './access-record.ts';

export const makeHold = (reason: string, by: string, since: Date): Hold => ({
  by,
  reason,
  since,
  until: null,
});

/** Whether nothing is left to change. A hold that ends by itself is not what an operator asked for. */
export const isAsked = (hold: Hold | null, reason: string | null, by: string): boolean =>
  reason === null ? hold === null : hold?.reason === reason && hold.by === by && hold.until === null;

/** A hold that had run out already was none: taking it off the row releases nothing. */
export function toHoldRecords(
  of: 'server' | 'kek',
  before: Hold | null,
  after: Hold | null,
  { at, cause, servers }: Pick<AuditRecord, 'at' | 'cause' | 'servers'>,
): readonly AuditRecord[] {
  const held = before !== null && isHeld(before, at) ? before : null;
  const detail = { before: held && { by: held.by, reason: held.reason, since: held.since } };
  const record = { at, cause, servers, versionBefore: null, versionAfter: null, detail };
  if (after !== null) return [{ ...record, action: `${of}.held`, reason: after.reason }];
  return held === null ? [] : [{ ...record, action: `${of}.released`, reason: held.reason }];
}

/** For a server's row, with the decision that goes with a hold; null where there is nothing to say. */
export function toHoldOutbox(change: RowChange, cause: Cause, at: Date): OutboxEntry | null {
  const { serverId, hold }: ServerRow = change.after;
  const records = toHoldRecords('server', change.before.hold, hold, { at, cause, servers: [serverId] });
  const audit = [...records, ...(toOutbox([change], cause, at)?.audit ?? [])];
  return audit.length === 0 ? null : { audit, events: [] };
}
