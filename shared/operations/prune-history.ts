// The wrappings under one key version that were replaced: when the last one was, and their end.
import type { KekId } from '../domain/key-id.ts';
import { laterOf } from '../domain/later-of.ts';
import type { HistoryPage, ServerStore } from '../ports/server-store.ts';
import { mapBounded } from './bounded.ts';

const PAGE_ROWS = 1000;
const REMOVALS_AT_A_TIME = 16;

async function* readHistory(
  servers: ServerStore,
  kek: KekId,
  version: string,
): AsyncIterable<HistoryPage['rows']> {
  let after: string | null = null;
  do {
    const page: HistoryPage = await servers.pageHistory(kek, version, { after, limit: PAGE_ROWS });
    yield page.rows;
    after = page.next;
  } while (after !== null);
}

/** When the newest of them was replaced; null: there is none. @throws CmkError InvalidRow, StoreUnavailable */
export async function findLastReplaced(
  servers: ServerStore,
  kek: KekId,
  version: string,
): Promise<Date | null> {
  let last: Date | null = null;
  for await (const rows of readHistory(servers, kek, version))
    for (const { value } of rows) last = laterOf(last, value.replacedAt);
  return last;
}

/**
 * Takes away those that were replaced by `until`, and says how many. Repeatable: what is gone already is no error.
 *
 * Invariant I-03: no DEK is ever lost: the caller has seen, after `until`, that what replaced them is proven.
 * @throws CmkError InvalidRow, WriteConflict, StoreUnavailable
 */
export async function pruneHistory(
  servers: ServerStore,
  kek: KekId,
  version: string,
  until: Date,
): Promise<number> {
  let pruned = 0;
  for await (const rows of readHistory(servers, kek, version)) {
    const old = rows.filter(({ value }) => value.replacedAt <= until);
    await mapBounded(old, REMOVALS_AT_A_TIME, (row) => servers.removeHistory(kek, row));
    pruned += old.length;
  }
  return pruned;
}
