// The servers of the fleet, or of one key, page by page.
import type { KekId } from '../domain/key-id.ts';
import type { ServerRow, ServerState, ServerView } from '../domain/server.ts';
import type { HeldRow } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';

/** Where a listing goes on: after that server of that KEK. */
export interface ListPosition {
  readonly kek: KekId;
  readonly after: string | null;
}

export interface ListQuery {
  readonly kek: KekId | null;
  readonly state: ServerState | null;
  readonly version: string | null;
  readonly from: ListPosition | null;
  readonly limit: number;
}

export interface ListedServer {
  readonly stored: Stored<ServerRow>;
  readonly view: ServerView;
}

export interface ServerListing {
  readonly servers: readonly ListedServer[];
  readonly held: readonly HeldRow[];
  readonly next: ListPosition | null;
}

/** In the order of KEK and server id. A page may hold fewer than `limit` and still not be the last. @throws CmkError StoreUnavailable */
export type ListServers = (query: ListQuery) => Promise<ServerListing>;

/** One server, with its state. @throws CmkError ServerNotFound, InvalidRow, StoreUnavailable */
export type ReadServer = (serverId: string) => Promise<ListedServer>;
