// Takes access to servers away, or gives it back, as their KEK says now (design 6 and 8).
import type { AuditRecord, Cause } from '../domain/audit.ts';
import {
  decideAccess,
  decideAccessWork,
  type InspectionPeriods,
  withDecision,
} from '../domain/decide-server.ts';
import { describeError, type ErrorCode, isCmkError } from '../domain/errors.ts';
import type { KekSnapshot } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { isOvertaken, RANGE_SERVERS, type RangeMessage } from '../domain/message.ts';
import type { OwnEvent } from '../domain/own-event.ts';
import type { ServerReason } from '../domain/reason.ts';
import { nextRetry, retryDelaySeconds } from '../domain/retry.ts';
import type { ServerRow } from '../domain/server.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { KekStore, OutboxEntry } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { ServerAccess } from '../ports/server-access.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { mapBounded } from './bounded.ts';
import { onConflict } from './on-conflict.ts';
import { toSnapshot } from './snapshot.ts';

export interface ApplyAccessDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
  readonly access: ServerAccess;
  readonly clock: Clock;
  readonly log: Log;
  readonly rules: { readonly inspection: InspectionPeriods };
}

const SERVERS_AT_A_TIME = 16;

/**
 * Decides for the whole range first, in one transaction, then acts on each server by itself: one that fails is noted
 * on its row and gets a message of its own, and spoils nothing for the others.
 * @throws CmkError StoreUnavailable: the queue delivers the range again
 */
export function makeApplyServerAccess(deps: ApplyAccessDeps): (message: RangeMessage) => Promise<void> {
  return async (message) => {
    let after: string | null = null;
    do {
      const page = await deps.servers.page(message.kek, {
        after,
        from: message.from,
        to: message.to,
        limit: RANGE_SERVERS,
      });
      for (const held of page.held) deps.log.write('error', 'a server row does not parse: held', { ...held });
      const snapshot = await readKek(deps, message.kek);
      if (snapshot === undefined || isOvertaken(message, snapshot.kek.fannedOutEpoch)) return;
      await decideRange(deps, message, snapshot, page.rows);
      const now = deps.clock.now();
      const due = page.rows.filter(({ value }) =>
        isOnServer(value, snapshot, now, deps.rules.inspection, message.attempt),
      );
      await mapBounded(due, SERVERS_AT_A_TIME, ({ value }) => applyOne(deps, message, value.serverId));
      after = page.next;
    } while (after !== null);
  };
}

/** Whether there is work on the server itself, once its row says what the KEK says. */
function isOnServer(
  row: ServerRow,
  snapshot: KekSnapshot,
  now: Date,
  periods: InspectionPeriods,
  attempt: number | null,
): boolean {
  if (row.access.kind === 'none') return false;
  const decided = withDecision(row, decideAccess(row, snapshot), now);
  return decideAccessWork(decided, now, periods, decided.failure === null ? null : attempt) !== 'none';
}

/**
 * Invariant I-11: the KEK is read after the server rows that it decides about. A decision from an older look at the
 * KEK then meets a row that a later decision has changed, and its write fails.
 */
async function readKek(deps: ApplyAccessDeps, kek: KekId): Promise<KekSnapshot | undefined> {
  const stored = await deps.keks.read(kek);
  return stored === undefined ? undefined : toSnapshot(stored);
}

async function decideRange(
  deps: ApplyAccessDeps,
  message: RangeMessage,
  snapshot: KekSnapshot,
  rows: readonly Stored<ServerRow>[],
): Promise<void> {
  const decide = (stored: readonly Stored<ServerRow>[], kek: KekSnapshot) => {
    const now = deps.clock.now();
    return stored.flatMap((one) => {
      const next = decideRow(one.value, kek, now);
      return next === one.value ? [] : [{ before: one, next }];
    });
  };
  const commit = async (changes: ReturnType<typeof decide>) => {
    if (changes.length === 0) return;
    const writes = changes.map(({ before, next }) => ({ value: next, etag: before.etag, history: null }));
    const pairs = changes.map(({ before, next }) => ({ before: before.value, after: next }));
    await deps.servers.commit(message.kek, writes, toOutbox(pairs, message.cause, deps.clock.now()));
  };
  try {
    await commit(decide(rows, snapshot));
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
    await mapBounded(rows, SERVERS_AT_A_TIME, ({ value }) =>
      onConflict(async () => {
        const fresh = await deps.servers.read(message.kek, value.serverId);
        const kek = await readKek(deps, message.kek);
        if (fresh !== undefined && kek !== undefined) await commit(decide([fresh], kek));
      }),
    );
  }
}

/** The row as it should be; for a server that has nothing but its DEK, the decision is the effect too. */
function decideRow(row: ServerRow, snapshot: KekSnapshot, now: Date): ServerRow {
  if (row.incoming || row.tombstone) return row;
  const decided = withDecision(row, decideAccess(row, snapshot), now);
  const waits = decided.desired === 'granted' && decided.desiredReason === 'KeyNotProven';
  if (row.access.kind !== 'none' || decided.applied === decided.desired || waits) return decided;
  return { ...decided, applied: decided.desired, appliedAt: now };
}

