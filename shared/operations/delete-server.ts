// Deleting a server leaves a tombstone, whose wrapping is still rewrapped and counted; purging gives its DEK up for good.
import type { KekId } from '../domain/key-id.ts';

export interface DeleteCommand {
  readonly serverId: string;
  /** Also a server that isn't `Ready`. */
  readonly force: boolean;
  /** Drops the wrapping, its history and its escrow. */
  readonly purge: boolean;
  readonly by: string;
  /** Whether the caller has the role Dek.Assign, which purging needs. */
  readonly mayAssign: boolean;
  readonly ifMatch: string | null;
}

export interface Deleted {
  readonly outcome: 'tombstone' | 'purged';
  readonly kek: KekId;
  /** Databases that were closed by the app and stay so; null: the server couldn't be asked. */
  readonly staysClosed: readonly string[] | null;
}

/** The same command again gives the same answer. @throws CmkError ServerNotFound, ServerNotSettled, ServerMoving, RoleMissing, PreconditionFailed, StoreUnavailable */
export type DeleteServer = (command: DeleteCommand) => Promise<Deleted>;
