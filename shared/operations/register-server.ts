// Registers a server: makes its DEK once, files the wrapping in a second place, and indexes it (design 9).
import { isCmkError } from '../domain/errors.ts';
import { findVersion } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { VersionState } from '../domain/key-status.ts';
import type { RegistrationCheck } from '../domain/registration-check.ts';
import type { ServerRow } from '../domain/server.ts';
import type { AccessSpec, KeyLossPolicy } from '../domain/server-spec.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { Escrow } from '../ports/escrow.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { assertValid, type CheckRegistration } from './check-registration.ts';
import { readRow } from './find-server.ts';
import { type MakeWrappingDeps, makeWrapping, rewrapDek } from './make-wrapping.ts';
import { onConflict } from './on-conflict.ts';
import { assertFree, dekAlreadyMade, type Prepared, prepareRegistration } from './prepare-registration.ts';
import { assertNotRetired, holdKek, type ProveKekDeps, proveKek } from './prove-kek.ts';
import { type HeldWrapping, makeRow, toAssigned, toRegistered } from './registration-row.ts';
import { toSnapshot } from './snapshot.ts';
import { unwrapDek } from './unwrap-dek.ts';
import { updateServer } from './update-server.ts';

export interface RegisterCommand {
  readonly serverId: string;
  /** A key URL; with a version in it, the server is pinned to that version. */
  readonly keyId: string;
  readonly access: AccessSpec;
  readonly keyLossPolicy: KeyLossPolicy;
  /** Seconds that the policy `drain` leaves to open sessions; null: the app's setting. */
  readonly drainSeconds: number | null;
  /** Who gets the DEK; undefined: nobody for a new server, and as it is for one that is there. */
  readonly principalId: string | null | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** A DEK to take over in place of a new one, under a version of this very KEK; null: none. */
  readonly wrappedDek: WrappedDek | null;
  readonly by: string;
  /** Whether the caller has the role Dek.Assign, which setting a principal and importing need. */
  readonly mayAssign: boolean;
  /** The ETag that the row must have; null: any, or none. */
  readonly ifMatch: string | null;
}

export interface Registered {
  readonly stored: Stored<ServerRow>;
  /** false: it was there already. */
  readonly created: boolean;
}

export interface RegisterDeps extends MakeWrappingDeps, ProveKekDeps {
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly escrow: Escrow;
  readonly queue: WorkQueue;
  readonly checkRegistration: CheckRegistration;
  /** For commands that name none. */
  readonly drainSeconds: number;
}

/** Registers a server, or updates what may change of one that is there. The same command again changes nothing. */
export type RegisterServer = (command: RegisterCommand) => Promise<Registered>;

/** What registering would find, and nothing is changed by asking. */
export type ValidateRegistration = (command: RegisterCommand) => Promise<readonly RegistrationCheck[]>;

/**
 * @throws CmkError InvalidServer, InvalidKeyId, ServerIdTaken, ServerDeleted, ServerMoving, RoleMissing, DekAlreadyMade,
 *   PreconditionFailed, RegistrationRefused (`detail.checks`), KekNotProven, VaultUnavailable, VaultRefused,
 *   WrappedDekMalformed, DekBindingMismatch, DekIdMismatch, StoreUnavailable. Cut short at any point, the same command
 *   takes it up again with the DEK that was made.
 */
export function makeRegisterServer(deps: RegisterDeps): RegisterServer {
  return async (command) => {
    const prepared = await prepareRegistration(deps, command);
    const { kek, pin } = prepared;
    const created = prepared.stored === undefined && (await createServer(deps, prepared, command));
    if (!created) await updateServer(deps, kek, pin, command);
    return { stored: await lookAt(deps, kek, command), created };
  };
}

/** @throws CmkError as {@link makeRegisterServer}, but for what it finds about key and server */
export function makeValidateRegistration(deps: RegisterDeps): ValidateRegistration {
  return async (command) => {
    const { kek, pin, stored } = await prepareRegistration(deps, command);
    const { serverId, access, wrappedDek } = command;
    const checks = await deps.checkRegistration(kek, wrappedDek?.kekVersion ?? pin, access);
    const rights = checks.find(({ code }) => code === 'KeyRightsMissing');
    if (stored === undefined && wrappedDek !== null && rights?.outcome === 'passed')
      (await unwrapDek(deps.vault, kek, serverId, wrappedDek))[Symbol.dispose]();
    return checks;
  };
}

