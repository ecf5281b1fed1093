// What would happen if a key, or one version of it, were disabled, deleted or left to expire.
import { decideImpact, type Loss, type ServerImpact } from '../domain/decide-impact.ts';
import { isCmkError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { deriveServerState, type ServerRow, type ServerState } from '../domain/server.ts';
import type { KeyLossPolicy } from '../domain/server-spec.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerAccess } from '../ports/server-access.ts';
import type { ServerStore } from '../ports/server-store.ts';
import { mapBounded } from './bounded.ts';
import { requireKek, requireVersion } from './require-kek.ts';
import { pagesOf } from './server-pages.ts';
import { toSnapshot } from './snapshot.ts';

export interface ImpactQuery {
  readonly kek: KekId;
  /** A key is only ever deleted with all its versions: then the version makes no difference. */
  readonly of: Loss['of'];
  /** null: the whole key. */
  readonly version: string | null;
  /** Servers after this one; null from the start. */
  readonly after: string | null;
  readonly limit: number;
}

export interface ImpactOnServer {
  readonly serverId: string;
  readonly state: ServerState;
  readonly version: string;
  readonly keyLossPolicy: KeyLossPolicy;
  readonly losesAccess: boolean;
  /** When its access ends, for `drain` the open sessions too; null: never, or as soon as it is seen. */
  readonly at: Date | null;
  /** In a few words. */
  readonly why: string;
  /** Asked now; null: it couldn't be asked, or there is nothing to ask. */
  readonly sessionsOpen: number | null;
}

export interface Impact {
  readonly countedAt: Date;
  /** Those that have no access now are neither among the ones that lose it nor among the ones that keep it. */
  readonly servers: number;
  readonly wouldLoseAccess: number;
  readonly wouldKeepAccess: number;
  /** When the first server refuses new sessions; null: none does, or as soon as it is seen. */
  readonly firstLossAt: Date | null;
  /** The longest that the app takes to see it. */
  readonly detectionSeconds: number;
  readonly page: readonly ImpactOnServer[];
  readonly next: string | null;
}

/** @throws CmkError KekNotFound, VersionNotFound, StoreUnavailable */
export type ReadImpact = (query: ImpactQuery) => Promise<Impact>;

export interface ReadImpactDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly access: Pick<ServerAccess, 'inspect'>;
  readonly clock: Clock;
  /** The longest that the app takes to see that a key of this vault is lost: the period of the probe. */
  readonly detectionSeconds: (vault: string) => Promise<number>;
}

const PAGE_ROWS = 1000;
const INSPECTIONS_AT_A_TIME = 16;

/**
 * One pass over the rows, a page at a time; nothing is changed. Tombstones, rows that are still being moved in, and
 * rows that don't parse are left out.
 */
export function makeReadImpact(deps: ReadImpactDeps): ReadImpact {
  const { keks, servers, clock } = deps;

  return async ({ kek, of, version, after, limit }) => {
    const stored = await requireKek(keks, kek);
    if (version !== null) requireVersion(stored, version);
    const snapshot = toSnapshot(stored);
    const now = clock.now();
    const detectionSeconds = await deps.detectionSeconds(kek.vault);
    const count = makeCount();
    const shown: Shown[] = [];
    let last: string | null = null;
    let next: string | null = null;
    for await (const page of pagesOf(servers, kek, PAGE_ROWS)) {
      for (const { value: row } of page.rows) {
        if (row.tombstone || row.incoming) continue;
        const impact = decideImpact(row, snapshot, { of, version }, { now, detectionSeconds });
        count.add(impact);
        if (after !== null && row.serverId <= after) continue;
        if (shown.length === limit) {
          next = last;
          continue;
        }
        shown.push({ row, impact });
        last = row.serverId;
      }
    }

    const page = await mapBounded(shown, INSPECTIONS_AT_A_TIME, (one) => toPage(deps, snapshot, one));
    return { countedAt: now, ...count.totals(), detectionSeconds, page, next };
  };
}

interface Shown {
  readonly row: ServerRow;
  readonly impact: ServerImpact;
}

function makeCount() {
  const outcomes = { loses: 0, keeps: 0, none: 0 };
  let firstLossAt: Date | null = null;
  return {
    add: ({ outcome, deniedAt }: ServerImpact) => {
      outcomes[outcome] += 1;
      if (deniedAt !== null && (firstLossAt === null || deniedAt < firstLossAt)) firstLossAt = deniedAt;
    },
    totals: () => ({
      servers: outcomes.loses + outcomes.keeps + outcomes.none,
      wouldLoseAccess: outcomes.loses,
      wouldKeepAccess: outcomes.keeps,
      firstLossAt,
    }),
  };
}

async function toPage(
  deps: ReadImpactDeps,
  snapshot: KekSnapshot,
  { row, impact }: Shown,
): Promise<ImpactOnServer> {
  const { serverId, keyLossPolicy } = row;
  const version = row.wrapped.kekVersion;
  return {
    serverId,
    state: deriveServerState(row, findVersion(snapshot, version)).state,
    version,
    keyLossPolicy,
    losesAccess: impact.outcome === 'loses',
    at: impact.endsAt,
    why: impact.why,
    sessionsOpen: await countSessions(deps, row),
  };
}

async function countSessions({ access }: ReadImpactDeps, row: ServerRow): Promise<number | null> {
  if (row.access.kind === 'none') return null;
  try {
    return (await access.inspect(row.access)).sessionsOpen;
  } catch (error) {
    // A server that can't be asked is shown all the same.
    if (isCmkError(error)) return null;
    throw error;
  }
}
