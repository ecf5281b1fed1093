// What is written down of a change of access: on the row, in the audit, and for the world.
import type { AuditRecord, Cause } from '../domain/audit.ts';
import type { OwnEvent } from '../domain/own-event.ts';
import { nextRetry } from '../domain/retry.ts';
import type { ServerRow } from '../domain/server.ts';
import type { OutboxEntry } from '../ports/kek-store.ts';
import type { Effect } from './perform-access.ts';

/** The row with the effect in it. */
export function withEffect(
  row: ServerRow,
  effect: Exclude<Effect, { readonly kind: 'overtaken' }>,
  now: Date,
): ServerRow {
  if (effect.kind === 'failed') {
    const failure = { ...nextRetry(row.failure, effect.message, now), reason: effect.reason };
    return { ...row, failure, sessionsOpen: effect.sessionsOpen ?? row.sessionsOpen };
  }
  const { applied, sessionsOpen } = effect;
  const appliedAt = applied === row.applied ? row.appliedAt : now;
  return { ...row, applied, appliedAt, sessionsOpen, inspectedAt: now, failure: null };
}

export interface RowChange {
  readonly before: ServerRow;
  readonly after: ServerRow;
}

/** Audit and events for what changed; null where nothing did that anybody needs to know. */
export function toOutbox(
  changes: readonly RowChange[],
  cause: Cause,
  at: Date,
  effect?: Effect,
): OutboxEntry | null {
  const record = (
    action: AuditRecord['action'],
    { row, servers }: AlikeRows,
    reason: string | null,
    detail: Readonly<Record<string, unknown>>,
  ): AuditRecord => {
    const version = row.wrapped.kekVersion;
    return { at, action, cause, servers, versionBefore: version, versionAfter: version, reason, detail };
  };
  const decided = changes.filter(
    ({ before, after }) => before.desired !== after.desired || before.desiredReason !== after.desiredReason,
  );
  const applied = changes.filter(({ before, after }) => before.applied !== after.applied);
  const failed = changes.flatMap(({ before, after: row }) =>
    row.failure !== null && before.failure?.reason !== row.failure.reason
      ? [{ row, servers: [row.serverId], failure: row.failure }]
      : [],
  );
  const detail = effect?.kind === 'done' ? effect.detail : {};
  const repaired = applied.length === 0 && isRepair(effect) ? changes : [];
  const audit = [
    ...groupAlike(decided, (row) => `${row.desired} ${row.desiredReason}`).map((group) =>
      record('server.accessDecided', group, group.row.desiredReason, { desired: group.row.desired }),
    ),
    ...groupAlike([...applied, ...repaired], (row) => `${row.applied} ${row.desiredReason}`).map((group) =>
      record('server.accessApplied', group, group.row.desiredReason, {
        applied: group.row.applied,
        ...detail,
        ...(repaired.length > 0 ? { repaired: true } : {}),
      }),
    ),
    ...failed.map((one) =>
      record('server.accessFailed', one, one.failure.reason, { message: one.failure.message }),
    ),
  ];
  const events = applied.map(({ after }) => toEvent(after, at));
  return audit.length === 0 ? null : { audit, events };
}

/** Rows of which one record says all there is to say: `row` stands for them. */
interface AlikeRows {
  readonly row: ServerRow;
  readonly servers: readonly string[];
}

function groupAlike(changes: readonly RowChange[], by: (row: ServerRow) => string): readonly AlikeRows[] {
  const groups = new Map<string, { readonly row: ServerRow; readonly servers: string[] }>();
  for (const { after: row } of changes) {
    const key = `${row.wrapped.kekVersion} ${by(row)}`;
    const group = groups.get(key) ?? { row, servers: [] };
    group.servers.push(row.serverId);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** Whether an inspection found something to do: a database that was opened or made since. */
const isRepair = (effect: Effect | undefined): boolean => {
  if (effect?.kind !== 'done') return false;
  const { reopened, sessionsEnded } = effect.detail;
  return (
    (Array.isArray(reopened) && reopened.length > 0) ||
    (typeof sessionsEnded === 'number' && sessionsEnded > 0)
  );
};

function toEvent(row: ServerRow, time: Date): OwnEvent {
  const type = row.applied === 'revoked' ? 'PgCmk.ServerInaccessible' : 'PgCmk.ServerReady';
  const { serverId, accessEpoch, desiredReason: reason } = row;
  return {
    id: `${serverId}:${accessEpoch}`,
    type,
    subject: serverId,
    time,
    data: { serverId, reason, accessEpoch },
  };
}
