// From a hint to a place in the queue.
//
// Invariant I-01: events are hints, the vault is the truth, the table is the memory. A hint is no more than the name
// of a KEK: what it claims has happened is never believed.
import { isCmkError } from '../domain/errors.ts';
import { kekKey } from '../domain/key-id.ts';
import type { ReconcileMessage } from '../domain/message.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { coalesce } from './coalesce.ts';
import type { Hint } from './hint.ts';

export interface SubmitHintDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A hint that comes so soon after a look began waits so long: a look of which it is certain that it began after the hint
 * answers it, and all that came meanwhile, in whatever process.
 */
const SOON_MS = 1000;
const WAIT_SECONDS = 2;

/** That a hint came is written down so often at most: of a flood, only that there is one. */
const NOTED_EVERY_MS = 60_000;

const ACCEPTED = 'a hint was taken';
const NOT_HELD = 'a hint about a key that is not held';

/**
 * Of a hint about a KEK that isn't held, or about a vault without one, a line in the log says so, and that is all.
 * A burst of hints alike costs a few messages: what is asked about another key waits in the same queue.
 */
export const makeSubmitHint = (deps: SubmitHintDeps) =>
  coalesce((hint: Hint) => submit(deps, hint), { keyOf, merge: withEarlier });

async function submit(deps: SubmitHintDeps, { target, cause, at: hintedAt }: Hint): Promise<void> {
  const { keks, log } = deps;
  if (target.kind === 'kek') {
    const stored = await keks.read(target.kek);
    if (stored === undefined) return log.write('debug', NOT_HELD, { ...target, cause: cause.kind });
    await enqueue(deps, stored, { kek: target.kek, cause, hintedAt });
    await note(deps, stored);
    return log.write('debug', ACCEPTED, { ...target, cause: cause.kind });
  }
  let held = 0;
  for await (const stored of keks.list({ vault: target.vault })) {
    await enqueue(deps, stored, { kek: stored.kek.value.kek, cause, hintedAt });
    held += 1;
  }
  log.write('debug', held === 0 ? NOT_HELD : ACCEPTED, { ...target, cause: cause.kind });
}

function enqueue(
  { queue, clock }: SubmitHintDeps,
  { kek }: StoredKek,
  message: ReconcileMessage,
): Promise<void> {
  const { observedFrom } = kek.value;
  const isSoon = observedFrom !== null && clock.now().getTime() - observedFrom.getTime() < SOON_MS;
  return queue.enqueueReconcile(message, isSoon ? WAIT_SECONDS : 0);
}

/** The same for hints that differ in their id and their time only: who did what stays apart, for the audit. */
function keyOf({ target, cause }: Hint): string {
  const { id: _, ...alike } = { id: null, ...cause };
  return JSON.stringify([target.kind === 'kek' ? kekKey(target.kek) : target.vault, alike]);
}

/** How long it took to notice is counted from the first of them. */
const withEarlier = (held: Hint, { at }: Hint): Hint =>
  at !== undefined && (held.at === undefined || at < held.at) ? { ...held, at } : held;

/** So that people see whether events of this key arrive at all. Nothing is decided by it. */
async function note({ keks, clock }: SubmitHintDeps, { kek: { value, etag } }: StoredKek): Promise<void> {
  const now = clock.now();
  if (value.lastHintAt !== null && now.getTime() - value.lastHintAt.getTime() < NOTED_EVERY_MS) return;
  try {
    const kek = { value: { ...value, lastHintAt: now }, etag };
    await keks.commit(value.kek, { kek, versions: [], outbox: null });
  } catch (error) {
    // Somebody else has written the row, or the table is away: the hint itself is on its way, and the next is noted.
    if (!isCmkError(error)) throw error;
  }
}
