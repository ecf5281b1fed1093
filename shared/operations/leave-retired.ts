// The end of whatever puts a server under a key version: the version may have been retired before the row was there.
import { findVersion } from '../domain/kek.ts';
import type { VersionState } from '../domain/key-status.ts';
import type { ServerRow } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { lookAtServer } from './look-at-server.ts';
import { onConflict } from './on-conflict.ts';
import { assertNotRetired, holdKek } from './prove-kek.ts';
import { toRecord } from './registration-row.ts';
import { toSnapshot } from './snapshot.ts';

export interface LeaveRetiredDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
}

/**
 * Has the server looked at, whose row is visible: whoever takes these messages reads the KEK after it, and nobody slips
 * through.
 *
 * Invariant I-12: a version that was retired in the very moment in which a server was pinned to it had nothing
 * depending on it when that was said. The server isn't left there: it is unpinned, follows the rotation, and its caller
 * is told. One that isn't pinned follows the rotation as it is.
 * @param row as it was read after it was written
 * @throws CmkError KekNotProven, StoreUnavailable, WriteConflict
 */
export async function leaveRetired(deps: LeaveRetiredDeps, row: ServerRow, by: string): Promise<void> {
  const { kek, serverId, wrapped, pinned } = row;
  const stored = await deps.keks.read(kek);
  const version = stored && findVersion(toSnapshot(stored), wrapped.kekVersion);
  const isRetired = version !== undefined && version.retiredAt !== null;
  const stranded = isRetired && pinned ? version : undefined;
  if (stranded !== undefined) await unpin(deps, row, stranded, by);
  // A count that was made before the row was there has found nobody on its version.
  if (!isRetired && version?.inUse !== true) await holdKek(deps, kek, wrapped.kekVersion);
  await lookAtServer(deps, kek, serverId, { kind: 'operator', by });
  assertNotRetired(kek, stranded);
}

async function unpin(
  { servers, clock }: LeaveRetiredDeps,
  { kek, serverId }: ServerRow,
  { version }: VersionState,
  by: string,
): Promise<void> {
  await onConflict(async () => {
    const stored = await servers.read(kek, serverId);
    if (stored === undefined || !stored.value.pinned || stored.value.wrapped.kekVersion !== version) return;
    const value = { ...stored.value, pinned: false };
    const record = toRecord('server.moved', value, by, clock.now(), { pinned: false });
    await servers.commit(kek, [{ value, etag: stored.etag, history: null }], {
      audit: [{ ...record, versionBefore: version, reason: 'VersionRetired' }],
      events: [],
    });
  });
}
