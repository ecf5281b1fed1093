// From a KEK to its servers: one pass over the rows that counts them and enqueues the ranges with work in them.
import type { Cause } from '../domain/audit.ts';
import { makeStateCounts, makeVersionCounts } from '../domain/count-versions.ts';
import {
  decideAccess,
  decideAccessWork,
  decideRewrap,
  type InspectionPeriods,
  placeInRotation,
  type RewrapWork,
  withDecision,
} from '../domain/decide-server.ts';
import { countServer, NO_SERVERS, type Place, type RotationCount } from '../domain/decide-wave.ts';
import { type Census, findVersion, type KekSnapshot } from '../domain/kek.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import { isRotationCount, RANGE_SERVERS, type RangeMessage, ROTATION_COUNT } from '../domain/message.ts';
import { isApplied, type ServerRow } from '../domain/server.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import type { FinishMove } from './finish-move.ts';
import type { FinishRotation } from './finish-rotation.ts';
import { onConflict } from './on-conflict.ts';
import { pagesOf } from './server-pages.ts';
import { toSnapshot } from './snapshot.ts';
import { turnWave } from './turn-wave.ts';

export interface FanOutDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
  readonly finishRotation: FinishRotation;
  readonly finishMove: FinishMove;
  readonly clock: Clock;
  readonly log: Log;
  readonly rules: {
    readonly inspection: InspectionPeriods;
    readonly proveAfterSeconds: number;
    /** From one count of a running rotation to the sweep's next. */
    readonly unsettledSeconds: number;
  };
}

export type FanOut = (kek: KekId, cause: Cause) => Promise<void>;

const PAGE_ROWS = RANGE_SERVERS * 10;

/**
 * Does nothing while the KEK's epoch was fanned out already, except for a sweep; and only counts where a rotation asks
 * how far it is. The count opens the next wave of a rotation, or halts it. `fannedOutEpoch` follows only after
 * all messages were enqueued, so a crash in between only means that they are enqueued once more.
 */
export function makeFanOut(deps: FanOutDeps): FanOut {
  const { keks, servers, queue, clock, log, rules } = deps;

  return async (kek, cause) => {
    const stored = await keks.read(kek);
    if (stored === undefined) return;
    const { epoch, fannedOutEpoch } = stored.kek.value;
    const enqueues = epoch !== fannedOutEpoch || cause.kind === 'sweep';
    if (!enqueues && !isRotationCount(cause)) return;

    const snapshot = toSnapshot(stored);
    const count = makeCount(snapshot, clock.now());
    const isNew = epoch !== fannedOutEpoch;
    const repeats: RangeMessage[] = [];
    for await (const page of pagesOf(servers, kek, PAGE_ROWS)) {
      for (const held of page.held) log.write('error', 'a server row does not parse: held', { ...held });
      const ranges: Range[] = [];
      for (const { value: row } of page.rows) {
        const work = workOf(row, snapshot, clock.now(), rules);
        count.add(row, work);
        addToRange(ranges, row.serverId, work);
        if (row.moving !== null) await deps.finishMove(row);
        if (isStray(row, snapshot))
          log.write('warn', 'a server is under a retired key version', toStray(row));
      }
      const having = (hasWork: (work: Work) => boolean): readonly RangeMessage[] =>
        ranges
          .filter(({ works }) => works.some(hasWork))
          .map(({ from, to }) => ({ kek, epoch, from, to, attempt: null, cause }));
      if (enqueues) {
        // Access first: a revocation never waits behind a rotation.
        await queue.enqueueAccess(having(({ access }) => access));
        if (isNew) await queue.enqueueRewrap(having(({ rewrap }) => rewrap !== 'none'));
        // A range that waits for its target is in the queue.
        else repeats.push(...having(({ rewrap }) => rewrap !== 'none' && rewrap !== 'wait'));
      }
    }
    // A rotation that moves has its messages. Where nothing has moved since a count of a while ago they may be lost.
    const { census, rotation } = stored.kek.value;
    const isMoving = rotation.state === 'running' && !count.hasStoodStill(census, rules.unsettledSeconds);
    if (repeats.length > 0 && !isMoving) await queue.enqueueRewrap(repeats);

    const isOpened = await recordFanOut(deps, stored, count, cause);
    // Its epoch isn't fanned out yet: a crash before this line leaves that to the sweep.
    if (isOpened) await queue.enqueueReconcile({ kek, cause: ROTATION_COUNT });
    if (count.isRotated()) await deps.finishRotation(kek, cause);
  };
}

