// Looks at a server's key and at the server itself now, rather than when their time comes.
import type { ServerRow } from '../domain/server.ts';
import type { Stored } from '../ports/stored.ts';

export interface RevalidateCommand {
  readonly serverId: string;
  readonly by: string;
}

/** @throws CmkError ServerNotFound, ServerDeleted, StoreUnavailable */
export type RevalidateServer = (command: RevalidateCommand) => Promise<Stored<ServerRow>>;
