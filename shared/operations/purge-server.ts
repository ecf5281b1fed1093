// Giving a deleted server's DEK up for good. The order of the steps is what makes it repeatable: see makeDeleteServer.
import { isCmkError } from '../domain/errors.ts';
import { isSameKek, type KekId } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { Escrow } from '../ports/escrow.ts';
import type { Clock, Random } from '../ports/runtime.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import { onConflict } from './on-conflict.ts';
import { toAssigned, toRecord } from './registration-row.ts';

export interface PurgeDeps {
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly escrow: Escrow;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Record, history, escrow, row, index, in this order. Whatever is destroyed was announced before; the row, by which
 * the rest is found, goes only after the rest; and the id is free only when no wrapping is left that a registration
 * of the same id could take for its own. A purge that is cut short and taken up again is recorded again.
 *
 * Invariant I-03: no DEK is ever lost, unless somebody who may assign DEKs says so, of a server that was deleted.
 * @throws CmkError StoreUnavailable, WriteConflict: the same again goes on with it
 */
export async function purgeServer(deps: PurgeDeps, { serverId, kek }: ServerRow, by: string): Promise<void> {
  const { servers, escrow, clock, random } = deps;
  let announced = false;
  await onConflict(async () => {
    const stored = await servers.read(kek, serverId);
    if (stored === undefined || announced) return;
    const { value, etag } = stored;
    const now = clock.now();
    await servers.commit(kek, [{ value, etag, history: null }], {
      audit: [toRecord('server.purged', value, by, now, { dekId: value.wrapped.dekId })],
      events: [toAssigned(random, value, by, now, { change: 'purge' })],
    });
    announced = true;
  });
  await onConflict(async () => {
    // Read first: a rewrap that files one more wrapping changes the row as well, and then it isn't removed.
    const stored = await servers.read(kek, serverId);
    if (stored === undefined) return;
    await servers.removeHistoryOf(kek, serverId);
    // Where it was before it was moved here, its old wrappings are in the history too.
    for (const filed of await escrow.list(serverId)) {
      await servers.removeHistoryOf(filed, serverId);
      await escrow.remove(serverId, filed);
    }
    await servers.remove(kek, serverId, stored.etag);
  });
  await freeId(deps, serverId, kek);
}

/**
 * Frees the id of a server of which nothing else is left, as at the end of a purge, or where one was cut short just
 * before it. An id that a registration has claimed and not yet come further with looks the same; so it is claimed again
 * if a row has turned up meanwhile.
 * @param kek where the server was; null: wherever the index says
 * @throws CmkError StoreUnavailable, InvalidRow
 */
export async function freeId(
  { servers, index, escrow }: PurgeDeps,
  serverId: string,
  kek: KekId | null,
): Promise<void> {
  const freed = await onConflict(async () => {
    const owner = await index.find(serverId);
    if (owner === undefined || (kek !== null && !isSameKek(owner.value, kek))) return null;
    // A purge takes the escrow first: where there is something in it, a registration has come that far, and may go on.
    if ((await escrow.list(serverId)).length > 0) return null;
    if ((await servers.read(owner.value, serverId)) !== undefined) return null;
    await index.release(serverId, owner.etag);
    return owner.value;
  });
  if (freed === null || (await servers.read(freed, serverId)) === undefined) return;
  try {
    await index.claim(serverId, freed);
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
  }
}