/** Whoever put it there ended before he looked at the mark (I-12). The count has the version watched again. */
const isStray = (row: ServerRow, snapshot: KekSnapshot): boolean =>
  (findVersion(snapshot, row.wrapped.kekVersion)?.retiredAt ?? null) !== null;

const toStray = ({ kek, serverId, wrapped, pinned }: ServerRow) => ({
  server: serverId,
  key: keyUrl(kek, wrapped.kekVersion),
  pinned,
  remedy: pinned
    ? 'Move it to the key without a version, or with a newer one.'
    : 'The rotation moves it on, unless it is paused.',
});

interface Work {
  /** The row as the KEK has it be. */
  readonly decided: ServerRow;
  readonly access: boolean;
  readonly rewrap: RewrapWork['kind'];
  readonly place: Place;
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
    decided,
    access: decided !== row || decideAccessWork(row, now, rules.inspection, null) !== 'none',
    rewrap: rewrap.kind,
    place: placeInRotation(row, snapshot),
    unsettled:
      row.moving !== null || (!row.tombstone && (decided.desired === 'revoked' || !isApplied(decided))),
  };
}

type Count = ReturnType<typeof makeCount>;

function makeCount(snapshot: KekSnapshot, countedAt: Date) {
  const counts = makeVersionCounts();
  const states = makeStateCounts();
  let notSettled = 0;
  let behind = 0;
  let lastBehind: string | null = null;
  let rotation: RotationCount = NO_SERVERS;
  return {
    add: (row: ServerRow, work: Work) => {
      counts.add(row);
      states.add(work.decided);
      if (work.unsettled) notSettled += 1;
      if (work.place === 'behind' || work.place === 'stuck') {
        behind += 1;
        lastBehind = row.serverId;
      }
      rotation = countServer(rotation, row, work.place, snapshot.kek);
    },
    census: (): Census => ({
      countedAt,
      versions: counts.versions(),
      states: states.states(),
      notSettled,
      behind,
      lastBehind,
    }),
    isRotated: () => behind === 0,
    /** More are behind than there were, so nobody is at them; or just as many as a while ago. */
    hasStoodStill: (census: Census | null, seconds: number) =>
      census === null ||
      behind > census.behind ||
      (behind === census.behind && countedAt.getTime() - census.countedAt.getTime() >= seconds * 1000),
    rotation: () => rotation,
  };
}

/**
 * Versions that servers were found on are watched from now on; others only as long as nothing else says so.
 * Resolves to whether a wave was opened.
 */
function recordFanOut(deps: FanOutDeps, counted: StoredKek, count: Count, cause: Cause): Promise<boolean> {
  const { epoch, kek } = counted.kek.value;
  const census = count.census();
  return onConflict(async () => {
    const stored = await deps.keks.read(kek);
    if (stored === undefined) return false;
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
    // What was counted under another epoch, hence another target, policy or wave, says nothing of this one.
    const isSame = stored.kek.value.epoch === epoch;
    const turn = isSame ? turnWave(value, count.rotation(), cause, deps.clock.now()) : null;
    const next = turn?.kek ?? value;
    const outbox = turn?.outbox ?? null;
    await deps.keks.commit(kek, { kek: { value: next, etag: stored.kek.etag }, versions, outbox });
    return next.epoch !== value.epoch;
  });
}
