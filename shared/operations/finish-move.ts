// The end of a move, whoever began it: finished where the index points to the row that arrives, undone where it
// doesn't (design 9, docs/decisions/0011-moving-servers.md).
import { describeError, isCmkError } from '../domain/errors.ts';
import { isSameKek, type KekId, kekKey, keyUrl } from '../domain/key-id.ts';
import { laterOf } from '../domain/later-of.ts';
import type { Moving, ServerRow } from '../domain/server.ts';
import type { Escrow } from '../ports/escrow.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock, Log, Random } from '../ports/runtime.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { lookAtServer } from './look-at-server.ts';
import { onConflict } from './on-conflict.ts';
import { toAssigned, toRecord } from './registration-row.ts';

export interface FinishMoveDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly escrow: Escrow;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Ends the move that a row bears the marks of; one that has only just begun is left to who began it. */
export type FinishMove = (row: ServerRow) => Promise<void>;

/** A move takes seconds. One that is undone while it still goes on is fenced off, and begins again. */
const UNDO_AFTER_MS = 5 * 60_000;

/** @throws CmkError StoreUnavailable, WriteConflict */
export function makeFinishMove(deps: FinishMoveDeps): FinishMove {
  const { index, clock, log } = deps;

  return async ({ serverId, moving }) => {
    if (moving === null) return;
    const { from, to, since } = moving;
    try {
      const owner = await index.find(serverId);
      if (owner !== undefined && isSameKek(owner.value, to)) return await completeMove(deps, serverId, to);
      if (clock.now().getTime() - since.getTime() >= UNDO_AFTER_MS) await undoMove(deps, serverId, moving);
    } catch (error) {
      // The row at the other end: it is held there, and the move ends when it has been repaired.
      if (!isCmkError(error, 'InvalidRow')) throw error;
      const ends = { from: kekKey(from), to: kekKey(to) };
      log.write('error', 'a move waits for a row that does not parse', {
        serverId,
        ...ends,
        problem: describeError(error),
      });
    }
  };
}

/**
 * Takes up a move from wherever it stands after the index was pointed to `to`; any number of instances may do so at a
 * time. Every step follows from the two rows as they are, and is written under their ETags.
 *
 * Invariant I-03: no DEK is ever lost: the old wrapping is in the history, and the new one in its second place, before
 * the row that held the old one goes.
 * @throws CmkError InvalidRow, StoreUnavailable, WriteConflict
 */
export async function completeMove(deps: FinishMoveDeps, serverId: string, to: KekId): Promise<void> {
  while (await onConflict(() => takeStep(deps, serverId, to)));
}

/** Whether there may be another step to take. */
async function takeStep(deps: FinishMoveDeps, serverId: string, to: KekId): Promise<boolean> {
  const { servers, escrow } = deps;
  const arrived = await servers.read(to, serverId);
  const moving = arrived?.value.moving;
  if (arrived === undefined || !arrived.value.incoming || moving == null) return false;
  const left = await servers.read(moving.from, serverId);
  if (left === undefined || !isLeft(left.value, arrived.value)) {
    await activate(deps, arrived, moving);
    return false;
  }
  if (left.value.sequence < arrived.value.sequence) {
    await escrow.file(serverId, to, arrived.value.wrapped);
    await fileLeft(deps, left, arrived.value, moving);
    return true;
  }
  // Until it is gone, workers and operators may still have written to the row that is left: none of that is lost.
  const value = carryOver(left.value, arrived.value);
  if (JSON.stringify(value) === JSON.stringify(arrived.value))
    await servers.remove(moving.from, serverId, left.etag);
  else await servers.commit(to, [{ value, etag: arrived.etag, history: null }], null);
  return true;
}

/**
 * Whether `row` is the one that `arrived` came from: the sequence tells it from the same server's row in a later move
 * the other way and back.
 */
const isLeft = (row: ServerRow, arrived: ServerRow): boolean =>
  !row.incoming &&
  row.moving !== null &&
  isSameKek(row.moving.to, arrived.kek) &&
  (row.sequence === arrived.sequence || row.sequence + 1 === arrived.sequence);

