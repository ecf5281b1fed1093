// A KEK's servers page by page, so that memory doesn't grow with them.
import type { KekId } from '../domain/key-id.ts';
import type { PageQuery, ServerPage, ServerStore } from '../ports/server-store.ts';

const ALL = { from: null, to: null } as const;

/**
 * The pages of at most `limit` rows, in the order of the server ids, of all servers or of a range. A page is read when
 * it is asked for: what was done about the one before is done by then.
 * @throws CmkError StoreUnavailable
 */
export async function* pagesOf(
  servers: Pick<ServerStore, 'page'>,
  kek: KekId,
  limit: number,
  { from, to }: Pick<PageQuery, 'from' | 'to'> = ALL,
): AsyncIterable<ServerPage> {
  let after: string | null = null;
  do {
    const page: ServerPage = await servers.page(kek, { after, from, to, limit });
    yield page;
    after = page.next;
  } while (after !== null);
}
