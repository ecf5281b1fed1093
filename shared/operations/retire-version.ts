// Retires a key version: only when nothing depends on it any more, and with a statement that says so.
import type { KekId } from '../domain/key-id.ts';

export interface RetireCommand {
  readonly kek: KekId;
  readonly version: string;
  readonly by: string;
}

export interface Retirement {
  readonly retiredAt: Date;
  readonly prunedHistory: number;
  /** A compact JWS. */
  readonly statement: string;
}

/**
 * The same command again gives a statement again. Nothing is ever done to the version in the vault.
 * @throws CmkError KekNotFound, VersionNotFound, VersionInUse, VersionSoaking, StoreUnavailable
 */
export type RetireVersion = (command: RetireCommand) => Promise<Retirement>;
