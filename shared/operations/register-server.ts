// Registers a server: makes its DEK once, files the wrapping in a second place, and indexes it (design 9).
import type { AuditRecord } from '../domain/audit.ts';
import { CmkError, isCmkError } from '../domain/errors.ts';
import { isAllowedVault, isSameKek, type KekId, keyUrl, parseKeyUrl } from '../domain/key-id.ts';
import { parseServerId, type ServerRow } from '../domain/server.ts';
import type { AccessSpec, KeyLossPolicy } from '../domain/server-spec.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { Escrow } from '../ports/escrow.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { type MakeWrappingDeps, makeWrapping } from './make-wrapping.ts';
import { onConflict } from './on-conflict.ts';
import { proveKek } from './prove-kek.ts';
import type { ReconcileKek } from './reconcile-kek.ts';

export interface RegisterCommand {
  readonly serverId: string;
  /** A key URL; with a version in it, the server is pinned to that version. */
  readonly keyId: string;
  readonly access: AccessSpec;
  readonly keyLossPolicy: KeyLossPolicy;
  /** Seconds that the policy `drain` leaves to open sessions; null: the app's setting. */
  readonly drainSeconds: number | null;
  readonly principalId: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly by: string;
}

export interface RegisterDeps extends MakeWrappingDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly escrow: Escrow;
  readonly queue: WorkQueue;
  readonly reconcileKek: ReconcileKek;
  readonly clock: Clock;
  readonly keyVaultDnsSuffixes: readonly string[];
  /** For commands that name none. */
  readonly drainSeconds: number;
}

/** Registers a server, or updates what may change of one that is there. The same command again changes nothing. */
export type RegisterServer = (command: RegisterCommand) => Promise<ServerRow>;

/**
 * @throws CmkError InvalidServer, InvalidKeyId, ServerIdTaken, KekNotProven, VaultUnavailable, VaultRefused,
 *   StoreUnavailable. Cut short at any point, the same command takes it up again with the DEK that was made.
 */
export function makeRegisterServer(deps: RegisterDeps): RegisterServer {
  const { servers, escrow, clock } = deps;

  return async (command) => {
    const serverId = parseServerId(command.serverId);
    const { kek, version: pin } = parseKeyUrl(command.keyId);
    if (!isAllowedVault(kek.vault, deps.keyVaultDnsSuffixes)) throw strangeVault(kek);
    assertTokenIsSafe(command.access);
    await assertFree(deps, serverId, kek);

    const existing = await servers.read(kek, serverId);
    if (existing !== undefined) return updateServer(deps, kek, command);

    const version = await proveKek(deps, kek, pin);
    await claim(deps, serverId, kek);
    // Made once: a registration that was cut short finds what it had filed.
    const filed = await escrow.find(serverId, kek);
    const wrapped =
      filed ?? (await escrow.file(serverId, kek, await makeWrapping(deps, kek, serverId, version)));
    const drainSeconds = command.drainSeconds ?? deps.drainSeconds;
    const row = makeRow(
      { ...command, drainSeconds },
      kek,
      wrapped,
      pin !== null,
      clock.now(),
      filed === undefined,
    );
    try {
      const outbox = { audit: [toAudit(row, command.by, clock.now())], events: [] };
      await servers.commit(kek, [{ value: row, etag: null, history: null }], outbox);
    } catch (error) {
      if (!isCmkError(error, 'WriteConflict')) throw error;
    }
    await lookAt(deps, kek, command);
    return (await servers.read(kek, serverId))?.value ?? row;
  };
}

const strangeVault = (kek: KekId) =>
  new CmkError('InvalidKeyId', `${kek.vault} is not a vault that this app talks to`, {
    remedy: "Use a key in one of the app's clouds, or add the suffix to PGCMK_KEY_VAULT_DNS_SUFFIXES.",
  });

/** A token goes as the password to whoever answers at that host: only to one that proves who it is. */
function assertTokenIsSafe(access: AccessSpec): void {
  if (access.kind === 'none' || access.auth.kind !== 'entra' || access.tls === 'verify-full') return;
  throw new CmkError('InvalidServer', `auth entra with tls ${access.tls} would hand a token to any host`, {
    remedy: 'Use tls verify-full with auth entra, or auth setting.',
  });
}

