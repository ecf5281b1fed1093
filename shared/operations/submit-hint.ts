// From a hint to a place in the queue.
//
// Invariant I-01: events are hints, the vault is the truth, the table is the memory. A hint is no more than the name
// of a KEK: what it claims has happened is never believed.
import type { KekStore } from '../ports/kek-store.ts';
import type { Log } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import type { Hint } from './hint.ts';

/** A hint about a KEK that isn't held, or about a vault without one, is counted and that is all. */
export const makeSubmitHint =
  ({ keks, queue, log }: { readonly keks: KekStore; readonly queue: WorkQueue; readonly log: Log }) =>
  async ({ target, cause }: Hint): Promise<void> => {
    if (target.kind === 'kek') {
      if ((await keks.read(target.kek)) === undefined)
        return log.count('hint.notHeld', { cause: cause.kind });
      await queue.enqueueReconcile({ kek: target.kek, cause });
      return log.count('hint.accepted', { cause: cause.kind });
    }
    let held = 0;
    for await (const stored of keks.list({ vault: target.vault })) {
      await queue.enqueueReconcile({ kek: stored.kek.value.kek, cause });
      held += 1;
    }
    log.count(held === 0 ? 'hint.notHeld' : 'hint.accepted', { cause: cause.kind });
  };