async function applyOne(deps: ApplyAccessDeps, message: RangeMessage, serverId: string): Promise<void> {
  const stored = await deps.servers.read(message.kek, serverId);
  if (stored === undefined || stored.value.access.kind === 'none') return;
  const row = stored.value;
  const now = deps.clock.now();
  const attempt = row.failure === null ? null : message.attempt;
  const work = decideAccessWork(row, now, deps.rules.inspection, attempt);
  if (work === 'none') return;
  const effect = await perform(deps, row, stored.value.access, work, now);
  if (effect.kind === 'overtaken') return raiseEpoch(deps, message, row, effect.epoch);
  await recordEffect(deps, message, row, effect);
}

type Effect =
  | {
      readonly kind: 'done';
      readonly applied: ServerRow['applied'];
      readonly sessionsOpen: number;
      readonly detail: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'overtaken'; readonly epoch: number }
  | {
      readonly kind: 'failed';
      readonly reason: ServerReason;
      readonly message: string;
      readonly sessionsOpen: number | null;
    };

const REASON_OF: Readonly<Partial<Record<ErrorCode, ServerReason>>> = {
  ServerUnreachable: 'ServerUnreachable',
  ServerTlsFailed: 'ServerTlsFailed',
  ServerAuthFailed: 'ServerAuthFailed',
  SecretSettingMissing: 'ServerAuthFailed',
  ServerRightsMissing: 'ServerRightsMissing',
};

async function perform(
  deps: ApplyAccessDeps,
  row: ServerRow,
  access: PostgresAccess,
  work: 'revoke' | 'restore',
  now: Date,
): Promise<Effect> {
  try {
    return await (work === 'revoke'
      ? revoke(deps.access, row, access, now)
      : restore(deps.access, row, access));
  } catch (error) {
    const reason = (isCmkError(error) ? REASON_OF[error.code] : undefined) ?? 'AccessNotApplied';
    return { kind: 'failed', reason, message: describeError(error), sessionsOpen: null };
  }
}

async function revoke(
  port: ServerAccess,
  row: ServerRow,
  access: PostgresAccess,
  now: Date,
): Promise<Effect> {
  const policy = row.keyLossPolicy === 'alertOnly' ? 'terminate' : row.keyLossPolicy;
  const endSessions = policy === 'terminate' || (row.drainUntil !== null && now >= row.drainUntil);
  const outcome = await port.revoke(access, {
    serverId: row.serverId,
    epoch: row.accessEpoch,
    policy,
    endSessions,
  });
  if (outcome.kind === 'overtaken') return outcome;
  const { sessionsOpen, sessionsEnded } = outcome;
  if (outcome.kind === 'incomplete') {
    return {
      kind: 'failed',
      reason: outcome.reason,
      message: `${sessionsOpen} sessions are left`,
      sessionsOpen,
    };
  }
  const draining = policy === 'drain' && !endSessions && sessionsOpen > 0;
  const { closed, role } = outcome;
  return {
    kind: 'done',
    applied: draining ? row.applied : 'revoked',
    sessionsOpen,
    detail: { closed, sessionsEnded, role },
  };
}

async function restore(port: ServerAccess, row: ServerRow, access: PostgresAccess): Promise<Effect> {
  const outcome = await port.restore(access, { serverId: row.serverId, epoch: row.accessEpoch });
  if (outcome.kind === 'overtaken') return outcome;
  if (outcome.kind === 'incomplete') {
    return {
      kind: 'failed',
      reason: outcome.reason,
      message: 'the flags have not arrived',
      sessionsOpen: null,
    };
  }
  const { reopened, role } = outcome;
  return { kind: 'done', applied: 'granted', sessionsOpen: 0, detail: { reopened, role } };
}

/**
 * The server has seen a newer order than this row's. Either the row has moved on, and this order is simply late; or
 * the row is behind its server (a table that was restored, a server registered anew), and takes up its numbering.
 */
async function raiseEpoch(
  deps: ApplyAccessDeps,
  message: RangeMessage,
  row: ServerRow,
  epoch: number,
): Promise<void> {
  await onConflict(async () => {
    const fresh = await deps.servers.read(message.kek, row.serverId);
    if (fresh === undefined || fresh.value.accessEpoch !== row.accessEpoch) return;
    const value = { ...fresh.value, accessEpoch: epoch + 1, inspectedAt: null };
    await deps.servers.commit(message.kek, [{ value, etag: fresh.etag, history: null }], null);
    await deps.queue.enqueueAccess([{ ...message, from: row.serverId, to: row.serverId }]);
  });
}

/** An effect is recorded only on the order that it was for: a row that has moved on is left to its own worker. */
async function recordEffect(
  deps: ApplyAccessDeps,
  message: RangeMessage,
  row: ServerRow,
  effect: Exclude<Effect, { readonly kind: 'overtaken' }>,
): Promise<void> {
  const written = await onConflict(async () => {
    const fresh = await deps.servers.read(message.kek, row.serverId);
    if (fresh === undefined || fresh.value.accessEpoch !== row.accessEpoch) return null;
    const now = deps.clock.now();
    const value = withEffect(fresh.value, effect, now);
    const outbox = toOutbox([{ before: fresh.value, after: value }], message.cause, now, effect);
    await deps.servers.commit(message.kek, [{ value, etag: fresh.etag, history: null }], outbox);
    return value;
  });
  if (written?.failure == null) return;
  const { attempt } = written.failure;
  const retry = { ...message, from: row.serverId, to: row.serverId, attempt };
  await deps.queue.enqueueAccess([retry], retryDelaySeconds(attempt));
}

function withEffect(
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

interface RowChange {
  readonly before: ServerRow;
  readonly after: ServerRow;
}

/** Audit and events for what changed; null where nothing did that anybody needs to know. */
function toOutbox(
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
