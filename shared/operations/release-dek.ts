// Gives a server its own DEK, sealed to a key that it made for this request (design 6 and 9).
import type { AuditAction, AuditRecord } from '../domain/audit.ts';
import { decideRelease, type ReleaseDecision } from '../domain/decide-release.ts';
import { CmkError, describeError, type ErrorCode, isCmkError } from '../domain/errors.ts';
import { type KekSnapshot, makeKekState } from '../domain/kek.ts';
import { type KekId, kekKey } from '../domain/key-id.ts';
import { laterOf } from '../domain/later-of.ts';
import type { ServerRow } from '../domain/server.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { DekSealer } from '../ports/dek-sealer.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { KeyVault } from '../ports/key-vault.ts';
import type { OutboxStore } from '../ports/outbox-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { ServerIndex, ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import { findArrived } from './find-server.ts';
import type { FinishMove } from './finish-move.ts';
import { makeLimitPerKey } from './limit-per-key.ts';
import { onConflict } from './on-conflict.ts';
import { toRecord as toServerRecord } from './registration-row.ts';
import { toSnapshot } from './snapshot.ts';
import { unwrapDek } from './unwrap-dek.ts';

export interface ReleaseCommand {
  readonly serverId: string;
  /** Who asks: must be the server's own principal. */
  readonly principalId: string;
  /** A public JWK, as it was sent. */
  readonly publicKey: unknown;
}

export interface ReleasedDek {
  readonly kek: KekId;
  readonly wrapped: WrappedDek;
  /** A compact JWE. */
  readonly jwe: string;
  readonly leaseExpiresOn: Date;
}

/** @throws CmkError ServerNotFound, ServerDeleted, ServerMoving (retryable), PrincipalMismatch, DekRefused, DekRateLimited, InvalidPublicKey, VaultUnavailable, VaultRefused, WrappedDekMalformed, DekBindingMismatch, DekIdMismatch, InvalidRow, StoreUnavailable; WriteConflict where others changed the row all the while */
export type ReleaseDek = (command: ReleaseCommand) => Promise<ReleasedDek>;

export interface ReleaseDeps {
  readonly keks: KekStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly finishMove: FinishMove;
  readonly outbox: OutboxStore;
  readonly vault: KeyVault;
  readonly sealer: DekSealer;
  readonly clock: Clock;
  readonly log: Log;
  readonly rules: { readonly leaseSeconds: number; readonly releasesPerMinute: number };
}

/** What a refusal is for: what somebody may want to know that it was asked for. */
const REFUSALS: readonly ErrorCode[] = [
  'PrincipalMismatch',
  'ServerDeleted',
  'DekRateLimited',
  'DekRefused',
  'InvalidPublicKey',
  'VaultRefused',
  'WrappedDekMalformed',
  'DekBindingMismatch',
  'DekIdMismatch',
];

const REFUSALS_PER_MINUTE = 1;
/** Of one caller, whatever he asks for: whoever tries one server after the other doesn't flood their chains. */
const REFUSALS_PER_CALLER_PER_MINUTE = 60;

/**
 * The vault unwraps at each release. What lets the DEK out is decided before that, so that a refusal costs no vault
 * call, and again after it, on the KEK as it is then and in one conditional write with the lease and the audit: a
 * revocation that comes in between wins.
 *
 * A release whose answer is lost has been written down all the same; the server asks again.
 */
export function makeReleaseDek(deps: ReleaseDeps): ReleaseDek {
  const { clock, rules } = deps;
  const limit = makeLimitPerKey({ perMinute: rules.releasesPerMinute, clock });
  const recorded = makeLimitPerKey({ perMinute: REFUSALS_PER_MINUTE, clock });
  const recordedOf = makeLimitPerKey({ perMinute: REFUSALS_PER_CALLER_PER_MINUTE, clock });

  return async (command) => {
    let counted = false;
    return onConflict(async () => {
      const stored = await findArrived(deps, command.serverId);
      try {
        assertOwn(stored.value, command.principalId);
        // Only the server itself uses up its releases: nobody else can shut it out.
        if (!counted) assertInLimit(command.serverId, limit(command.serverId));
        counted = true;
        return await release(deps, command, stored);
      } catch (error) {
        if (isCmkError(error) && REFUSALS.includes(error.code)) {
          const { serverId, principalId } = command;
          const isFirst = recorded(`${serverId} ${error.code}`) === 0;
          if (isFirst && recordedOf(principalId) === 0)
            await recordRefusal(deps, command, stored.value, error);
        }
        throw error;
      }
    });
  };
}

