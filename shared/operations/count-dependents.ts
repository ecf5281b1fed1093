// What depends on one key version: counted anew, from the rows themselves, in one pass.
import { type KekId, kekKey } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { ExportCatalog } from '../ports/export-catalog.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import { pagesOf } from './server-pages.ts';

/**
 * `server`, `pinned`, `tombstone`, `copy`: a wrapping under the version. `incoming`, `moving`: such a one on either
 * side of a move. `unprovenSuccessor`: a wrapping under another version that replaced one of this version and hasn't
 * been unwrapped yet. `held`: a row that doesn't parse, so it may depend on any version. `export`: the newest verified
 * export of the tables. `target`: rotations and registrations wrap under it, or are about to.
 */
export type DependentKind = CountedKind | 'target';

const NONE = {
  server: 0,
  pinned: 0,
  tombstone: 0,
  copy: 0,
  incoming: 0,
  moving: 0,
  unprovenSuccessor: 0,
  held: 0,
  export: 0,
};
type CountedKind = keyof typeof NONE;

export interface Dependent {
  readonly kind: DependentKind;
  readonly count: number;
  /** Server ids, row keys of held rows, or the instant of the export: at most 20. */
  readonly examples: readonly string[];
}

export interface Dependents {
  /** When the count began. */
  readonly countedAt: Date;
  /** Of each kind; a row is counted once. */
  readonly counts: Readonly<Record<CountedKind, number>>;
  /** Kinds of which there are any; empty: nothing depends on the version. */
  readonly found: readonly Dependent[];
}

const PAGE_ROWS = 1000;
const EXAMPLES = 20;

/**
 * Memory doesn't grow with the fleet: a page of rows at a time.
 * @throws CmkError StoreUnavailable; InvalidRow where the catalog of exports doesn't parse
 */
export type CountDependents = (kek: KekId, version: string) => Promise<Dependents>;

export const makeCountDependents =
  ({
    servers,
    exports,
    clock,
  }: {
    readonly servers: ServerStore;
    readonly exports: ExportCatalog;
    readonly clock: Clock;
  }): CountDependents =>
  async (kek, version) => {
    const countedAt = clock.now();
    const examples = new Map<CountedKind, string[]>();
    const counts: Record<CountedKind, number> = { ...NONE };
    const add = (kind: CountedKind, example: string) => {
      counts[kind] += 1;
      const some = examples.get(kind) ?? [];
      examples.set(kind, some);
      if (some.length < EXAMPLES) some.push(example);
    };
    for await (const page of pagesOf(servers, kek, PAGE_ROWS)) {
      for (const { rowKey } of page.held) add('held', rowKey);
      for (const { value: row } of page.rows) {
        const kind = kindOf(row, version);
        if (kind !== null) add(kind, row.serverId);
      }
    }
    const newest = await exports.newest();
    if (newest?.versions[kekKey(kek)]?.includes(version)) add('export', newest.exportedAt.toISOString());
    const found = [...examples].map(([kind, some]) => ({ kind, count: counts[kind], examples: some }));
    return { countedAt, counts, found };
  };

/** A row is counted once, as what is most worth knowing of it. */
function kindOf(row: ServerRow, version: string): CountedKind | null {
  if (row.wrapped.kekVersion !== version)
    return row.provenAt === null && row.replacedVersion === version ? 'unprovenSuccessor' : null;
  if (row.incoming) return 'incoming';
  if (row.moving !== null) return 'moving';
  if (row.tombstone) return 'tombstone';
  if (row.copyOf !== null) return 'copy';
  return row.pinned ? 'pinned' : 'server';
}
