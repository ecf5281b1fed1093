// What a vault remembers of a key, and how it looks on the wire.
import type { KeyMaterial } from './key-material.ts';

export const KEY_TYPES = ['RSA', 'RSA-HSM'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

export const DEFAULT_KEY_OPS = ['encrypt', 'decrypt', 'sign', 'verify', 'wrapKey', 'unwrapKey'] as const;
export const KEY_OPS: readonly string[] = [...DEFAULT_KEY_OPS, 'import', 'export'];

export interface KeyVersion {
  readonly name: string;
  /** 32 hex digits. */
  readonly version: string;
  readonly kty: KeyType;
  readonly material: KeyMaterial;
  readonly keyOps: readonly string[];
  readonly tags: Readonly<Record<string, string>> | undefined;
  readonly enabled: boolean;
  /** Unix seconds, as are the other instants here. */
  readonly nbf: number | null;
  readonly exp: number | null;
  readonly created: number;
  readonly updated: number;
  /** Events already raised for the `exp` that stands: each is raised once. */
  readonly nearExpiryRaised: boolean;
  readonly expiredRaised: boolean;
}

export interface LifetimeAction {
  readonly trigger: { readonly timeAfterCreate?: string; readonly timeBeforeExpiry?: string };
  readonly action: { readonly type: 'Rotate' | 'Notify' };
}

export interface RotationPolicy {
  readonly lifetimeActions: readonly LifetimeAction[];
  readonly expiryTime: string | null;
  readonly created: number;
  readonly updated: number;
}

export type KeyState =
  | { readonly kind: 'active' }
  | { readonly kind: 'deleted'; readonly deletedAt: number; readonly purgeAt: number }
  | { readonly kind: 'purged' };

export interface KeyRecord {
  readonly name: string;
  /** In order of creation: the last one is the current one. Never empty. */
  readonly versions: readonly KeyVersion[];
  readonly policy: RotationPolicy | null;
  readonly state: KeyState;
  /** Deleting, recovering and purging take the service a while: until then, in milliseconds of the vault's clock. */
  readonly settlesAtMs: number;
}

export interface RecoveryLevel {
  readonly recoveryLevel: string;
  readonly recoverableDays: number;
}

export function toRecoveryLevel(retentionDays: number, purgeProtection: boolean): RecoveryLevel {
  const level = retentionDays < 90 ? 'CustomizedRecoverable' : 'Recoverable';
  return { recoveryLevel: purgeProtection ? level : `${level}+Purgeable`, recoverableDays: retentionDays };
}

export function toAttributes(key: KeyVersion, recovery: RecoveryLevel): Record<string, unknown> {
  return {
    enabled: key.enabled,
    ...(key.nbf === null ? {} : { nbf: key.nbf }),
    ...(key.exp === null ? {} : { exp: key.exp }),
    created: key.created,
    updated: key.updated,
    ...recovery,
    exportable: false,
  };
}

/** KeyBundle. */
export function toBundle(key: KeyVersion, kid: string, recovery: RecoveryLevel): Record<string, unknown> {
  const { kty, keyOps, material, tags } = key;
  return {
    key: { kid, kty, key_ops: keyOps, n: material.n, e: material.e },
    attributes: toAttributes(key, recovery),
    ...(tags === undefined ? {} : { tags }),
  };
}

/** KeyItem, of a list. */
export function toItem(key: KeyVersion, kid: string, recovery: RecoveryLevel): Record<string, unknown> {
  return {
    kid,
    attributes: toAttributes(key, recovery),
    ...(key.tags === undefined ? {} : { tags: key.tags }),
  };
}
