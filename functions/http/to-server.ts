// A server's row as the API shows it.
import type { RegisteredServer, Server } from '../../shared/api/servers.ts';
import type { Hold } from '../../shared/domain/kek.ts';
import { keyUrl } from '../../shared/domain/key-id.ts';
import type { ServerRow, ServerView } from '../../shared/domain/server.ts';
import type { AccessSpec } from '../../shared/domain/server-spec.ts';

export function toServer(row: ServerRow, { state, reason, remedy }: ServerView): Server {
  const { wrapped, failure, rewrapFailure } = row;
  return {
    serverId: row.serverId,
    keyId: keyUrl(row.kek, wrapped.kekVersion),
    pinned: row.pinned,
    state,
    reason,
    remedy,
    desired: row.desired,
    applied: row.applied,
    appliedAt: toInstant(row.appliedAt),
    accessEpoch: row.accessEpoch,
    keyLossPolicy: row.keyLossPolicy,
    drainSeconds: row.drainSeconds,
    drainUntil: toInstant(row.drainUntil),
    sessionsOpen: row.sessionsOpen,
    access: toAccess(row.access),
    principalId: row.principalId,
    labels: { ...row.labels },
    hold: toHold(row.hold),
    dekId: wrapped.dekId,
    wrappedAt: row.wrappedAt.toISOString(),
    provenAt: toInstant(row.provenAt),
    leaseExpiresOn: toInstant(row.leaseExpiresOn),
    failure: failure === null ? null : { ...toRetry(failure), reason: failure.reason },
    rewrapFailure: rewrapFailure === null ? null : { ...toRetry(rewrapFailure), code: rewrapFailure.code },
    copyOf: row.copyOf === null ? null : { ...row.copyOf },
    movingTo: row.moving === null ? null : keyUrl(row.moving.to),
    tombstone: row.tombstone,
    createdAt: row.createdAt.toISOString(),
  };
}

/** With the wrapped DEK itself, for whoever registered it to keep. */
export const toRegisteredServer = (row: ServerRow, view: ServerView): RegisteredServer => ({
  ...toServer(row, view),
  wrappedDek: { ...row.wrapped },
});

export const toInstant = (date: Date | null): string | null => date?.toISOString() ?? null;

export const toHold = (hold: Hold | null) =>
  hold === null
    ? null
    : { by: hold.by, reason: hold.reason, since: hold.since.toISOString(), until: toInstant(hold.until) };

const toAccess = (access: AccessSpec): Server['access'] =>
  access.kind === 'none' ? access : { ...access, excludeDatabases: [...access.excludeDatabases] };

interface RetryOfRow {
  readonly message: string;
  readonly since: Date;
  readonly attempt: number;
  readonly nextAttemptAt: Date;
}

const toRetry = ({ message, since, attempt, nextAttemptAt }: RetryOfRow) => ({
  message,
  since: since.toISOString(),
  attempt,
  nextAttemptAt: nextAttemptAt.toISOString(),
});
