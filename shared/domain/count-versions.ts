// The census: what depends on each key version, counted row by row.
import type { VersionCount } from './kek.ts';
import type { ServerRow } from './server.ts';

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
