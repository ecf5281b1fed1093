// Moves a server to another KEK, across partitions and vaults (design 9, docs/decisions/0011-moving-servers.md).
import { CmkError } from '../domain/errors.ts';
import { findVersion } from '../domain/kek.ts';
import { isSameKek, type KekId, keyUrl, parseKeyUrl } from '../domain/key-id.ts';
import { type Moving, parseServerId, type ServerRow } from '../domain/server.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { Stored } from '../ports/stored.ts';
import { carryDek } from './carry-dek.ts';
import { type CheckKey, type CheckKeyDeps, makeCheckKey } from './check-key.ts';
import { assertValid } from './check-registration.ts';
import { deleted, findServer } from './find-server.ts';
import { completeMove, type FinishMoveDeps, undoMove } from './finish-move.ts';
import { assertMatches } from './if-match.ts';
import type { WrapDekDeps } from './make-wrapping.ts';
import { onConflict } from './on-conflict.ts';
import { pinServer } from './pin-server.ts';
import { assertNotRetired, type ProveKekDeps, proveKek } from './prove-kek.ts';
import { requireKek } from './require-kek.ts';
import { pagesOf } from './server-pages.ts';
import { toSnapshot } from './snapshot.ts';

export interface MoveCommand {
  readonly serverId: string;
  /** A key URL; with a version in it, the server is pinned to that version. */
  readonly keyId: string;
  readonly by: string;
  readonly ifMatch: string | null;
}

/** The same command again changes nothing; one that was cut short is taken up. */
export type MoveServer = (command: MoveCommand) => Promise<Stored<ServerRow>>;

export interface MoveServerDeps extends FinishMoveDeps, ProveKekDeps, WrapDekDeps, CheckKeyDeps {}

interface Deps extends MoveServerDeps {
  readonly checkKey: CheckKey;
}

/** One server of a move. */
interface Order {
  readonly serverId: string;
  readonly to: KekId;
  readonly pin: string | null;
  readonly by: string;
  readonly ifMatch: string | null;
  /** A replica that moves because its primary does. */
  readonly withPrimary: boolean;
}

interface Arrival {
  readonly wrapped: WrappedDek;
  readonly pinned: boolean;
  /** As the index was read before anything was written. */
  readonly indexTag: string;
}

/** Replicas are looked for among so many rows at a time. */
const PAGE_ROWS = 1000;

/**
 * At every moment exactly one row answers for the server, the one that the index points to, and its DEK can be
 * unwrapped under the KEK of that row.
 * @throws CmkError InvalidServer, InvalidKeyId, ServerNotFound, ServerDeleted, CopyRefused, PreconditionFailed,
 *   RegistrationRefused (the key fails a check), KekNotProven, VaultUnavailable (retryable), VaultRefused,
 *   WrappedDekMalformed, DekBindingMismatch, DekIdMismatch, InvalidRow, StoreUnavailable, WriteConflict
 */
export function makeMoveServer(deps: MoveServerDeps): MoveServer {
  const all = { ...deps, checkKey: makeCheckKey(deps) };
  return async ({ keyId, by, ifMatch, ...command }) => {
    const serverId = parseServerId(command.serverId);
    const { kek: to, version: pin } = parseKeyUrl(keyId);
    return move(all, { serverId, to, pin, by, ifMatch, withPrimary: false });
  };
}

/** Whoever was overtaken on the way begins again with what is there now. */
const move = (deps: Deps, order: Order): Promise<Stored<ServerRow>> => onConflict(() => tryMove(deps, order));

async function tryMove(deps: Deps, order: Order): Promise<Stored<ServerRow>> {
  const { serverId, to, ifMatch } = order;
  // Read before anything is written: see undoMove.
  const owner = await deps.index.find(serverId);
  const stored = owner && (await deps.servers.read(owner.value, serverId));
  if (owner === undefined || stored === undefined) {
    await findServer(deps, serverId);
    throw overtaken(serverId);
  }
  const { value: row, etag } = stored;

  const isThere = isSameKek(row.kek, to);
  const isOnTheWay = row.moving !== null && isSameKek(row.moving.to, to);
  if (!isThere && !isOnTheWay) assertMatches(etag, ifMatch);
  if (row.incoming) {
    await completeMove(deps, serverId, row.kek);
    return tryMove(deps, { ...order, ifMatch: null });
  }
  if (row.tombstone) throw deleted(serverId);
  if (row.moving !== null && !isOnTheWay) {
    await undoMove(deps, serverId, row.moving);
    return tryMove(deps, { ...order, ifMatch: null });
  }
  if (isThere) return pinServer(deps, stored, order);
  return await carry(deps, order, stored, owner.etag);
}

