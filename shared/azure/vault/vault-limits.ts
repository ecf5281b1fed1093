// Key Vault's published limits, and what one process may take of them (learn.microsoft.com, Key Vault service limits).
import type { PublicKey } from '../../ports/key-vault.ts';

/** Key type and size, as the limits are published: `RSA-4096` is a software key, `RSA-HSM-4096` one in an HSM. */
export type LimitClass = `${PublicKey['keyType']}-${2048 | 3072 | 4096}`;

/** Operations per 10 s, vault and region, for every operation but creating. */
export type OperationLimits = Readonly<Record<LimitClass, number>>;

export const PUBLISHED_LIMITS: OperationLimits = {
  'RSA-2048': 4_000,
  'RSA-3072': 1_000,
  'RSA-4096': 500,
  'RSA-HSM-2048': 2_000,
  'RSA-HSM-3072': 500,
  'RSA-HSM-4096': 250,
};

export interface VaultLimits {
  /** The part of a vault's limit that this app may use, 0 to 1. */
  readonly share: number;
  /** The most instances of the app that rewrap at one time. */
  readonly maxInstances: number;
  /** Limits that differ from the published ones. */
  readonly perTenSeconds?: Partial<OperationLimits>;
}

/** A tenth is kept free for probes and DEK releases, which don't wait at the limiter. */
const FREE_FOR_PROBES = 0.1;

/**
 * The budget per second of one process, in parts of what the vault gives in 10 s.
 *
 * Key Vault counts mixed loads as a sum of fractions: 100 unwraps under RSA-4096 (of 500) and 800 under RSA-2048
 * (of 4,000) use 0.2 + 0.2 of the 10 s. So one unwrap costs `1 ÷ limit`, and whatever the mix, the vault gives
 * `1 ÷ 10` per second. Of that, one process rewraps with `share ÷ maxInstances × (1 − 0.1)`.
 * Example: RSA-4096 in an HSM, share 0.5, 2 instances: 250 ÷ 10 × 0.5 ÷ 2 × 0.9 = 5.6 unwraps a second.
 */
export const ceilingOf = (limits: VaultLimits): number =>
  (limits.share / limits.maxInstances) * (1 - FREE_FOR_PROBES) * 0.1;

/** What one unwrap takes of the vault's 10 s. */
export const costOf = (limitClass: LimitClass, limits: VaultLimits): number =>
  1 / (limits.perTenSeconds?.[limitClass] ?? PUBLISHED_LIMITS[limitClass]);

/**
 * The class of the key that made a ciphertext: an RSA ciphertext is as long as its modulus. A length that no key of
 * ours has gets the slowest class: the vault will refuse it anyway.
 */
export function limitClassOf(keyType: PublicKey['keyType'], ciphertextBytes: number): LimitClass {
  switch (ciphertextBytes) {
    case 256:
      return `${keyType}-2048`;
    case 384:
      return `${keyType}-3072`;
    default:
      return `${keyType}-4096`;
  }
}
