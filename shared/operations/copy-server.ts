// A copy of a server for a replica or a restore: a server of its own with the same DEK, which starts `PendingKey`.
import { CmkError } from '../domain/errors.ts';
import { isSameKek, type KekId, keyUrl, parseKeyUrl } from '../domain/key-id.ts';
import { parseServerId, type ServerRow } from '../domain/server.ts';
import { type AccessSpec, isTokenSafe, type KeyLossPolicy } from '../domain/server-spec.ts';
import type { Escrow } from '../ports/escrow.ts';
import type { Random } from '../ports/runtime.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { carryDek } from './carry-dek.ts';
import { assertValid, type CheckRegistration } from './check-registration.ts';
import { findLiveServer, findServer, isMoving } from './find-server.ts';
import { leaveRetired } from './leave-retired.ts';
import type { WrapDekDeps } from './make-wrapping.ts';
import { onConflict } from './on-conflict.ts';
import { type ProveKekDeps, proveKek } from './prove-kek.ts';
import { makeRow, toAccessDetail, toAssigned, toRecord } from './registration-row.ts';

export interface CopyCommand {
  readonly sourceId: string;
  readonly serverId: string;
  readonly kind: 'replica' | 'restore';
  readonly access: AccessSpec;
  readonly principalId: string | null;
  /** Of a restore: another key than its source's; null: the same. */
  readonly keyId: string | null;
  /** null: its source's. */
  readonly keyLossPolicy: KeyLossPolicy | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly by: string;
}

export interface Copied {
  readonly stored: Stored<ServerRow>;
  readonly created: boolean;
}

/** The same command again changes nothing. */
export type CopyServer = (command: CopyCommand) => Promise<Copied>;

export interface CopyServerDeps extends ProveKekDeps, WrapDekDeps {
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly escrow: Escrow;
  readonly queue: WorkQueue;
  readonly random: Random;
  readonly checkRegistration: CheckRegistration;
}

/**
 * The DEK is in its source's row all the while, so the copy's row comes before its second place: what is filed there
 * without a row is a registration's, and never a copy's. A copy that was cut short is taken up by the same command.
 * @throws CmkError InvalidServer, InvalidKeyId, ServerNotFound, ServerDeleted, ServerMoving (retryable), CopyRefused,
 *   ServerIdTaken, RegistrationRefused (`detail.checks`), KekNotProven, VaultUnavailable (retryable), VaultRefused,
 *   WrappedDekMalformed, DekBindingMismatch, DekIdMismatch, InvalidRow, StoreUnavailable, WriteConflict
 */
export function makeCopyServer(deps: CopyServerDeps): CopyServer {
  return async (command) => {
    const serverId = parseServerId(command.serverId);
    const sourceId = parseServerId(command.sourceId);
    assertPossible(command);
    const created = await onConflict(() => tryCopy(deps, command));
    const stored = await findServer(deps, serverId);
    const { kek, wrapped } = stored.value;
    await deps.escrow.file(serverId, kek, wrapped);
    await leaveRetired(deps, stored.value, command.by);
    // A move of the primary looks for its replicas after it has marked its row: it has found this one, or is found here.
    if (command.kind === 'replica') assertStays(sourceId, (await findServer(deps, sourceId)).value, kek);
    return { stored, created };
  };
}

function assertPossible({ sourceId, serverId, kind, keyId, access }: CopyCommand): void {
  if (sourceId === serverId) throw refused(serverId, 'a server is no copy of itself', 'Choose another id.');
  if (kind === 'replica' && keyId !== null)
    throw refused(serverId, "a replica shares its primary's key", 'Leave keyId out, or make it a restore.');
  if (isTokenSafe(access)) return;
  throw new CmkError('InvalidServer', 'auth entra without tls verify-full would hand a token to any host', {
    remedy: 'Use tls verify-full with auth entra, or auth setting.',
  });
}

