// How far a KEK's servers are: counted anew from their rows.
import { makeVersionCounts } from '../domain/count-versions.ts';
import { placeInRotation } from '../domain/decide-server.ts';
import { findVersion, type KekSnapshot, type Rotation, type VersionCount } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { deriveServerState, type ServerRow, type ServerState } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import { pagesOf } from './server-pages.ts';
import { toSnapshot } from './snapshot.ts';

export interface RewrapFault {
  readonly serverId: string;
  readonly code: string;
  readonly message: string;
  readonly since: Date;
}

export interface KekProgress {
  readonly countedAt: Date;
  readonly target: string | null;
  readonly rotation: Rotation;
  readonly servers: number;
  /** Of those that follow the rotation. */
  readonly onTarget: number;
  readonly behind: number;
  readonly versions: Readonly<Record<string, VersionCount>>;
  readonly states: Readonly<Partial<Record<ServerState, number>>>;
  /** Rewrapped since the rotation began, divided by the time since then, soaks included; null: nothing to tell it from. */
  readonly serversPerSecond: number | null;
  /** At that rate; null: not running, or no rate yet. */
  readonly expectedEnd: Date | null;
  /** The first hundred by name. */
  readonly failures: readonly RewrapFault[];
  readonly failureCount: number;
  readonly held: number;
}

export interface ReadProgressDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly clock: Clock;
}

const PAGE_ROWS = 1000;
const FAILURES_SHOWN = 100;

/** undefined where the KEK isn't held. Memory doesn't grow with the servers. */
export const makeReadProgress =
  ({ keks, servers, clock }: ReadProgressDeps) =>
  async (kek: KekId): Promise<KekProgress | undefined> => {
    const stored = await keks.read(kek);
    if (stored === undefined) return undefined;
    const count = makeProgressCount(toSnapshot(stored), clock.now());
    for await (const page of pagesOf(servers, kek, PAGE_ROWS)) {
      count.addHeld(page.held.length);
      for (const { value: row } of page.rows) count.add(row);
    }
    return count.progress();
  };

function makeProgressCount(snapshot: KekSnapshot, countedAt: Date) {
  const { target, rotation } = snapshot.kek;
  const startedAt = 'startedAt' in rotation ? rotation.startedAt : null;
  const counts = makeVersionCounts();
  const states: Partial<Record<ServerState, number>> = {};
  const failures: RewrapFault[] = [];
  const totals = { servers: 0, onTarget: 0, behind: 0, failureCount: 0, held: 0 };
  let rewrapped = 0;

  return {
    addHeld: (rows: number) => {
      totals.held += rows;
    },
    add: (row: ServerRow) => {
      const { serverId, rewrapFailure, wrapped, wrappedAt } = row;
      const version = wrapped.kekVersion;
      const { state } = deriveServerState(row, findVersion(snapshot, version));
      counts.add(row);
      states[state] = (states[state] ?? 0) + 1;
      totals.servers += 1;
      const place = placeInRotation(row, snapshot);
      if (place === 'done') totals.onTarget += 1;
      else if (place !== 'stays') totals.behind += 1;
      if (startedAt !== null && version === target && row.replacedVersion !== null && wrappedAt >= startedAt)
        rewrapped += 1;
      if (rewrapFailure === null) return;
      totals.failureCount += 1;
      const { code, message, since } = rewrapFailure;
      if (failures.length < FAILURES_SHOWN) failures.push({ serverId, code, message, since });
    },
    progress: (): KekProgress => {
      const rate = rateOf(rotation, rewrapped, countedAt);
      const expectedEnd =
        rotation.state === 'running' && !snapshot.kek.policy.rewrapPaused && rate !== null
          ? new Date(countedAt.getTime() + (totals.behind / rate) * 1000)
          : null;
      return {
        countedAt,
        target,
        rotation,
        ...totals,
        versions: counts.versions(),
        states,
        serversPerSecond: rate,
        expectedEnd,
        failures,
      };
    },
  };
}

function rateOf(rotation: Rotation, rewrapped: number, now: Date): number | null {
  if (!('startedAt' in rotation)) return null;
  const end =
    rotation.state === 'completed'
      ? rotation.completedAt
      : rotation.state === 'halted'
        ? rotation.since
        : now;
  const seconds = (end.getTime() - rotation.startedAt.getTime()) / 1000;
  return rewrapped === 0 || seconds <= 0 ? null : rewrapped / seconds;
}
