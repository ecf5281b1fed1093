// A move that stays under its KEK: the server is pinned to a version of it, or follows the rotation again.
import type { KekId } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { ServerWrite } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { type FindServerDeps, findServer } from './find-server.ts';
import { assertMatches } from './if-match.ts';
import { leaveRetired } from './leave-retired.ts';
import { rewrapDek, type WrapDekDeps } from './make-wrapping.ts';
import { holdKek, type ProveKekDeps, proveKek } from './prove-kek.ts';
import { toRecord } from './registration-row.ts';
import { toWrite } from './rewrap-outcome.ts';

export interface PinServerDeps extends ProveKekDeps, WrapDekDeps, FindServerDeps {
  readonly queue: WorkQueue;
}

/**
 * Changes nothing where it is so already. Pinned to another version than it is under, the server is rewrapped at once,
 * also to an older one: a person says so.
 * @throws CmkError PreconditionFailed, KekNotProven, VaultUnavailable, VaultRefused, StoreUnavailable, WriteConflict
 */
export async function pinServer(
  deps: PinServerDeps,
  stored: Stored<ServerRow>,
  order: { readonly pin: string | null; readonly by: string; readonly ifMatch: string | null },
): Promise<Stored<ServerRow>> {
  const { servers, clock } = deps;
  const { pin, by, ifMatch } = order;
  const { serverId, kek, wrapped, pinned } = stored.value;
  const isUnder = pin === null || pin === wrapped.kekVersion;
  if (pinned === (pin !== null) && isUnder) {
    // As far as an order came that was cut short.
    if (pinned) await leaveRetired(deps, stored.value, by);
    return stored;
  }
  assertMatches(stored.etag, ifMatch);
  const write = isUnder ? await stay(deps, kek, pin, stored) : await rewrapTo(deps, kek, pin, stored);
  const value = { ...write.value, pinned: pin !== null };
  const record = toRecord('server.moved', value, by, clock.now(), { pinned: value.pinned });
  await servers.commit(kek, [{ ...write, value }], {
    audit: [{ ...record, versionBefore: wrapped.kekVersion }],
    events: [],
  });
  await leaveRetired(deps, (await findServer(deps, serverId)).value, by);
  return findServer(deps, serverId);
}

async function stay(
  deps: PinServerDeps,
  kek: KekId,
  pin: string | null,
  stored: Stored<ServerRow>,
): Promise<ServerWrite> {
  if (pin !== null) await holdKek(deps, kek, pin);
  return { ...stored, history: null };
}

async function rewrapTo(
  deps: PinServerDeps,
  kek: KekId,
  pin: string,
  stored: Stored<ServerRow>,
): Promise<ServerWrite> {
  const version = await proveKek(deps, kek, pin);
  const wrapped = await rewrapDek(deps, kek, stored.value.serverId, stored.value.wrapped, version);
  return toWrite({ kind: 'rewrapped', stored, wrapped, proven: true }, deps.clock.now());
}
