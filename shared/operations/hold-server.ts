// An operator's hold on one server: its access is revoked whatever its key says, and only an operator lifts it.
import type { ServerRow } from '../domain/server.ts';
import type { Stored } from '../ports/stored.ts';

export interface HoldServerCommand {
  readonly serverId: string;
  /** Why; null lifts the hold. */
  readonly reason: string | null;
  readonly by: string;
  /** The ETag that the row must have; null: any. */
  readonly ifMatch: string | null;
}

/** The same command again changes nothing. @throws CmkError ServerNotFound, ServerDeleted, PreconditionFailed, StoreUnavailable */
export type HoldServer = (command: HoldServerCommand) => Promise<Stored<ServerRow>>;
