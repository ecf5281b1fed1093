// Registers a server: makes its DEK once, files the wrapping in a second place, and indexes it (design 9).
import type { Dek } from '../domain/dek.ts';
import { CmkError, isCmkError } from '../domain/errors.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
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
import { leaveRetired } from './leave-retired.ts';
import { type MakeWrappingDeps, makeWrapping, wrapDek } from './make-wrapping.ts';
import { assertFree, dekAlreadyMade, type Prepared, prepareRegistration } from './prepare-registration.ts';
import { type ProveKekDeps, proveKek } from './prove-kek.ts';
import { type HeldWrapping, makeRow, toAssigned, toRegistered } from './registration-row.ts';
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
    const stored = await readRow(deps.servers, kek, command.serverId);
    await leaveRetired(deps, stored.value, command.by);
    return { stored, created };
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
  using dek = await unwrapFiled(deps, kek, serverId, filed);
  return { wrapped: await wrapDek(deps, kek, serverId, dek, version), proven: true };
}

/**
 * What was filed can't be opened any more, and there is no row. Nothing tells a registration that was cut short, whose
 * DEK nobody ever had, from a server whose row was lost and whose data is under this very DEK (Invariant I-03: no DEK is
 * ever lost). So no other is made in its place: a person decides.
 */
async function unwrapFiled(
  { vault, escrow }: RegisterDeps,
  kek: KekId,
  serverId: string,
  filed: WrappedDek,
): Promise<Dek> {
  try {
    return await unwrapDek(vault, kek, serverId, filed);
  } catch (error) {
    if (!isCmkError(error, 'VaultRefused')) throw error;
    const id = keyUrl(kek, filed.kekVersion);
    throw new CmkError(
      'VaultRefused',
      `a registration of ${serverId} that did not come to its end has made its DEK under ${id}: ${error.message}`,
      {
        remedy: `${error.remedy} If that version is gone for good, and ${serverId} never got a DEK (the audit has no server.registered of it, and no table was lost or put back), remove ${escrow.placeOf(serverId, kek)} and register again: a new DEK is made.`,
        detail: { ...error.detail, kekVersion: filed.kekVersion, filed: escrow.placeOf(serverId, kek) },
        cause: error,
      },
    );
  }
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
