// From a KEK to its servers: one pass over the rows that counts them and enqueues the ranges with work in them.
import type { Cause } from '../domain/audit.ts';
import {
  decideAccess,
  decideAccessWork,
  decideRewrap,
  type InspectionPeriods,
  withDecision,
} from '../domain/decide-server.ts';
import type { Census, KekSnapshot, VersionCount } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { RANGE_SERVERS, type RangeMessage } from '../domain/message.ts';
import { isApplied, type ServerRow } from '../domain/server.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import type { FinishRotation } from './finish-rotation.ts';
import { onConflict } from './on-conflict.ts';
import { toSnapshot } from './snapshot.ts';

export interface FanOutDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
  readonly finishRotation: FinishRotation;
  readonly clock: Clock;
  readonly log: Log;
  readonly rules: { readonly inspection: InspectionPeriods; readonly proveAfterSeconds: number };
}

export type FanOut = (kek: KekId, cause: Cause) => Promise<void>;

const PAGE_ROWS = RANGE_SERVERS * 10;

/**
 * Does nothing while the KEK's epoch was fanned out already, except for a sweep. `fannedOutEpoch` follows only after
 * all messages were enqueued, so a crash in between only means that they are enqueued once more.
 */
export function makeFanOut(deps: FanOutDeps): FanOut {
  const { keks, servers, queue, clock, log, rules } = deps;

  return async (kek, cause) => {
    const stored = await keks.read(kek);
    if (stored === undefined) return;
    const { epoch, fannedOutEpoch } = stored.kek.value;
    if (epoch === fannedOutEpoch && cause.kind !== 'sweep') return;

    const snapshot = toSnapshot(stored);
    const count = makeCount(clock.now());
    let after: string | null = null;
    do {
      const page = await servers.page(kek, { after, from: null, to: null, limit: PAGE_ROWS });
      for (const held of page.held) log.write('error', 'a server row does not parse: held', { ...held });
      const ranges: Range[] = [];
      for (const { value: row } of page.rows) {
        const work = workOf(row, snapshot, clock.now(), rules);
        count.add(row, work);
        addToRange(ranges, row.serverId, work);
      }
      const withWork = (kind: 'access' | 'rewrap'): readonly RangeMessage[] =>
        ranges
          .filter(({ works }) => works.some((work) => work[kind]))
          .map(({ from, to }) => ({ kek, epoch, from, to, attempt: null, cause }));
      // Access first: a revocation never waits behind a rotation.
      await queue.enqueueAccess(withWork('access'));
      await queue.enqueueRewrap(withWork('rewrap'));
      after = page.next;
    } while (after !== null);

    await recordFanOut(deps, stored, count.census());
    if (count.isRotated()) await deps.finishRotation(kek, cause);
  };
}

interface Work {
  readonly access: boolean;
  readonly rewrap: boolean;
  readonly follows: boolean;
  readonly unsettled: boolean;
}

interface Range {
  readonly from: string;
  to: string;
  readonly works: Work[];
}

function addToRange(ranges: Range[], serverId: string, work: Work): void {
  const last = ranges.at(-1);
  if (last === undefined || last.works.length === RANGE_SERVERS) {
    ranges.push({ from: serverId, to: serverId, works: [work] });
    return;
  }
  last.to = serverId;
  last.works.push(work);
}

function workOf(row: ServerRow, snapshot: KekSnapshot, now: Date, rules: FanOutDeps['rules']): Work {
  const decided =
    row.incoming || row.tombstone ? row : withDecision(row, decideAccess(row, snapshot, now), now);
  const rewrap = decideRewrap(row, snapshot, now, rules.proveAfterSeconds, null);
  return {
    access: decided !== row || decideAccessWork(row, now, rules.inspection, null) !== 'none',
    rewrap: rewrap.kind !== 'none',
    follows: !row.incoming && !row.pinned && row.wrapped.kekVersion !== snapshot.kek.target,
    unsettled: !row.tombstone && (decided.desired === 'revoked' || !isApplied(decided)),
  };
}

function makeCount(countedAt: Date) {
  const versions = new Map<string, { -readonly [name in keyof VersionCount]: number }>();
  const entryOf = (version: string) => {
    const found = versions.get(version);
    if (found !== undefined) return found;
    const entry = { servers: 0, tombstones: 0, copies: 0, unproven: 0, unprovenSuccessors: 0 };
    versions.set(version, entry);
    return entry;
  };
  let notSettled = 0;
  let behind = 0;
  return {
    add: (row: ServerRow, work: Work) => {
      const entry = entryOf(row.wrapped.kekVersion);
      entry.servers += 1;
      if (row.tombstone) entry.tombstones += 1;
      if (row.copyOf !== null) entry.copies += 1;
      if (row.provenAt === null) entry.unproven += 1;
      if (row.provenAt === null && row.replacedVersion !== null)
        entryOf(row.replacedVersion).unprovenSuccessors += 1;
      if (work.unsettled) notSettled += 1;
      if (work.follows) behind += 1;
    },
    census: (): Census => ({ countedAt, versions: Object.fromEntries(versions), notSettled }),
    isRotated: () => behind === 0,
  };
}

/** Versions that servers were found on are watched from now on; others only as long as nothing else says so. */
async function recordFanOut(deps: FanOutDeps, counted: StoredKek, census: Census): Promise<void> {
  const { epoch, kek } = counted.kek.value;
  await onConflict(async () => {
    const stored = await deps.keks.read(kek);
    if (stored === undefined) return;
    const versions = stored.versions.flatMap((one) => {
      const inUse = (census.versions[one.value.version]?.servers ?? 0) > 0;
      if (inUse === one.value.inUse) return [];
      // A version that changed since the count may have got its first server since.
      const unchanged = counted.versions.some(
        (old) => old.value.version === one.value.version && old.etag === one.etag,
      );
      return inUse || unchanged ? [{ value: { ...one.value, inUse }, etag: one.etag }] : [];
    });
    const fannedOutEpoch = Math.max(stored.kek.value.fannedOutEpoch, epoch);
    const value = { ...stored.kek.value, fannedOutEpoch, census };
    await deps.keks.commit(kek, { kek: { value, etag: stored.kek.etag }, versions, outbox: null });
  });
}
