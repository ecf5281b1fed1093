// Deleting a server leaves a tombstone, whose wrapping is still rewrapped and counted; purging gives its DEK up for good.
import { CmkError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { deriveServerState, type ServerRow } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerAccess } from '../ports/server-access.ts';
import type { Stored } from '../ports/stored.ts';
import { findServer, isMoving } from './find-server.ts';
import type { FinishMove } from './finish-move.ts';
import { assertMatches } from './if-match.ts';
import { onConflict } from './on-conflict.ts';
import { freeId, type PurgeDeps, purgeServer } from './purge-server.ts';
import { toRecord } from './registration-row.ts';
import { toSnapshot } from './snapshot.ts';

export interface DeleteCommand {
  readonly serverId: string;
  /** Also a server that isn't `Ready`. */
  readonly force: boolean;
  /** Drops the wrapping, its history and its escrow. */
  readonly purge: boolean;
  readonly by: string;
  /** Whether the caller has the role Dek.Assign, which purging needs. */
  readonly mayAssign: boolean;
  /** The ETag that the row must have, where there is a server to delete; null: any. */
  readonly ifMatch: string | null;
}

export interface Deleted {
  readonly outcome: 'tombstone' | 'purged';
  readonly kek: KekId;
  /** Databases that were closed by the app and stay so; null: the server couldn't be asked. */
  readonly staysClosed: readonly string[] | null;
}

/**
 * The same command again gives the same answer, and takes up a purge that was cut short; but once a purge is through,
 * nothing is left that could answer: ServerNotFound.
 * @throws CmkError ServerNotFound, ServerNotSettled, ServerMoving (retryable), RoleMissing, PreconditionFailed,
 *   InvalidRow, StoreUnavailable
 */
export type DeleteServer = (command: DeleteCommand) => Promise<Deleted>;

export interface DeleteServerDeps extends PurgeDeps {
  readonly keks: KekStore;
  readonly access: ServerAccess;
  readonly finishMove: FinishMove;
  readonly clock: Clock;
}

export function makeDeleteServer(deps: DeleteServerDeps): DeleteServer {
  return async (command) => {
    if (command.purge && !command.mayAssign) throw roleMissing(command.serverId);
    const row = await onConflict(() => bury(deps, command));
    // Asked last: a worker that was at it may have closed one more.
    const staysClosed = await askClosed(deps, row);
    if (!command.purge) return { outcome: 'tombstone', kek: row.kek, staysClosed };
    await purgeServer(deps, row, command.by);
    return { outcome: 'purged', kek: row.kek, staysClosed };
  };
}

/** The tombstone, whether it was there already or is made now. */
async function bury(deps: DeleteServerDeps, command: DeleteCommand): Promise<ServerRow> {
  const { serverId, force, by, ifMatch } = command;
  const { value: row, etag } = await findUnmoved(deps, command);
  if (row.tombstone) return row;
  assertMatches(etag, ifMatch);
  const stored = await deps.keks.read(row.kek);
  const state = stateOf(row, stored && toSnapshot(stored));
  if (state !== 'Ready' && state !== 'PendingKey' && !force) throw notSettled(serverId, state);
  const value = { ...row, tombstone: true };
  const record = toRecord('server.deleted', value, by, deps.clock.now(), { state, forced: force });
  await deps.servers.commit(row.kek, [{ value, etag, history: null }], { audit: [record], events: [] });
  return value;
}

async function findUnmoved(deps: DeleteServerDeps, command: DeleteCommand): Promise<Stored<ServerRow>> {
  const { serverId } = command;
  const find = async () => {
    try {
      return await findServer(deps, serverId);
    } catch (error) {
      if (command.purge) await freeId(deps, serverId, null);
      throw error;
    }
  };
  const found = await find();
  if (!found.value.incoming && found.value.moving === null) return found;
  // One that was cut short needn't be waited for.
  await deps.finishMove(found.value);
  const again = await find();
  if (again.value.incoming || again.value.moving !== null) throw isMoving(serverId);
  return again;
}

const stateOf = (row: ServerRow, snapshot: KekSnapshot | undefined) =>
  deriveServerState(row, snapshot && findVersion(snapshot, row.wrapped.kekVersion)).state;

/** What a replica has closed is its primary's, and follows it. */
async function askClosed(
  { access }: DeleteServerDeps,
  { access: spec }: ServerRow,
): Promise<readonly string[] | null> {
  if (spec.kind === 'none') return [];
  try {
    const { role, closedByUs } = await access.inspect(spec);
    return role === 'replica' ? [] : closedByUs;
  } catch {
    // Down, or gone for good, as servers are that are deleted.
    return null;
  }
}

const roleMissing = (serverId: string) =>
  new CmkError('RoleMissing', `purging the DEK of ${serverId} needs the role Dek.Assign`, {
    remedy: 'Delete it without purge, or ask somebody who has the role.',
    detail: { role: 'Dek.Assign' },
  });

const notSettled = (serverId: string, state: string) =>
  new CmkError('ServerNotSettled', `${serverId} is ${state}: what is closed on it would stay closed`, {
    remedy: 'Bring its key back first, or lift the hold, and wait for `Ready`; or delete it with force.',
    detail: { state },
  });
