// What may change of a registered server: how it is reached, its policy, its labels, its principal, and whether it is
// pinned to a version. Never its DEK, nor the KEK that it is under.
import type { AuditRecord } from '../domain/audit.ts';
import type { KekId } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { ServerWrite } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import { readRow } from './find-server.ts';
import { rewrapDek } from './make-wrapping.ts';
import { onConflict } from './on-conflict.ts';
import { assertMayUpdate, isPrincipalChange } from './prepare-registration.ts';
import { holdKek, proveKek } from './prove-kek.ts';
import type { RegisterCommand, RegisterDeps } from './register-server.ts';
import { toAssigned, toRecord, toRegistered } from './registration-row.ts';
import { toAudit, toWrite } from './rewrap-outcome.ts';

/**
 * The same command again writes nothing.
 * @throws CmkError ServerNotFound, PreconditionFailed, ServerDeleted, ServerMoving, DekAlreadyMade, RoleMissing,
 *   InvalidServer; where it is pinned to another version KekNotProven, VaultUnavailable, VaultRefused; StoreUnavailable
 */
export async function updateServer(
  deps: RegisterDeps,
  kek: KekId,
  pin: string | null,
  command: RegisterCommand,
): Promise<void> {
  const { serverId, by } = command;
  await onConflict(async () => {
    const stored = await readRow(deps.servers, kek, serverId);
    assertMayUpdate(stored, command);
    const { write, audit: rewrapped } = await pinTo(deps, kek, pin, stored, by);
    const before = write.value;
    const next = withCommand(before, pin, command, deps.drainSeconds);
    const principalChanged = isPrincipalChange(before, command);
    const value = principalChanged ? { ...next, principalId: command.principalId ?? null } : next;
    if (isSame(value, stored.value)) return;
    const now = deps.clock.now();
    const change = { before: before.principalId, after: value.principalId };
    await deps.servers.commit(kek, [{ ...write, value }], {
      audit: [
        ...rewrapped,
        ...(isSame(next, before) ? [] : [toRegistered(value, by, now, false)]),
        ...(principalChanged ? [toRecord('server.principalChanged', value, by, now, change)] : []),
      ],
      events: principalChanged ? [toAssigned(deps.random, value, by, now, { change: 'principal' })] : [],
    });
  });
}

const isSame = (a: ServerRow, b: ServerRow): boolean => JSON.stringify(a) === JSON.stringify(b);

function withCommand(
  row: ServerRow,
  pin: string | null,
  command: RegisterCommand,
  drainSeconds: number,
): ServerRow {
  const { access, keyLossPolicy, labels } = command;
  // What was last seen to hold was seen where it was before: the other place is looked at now.
  const moved = JSON.stringify(access) !== JSON.stringify(row.access);
  return {
    ...row,
    access,
    keyLossPolicy,
    labels,
    drainSeconds: command.drainSeconds ?? drainSeconds,
    pinned: pin !== null,
    inspectedAt: moved ? null : row.inspectedAt,
  };
}

/** The row under the version that it is pinned to from now on: the same DEK, wrapped under that one. */
async function pinTo(
  deps: RegisterDeps,
  kek: KekId,
  pin: string | null,
  stored: Stored<ServerRow>,
  by: string,
): Promise<{ readonly write: ServerWrite; readonly audit: readonly AuditRecord[] }> {
  const { serverId, wrapped, pinned } = stored.value;
  if (pin === null || pin === wrapped.kekVersion) {
    // One that is pinned there already may have to leave it: see leaveRetired.
    if (pin !== null && !pinned) await holdKek(deps, kek, pin);
    return { write: { ...stored, history: null }, audit: [] };
  }
  const version = await proveKek(deps, kek, pin);
  const next = await rewrapDek(deps, kek, serverId, wrapped, version);
  const outcome = { kind: 'rewrapped', stored, wrapped: next, proven: true } as const;
  const now = deps.clock.now();
  return { write: toWrite(outcome, now), audit: toAudit([outcome], { kind: 'operator', by }, now) };
}
