// The keys that the app holds, one by one or page by page, each with what the newest export of the tables needs of it.
import { describeError } from '../domain/errors.ts';
import { type KekId, kekKey } from '../domain/key-id.ts';
import type { ExportCatalog, TableExport } from '../ports/export-catalog.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Log } from '../ports/runtime.ts';
import { requireKek } from './require-kek.ts';

export interface ReadKeksDeps {
  readonly keks: KekStore;
  readonly exports: ExportCatalog;
  readonly log: Log;
}

/** What the newest verified export depends on of one key. */
export interface ExportOfKek {
  readonly exportedAt: Date;
  readonly versions: readonly string[];
}

export interface ListedKek {
  readonly stored: StoredKek;
  /** null: there is no export, or it can't be told. */
  readonly newestExport: ExportOfKek | null;
}

export interface KekQuery {
  /** The vault's host; null: every vault. */
  readonly vault: string | null;
  /** The first of the page; null from the start. */
  readonly from: KekId | null;
  readonly limit: number;
}

export interface KekListing {
  readonly keks: readonly ListedKek[];
  /** The first of the next page; null: this was the last. */
  readonly next: KekId | null;
}

/** In the order of `kekKey`. @throws CmkError StoreUnavailable */
export type ListKeks = (query: KekQuery) => Promise<KekListing>;

/** @throws CmkError KekNotFound, InvalidRow, StoreUnavailable */
export type ReadKek = (kek: KekId) => Promise<ListedKek>;

export function makeListKeks(deps: ReadKeksDeps): ListKeks {
  return async ({ vault, from, limit }) => {
    const newest = await readNewest(deps);
    const keks: ListedKek[] = [];
    for await (const stored of deps.keks.list({ vault, from })) {
      if (keks.length === limit) return { keks, next: stored.kek.value.kek };
      keks.push(toListed(stored, newest));
    }
    return { keks, next: null };
  };
}

export function makeReadKek(deps: ReadKeksDeps): ReadKek {
  return async (kek) => toListed(await requireKek(deps.keks, kek), await readNewest(deps));
}

/** What keys show doesn't hang on it; retiring a version, which does, asks for itself. */
async function readNewest({ exports, log }: ReadKeksDeps): Promise<TableExport | undefined> {
  try {
    return await exports.newest();
  } catch (error) {
    log.write('warn', 'the newest export is not shown', { error: describeError(error) });
    return undefined;
  }
}

function toListed(stored: StoredKek, newest: TableExport | undefined): ListedKek {
  if (newest === undefined) return { stored, newestExport: null };
  const versions = newest.versions[kekKey(stored.kek.value.kek)] ?? [];
  return { stored, newestExport: { exportedAt: newest.exportedAt, versions } };
}
