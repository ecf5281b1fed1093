// The row of a new server, and what its registration leaves in the audit and tells the world.
import type { AuditAction, AuditRecord } from '../domain/audit.ts';
import type { KekId } from '../domain/key-id.ts';
import type { OwnEvent } from '../domain/own-event.ts';
import type { ServerRow } from '../domain/server.ts';
import type { AccessSpec } from '../domain/server-spec.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { Random } from '../ports/runtime.ts';
import type { RegisterCommand } from './register-server.ts';

/** A wrapping, and whether the vault has just unwrapped this very one. */
export interface HeldWrapping {
  readonly wrapped: WrappedDek;
  readonly proven: boolean;
}

export function makeRow(
  command: Pick<
    RegisterCommand,
    'serverId' | 'access' | 'keyLossPolicy' | 'drainSeconds' | 'principalId' | 'labels'
  >,
  defaults: { readonly drainSeconds: number },
  kek: KekId,
  { wrapped, proven }: HeldWrapping,
  pinned: boolean,
  now: Date,
): ServerRow {
  const { serverId, access, keyLossPolicy, labels } = command;
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
    drainSeconds: command.drainSeconds ?? defaults.drainSeconds,
    principalId: command.principalId ?? null,
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

/** What was written about a server by whom. */
export const toRecord = (
  action: AuditAction,
  row: ServerRow,
  by: string,
  at: Date,
  detail: AuditRecord['detail'],
): AuditRecord => ({
  at,
  action,
  cause: { kind: 'operator', by },
  servers: [row.serverId],
  versionBefore: null,
  versionAfter: row.wrapped.kekVersion,
  reason: null,
  detail,
});

/** Where the app's login goes from then on, and which: an audit must show who had it sent elsewhere. */
export const toAccessDetail = (access: AccessSpec): AuditRecord['detail'] => {
  if (access.kind === 'none') return { access: 'none' };
  const { kind, host, port, user, tls, auth } = access;
  return { access: kind, host, port, user, tls, auth: auth.kind === 'entra' ? 'entra' : auth.name };
};

export const toRegistered = (row: ServerRow, by: string, at: Date, imported: boolean): AuditRecord =>
  toRecord('server.registered', row, by, at, {
    ...toAccessDetail(row.access),
    keyLossPolicy: row.keyLossPolicy,
    pinned: row.pinned,
    dekId: row.wrapped.dekId,
    principalId: row.principalId,
    ...(imported ? { imported } : {}),
  });

/**
 * Who gets a DEK was decided. The id is by chance: the event is written with its effect, in one transaction, so that it
 * is one event however often it is sent; and the same decision made again later is another.
 */
export function toAssigned(
  random: Random,
  row: ServerRow,
  by: string,
  time: Date,
  data: OwnEvent['data'],
): OwnEvent {
  const id = `${row.serverId}:assigned:${Buffer.from(random.bytes(8)).toString('hex')}`;
  const { serverId: subject, principalId, wrapped } = row;
  return {
    id,
    type: 'PgCmk.DekAssigned',
    subject,
    time,
    data: { serverId: subject, principalId, dekId: wrapped.dekId, by, ...data },
  };
}
