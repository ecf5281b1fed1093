// Whether a server may have its DEK now (design 6). Pure.
import { decideAccess, withDecision } from './decide-server.ts';
import { findVersion, type KekSnapshot } from './kek.ts';
import { REMEDIES, type Reason } from './reason.ts';
import { deriveServerState, type ServerRow, type ServerState } from './server.ts';

export interface ReleaseDecision {
  readonly release: boolean;
  /** The state that the server is in, or would be once its row says what its KEK says. */
  readonly state: ServerState;
  readonly reason: Reason | null;
  /** null where it is given. */
  readonly remedy: string | null;
}

const NO_REASON = 'Look at the server, and at the verdict on the version of its key.';

/**
 * Decides from the KEK and the holds as they are now, whatever order the row still carries: a loss that no worker has
 * acted on refuses already, and a server whose key is back gets its DEK before anybody can reopen its databases.
 *
 * Whether the vault unwraps is not known here: it has the last word.
 */
export function decideRelease(row: ServerRow, snapshot: KekSnapshot, now: Date): ReleaseDecision {
  const decision = decideAccess(row, snapshot, now);
  const decided = withDecision(row, decision, now);
  const { state } = deriveServerState(decided, findVersion(snapshot, row.wrapped.kekVersion));
  const { reason } = decision;
  // A new server or copy whose key was never seen to unwrap waits for that; one that served already doesn't.
  const waits = state === 'PendingKey' && reason === 'KeyNotProven';
  if (decision.desired === 'granted' && !waits) return { release: true, state, reason, remedy: null };
  return { release: false, state, reason, remedy: reason === null ? NO_REASON : REMEDIES[reason] };
}
