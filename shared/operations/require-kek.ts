// A KEK, or one version of it, that a caller named: there, or an error that says what to correct.
import { CmkError } from '../domain/errors.ts';
import { type KekId, keyUrl } from '../domain/key-id.ts';
import type { VersionState } from '../domain/key-status.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Stored } from '../ports/stored.ts';

/** @throws CmkError KekNotFound, InvalidRow, StoreUnavailable */
export async function requireKek(keks: Pick<KekStore, 'read'>, kek: KekId): Promise<StoredKek> {
  const stored = await keks.read(kek);
  if (stored !== undefined) return stored;
  throw new CmkError('KekNotFound', `${keyUrl(kek)} is not held by this app`, {
    remedy: 'Correct the vault or the name; GET /api/keys lists what is held.',
  });
}

/** @throws CmkError VersionNotFound */
export function requireVersion({ kek, versions }: StoredKek, version: string): Stored<VersionState> {
  const found = versions.find(({ value }) => value.version === version);
  if (found !== undefined) return found;
  throw new CmkError('VersionNotFound', `${keyUrl(kek.value.kek, version)} is not known to this app`, {
    remedy: 'Correct the version; GET /api/keys/{vault}/{name} lists those that are known.',
  });
}
