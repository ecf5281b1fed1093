// What became of one server's wrapping, and how that is written down.
import type { AuditRecord, Cause } from '../domain/audit.ts';
import type { ErrorCode } from '../domain/errors.ts';
import { nextRetry } from '../domain/retry.ts';
import type { ServerRow } from '../domain/server.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { ServerWrite } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';

/** What became of one server's wrapping; nothing is written yet. */
export type Outcome =
  | {
      readonly kind: 'rewrapped';
      readonly stored: Stored<ServerRow>;
      readonly wrapped: WrappedDek;
      readonly proven: boolean;
    }
  | { readonly kind: 'proven'; readonly stored: Stored<ServerRow> }
  /** This server's own fault: it is noted on its row, and tried again by itself. */
  | {
      readonly kind: 'failed';
      readonly stored: Stored<ServerRow>;
      readonly code: ErrorCode;
      readonly message: string;
    };

/** The row with the outcome in it, and the wrapping that it replaces. */
export function toWrite(outcome: Outcome, now: Date): ServerWrite {
  const { value: row, etag } = outcome.stored;
  if (outcome.kind === 'failed') {
    const retry = nextRetry(row.rewrapFailure, outcome.message, now);
    return { value: { ...row, rewrapFailure: { ...retry, code: outcome.code } }, etag, history: null };
  }
  if (outcome.kind === 'proven')
    return { value: { ...row, provenAt: now, rewrapFailure: null }, etag, history: null };
  const { serverId, sequence, wrapped } = row;
  return {
    value: {
      ...row,
      wrapped: outcome.wrapped,
      wrappedAt: now,
      provenAt: outcome.proven ? now : null,
      sequence: sequence + 1,
      replacedVersion: wrapped.kekVersion,
      rewrapFailure: null,
    },
    etag,
    history: { serverId, sequence, wrapped, replacedAt: now, replacedBy: outcome.wrapped.kekVersion },
  };
}

const ACTIONS = {
  rewrapped: 'server.rewrapped',
  proven: 'server.proven',
  failed: 'server.rewrapFailed',
} as const;

/** One record for each kind of outcome, its reason, and version before. */
export function toAudit(outcomes: readonly Outcome[], cause: Cause, at: Date): readonly AuditRecord[] {
  const groups = new Map<string, { readonly first: Outcome; readonly servers: string[] }>();
  for (const one of outcomes) {
    const reason = one.kind === 'failed' ? one.code : null;
    const key = `${one.kind} ${one.stored.value.wrapped.kekVersion} ${reason}`;
    const group = groups.get(key) ?? { first: one, servers: [] };
    group.servers.push(one.stored.value.serverId);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ first, servers }) => {
    const before = first.stored.value.wrapped.kekVersion;
    return {
      at,
      action: ACTIONS[first.kind],
      cause,
      servers,
      versionBefore: before,
      versionAfter: first.kind === 'rewrapped' ? first.wrapped.kekVersion : before,
      reason: first.kind === 'failed' ? first.code : null,
      detail: {},
    };
  });
}
