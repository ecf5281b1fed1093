// A copy of a server for a replica or a restore: a server of its own with the same DEK, which starts `PendingKey`.
import type { ServerRow } from '../domain/server.ts';
import type { AccessSpec, KeyLossPolicy } from '../domain/server-spec.ts';
import type { Stored } from '../ports/stored.ts';

export interface CopyCommand {
  readonly sourceId: string;
  readonly serverId: string;
  readonly kind: 'replica' | 'restore';
  readonly access: AccessSpec;
  readonly principalId: string | null;
  /** Of a restore: another key than its source's; null: the same. */
  readonly keyId: string | null;
  /** null: its source's. */
  readonly keyLossPolicy: KeyLossPolicy | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly by: string;
}

export interface Copied {
  readonly stored: Stored<ServerRow>;
  readonly created: boolean;
}

/** The same command again changes nothing. @throws CmkError ServerNotFound, ServerDeleted, CopyRefused, ServerIdTaken, InvalidServer, InvalidKeyId, KekNotProven, VaultUnavailable, VaultRefused, StoreUnavailable */
export type CopyServer = (command: CopyCommand) => Promise<Copied>;
