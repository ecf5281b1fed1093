// What the customer chooses for a KEK.
import { withPolicy } from '../domain/decide-wave.ts';
import { type KekPolicy, kekTag } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';
import type { Clock } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { assertMatches } from './if-match.ts';
import { onConflict } from './on-conflict.ts';
import { requireKek } from './require-kek.ts';

export interface PolicyCommand {
  readonly kek: KekId;
  readonly change: Partial<KekPolicy>;
  readonly by: string;
  /** The tag that the KEK must have (`kekTag`); null: any. */
  readonly ifMatch: string | null;
}

/** The same command again changes nothing. @throws CmkError KekNotFound, PreconditionFailed, StoreUnavailable */
export type ChangePolicy = (command: PolicyCommand) => Promise<StoredKek>;

export interface ChangePolicyDeps {
  readonly keks: KekStore;
  readonly queue: WorkQueue;
  readonly clock: Clock;
}

/** It holds for a rotation under way too, from the next server on. */
export function makeChangePolicy({ keks, queue, clock }: ChangePolicyDeps): ChangePolicy {
  return async ({ kek, change, by, ifMatch }) => {
    const cause = { kind: 'operator', by } as const;
    await onConflict(async () => {
      const stored = await requireKek(keks, kek);
      assertMatches(kekTag(stored.kek.value), ifMatch);
      const { policy } = stored.kek.value;
      const before = pickChanged(policy, change);
      const after = pickChanged(change, policy);
      if (Object.keys(after).length === 0) return;
      const now = clock.now();
      const epoch = stored.kek.value.epoch + 1;
      const value = { ...withPolicy(stored.kek.value, { ...policy, ...change }, now), epoch };
      const record = {
        at: now,
        action: 'kek.policyChanged' as const,
        cause,
        servers: [],
        versionBefore: null,
        versionAfter: null,
        reason: null,
        detail: { epoch, before, after },
      };
      await keks.commit(kek, {
        kek: { value, etag: stored.kek.etag },
        versions: [],
        outbox: { audit: [record], events: [] },
      });
    });
    const stored = await requireKek(keks, kek);
    const { epoch, fannedOutEpoch } = stored.kek.value;
    // Also where the same command changed it before and then died.
    if (epoch !== fannedOutEpoch) await queue.enqueueReconcile({ kek, cause });
    return stored;
  };
}

/** The properties of `one` that `other` has too, with another value. */
function pickChanged(one: Partial<KekPolicy>, other: Partial<KekPolicy>): Partial<KekPolicy> {
  const theirs = new Map<string, unknown>(Object.entries(other));
  const changed = Object.entries(one).filter(
    ([name, value]) => theirs.has(name) && JSON.stringify(theirs.get(name)) !== JSON.stringify(value),
  );
  return Object.fromEntries(changed);
}
