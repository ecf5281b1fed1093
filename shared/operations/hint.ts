// What the boundary hands over: hints, and input that can't be worked on.
import type { Cause } from '../domain/audit.ts';
import type { CmkError } from '../domain/errors.ts';
import type { KekId } from '../domain/key-id.ts';
import type { ProbeMessage, RangeMessage, ReconcileMessage } from '../domain/message.ts';

/** Something may have happened to a KEK, or to a vault and so to each of its KEKs: reason to look, nothing more. */
export interface Hint {
  readonly target:
    | { readonly kind: 'kek'; readonly kek: KekId }
    | { readonly kind: 'vault'; readonly vault: string };
  readonly cause: Cause;
  /** When that happened, as the sender says. */
  readonly at?: Date | undefined;
}

/** Input that is recorded and acknowledged, since sending it again would not help. */
export interface RejectedInput {
  /** The name of the function that it came to. */
  readonly source: string;
  /** The id of the event or message, where it could be read. */
  readonly id: string | null;
  readonly problem: CmkError;
}

/** A sound message that failed as often as the queue allows. */
export type PoisonedMessage = { readonly id: string | null } & (
  | { readonly queue: 'reconcile-keks'; readonly message: ReconcileMessage }
  | { readonly queue: 'rewrap-deks' | 'server-access'; readonly message: RangeMessage }
  | { readonly queue: 'probe-keks'; readonly message: ProbeMessage }
);