/** @param indexTag as the index was read before the row */
async function carry(
  deps: Deps,
  order: Order,
  stored: Stored<ServerRow>,
  indexTag: string,
): Promise<Stored<ServerRow>> {
  const { serverId, to, pin, by } = order;
  const { value: row, etag } = stored;
  const from = row.kek;
  if (!order.withPrimary) await assertMayLeave(deps, row, to);
  // Nothing is written before both vaults have had their say.
  assertValid(serverId, await deps.checkKey(to, pin));
  const version = await proveKek(deps, to, pin);
  const wrapped = await carryDek(deps, row, { serverId, kek: to }, version);

  const moving: Moving = { from, to, since: deps.clock.now(), by };
  await deps.servers.commit(from, [{ value: { ...row, moving }, etag, history: null }], null);
  await moveReplicas(deps, order, from);
  await bringIn(deps, row, moving, { wrapped, pinned: pin !== null, indexTag });
  // The new row is counted from now on: a version that was retired before it was is found here.
  const held = toSnapshot(await requireKek(deps.keks, to));
  assertNotRetired(to, findVersion(held, version.version));
  // The commit: from here on the new row answers.
  await deps.index.point(serverId, to, indexTag);
  await completeMove(deps, serverId, to);

  return findServer(deps, serverId);
}

/** The row in its new place, where nobody acts on it yet. What an earlier attempt left there is replaced. */
async function bringIn(
  { servers, index, clock }: Deps,
  row: ServerRow,
  moving: Moving,
  { wrapped, pinned, indexTag }: Arrival,
): Promise<void> {
  const { to } = moving;
  const there = await servers.read(to, row.serverId);
  if (there !== undefined && !there.value.incoming) throw nobodys(row.serverId, to);
  // Once the index points to it, the row that is there says more than the one in hand.
  if (there !== undefined && (await index.find(row.serverId))?.etag !== indexTag)
    throw overtaken(row.serverId);
  const now = clock.now();
  const value: ServerRow = {
    ...row,
    kek: to,
    wrapped,
    wrappedAt: now,
    provenAt: now,
    sequence: row.sequence + 1,
    replacedVersion: null,
    pinned,
    rewrapFailure: null,
    incoming: true,
    moving,
  };
  await servers.commit(to, [{ value, etag: there?.etag ?? null, history: null }], null);
}

/**
 * A replica shares its primary's KEK, so it goes where its primary goes. They are looked for after the primary was
 * marked: a replica that is added from then on finds the mark (copy-server.ts).
 */
async function moveReplicas(deps: Deps, order: Order, from: KekId): Promise<void> {
  for await (const page of pagesOf(deps.servers, from, PAGE_ROWS)) {
    for (const { value: row } of page.rows) {
      if (row.copyOf?.kind !== 'replica' || row.copyOf.serverId !== order.serverId || row.tombstone) continue;
      await move(deps, { ...order, serverId: row.serverId, ifMatch: null, withPrimary: true });
    }
  }
}

/** @throws CmkError CopyRefused for a replica whose primary is under another KEK than `to` */
async function assertMayLeave(deps: Deps, { serverId, copyOf }: ServerRow, to: KekId): Promise<void> {
  if (copyOf?.kind !== 'replica') return;
  const owner = await deps.index.find(copyOf.serverId);
  if (owner === undefined || isSameKek(owner.value, to)) return;
  // One whose primary is no more stands alone.
  const primary = await deps.servers.read(owner.value, copyOf.serverId);
  if (primary === undefined || primary.value.tombstone) return;
  throw new CmkError(
    'CopyRefused',
    `${serverId} is a replica of ${copyOf.serverId}, which is under ${keyUrl(owner.value)}, and shares its key`,
    { remedy: `Move ${copyOf.serverId}: its replicas move with it.` },
  );
}

const overtaken = (serverId: string) =>
  new CmkError('WriteConflict', `the move of ${serverId} was overtaken by another`, {
    remedy: 'Read again and decide again.',
  });

const nobodys = (serverId: string, kek: KekId) =>
  new CmkError('ServerIdTaken', `${serverId} has a row under ${keyUrl(kek)} already that nothing points to`, {
    remedy:
      'Look at both rows; if the server was restored from an export, remove the row that is out of date.',
  });
