// Which servers may be drilled, and what a drill sees of its server.
import { decideAccess } from '../domain/decide-server.ts';
import { CmkError, describeError } from '../domain/errors.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import { REMEDIES, type Reason } from '../domain/reason.ts';
import { deriveServerState, type ServerRow } from '../domain/server.ts';
import type { PostgresAccess } from '../domain/server-spec.ts';
import type { ServerAccess } from '../ports/server-access.ts';

const AS_IT_IS = 'Nothing was changed.';

export const refuseDrill = (
  serverId: string,
  why: string,
  remedy: string,
  options: { readonly detail?: Readonly<Record<string, unknown>>; readonly cause?: unknown } = {},
) => new CmkError('DrillRefused', `the drill of ${serverId}: ${why}`, { remedy, ...options });

/**
 * The access of a server that may be drilled: one that is `Ready` and whose sessions end at once. Another policy would
 * measure how long its clients stay.
 * @throws CmkError DrillRefused
 */
export function requireDrillable(row: ServerRow, snapshot: KekSnapshot, now: Date): PostgresAccess {
  const { serverId, access, keyLossPolicy, copyOf } = row;
  const refuse = (why: string, remedy: string, reason: Reason | null = null) =>
    refuseDrill(serverId, why, `${AS_IT_IS} ${remedy}`, { detail: { reason } });
  if (access.kind !== 'postgres') throw refuse('the app has no access to it', 'Register it with its access.');
  if (keyLossPolicy !== 'terminate')
    throw refuse(`its policy is ${keyLossPolicy}`, 'Only servers with the policy terminate are drilled.');
  if (copyOf?.kind === 'replica') throw isReplica(serverId);
  if (row.incoming || row.moving !== null)
    throw refuse('it is just being moved to another key', 'Try again when it has been.');
  // What the worker has yet to read off the key counts as well.
  const view = deriveServerState(row, findVersion(snapshot, row.wrapped.kekVersion));
  const ready = view.state === 'Ready' ? null : 'AccessNotApplied';
  const reason = decideAccess(row, snapshot, now).reason ?? view.reason ?? ready;
  if (reason === null) return access;
  throw refuse(`it is \`${view.state}\`: ${reason}`, REMEDIES[reason], reason);
}

const isReplica = (serverId: string) =>
  refuseDrill(
    serverId,
    'it is a replica: what is closed there is closed on its primary',
    `${AS_IT_IS} Drill its primary.`,
  );

/**
 * Nothing is begun that the server would leave half done.
 * @throws CmkError DrillRefused
 */
export async function assertDrillable(
  port: ServerAccess,
  serverId: string,
  access: PostgresAccess,
): Promise<void> {
  const inspect = async () => {
    try {
      return await port.inspect(access);
    } catch (cause) {
      throw refuseDrill(
        serverId,
        `it couldn't be asked: ${describeError(cause)}`,
        `${AS_IT_IS} Mend that first.`,
        {
          cause,
        },
      );
    }
  };
  const { role, missingRights, publicConnect } = await inspect();
  if (role === 'replica') throw isReplica(serverId);
  const missing = missingRights.filter((right) => right !== publicConnect);
  if (missing.length === 0) return;
  throw refuseDrill(serverId, 'the app lacks rights on it', `${AS_IT_IS} ${missing.join('; ')}`, {
    detail: { missingRights: missing },
  });
}

export interface SeenAccess {
  readonly closed: readonly string[];
  readonly reopened: readonly string[];
  readonly sessionsEnded: number;
}

/** A port that remembers what its orders did. For one drill. */
export function watchAccess(port: ServerAccess): {
  readonly port: ServerAccess;
  readonly seen: () => SeenAccess;
} {
  let seen: SeenAccess = { closed: [], reopened: [], sessionsEnded: 0 };
  const watched: ServerAccess = {
    ...port,
    revoke: async (access, order) => {
      const outcome = await port.revoke(access, order);
      if (outcome.kind === 'overtaken') return outcome;
      const sessionsEnded = seen.sessionsEnded + outcome.sessionsEnded;
      seen = { ...seen, sessionsEnded, ...(outcome.kind === 'applied' ? { closed: outcome.closed } : {}) };
      return outcome;
    },
    restore: async (access, order) => {
      const outcome = await port.restore(access, order);
      if (outcome.kind === 'applied') seen = { ...seen, reopened: [...seen.reopened, ...outcome.reopened] };
      return outcome;
    },
  };
  return { port: watched, seen: () => seen };
}
