// A server's DEK, made once.
import { DEK_BYTES, Dek } from '../domain/dek.ts';
import { CmkError } from '../domain/errors.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import type { VersionState } from '../domain/key-status.ts';
import { REMEDIES } from '../domain/reason.ts';
import { bindDek, WRAP_ALGORITHM, type WrappedDek } from '../domain/wrapped-dek.ts';
import type { KeyVault, LocalWrap } from '../ports/key-vault.ts';
import type { Random } from '../ports/runtime.ts';
import type { TargetProofs } from './target-proofs.ts';
import { unwrapDek } from './unwrap-dek.ts';

export interface MakeWrappingDeps {
  readonly vault: KeyVault;
  readonly localWrap: LocalWrap;
  readonly proofs: TargetProofs;
  readonly random: Random;
}

/** A new DEK, wrapped and proven by the vault before it is put anywhere. */
export async function makeWrapping(
  deps: MakeWrappingDeps,
  kek: KekId,
  serverId: string,
  version: VersionState,
): Promise<WrappedDek> {
  const proof = await deps.proofs.prove(kek, version.version, version.canary ?? '');
  if (!proof.proven) {
    throw new CmkError(
      'KekNotProven',
      `no DEK can be wrapped under ${keyUrl(kek, version.version)}: ${proof.reason}`,
      {
        remedy: REMEDIES[proof.reason],
        detail: { reason: proof.reason },
      },
    );
  }
  using dek = new Dek(deps.random.bytes(DEK_BYTES));
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