/** Whether the row was inserted by this very call. */
async function tryCopy(deps: CopyServerDeps, command: CopyCommand): Promise<boolean> {
  const { serverId, sourceId, access, by } = command;
  const { value: source } = await findLiveServer(deps, sourceId);
  // What the row that is left says of a hold isn't in the new one yet.
  if (source.incoming) throw isMoving(sourceId);
  const { kek, pin } = placeOf(source, command);
  const found = await lookFor(deps, command, source, kek);
  if (found === 'there') return false;
  if (command.kind === 'replica') assertStays(sourceId, source, kek);

  assertValid(serverId, await deps.checkRegistration(kek, pin, access));
  const version = await proveKek(deps, kek, pin);
  const wrapped = await carryDek(deps, source, { serverId, kek }, version);
  if (found === 'free') await deps.index.claim(serverId, kek);
  const now = deps.clock.now();
  const { kind, keyLossPolicy } = command;
  const row: ServerRow = {
    ...makeRow(
      { ...command, keyLossPolicy: keyLossPolicy ?? source.keyLossPolicy, drainSeconds: source.drainSeconds },
      source,
      kek,
      { wrapped, proven: true },
      pin !== null,
      now,
    ),
    // What a hold keeps from one server isn't had through another.
    hold: source.hold,
    // Data that is restored brings the record of its source's orders with it: the numbering goes on from there.
    accessEpoch: source.accessEpoch + 1,
    copyOf: { serverId: sourceId, kind },
  };
  const detail = { of: sourceId, kind, ...toAccessDetail(access), dekId: wrapped.dekId };
  await deps.servers.commit(kek, [{ value: row, etag: null, history: null }], {
    audit: [toRecord('server.copied', row, by, now, detail)],
    events: [toAssigned(deps.random, row, by, now, { change: 'copy', of: sourceId })],
  });
  return true;
}

/** Under which KEK, and pinned to which version of it. Where nothing is said, as its source is. */
function placeOf(source: ServerRow, { keyId }: CopyCommand): { kek: KekId; pin: string | null } {
  if (keyId === null) return { kek: source.kek, pin: source.pinned ? source.wrapped.kekVersion : null };
  const { kek, version: pin } = parseKeyUrl(keyId);
  return { kek, pin };
}

/** What is there of this very copy: nothing, no more than its id, or all of it. @throws CmkError ServerIdTaken, ServerDeleted, CopyRefused */
async function lookFor(
  { servers, index, escrow }: CopyServerDeps,
  { serverId, sourceId, kind }: CopyCommand,
  source: ServerRow,
  kek: KekId,
): Promise<'free' | 'claimed' | 'there'> {
  const owner = await index.find(serverId);
  if (owner === undefined) return 'free';
  const row = (await servers.read(owner.value, serverId))?.value;
  if (row === undefined) {
    // The id was claimed and no more: by an attempt of this copy, unless a registration has filed a DEK.
    if (isSameKek(owner.value, kek) && (await escrow.find(serverId, kek)) === undefined) return 'claimed';
    throw taken(serverId, owner.value);
  }
  const isCopy = row.copyOf?.serverId === sourceId && row.copyOf.kind === kind;
  if (!isCopy || row.wrapped.dekId !== source.wrapped.dekId) throw taken(serverId, owner.value);
  if (row.tombstone) throw deleted(serverId);
  if (isSameKek(owner.value, kek)) return 'there';
  throw refused(
    serverId,
    `it is that copy already, under ${keyUrl(owner.value)} and not ${keyUrl(kek)}`,
    'Move it to the other key.',
  );
}

/** @throws CmkError ServerMoving for a primary that is leaving, or has left, the KEK of its replica */
function assertStays(sourceId: string, source: ServerRow, kek: KekId): void {
  if (source.moving === null && isSameKek(source.kek, kek)) return;
  throw isMoving(sourceId);
}

const refused = (serverId: string, why: string, remedy: string): CmkError =>
  new CmkError('CopyRefused', `${serverId} can't be made like that: ${why}`, { remedy });

const taken = (serverId: string, kek: KekId): CmkError =>
  new CmkError('ServerIdTaken', `${serverId} is registered under ${keyUrl(kek)}, and is not this copy`, {
    remedy: 'Choose another id.',
  });

const deleted = (serverId: string): CmkError =>
  new CmkError('ServerDeleted', `${serverId} was deleted`, {
    remedy: 'A deleted server can only be purged.',
  });
