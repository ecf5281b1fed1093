// Has one server looked at, after its row became visible: whoever takes the messages reads the KEK after the row, so
// nobody slips in between a range scan and a commit (design 4, late joiners).
import type { Cause } from '../domain/audit.ts';
import type { KekId } from '../domain/key-id.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { requireKek } from './require-kek.ts';

/** @throws CmkError KekNotFound, StoreUnavailable */
export async function lookAtServer(
  { keks, queue }: { readonly keks: KekStore; readonly queue: WorkQueue },
  kek: KekId,
  serverId: string,
  cause: Cause,
): Promise<void> {
  const { epoch } = (await requireKek(keks, kek)).kek.value;
  const message = { kek, epoch, from: serverId, to: serverId, attempt: null, cause };
  await queue.enqueueAccess([message]);
  await queue.enqueueRewrap([message]);
}
