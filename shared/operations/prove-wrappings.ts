// Proofs of new wrappings, before anything is committed (design 7).
import { CmkError, type ErrorCode, isCmkError } from '../domain/errors.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import type { KeyVault } from '../ports/key-vault.ts';
import type { Random } from '../ports/runtime.ts';
import type { Outcome } from './rewrap-outcome.ts';
import { unwrapDek } from './unwrap-dek.ts';

export interface ProveDeps {
  readonly vault: KeyVault;
  readonly random: Random;
}

/** Faults of the key or the vault, not of one server's wrapping. */
export const isKeyFault = (code: ErrorCode): boolean =>
  code === 'VaultUnavailable' || code === 'VaultRefused' || code === 'RewrapProofFailed';

/** Unwraps a new wrapping remotely and compares what is in it. @throws CmkError RewrapProofFailed, VaultUnavailable, VaultRefused */
export async function proveWrapping(
  vault: KeyVault,
  kek: KekId,
  serverId: string,
  wrapped: WrappedDek,
): Promise<void> {
  try {
    using _ = await unwrapDek(vault, kek, serverId, wrapped);
  } catch (error) {
    if (isCmkError(error) && isKeyFault(error.code)) throw error;
    const id = keyUrl(kek, wrapped.kekVersion);
    throw new CmkError(
      'RewrapProofFailed',
      `a new wrapping of ${serverId} under ${id} did not unwrap to its DEK`,
      {
        remedy: 'Nothing was committed. Look at what the key version is; the rotation stays where it is.',
        cause: error,
      },
    );
  }
}

/**
 * Of every range, one new wrapping picked at random is unwrapped by the vault before anything is committed.
 *
 * Invariant I-03: no DEK is ever lost: a wrapping is replaced only by one made under a proven key version.
 */
export async function proveSample(
  { vault, random }: ProveDeps,
  kek: KekId,
  outcomes: readonly Outcome[],
): Promise<readonly Outcome[]> {
  const rewrapped = outcomes.filter((outcome) => outcome.kind === 'rewrapped');
  const picked = rewrapped[rewrapped.length === 0 ? 0 : random.integer(rewrapped.length)];
  if (picked === undefined) return outcomes;
  await proveWrapping(vault, kek, picked.stored.value.serverId, picked.wrapped);
  return outcomes.map((outcome) => (outcome === picked ? { ...picked, proven: true } : outcome));
}
