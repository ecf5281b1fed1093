// The program that goes from a KEK to its servers, and the one that says when a rotation has ended.
import type { Cause } from '../../shared/domain/audit.ts';
import { makeVersionCounts } from '../../shared/domain/count-versions.ts';
import {
  decideAccess,
  decideAccessWork,
  decideRewrap,
  isOff,
  placeInRotation,
  withDecision,
} from '../../shared/domain/decide-server.ts';
import type { Census, KekSnapshot } from '../../shared/domain/kek.ts';
import type { KekId } from '../../shared/domain/key-id.ts';
import { isRotationCount, type RangeMessage } from '../../shared/domain/message.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import { io, onConflict, type Program } from './io.ts';
import { type Process, RULES } from './site.ts';

export function* fanOut(process: Process, kek: KekId, cause: Cause): Program<void> {
  const { storage } = process;
  const stored = yield* io('store.read', () => storage.readKek(kek));
  if (stored === undefined) return;
  const { epoch, fannedOutEpoch } = stored.kek.value;
  const enqueues = epoch !== fannedOutEpoch || cause.kind === 'sweep';
  if (!enqueues && !isRotationCount(cause)) return;
  const snapshot = toSnapshot(stored);
  const now = process.now();
  const page = yield* io('store.read', () => storage.pageServers(kek, '', '~'));
  const rows = page.map(({ value }) => value);
  const works = rows.map((row) => workOf(row, snapshot, now));
  const left = works.filter(({ behind }) => behind);
  const behind = { behind: left.length, lastBehind: left.at(-1)?.serverId ?? null };
  if (enqueues) {
    const [from, to] = [rows[0]?.serverId ?? '', rows.at(-1)?.serverId ?? ''];
    const message: RangeMessage = { kek, epoch, from, to, attempt: null, cause };
    const put = (queue: 'access' | 'rewrap', hasWork: (work: Work) => boolean) => () => {
      if (works.some(hasWork)) process.enqueue({ queue, message });
    };
    yield* io(
      'queue',
      put('access', ({ access }) => access),
    );
    const before = stored.kek.value.census;
    const hasStoodStill =
      before === null ||
      behind.behind > before.behind ||
      (behind.behind === before.behind &&
        Number(now) - Number(before.countedAt) >= RULES.unsettledSeconds * 1000);
    const isNew = epoch !== fannedOutEpoch;
    const hasWork = ({ rewrap }: Work) => rewrap !== 'none' && (isNew || rewrap !== 'wait');
    const isMoving = stored.kek.value.rotation.state === 'running' && !hasStoodStill;
    const isRepeat = works.some(hasWork) && !isMoving;
    if (isNew || isRepeat) yield* io('queue', put('rewrap', hasWork));
  }
  yield* recordFanOut(process, kek, epoch, rows, stored.versions, behind);
  if (left.length === 0) yield* finishRotation(process, kek);
}

type Work = ReturnType<typeof workOf>;

function workOf(row: ServerRow, snapshot: KekSnapshot, now: Date) {
  const decided = withDecision(row, decideAccess(row, snapshot, now), now);
  const place = placeInRotation(row, snapshot);
  return {
    serverId: row.serverId,
    access: decided !== row || decideAccessWork(row, now, RULES.inspection, null) !== 'none',
    rewrap: decideRewrap(row, snapshot, now, RULES.proveAfterSeconds, null).kind,
    behind: place === 'behind' || place === 'stuck',
  };
}

const recordFanOut = (
  process: Process,
  kek: KekId,
  epoch: number,
  rows: readonly ServerRow[],
  counted: readonly { readonly value: { readonly version: string }; readonly etag: string }[],
  behind: Pick<Census, 'behind' | 'lastBehind'>,
) =>
  onConflict(function* (): Program<void> {
    const { storage } = process;
    const counts = makeVersionCounts();
    for (const row of rows) counts.add(row);
    const versions = counts.versions();
    const stored = yield* io('store.read', () => storage.readKek(kek));
    if (stored === undefined) return;
    const changed = stored.versions.flatMap(({ value, etag }) => {
      const inUse = (versions[value.version]?.servers ?? 0) > 0;
      if (inUse === value.inUse) return [];
      const unchanged = counted.some((old) => old.value.version === value.version && old.etag === etag);
      return inUse || unchanged ? [{ value: { ...value, inUse }, etag }] : [];
    });
    const fannedOutEpoch = Math.max(stored.kek.value.fannedOutEpoch, epoch);
    const census: Census = {
      countedAt: process.now(),
      versions,
      states: {},
      notSettled: 0,
      ...behind,
    };
    const row = { value: { ...stored.kek.value, fannedOutEpoch, census }, etag: stored.kek.etag };
    yield* io('store.write', () => storage.commitKek(kek, row, changed));
  });

export const finishRotation = (process: Process, kek: KekId) =>
  onConflict(function* (): Program<void> {
    const { storage } = process;
    const stored = yield* io('store.read', () => storage.readKek(kek));
    if (stored === undefined) return;
    const { target, rotation, census } = stored.kek.value;
    if (target === null || rotation.state !== 'running') return;
    const last = census?.lastBehind ?? null;
    if (last !== null) {
      const one = yield* io('store.read', () => storage.readServer(kek, last));
      if (one !== undefined && isOff(one.value, target)) return;
    }
    const page = yield* io('store.read', () => storage.pageServers(kek, '', '~'));
    if (page.some(({ value }) => value.wrapped.kekVersion !== target)) return;
    const { startedAt } = rotation;
    const completed = { state: 'completed', startedAt, completedAt: process.now() } as const;
    const row = { value: { ...stored.kek.value, rotation: completed }, etag: stored.kek.etag };
    yield* io('store.write', () => storage.commitKek(kek, row, []));
  });
