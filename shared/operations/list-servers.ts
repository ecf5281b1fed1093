// The servers of the fleet, or of one key, page by page.
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import { isSameKek, type KekId } from '../domain/key-id.ts';
import { deriveServerState, type ServerRow, type ServerState, type ServerView } from '../domain/server.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { HeldRow, ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import { findServer, notFound } from './find-server.ts';
import { toSnapshot } from './snapshot.ts';

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

export interface ListServersDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
}

/** So many rows are looked at for one answer, where a filter lets few through. */
const MOST_ROWS = 5000;
const PAGE_ROWS = 1000;

export function makeListServers(deps: ListServersDeps): ListServers {
  return async (query) => {
    const servers: ListedServer[] = [];
    const held: HeldRow[] = [];
    let looked = 0;
    for await (const stored of keksOf(deps, query)) {
      const snapshot = toSnapshot(stored);
      const { kek } = snapshot.kek;
      let after = query.from !== null && isSameKek(query.from.kek, kek) ? query.from.after : null;
      do {
        const isFiltered = query.state !== null || query.version !== null;
        const limit = isFiltered ? PAGE_ROWS : query.limit - servers.length;
        const page = await deps.servers.page(kek, { after, from: null, to: null, limit });
        held.push(...page.held);
        looked += page.rows.length + page.held.length;
        for (const row of page.rows) {
          const listed = toListed(row, snapshot);
          if (!matches(listed, query) || !(await answers(deps, row.value))) continue;
          servers.push(listed);
          if (servers.length === query.limit) {
            return { servers, held, next: { kek, after: row.value.serverId } };
          }
        }
        after = page.next;
        if (looked >= MOST_ROWS && after !== null) return { servers, held, next: { kek, after } };
      } while (after !== null);
    }
    return { servers, held, next: null };
  };
}

export function makeReadServer(deps: ListServersDeps): ReadServer {
  return async (serverId) => {
    const stored = await findServer(deps, serverId);
    const kek = await deps.keks.read(stored.value.kek);
    if (kek === undefined) throw notFound(serverId);
    return toListed(stored, toSnapshot(kek));
  };
}

async function* keksOf({ keks }: ListServersDeps, { kek, from }: ListQuery): AsyncIterable<StoredKek> {
  if (kek === null) {
    yield* keks.list({ vault: null, from: from?.kek ?? null });
    return;
  }
  const stored = await keks.read(kek);
  if (stored !== undefined) yield stored;
}

const toListed = (stored: Stored<ServerRow>, snapshot: KekSnapshot): ListedServer => ({
  stored,
  view: deriveServerState(stored.value, findVersion(snapshot, stored.value.wrapped.kekVersion)),
});

const matches = ({ stored: { value: row }, view }: ListedServer, { state, version }: ListQuery): boolean =>
  (state === null || view.state === state) && (version === null || row.wrapped.kekVersion === version);

/** While a server moves two rows bear its id: the index says which one answers. */
async function answers({ index }: ListServersDeps, row: ServerRow): Promise<boolean> {
  if (!row.incoming && row.moving === null) return true;
  const owner = await index.find(row.serverId);
  return owner !== undefined && isSameKek(owner.value, row.kek);
}
