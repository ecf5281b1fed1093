// What the app asks of a vault. Answers are values: an unusable key is no error (vault-answer.ts).
import type { KekId } from '../domain/key-id.ts';
import type { VersionAttributes } from '../domain/key-status.ts';
import type { DeletedAnswer, VaultAnswer } from '../domain/vault-answer.ts';

export interface KeyDescription {
  readonly versions: readonly {
    readonly version: string;
    readonly attributes: VersionAttributes;
    /** When anything of it last changed; null: not said. In whole seconds. */
    readonly updatedOn: Date | null;
  }[];
  /** The newest by creation time. */
  readonly newest: string;
}

/** The public half of a version, as far as wrapping needs it. */
export interface PublicKey {
  readonly keyType: 'RSA' | 'RSA-HSM';
  readonly bits: number;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
}

/** What the vault does with a key that was deleted. */
export interface Recovery {
  /** Whether a deleted key can be had back at all (soft delete). */
  readonly recoverable: boolean;
  /** Whether nobody can purge it before its time. */
  readonly purgeProtected: boolean;
  /** Days that a deleted key is kept; null: not said. */
  readonly days: number | null;
}

export interface VersionDescription {
  readonly attributes: VersionAttributes;
  readonly recovery: Recovery;
  /** As the vault says it: RSA, RSA-HSM, EC, oct-HSM and others. */
  readonly keyType: string;
  /** Of an RSA key; null for every other. */
  readonly bits: number | null;
  /** null: of a type or size that nothing is wrapped under. */
  readonly publicKey: PublicKey | null;
  readonly operations: readonly string[];
}

/**
 * What an unwrap is for. `probe`: one call, 5 s at most, never retried, never queued behind a rotation.
 * `rewrap`: waits its turn at the vault's limiter, and throttling is waited out.
 * `release`: a server waits for its DEK. Never queued behind a rotation or a probe, nor a probe behind it; 5 s at
 * most, with one more try after a reset or a 5xx.
 */
export type UnwrapUse = 'probe' | 'rewrap' | 'release';

export interface KeyVault {
  /** The versions of a key, with their attributes: one call for up to 25. */
  describe(kek: KekId): Promise<VaultAnswer<KeyDescription>>;
  /** One version with its public key: one call. */
  describeVersion(kek: KekId, version: string): Promise<VaultAnswer<VersionDescription>>;
  /** Whether the vault holds it as deleted: one call. */
  askDeleted(kek: KekId): Promise<DeletedAnswer>;
  /** Also of an expired version. The caller owns the bytes and zeroes them. `ciphertext` is base64url. */
  unwrap(kek: KekId, version: string, ciphertext: string, use: UnwrapUse): Promise<VaultAnswer<Uint8Array>>;
}

/** Wrapping with a public key, on this machine: RSA-OAEP-256. */
export interface LocalWrap {
  /** base64url. The caller keeps and zeroes `plaintext`. */
  wrap(publicKey: PublicKey, plaintext: Uint8Array): Promise<string>;
}