async function assertFree({ index }: RegisterDeps, serverId: string, kek: KekId): Promise<void> {
  const owner = await index.find(serverId);
  if (owner === undefined || isSameKek(owner.value, kek)) return;
  throw new CmkError('ServerIdTaken', `${serverId} is registered under ${keyUrl(owner.value)}`, {
    remedy: 'Choose another id, or move the server to the other key.',
  });
}

async function claim(deps: RegisterDeps, serverId: string, kek: KekId): Promise<void> {
  try {
    await deps.index.claim(serverId, kek);
  } catch (error) {
    if (!isCmkError(error, 'WriteConflict')) throw error;
    await assertFree(deps, serverId, kek);
  }
}

function makeRow(
  command: RegisterCommand & { readonly drainSeconds: number },
  kek: KekId,
  wrapped: WrappedDek,
  pinned: boolean,
  now: Date,
  proven: boolean,
): ServerRow {
  const { serverId, access, keyLossPolicy, drainSeconds, principalId, labels } = command;
  return {
    serverId,
    kek,
    wrapped,
    wrappedAt: now,
    provenAt: proven ? now : null,
    sequence: 0,
    replacedVersion: null,
    pinned,
    access,
    keyLossPolicy,
    drainSeconds,
    principalId,
    labels,
    hold: null,
    desired: 'granted',
    desiredReason: null,
    accessEpoch: 1,
    drainUntil: null,
    applied: 'none',
    appliedAt: null,
    inspectedAt: null,
    sessionsOpen: null,
    failure: null,
    rewrapFailure: null,
    incoming: false,
    moving: null,
    copyOf: null,
    leaseExpiresOn: null,
    tombstone: false,
    createdAt: now,
  };
}

/** What may change of a registered server; never its DEK, its key or its principal. */
async function updateServer(deps: RegisterDeps, kek: KekId, command: RegisterCommand): Promise<ServerRow> {
  const { serverId, access, keyLossPolicy, labels } = command;
  const drainSeconds = command.drainSeconds ?? deps.drainSeconds;
  const row = await onConflict(async () => {
    const stored = await deps.servers.read(kek, serverId);
    if (stored === undefined)
      throw new CmkError('ServerNotFound', `${serverId} is gone`, { remedy: 'Register it again.' });
    // What was last seen to hold was seen where it was before: the other place is looked at now.
    const moved = JSON.stringify(access) !== JSON.stringify(stored.value.access);
    const inspectedAt = moved ? null : stored.value.inspectedAt;
    const value = { ...stored.value, access, keyLossPolicy, drainSeconds, labels, inspectedAt };
    if (JSON.stringify(value) === JSON.stringify(stored.value)) return value;
    await deps.servers.commit(kek, [{ value, etag: stored.etag, history: null }], {
      audit: [toAudit(value, command.by, deps.clock.now())],
      events: [],
    });
    return value;
  });
  await lookAt(deps, kek, command);
  return row;
}

/** The row is visible now, and whoever takes these messages reads the KEK after it: nobody slips through. */
async function lookAt(deps: RegisterDeps, kek: KekId, { serverId, by }: RegisterCommand): Promise<void> {
  const epoch = (await deps.keks.read(kek))?.kek.value.epoch ?? 0;
  const message = {
    kek,
    epoch,
    from: serverId,
    to: serverId,
    attempt: null,
    cause: { kind: 'operator', by },
  } as const;
  await deps.queue.enqueueAccess([message]);
  await deps.queue.enqueueRewrap([message]);
}

const toAudit = (row: ServerRow, by: string, at: Date): AuditRecord => ({
  at,
  action: 'server.registered',
  cause: { kind: 'operator', by },
  servers: [row.serverId],
  versionBefore: null,
  versionAfter: row.wrapped.kekVersion,
  reason: null,
  detail: {
    access: row.access.kind,
    keyLossPolicy: row.keyLossPolicy,
    pinned: row.pinned,
    dekId: row.wrapped.dekId,
  },
});
