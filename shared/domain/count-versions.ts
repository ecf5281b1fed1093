// The census: what depends on each key version, counted row by row.
import { type Census, findVersion, type KekSnapshot, type VersionCount } from './kek.ts';
import { isProven } from './key-status.ts';
import { deriveServerState, SERVER_STATES, type ServerRow, type ServerState } from './server.ts';

const NOTHING: VersionCount = { servers: 0, tombstones: 0, copies: 0, unproven: 0, unprovenSuccessors: 0 };

export interface VersionCounts {
  add(row: ServerRow): void;
  versions(): Readonly<Record<string, VersionCount>>;
}

/** Its memory grows with the versions, not with the servers. */
export function makeVersionCounts(): VersionCounts {
  const counts = new Map<string, { -readonly [name in keyof VersionCount]: number }>();
  const countOf = (version: string) => {
    const found = counts.get(version) ?? { ...NOTHING };
    counts.set(version, found);
    return found;
  };
  return {
    add: (row) => {
      const count = countOf(row.wrapped.kekVersion);
      count.servers += 1;
      if (row.tombstone) count.tombstones += 1;
      if (row.copyOf !== null) count.copies += 1;
      if (row.provenAt !== null) return;
      count.unproven += 1;
      if (row.replacedVersion !== null) countOf(row.replacedVersion).unprovenSuccessors += 1;
    },
    versions: () => Object.fromEntries(counts),
  };
}

export interface StateCounts {
  add(row: ServerRow): void;
  states(): Census['states'];
}

/** Neither what is deleted nor what doesn't answer yet. */
export function makeStateCounts(): StateCounts {
  const counts = new Map<string, Record<string, number>>();
  return {
    add: (row) => {
      if (row.tombstone || row.incoming) return;
      const { state } = deriveServerState(row, undefined);
      // Whether the version is proven is asked when it is shown: it changes while nothing is counted.
      const kept = state === 'Suspect' && row.desiredReason === null ? 'Ready' : state;
      const ofVersion = counts.get(row.wrapped.kekVersion) ?? {};
      counts.set(row.wrapped.kekVersion, { ...ofVersion, [kept]: (ofVersion[kept] ?? 0) + 1 });
    },
    states: () => Object.fromEntries(counts),
  };
}

export const NOBODY: Readonly<Record<ServerState, number>> = {
  PendingKey: 0,
  Ready: 0,
  Suspect: 0,
  Revoking: 0,
  Inaccessible: 0,
  Restoring: 0,
};

/** How many of a KEK's servers are in each state: as last counted, and as its versions are now. */
export function sumStates({ kek, versions }: KekSnapshot): Readonly<Record<ServerState, number>> {
  const sums = { ...NOBODY };
  for (const [version, counts] of Object.entries(kek.census?.states ?? {})) {
    const isServed = isProven(findVersion({ kek, versions }, version));
    for (const state of SERVER_STATES)
      sums[state === 'Ready' && !isServed ? 'Suspect' : state] += counts[state] ?? 0;
  }
  return sums;
}