/** Whether the row was inserted by this very call. */
async function createServer(
  deps: RegisterDeps,
  { kek, pin }: Prepared,
  command: RegisterCommand,
): Promise<boolean> {
  const { serverId, access, by, wrappedDek } = command;
  const named = wrappedDek?.kekVersion ?? pin;
  assertValid(serverId, await deps.checkRegistration(kek, named, access));
  const version = await proveKek(deps, kek, named);
  // Nothing of an import is kept before the vault has said what is in it.
  if (wrappedDek !== null) (await unwrapDek(deps.vault, kek, serverId, wrappedDek))[Symbol.dispose]();
  await claim(deps, serverId, kek);
  const held =
    wrappedDek === null
      ? await makeOnce(deps, kek, serverId, version)
      : await importOnce(deps, kek, serverId, wrappedDek);
  const now = deps.clock.now();
  const row = makeRow(command, deps, kek, held, pin !== null, now);
  const assigned = wrappedDek !== null || row.principalId !== null;
  const change = wrappedDek === null ? 'registration' : 'import';
  try {
    await deps.servers.commit(kek, [{ value: row, etag: null, history: null }], {
      audit: [toRegistered(row, by, now, wrappedDek !== null)],
      events: assigned ? [toAssigned(deps.random, row, by, now, { change })] : [],
    });
    return true;
  } catch (error) {
    // Somebody registered it at the same moment; what this command says of it still counts.
    if (!isCmkError(error, 'WriteConflict')) throw error;
    return false;
  }
}

async function claim(deps: RegisterDeps, serverId: string, kek: KekId): Promise<void> {
  try {
    await deps.index.claim(serverId, kek);
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
    await assertFree(deps, serverId, kek);
  }
}

/** Made once: a registration that was cut short finds what it had filed, be it under another version by now. */
async function makeOnce(
  deps: RegisterDeps,
  kek: KekId,
  serverId: string,
  version: VersionState,
): Promise<HeldWrapping> {
  let filed = await deps.escrow.find(serverId, kek);
  if (filed === undefined) {
    const made = await makeWrapping(deps, kek, serverId, version);
    filed = await deps.escrow.file(serverId, kek, made);
    if (filed.ciphertext === made.ciphertext) return { wrapped: made, proven: true };
  }
  if (filed.kekVersion === version.version) return { wrapped: filed, proven: false };
  return { wrapped: await rewrapDek(deps, kek, serverId, filed, version), proven: true };
}

/** The wrapping as it was given, which the vault has just unwrapped. @throws CmkError DekAlreadyMade, StoreUnavailable */
async function importOnce(
  { escrow }: RegisterDeps,
  kek: KekId,
  serverId: string,
  wrapped: WrappedDek,
): Promise<HeldWrapping> {
  const filed = await escrow.file(serverId, kek, wrapped);
  if (filed.dekId !== wrapped.dekId) throw dekAlreadyMade(serverId);
  return { wrapped, proven: true };
}

/**
 * The row is visible now, and whoever takes these messages reads the KEK after it: nobody slips through.
 *
 * A version that was retired in the very moment in which a server was pinned to it had nothing depending on it when
 * that was said. The server isn't left there: it is unpinned, follows the rotation, and its caller is told.
 */
async function lookAt(deps: RegisterDeps, kek: KekId, command: RegisterCommand): Promise<Stored<ServerRow>> {
  const { serverId, by } = command;
  const row = await readRow(deps.servers, kek, serverId);
  const stored = await deps.keks.read(kek);
  const version = stored && findVersion(toSnapshot(stored), row.value.wrapped.kekVersion);
  const stranded = row.value.pinned && version?.retiredAt ? version : undefined;
  if (stranded !== undefined) {
    await onConflict(async () => {
      const { value, etag } = await readRow(deps.servers, kek, serverId);
      const freed = { ...value, pinned: false };
      await deps.servers.commit(kek, [{ value: freed, etag, history: null }], {
        audit: [toRegistered(freed, by, deps.clock.now(), false)],
        events: [],
      });
    });
  } else if (version?.inUse !== true) {
    // A count that was made before the row was there has found nobody on its version.
    await holdKek(deps, kek, row.value.wrapped.kekVersion);
  }
  const message = {
    kek,
    epoch: stored?.kek.value.epoch ?? 0,
    from: serverId,
    to: serverId,
    attempt: null,
    cause: { kind: 'operator', by },
  } as const;
  await deps.queue.enqueueAccess([message]);
  await deps.queue.enqueueRewrap([message]);
  assertNotRetired(kek, stranded);
  return row;
}
