// Sealing a DEK to a key that the server made for one request (RFC 7516).
import type { Dek } from '../domain/dek.ts';

/** What the protected header binds the DEK to. */
export interface SealContext {
  readonly serverId: string;
  readonly dekId: string;
  /** From when the lease counts: the end of it alone means little to a server whose clock is wrong. */
  readonly releasedAt: Date;
  readonly leaseExpiresOn: Date;
}

export interface DekSealer {
  /**
   * A compact JWE: ECDH-ES to the P-256 or X25519 public key, A256GCM; the plaintext is the 32 bytes of the DEK. The
   * protected header says whose it is and until when: `sub`, `dekId`, `iat`, `exp`.
   * @param publicJwk as the caller sent it: not looked at before
   * @throws CmkError InvalidPublicKey
   */
  seal(dek: Dek, publicJwk: unknown, context: SealContext): Promise<string>;
}
