// From a server's id to its row: the index says which KEK's partition answers for it.
import { CmkError } from '../domain/errors.ts';
import type { KekId } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { FinishMove } from './finish-move.ts';

export interface FindServerDeps {
  readonly servers: ServerStore;
  readonly index: ServerIndex;
}

/** The row that answers for the server, a tombstone too. @throws CmkError ServerNotFound, InvalidRow, StoreUnavailable */
export async function findServer(
  { servers, index }: FindServerDeps,
  serverId: string,
): Promise<Stored<ServerRow>> {
  let owner = await index.find(serverId);
  while (owner !== undefined) {
    const stored = await servers.read(owner.value, serverId);
    if (stored !== undefined) return stored;
    // A move may have ended in between: then the index says so now.
    const before = owner.etag;
    owner = await index.find(serverId);
    if (owner?.etag === before) break;
  }
  throw notFound(serverId);
}

/** As {@link findServer}, of a server that wasn't deleted. @throws CmkError ServerDeleted */
export async function findLiveServer(deps: FindServerDeps, serverId: string): Promise<Stored<ServerRow>> {
  const stored = await findServer(deps, serverId);
  if (stored.value.tombstone) throw deleted(serverId);
  return stored;
}

/**
 * As {@link findServer}; a move that was cut short with the row just arrived is finished first: what the row that is
 * left says of holds and access isn't in the new one yet.
 * @param find {@link findLiveServer}, where a server that was deleted won't do
 * @throws CmkError ServerMoving (retryable)
 */
export async function findArrived(
  deps: FindServerDeps & { readonly finishMove: FinishMove },
  serverId: string,
  find = findServer,
): Promise<Stored<ServerRow>> {
  const found = await find(deps, serverId);
  if (!found.value.incoming) return found;
  await deps.finishMove(found.value);
  const again = await find(deps, serverId);
  if (again.value.incoming) throw isMoving(serverId);
  return again;
}

/** The row of a server whose KEK is known: who asks has just seen it there. @throws CmkError ServerNotFound, InvalidRow, StoreUnavailable */
export async function readRow(
  servers: ServerStore,
  kek: KekId,
  serverId: string,
): Promise<Stored<ServerRow>> {
  const stored = await servers.read(kek, serverId);
  if (stored !== undefined) return stored;
  throw new CmkError('ServerNotFound', `${serverId} is gone`, { remedy: 'Register it again.' });
}

export const notFound = (serverId: string) =>
  new CmkError('ServerNotFound', `no server is registered as ${serverId}`, {
    remedy: 'Check the id; `GET /api/servers` lists all of them.',
  });

export const deleted = (serverId: string) =>
  new CmkError('ServerDeleted', `${serverId} was deleted`, {
    remedy: 'A deleted server can only be purged.',
  });

export const isMoving = (serverId: string) =>
  new CmkError('ServerMoving', `${serverId} is just being moved to another key`, {
    remedy: 'Try again in a moment: a move takes seconds, and one that was cut short is ended by the sweep.',
    retryable: true,
  });
