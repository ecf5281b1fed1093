// One order to one server, and what came of it.
import { describeError, type ErrorCode, isCmkError } from '../domain/errors.ts';
import type { ServerReason } from '../domain/reason.ts';
import type { ServerRow } from '../domain/server.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { ServerAccess } from '../ports/server-access.ts';

/** What came of an order at a server. */
export type Effect =
  | {
      readonly kind: 'done';
      readonly applied: ServerRow['applied'];
      /** null: nobody counted. */
      readonly sessionsOpen: number | null;
      readonly detail: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'overtaken'; readonly epoch: number }
  | {
      readonly kind: 'failed';
      readonly reason: ServerReason;
      readonly message: string;
      readonly sessionsOpen: number | null;
    };

const REASON_OF: Readonly<Partial<Record<ErrorCode, ServerReason>>> = {
  ServerUnreachable: 'ServerUnreachable',
  ServerTlsFailed: 'ServerTlsFailed',
  ServerAuthFailed: 'ServerAuthFailed',
  SecretSettingMissing: 'ServerAuthFailed',
  ServerHostRefused: 'ServerAuthFailed',
  ServerRightsMissing: 'ServerRightsMissing',
};

/** A server may have more databases than a record has room for, and its revocation must be recorded all the same. */
const NAMES_LISTED = 200;
const listed = (what: 'closed' | 'reopened', names: readonly string[]): Readonly<Record<string, unknown>> =>
  names.length <= NAMES_LISTED
    ? { [what]: names }
    : { [what]: names.slice(0, NAMES_LISTED), [`${what}Count`]: names.length };

/** Never throws for what a server does or doesn't do: that is an effect too. */
export async function performAccess(
  port: ServerAccess,
  row: ServerRow,
  access: PostgresAccess,
  work: 'revoke' | 'restore',
  now: Date,
): Promise<Effect> {
  try {
    return await (work === 'revoke' ? revoke(port, row, access, now) : restore(port, row, access));
  } catch (error) {
    const reason = (isCmkError(error) ? REASON_OF[error.code] : undefined) ?? 'AccessNotApplied';
    return { kind: 'failed', reason, message: describeError(error), sessionsOpen: null };
  }
}

async function revoke(
  port: ServerAccess,
  row: ServerRow,
  access: PostgresAccess,
  now: Date,
): Promise<Effect> {
  const policy = row.keyLossPolicy === 'alertOnly' ? 'terminate' : row.keyLossPolicy;
  const endSessions = policy === 'terminate' || row.drainUntil === null || now >= row.drainUntil;
  const outcome = await port.revoke(access, {
    serverId: row.serverId,
    epoch: row.accessEpoch,
    policy,
    endSessions,
  });
  if (outcome.kind === 'overtaken') return outcome;
  const { sessionsOpen, sessionsEnded } = outcome;
  if (outcome.kind === 'incomplete') {
    return {
      kind: 'failed',
      reason: outcome.reason,
      message: `${sessionsOpen} sessions are left`,
      sessionsOpen,
    };
  }
  const draining = policy === 'drain' && !endSessions && sessionsOpen > 0;
  const { closed, role } = outcome;
  return {
    kind: 'done',
    applied: draining ? row.applied : 'revoked',
    sessionsOpen,
    detail: { ...listed('closed', closed), sessionsEnded, role },
  };
}

async function restore(port: ServerAccess, row: ServerRow, access: PostgresAccess): Promise<Effect> {
  const outcome = await port.restore(access, { serverId: row.serverId, epoch: row.accessEpoch });
  if (outcome.kind === 'overtaken') return outcome;
  if (outcome.kind === 'incomplete') {
    return {
      kind: 'failed',
      reason: outcome.reason,
      message: 'the flags have not arrived',
      sessionsOpen: null,
    };
  }
  const { reopened, role } = outcome;
  return {
    kind: 'done',
    applied: 'granted',
    sessionsOpen: null,
    detail: { ...listed('reopened', reopened), role },
  };
}