function assertOwn(row: ServerRow, principalId: string): void {
  const { serverId } = row;
  if (row.principalId === null || row.principalId !== principalId) {
    throw new CmkError('PrincipalMismatch', `${principalId} is not the identity of ${serverId}`, {
      remedy: "Ask with the server's own identity, or have its principalId set by who holds Dek.Assign.",
    });
  }
  if (row.tombstone) {
    throw new CmkError('ServerDeleted', `${serverId} was deleted: its DEK is kept, and not given out`, {
      remedy: 'Register a copy of it under another id, if its data is needed again.',
    });
  }
}

function assertInLimit(serverId: string, retryAfterSeconds: number): void {
  if (retryAfterSeconds === 0) return;
  throw new CmkError('DekRateLimited', `${serverId} asks for its DEK too often`, {
    remedy: 'Ask again later. A server needs its DEK at its start, and once in half a lease.',
    retryable: true,
    detail: { retryAfterSeconds },
  });
}

async function release(
  deps: ReleaseDeps,
  { serverId, principalId, publicKey }: ReleaseCommand,
  { value: row, etag }: Stored<ServerRow>,
): Promise<ReleasedDek> {
  const { keks, servers, vault, sealer, clock, rules } = deps;
  const { kek, wrapped } = row;
  // The lease counts from before the vault was asked: what is decided after that is never later than its beginning.
  const releasedAt = clock.now();
  const leaseExpiresOn = new Date(releasedAt.getTime() + rules.leaseSeconds * 1000);
  assertReleased(row, decideRelease(row, await readKek(keks, kek), releasedAt));

  // Invariant I-07: the DEK leaves this scope only sealed.
  using dek = await unwrapDek(vault, kek, serverId, wrapped, 'release');
  const context = { serverId, dekId: wrapped.dekId, releasedAt, leaseExpiresOn };
  const jwe = await sealer.seal(dek, publicKey, context);

  const now = clock.now();
  const decision = decideRelease(row, await readKek(keks, kek), now);
  assertReleased(row, decision);
  const value: ServerRow = {
    ...row,
    // An earlier lease may end later, where it was given by another instance's clock or another setting.
    leaseExpiresOn: laterOf(row.leaseExpiresOn, leaseExpiresOn),
    provenAt: row.provenAt ?? now,
  };
  const record = toRecord('dek.released', row, principalId, now, decision.reason, {
    state: decision.state,
    dekId: wrapped.dekId,
    leaseExpiresOn: leaseExpiresOn.toISOString(),
  });
  await servers.commit(kek, [{ value, etag, history: null }], { audit: [record], events: [] });
  return { kek, wrapped, jwe, leaseExpiresOn };
}

/** A KEK whose row is gone is one that was never reconciled. */
async function readKek(keks: KekStore, kek: KekId): Promise<KekSnapshot> {
  const stored = await keks.read(kek);
  return stored === undefined ? { kek: makeKekState(kek), versions: [] } : toSnapshot(stored);
}

function assertReleased({ serverId }: ServerRow, { release, state, reason, remedy }: ReleaseDecision): void {
  if (release) return;
  const why = reason === null ? '' : `: ${reason}`;
  throw new CmkError('DekRefused', `the DEK of ${serverId} is not given out, it is ${state}${why}`, {
    remedy: String(remedy),
    detail: { state, reason },
  });
}

/** A refusal stays what it is, also where it can't be written down. */
async function recordRefusal(
  { outbox, clock, log }: ReleaseDeps,
  { principalId }: ReleaseCommand,
  row: ServerRow,
  error: CmkError,
): Promise<void> {
  const { serverId, kek } = row;
  log.write('warn', error.message, { serverId, principalId, code: error.code, remedy: error.remedy });
  const { state, reason } = error.detail;
  const detail = { message: error.message, state, reason };
  const record = toRecord('dek.refused', row, principalId, clock.now(), error.code, detail);
  try {
    await outbox.put(kekKey(kek), { audit: [record], events: [] });
  } catch (failure) {
    log.write('error', 'a refusal could not be audited', { serverId, problem: describeError(failure) });
  }
}

function toRecord(
  action: AuditAction,
  row: ServerRow,
  by: string,
  at: Date,
  reason: string | null,
  detail: Readonly<Record<string, unknown>>,
): AuditRecord {
  return { ...toServerRecord(action, row, by, at, detail), versionBefore: row.wrapped.kekVersion, reason };
}
