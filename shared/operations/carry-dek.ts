// The DEK of one row into another row: under another KEK, for another server, or both.
import type { ServerRow } from '../domain/server.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';
import { type WrapDekDeps, wrapDek } from './make-wrapping.ts';
import { unwrapDek } from './unwrap-dek.ts';

/**
 * Costs one unwrap by the vault that it comes from, which has its say about that, and one by the vault it goes to,
 * which proves the new wrapping.
 * @throws CmkError KekNotProven, VaultUnavailable (retryable), VaultRefused, WrappedDekMalformed, DekBindingMismatch,
 *   DekIdMismatch
 */
export async function carryDek(
  deps: WrapDekDeps,
  source: Pick<ServerRow, 'serverId' | 'kek' | 'wrapped'>,
  target: Pick<ServerRow, 'serverId' | 'kek'>,
  version: Parameters<typeof wrapDek>[4],
): Promise<WrappedDek> {
  using dek = await unwrapDek(deps.vault, source.kek, source.serverId, source.wrapped);
  return await wrapDek(deps, target.kek, target.serverId, dek, version);
}
