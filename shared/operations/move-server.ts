// Moves a server to another KEK, across partitions and vaults (design 9).
import type { ServerRow } from '../domain/server.ts';
import type { Stored } from '../ports/stored.ts';

export interface MoveCommand {
  readonly serverId: string;
  readonly keyId: string;
  readonly by: string;
  readonly ifMatch: string | null;
}

/** The same command again changes nothing; one that was cut short is taken up. @throws CmkError ServerNotFound, ServerDeleted, ServerMoving, InvalidKeyId, KekNotProven, PreconditionFailed, VaultUnavailable, VaultRefused, StoreUnavailable */
export type MoveServer = (command: MoveCommand) => Promise<Stored<ServerRow>>;
