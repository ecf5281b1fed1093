// A second place for every new wrapping, before a registration is answered: a new DEK is never in one place only.
import type { KekId } from '../domain/key-id.ts';
import type { WrappedDek } from '../domain/wrapped-dek.ts';

export interface Escrow {
  /**
   * Files the first wrapping of a server, unless there is one: then that one is returned, so that a registration
   * that was cut short goes on with the DEK that it had made.
   * @throws CmkError StoreUnavailable (retryable), InvalidRow
   */
  file(serverId: string, kek: KekId, wrapped: WrappedDek): Promise<WrappedDek>;
  find(serverId: string, kek: KekId): Promise<WrappedDek | undefined>;
  /** The KEKs under which a wrapping of this server is filed: where it is, and where it was before it was moved. @throws CmkError StoreUnavailable (retryable), InvalidRow */
  list(serverId: string): Promise<readonly KekId[]>;
  /** Where a wrapping is filed, for people. */
  placeOf(serverId: string, kek: KekId): string;
  /** For a purge only. A wrapping that is gone already is no error. @throws CmkError StoreUnavailable (retryable) */
  remove(serverId: string, kek: KekId): Promise<void>;
}
