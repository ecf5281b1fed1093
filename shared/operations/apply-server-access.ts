import {
  decideAccess,
  decideAccessWork,
  type InspectionPeriods,
  withDecision,
} from '../domain/decide-server.ts';
import { isCmkError } from '../domain/errors.ts';
import type { KekSnapshot } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { makeLane } from '../domain/lane.ts';
import { revocationLatencyMs } from '../domain/latency.ts';
import { isOvertaken, RANGE_SERVERS, type RangeMessage, toLook } from '../domain/message.ts';
import { retryDelaySeconds } from '../domain/retry.ts';
import type { ServerRow } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { ServerAccess } from '../ports/server-access.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { Meter } from '../ports/telemetry.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { toOutbox, withEffect } from './access-record.ts';
import { answersHere } from './answers-here.ts';
import { mapBounded } from './bounded.ts';
import { onConflict } from './on-conflict.ts';
import { type Effect, performAccess } from './perform-access.ts';
import { pagesOf } from './server-pages.ts';
import { toSnapshot } from './snapshot.ts';

export interface ApplyAccessDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly queue: WorkQueue;
  readonly access: ServerAccess;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly rules: { readonly inspection: InspectionPeriods };
}

/** Of what the tables are asked, a range. */
const SERVERS_AT_A_TIME = 16;
/**
 * Of this process, whatever its ranges: an order waits at its server more than it works. Of a range alone, all servers
 * are ordered at once, so that the last isn't denied later than the first.
 */
const ORDERS_AT_A_TIME = 192;

/**
 * Decides for the whole range first, in one transaction, then acts on each server by itself: one that fails is noted
 * on its row and gets a message of its own, and spoils nothing for the others.
 * @throws CmkError StoreUnavailable: the queue delivers the range again
 */
export function makeApplyServerAccess(deps: ApplyAccessDeps): (message: RangeMessage) => Promise<void> {
  const orders = makeLane(ORDERS_AT_A_TIME);
  return async (message) => {
    for await (const page of pagesOf(deps.servers, message.kek, RANGE_SERVERS, message)) {
      for (const held of page.held) deps.log.write('error', 'a server row does not parse: held', { ...held });
      const rows = await keepAnswering(deps, page.rows);
      const snapshot = await readKek(deps, message.kek);
      if (snapshot === undefined || isOvertaken(message, snapshot.kek.fannedOutEpoch)) return;
      await decideRange(deps, message, snapshot, rows);
      const now = deps.clock.now();
      const due = rows.filter(({ value }) =>
        isOnServer(value, snapshot, now, deps.rules.inspection, message.attempt),
      );
      await mapBounded(due, due.length, ({ value }) =>
        orders.run(() => applyOne(deps, message, snapshot, value.serverId)),
      );
    }
  };
}

/** Those that answer for their servers. One that is moving may have been left: its new KEK decides from then on. */
async function keepAnswering(
  { index }: ApplyAccessDeps,
  rows: readonly Stored<ServerRow>[],
): Promise<readonly Stored<ServerRow>[]> {
  const here = await mapBounded(rows, SERVERS_AT_A_TIME, ({ value }) => answersHere(index, value));
  return rows.filter((_, position) => here[position]);
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
  const decided = withDecision(row, decideAccess(row, snapshot, now), now);
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
        const rows = fresh === undefined ? [] : await keepAnswering(deps, [fresh]);
        const kek = await readKek(deps, message.kek);
        if (rows.length > 0 && kek !== undefined) await commit(decide(rows, kek));
      }),
    );
  }
}

/** The row as it should be; for a server that has nothing but its DEK, the decision is the effect too. */
function decideRow(row: ServerRow, snapshot: KekSnapshot, now: Date): ServerRow {
  if (row.incoming || row.tombstone) return row;
  const decided = withDecision(row, decideAccess(row, snapshot, now), now);
  const waits = decided.desired === 'granted' && decided.desiredReason === 'KeyNotProven';
  if (row.access.kind !== 'none' || decided.applied === decided.desired || waits) return decided;
  return { ...decided, applied: decided.desired, appliedAt: now };
}

async function applyOne(
  deps: ApplyAccessDeps,
  message: RangeMessage,
  snapshot: KekSnapshot,
  serverId: string,
): Promise<void> {
  const stored = await deps.servers.read(message.kek, serverId);
  if (stored === undefined || stored.value.access.kind === 'none') return;
  if (!(await answersHere(deps.index, stored.value))) return;
  const row = stored.value;
  const now = deps.clock.now();
  const attempt = row.failure === null ? null : message.attempt;
  const work = decideAccessWork(row, now, deps.rules.inspection, attempt);
  if (work === 'none') return;
  const effect = await performAccess(deps.access, row, stored.value.access, work, now);
  if (effect.kind === 'overtaken') return raiseEpoch(deps, message, row, effect.epoch);
  await recordEffect(deps, message, snapshot, row, effect);
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
    const again = { ...message, from: row.serverId, to: row.serverId };
    await deps.queue.enqueueAccess([again], RENUMBERED_DELAY_SECONDS);
  });
}

/** A server that always says that it has seen a newer order must not keep a worker busy. */
const RENUMBERED_DELAY_SECONDS = 2;

/** An effect is recorded only on the order that it was for: a row that has moved on is left to its own worker. */
async function recordEffect(
  deps: ApplyAccessDeps,
  message: RangeMessage,
  snapshot: KekSnapshot,
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
  if (written === null) return;
  const latency = revocationLatencyMs(row, written, snapshot);
  if (latency !== null) deps.meter.time('pgcmk.revocation.latency', latency);
  if (written.failure === null) return endDrainInTime(deps, message, row, written);
  const { attempt } = written.failure;
  const retry = { ...message, from: row.serverId, to: row.serverId, attempt };
  await deps.queue.enqueueAccess([retry], retryDelaySeconds(attempt));
}

/** Of a storage queue's seven days; a longer drain is ended by the sweep. */
const LONGEST_DELAY_SECONDS = 6 * 86_400;

/** Asks once, when the order was first carried out, for a look at the end of its drain. The sweep would come later. */
async function endDrainInTime(
  deps: ApplyAccessDeps,
  { kek, cause }: RangeMessage,
  before: ServerRow,
  { serverId, applied, drainUntil }: ServerRow,
): Promise<void> {
  if (drainUntil === null || applied === 'revoked' || before.inspectedAt !== null) return;
  const left = Math.ceil((drainUntil.getTime() - deps.clock.now().getTime()) / 1000);
  const seconds = Math.min(Math.max(0, left), LONGEST_DELAY_SECONDS);
  await deps.queue.enqueueAccess([toLook(kek, serverId, cause)], seconds);
}
