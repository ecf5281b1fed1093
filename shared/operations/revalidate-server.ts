// Looks at a server's key and at the server itself now, rather than when their time comes.
import { isCmkError } from '../domain/errors.ts';
import { type RangeMessage, toLook } from '../domain/message.ts';
import type { ServerRow } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Log } from '../ports/runtime.ts';
import type { Stored } from '../ports/stored.ts';
import { type ApplyAccessDeps, makeApplyServerAccess } from './apply-server-access.ts';
import { type FindServerDeps, findLiveServer } from './find-server.ts';
import type { ReconcileKek } from './reconcile-kek.ts';
import { makeRewrapDeks, type RewrapDeps } from './rewrap-deks.ts';

export interface RevalidateCommand {
  readonly serverId: string;
  readonly by: string;
}

/** @throws CmkError ServerNotFound, ServerDeleted, InvalidRow, StoreUnavailable */
export type RevalidateServer = (command: RevalidateCommand) => Promise<Stored<ServerRow>>;

export interface RevalidateDeps extends FindServerDeps {
  readonly keks: KekStore;
  readonly reconcileKek: ReconcileKek;
  /** As the worker does it, but at once: see {@link makeLookNow}. */
  readonly lookNow: LookNow;
  readonly log: Log;
}

/** What the workers of the queues do with one server, whether or not it is due. */
export interface LookNow {
  readonly access: (message: RangeMessage) => Promise<void>;
  readonly rewrap: (message: RangeMessage) => Promise<void>;
}

export const makeLookNow = (deps: Omit<ApplyAccessDeps, 'rules'> & Omit<RewrapDeps, 'rules'>): LookNow => ({
  access: makeApplyServerAccess({ ...deps, rules: { inspection: { grantedSeconds: 0, revokedSeconds: 0 } } }),
  rewrap: makeRewrapDeks({ ...deps, rules: { proveAfterSeconds: 0 } }),
});

/**
 * What fails is on the rows, like what a worker meets; only what can't be written down is thrown. A chain of retries
 * is gone on with, not doubled: the try made here bears the number that the row waits for.
 */
export function makeRevalidateServer(deps: RevalidateDeps): RevalidateServer {
  return async ({ serverId, by }) => {
    const cause = { kind: 'operator', by } as const;
    const { kek } = (await findLiveServer(deps, serverId)).value;
    await deps.reconcileKek({ kek, cause }, null);

    const seen = (await findLiveServer(deps, serverId)).value;
    await deps.lookNow.access(toLook(seen.kek, serverId, cause, seen.failure?.attempt));
    await prove(deps, (await findLiveServer(deps, serverId)).value, cause);
    return await findLiveServer(deps, serverId);
  };
}

async function prove(
  { keks, lookNow, log }: RevalidateDeps,
  { kek, serverId, provenAt, rewrapFailure }: ServerRow,
  cause: RangeMessage['cause'],
): Promise<void> {
  if (provenAt !== null) return;
  const epoch = (await keks.read(kek))?.kek.value.epoch ?? 0;
  const attempt = rewrapFailure?.attempt ?? null;
  try {
    await lookNow.rewrap({ kek, epoch, from: serverId, to: serverId, attempt, cause });
  } catch (error) {
    // The vault's trouble: the reconcile has met it too, and the sweep comes back to the proof.
    if (!isCmkError(error, 'VaultUnavailable') && !isCmkError(error, 'RewrapProofFailed')) throw error;
    log.write('warn', error.message, { serverId, code: error.code });
  }
}
