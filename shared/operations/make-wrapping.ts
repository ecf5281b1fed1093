// A server's DEK, made once, and wrapped under a version that is proven.
import { DEK_BYTES, Dek } from '../domain/dek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { VersionState } from '../domain/key-status.ts';
import { bindDek, WRAP_ALGORITHM, type WrappedDek } from '../domain/wrapped-dek.ts';
import type { KeyVault, LocalWrap } from '../ports/key-vault.ts';
import type { Random } from '../ports/runtime.ts';
import { kekNotProven } from './prove-kek.ts';
import type { TargetProofs } from './target-proofs.ts';
import { unwrapDek } from './unwrap-dek.ts';

export interface WrapDekDeps {
  readonly vault: KeyVault;
  readonly localWrap: LocalWrap;
  readonly proofs: TargetProofs;
}

export interface MakeWrappingDeps extends WrapDekDeps {
  readonly random: Random;
}

/**
 * A new DEK, wrapped and proven by the vault before it is put anywhere.
 * @throws CmkError as {@link wrapDek}
 */
export async function makeWrapping(
  deps: MakeWrappingDeps,
  kek: KekId,
  serverId: string,
  version: VersionState,
): Promise<WrappedDek> {
  using dek = new Dek(deps.random.bytes(DEK_BYTES));
  return await wrapDek(deps, kek, serverId, dek, version);
}

/**
 * The same DEK as in `wrapped`, bound to the server and wrapped under another version.
 * @throws CmkError as {@link wrapDek}
 */
export async function rewrapDek(
  deps: WrapDekDeps,
  kek: KekId,
  serverId: string,
  wrapped: WrappedDek,
  version: VersionState,
): Promise<WrappedDek> {
  using dek = await unwrapDek(deps.vault, kek, serverId, wrapped);
  return await wrapDek(deps, kek, serverId, dek, version);
}

/**
 * Wraps a DEK for a server under `version`, and has the vault unwrap the outcome. The caller keeps and disposes of `dek`.
 * @throws CmkError KekNotProven, VaultUnavailable (retryable), VaultRefused, WrappedDekMalformed, DekBindingMismatch,
 *   DekIdMismatch
 */
export async function wrapDek(
  deps: WrapDekDeps,
  kek: KekId,
  serverId: string,
  dek: Dek,
  version: Pick<VersionState, 'version' | 'canary'>,
): Promise<WrappedDek> {
  const proof = await deps.proofs.prove(kek, version.version, version.canary ?? '');
  if (!proof.proven) throw kekNotProven(kek, version.version, proof.reason);
  const plaintext = bindDek(dek, serverId);
  try {
    const ciphertext = await deps.localWrap.wrap(proof.publicKey, plaintext);
    const wrapped: WrappedDek = {
      kekVersion: version.version,
      algorithm: WRAP_ALGORITHM,
      format: 'bound-1',
      dekId: dek.id,
      ciphertext,
    };
    using _ = await unwrapDek(deps.vault, kek, serverId, wrapped);
    return wrapped;
  } finally {
    plaintext.fill(0);
  }
}