/** The old wrapping into the history, and a mark on the row that it is there. */
async function fileLeft(
  { servers, clock }: FinishMoveDeps,
  { value: row, etag }: Stored<ServerRow>,
  arrived: ServerRow,
  moving: Moving,
): Promise<void> {
  const { serverId, kek, sequence, wrapped } = row;
  const now = clock.now();
  const replacedBy = keyUrl(arrived.kek, arrived.wrapped.kekVersion);
  await servers.commit(
    kek,
    [
      {
        value: { ...row, sequence: sequence + 1 },
        etag,
        history: { serverId, sequence, wrapped, replacedAt: now, replacedBy },
      },
    ],
    {
      audit: [{ ...toMoved(arrived, moving, now), versionBefore: wrapped.kekVersion, versionAfter: null }],
      events: [],
    },
  );
}

/** All of the row that is left but its wrapping. What failed at the server is tried again at once. */
const carryOver = (left: ServerRow, arrived: ServerRow): ServerRow => ({
  ...arrived, // for the order of its fields
  ...left,
  kek: arrived.kek,
  wrapped: arrived.wrapped,
  wrappedAt: arrived.wrappedAt,
  provenAt: arrived.provenAt,
  sequence: arrived.sequence,
  replacedVersion: arrived.replacedVersion,
  pinned: arrived.pinned,
  inspectedAt: left.failure === null ? left.inspectedAt : null,
  failure: null,
  rewrapFailure: arrived.rewrapFailure,
  incoming: arrived.incoming,
  moving: arrived.moving,
  leaseExpiresOn: laterOf(left.leaseExpiresOn, arrived.leaseExpiresOn),
});

/** From here on the new row answers like any other. */
async function activate(
  deps: FinishMoveDeps,
  { value: row, etag }: Stored<ServerRow>,
  moving: Moving,
): Promise<void> {
  const { servers, clock, random } = deps;
  const { serverId, kek } = row;
  const now = clock.now();
  const value = { ...row, incoming: false, moving: null };
  const ends = { change: 'move', from: keyUrl(moving.from), to: keyUrl(kek) };
  await servers.commit(kek, [{ value, etag, history: null }], {
    audit: [toMoved(value, moving, now)],
    events: [toAssigned(random, value, moving.by, now, ends)],
  });
  await lookAtServer(deps, kek, serverId, { kind: 'operator', by: moving.by });
}

/** One record in the chain of each of the two KEKs. */
const toMoved = (row: ServerRow, { from, to, by }: Moving, at: Date) =>
  toRecord('server.moved', row, by, at, { from: keyUrl(from), to: keyUrl(to), pinned: row.pinned });

/**
 * Takes back a move that the index doesn't point to. A move that is still going on can't be cut in two by it: it reads
 * the index first, then writes both rows, then points the index under the ETag it read. Here both rows are read first,
 * and then the index is written as it is. So either its pointing fails, or its rows are newer than those read here and
 * stay. Where the index points to the new row after all, the move is finished.
 * @throws CmkError InvalidRow, StoreUnavailable, WriteConflict
 */
export async function undoMove(deps: FinishMoveDeps, serverId: string, { from, to }: Moving): Promise<void> {
  const { servers, index } = deps;
  await onConflict(async () => {
    const arrived = await servers.read(to, serverId);
    const left = await servers.read(from, serverId);
    const owner = await index.find(serverId);
    if (owner !== undefined && isSameKek(owner.value, to)) return completeMove(deps, serverId, to);
    if (owner !== undefined) await index.point(serverId, owner.value, owner.etag);
    if (arrived?.value.incoming === true) await servers.remove(to, serverId, arrived.etag);
    const moving = left?.value.moving;
    const isHere = owner !== undefined && isSameKek(owner.value, from);
    if (left === undefined || moving == null || !isSameKek(moving.to, to) || !isHere) return;
    await servers.commit(
      from,
      [{ value: { ...left.value, moving: null }, etag: left.etag, history: null }],
      null,
    );
  });
}
