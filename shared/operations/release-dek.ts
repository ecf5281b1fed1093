// Gives a server its own DEK, sealed to a key that it made for this request (design 6 and 9).
import type { KekId } from '../domain/key-id.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';

export interface ReleaseCommand {
  readonly serverId: string;
  /** Who asks: must be the server's own principal. */
  readonly principalId: string;
  /** A public JWK, as it was sent. */
  readonly publicKey: unknown;
}

export interface ReleasedDek {
  readonly kek: KekId;
  readonly wrapped: WrappedDek;
  /** A compact JWE. */
  readonly jwe: string;
  readonly leaseExpiresOn: Date;
}

/** @throws CmkError ServerNotFound, ServerDeleted, PrincipalMismatch, DekRefused, DekRateLimited, InvalidPublicKey, VaultUnavailable, VaultRefused, WrappedDekMalformed, DekBindingMismatch, DekIdMismatch, StoreUnavailable */
export type ReleaseDek = (command: ReleaseCommand) => Promise<ReleasedDek>;
