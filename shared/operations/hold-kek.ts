// An operator's hold on a whole key: every server under it loses access, whatever the key says.
import type { KekId } from '../domain/key-id.ts';
import type { StoredKek } from '../ports/kek-store.ts';

export interface HoldKekCommand {
  readonly kek: KekId;
  /** Why; null lifts the hold. */
  readonly reason: string | null;
  readonly by: string;
  readonly ifMatch: string | null;
}

/** The same command again changes nothing. @throws CmkError KekNotFound, PreconditionFailed, StoreUnavailable */
export type HoldKek = (command: HoldKekCommand) => Promise<StoredKek>;
