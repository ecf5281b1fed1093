// What a vault can answer, as values: an unusable key is a normal input of this app, never an error.
import type { KeyReason } from './reason.ts';

/** Why the vault gave no good answer. */
export type VaultFault =
  | {
      readonly kind: 'http';
      readonly status: number;
      /** `error.code` of the body, and the inner code, which says the reason of a 403 (azure-docs rest-error-codes). */
      readonly code: string | null;
      readonly innerCode: string | null;
      readonly retryAfterSeconds: number | null;
    }
  /** `vault-name`: this vault's name doesn't resolve while other names do; `dns`: none does. */
  | {
      readonly kind: 'network';
      readonly cause: 'timeout' | 'refused' | 'reset' | 'tls' | 'dns' | 'vault-name' | 'other';
    }
  /** No token could be had from the identity. */
  | { readonly kind: 'identity' }
  /** The answer doesn't parse, or is about another key than the one asked for. */
  | { readonly kind: 'answer'; readonly what: string };

/** `vaultNow` is the vault's `Date` header, null where there was no answer. */
export type VaultAnswer<T> =
  | { readonly ok: true; readonly value: T; readonly vaultNow: Date | null }
  | { readonly ok: false; readonly fault: VaultFault; readonly vaultNow: Date | null };

/**
 * How much an answer says. `definitive` loss acts at once, `suspect` loss after confirmation, `transient` never by
 * itself; `fault` is ours and never revokes.
 */
export type FindingClass = 'good' | 'definitive' | 'suspect' | 'transient' | 'fault';

export interface FaultFinding {
  readonly class: Exclude<FindingClass, 'good'>;
  readonly reason: KeyReason;
}

/** What the deleted-keys endpoint said after a 404; `unsaid` where it refused or wasn't asked. */
export type DeletedAnswer = 'deleted' | 'absent' | 'unsaid';

const FORBIDDEN: Readonly<Record<string, FaultFinding>> = {
  KeyDisabled: { class: 'definitive', reason: 'KeyDisabled' },
  KeyOperationForbidden: { class: 'definitive', reason: 'KeyOperationForbidden' },
  ForbiddenByRbac: { class: 'suspect', reason: 'AccessDenied' },
  ForbiddenByPolicy: { class: 'suspect', reason: 'AccessDenied' },
  AccessDenied: { class: 'suspect', reason: 'AccessDenied' },
  ForbiddenByFirewall: { class: 'suspect', reason: 'FirewallDenied' },
  ForbiddenByConnection: { class: 'suspect', reason: 'FirewallDenied' },
};

const unexpected: FaultFinding = { class: 'transient', reason: 'UnexpectedAnswer' };
const unreachable: FaultFinding = { class: 'transient', reason: 'VaultUnreachable' };

/** The table of design 5, for everything that isn't a good unwrap. */
export function classifyFault(
  fault: VaultFault,
  context: { readonly deleted: DeletedAnswer; readonly seenDeleted: boolean },
): FaultFinding {
  switch (fault.kind) {
    case 'identity':
      return { class: 'transient', reason: 'IdentityUnavailable' };
    case 'answer':
      return unexpected;
    case 'network':
      return fault.cause === 'vault-name' ? { class: 'suspect', reason: 'VaultNotFound' } : unreachable;
    case 'http':
      return classifyStatus(fault.status, fault.innerCode, context);
  }
}

function classifyStatus(
  status: number,
  innerCode: string | null,
  context: { readonly deleted: DeletedAnswer; readonly seenDeleted: boolean },
): FaultFinding {
  if (status === 401) return { class: 'transient', reason: 'IdentityUnavailable' };
  if (status === 403)
    return (
      (innerCode !== null && Object.hasOwn(FORBIDDEN, innerCode) ? FORBIDDEN[innerCode] : undefined) ??
      unexpected
    );
  if (status === 404) {
    if (context.deleted === 'deleted') return { class: 'definitive', reason: 'KeySoftDeleted' };
    if (context.deleted === 'absent' && context.seenDeleted)
      return { class: 'definitive', reason: 'KeyPurged' };
    return { class: 'suspect', reason: 'KeyNotFound' };
  }
  if (status === 429) return { class: 'transient', reason: 'Throttled' };
  if (status === 408 || status >= 500) return unreachable;
  return unexpected;
}
