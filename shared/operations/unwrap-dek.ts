// One DEK out of its wrapping, by the vault.
import type { Dek } from '../domain/dek.ts';
import { CmkError } from '../domain/errors.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import { REMEDIES } from '../domain/reason.ts';
import { classifyFault, type VaultFault } from '../domain/vault-answer.ts';
import { openWrapping, type WrappedDek } from '../domain/wrapped-dek.ts';
import type { KeyVault, UnwrapUse } from '../ports/key-vault.ts';

/** The caller disposes of the DEK: `using dek = await unwrapDek(…)`.
 * @throws CmkError VaultUnavailable (retryable), VaultRefused, WrappedDekMalformed, DekBindingMismatch, DekIdMismatch
 */
export async function unwrapDek(
  vault: KeyVault,
  kek: KekId,
  serverId: string,
  wrapped: WrappedDek,
  use: Exclude<UnwrapUse, 'probe'> = 'rewrap',
): Promise<Dek> {
  const answer = await vault.unwrap(kek, wrapped.kekVersion, wrapped.ciphertext, use);
  if (answer.ok) return openWrapping(answer.value, wrapped, serverId);
  throw toError(answer.fault, kek, serverId, wrapped.kekVersion);
}

function toError(fault: VaultFault, kek: KekId, serverId: string, version: string): CmkError {
  const id = keyUrl(kek, version);
  // 400: the vault can't make sense of this very ciphertext; it says nothing about the key.
  if (fault.kind === 'http' && fault.status === 400) {
    return new CmkError(
      'WrappedDekMalformed',
      `the vault can't unwrap what is on record for ${serverId} under ${id}`,
      {
        remedy: 'Restore the wrapping from its history or a backup; nothing was changed.',
      },
    );
  }
  const found = classifyFault(fault, { deleted: 'unsaid', seenDeleted: false });
  const retryable = found.class === 'transient';
  const code = retryable ? 'VaultUnavailable' : 'VaultRefused';
  return new CmkError(code, `unwrapping the DEK of ${serverId} under ${id}: ${found.reason}`, {
    remedy: REMEDIES[found.reason],
    retryable,
    detail: { fault, reason: found.reason },
  });
}
