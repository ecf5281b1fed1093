// What the customer chooses for a KEK.
import type { KekPolicy } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { StoredKek } from '../ports/kek-store.ts';

export interface PolicyCommand {
  readonly kek: KekId;
  readonly change: Partial<KekPolicy>;
  readonly by: string;
  readonly ifMatch: string | null;
}

/** The same command again changes nothing. @throws CmkError KekNotFound, PreconditionFailed, StoreUnavailable */
export type ChangePolicy = (command: PolicyCommand) => Promise<StoredKek>;
