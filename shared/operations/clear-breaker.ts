// An operator says that what the breaker holds is real: suspect verdicts act again (design 5).
import { CLOSED_BREAKER, isHolding } from '../domain/breaker.ts';
import type { BreakerStore, KekStore } from '../ports/kek-store.ts';
import type { OutboxStore } from '../ports/outbox-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { onConflict } from './on-conflict.ts';
import { APP_CHAIN } from './reject-input.ts';

export interface ClearedBreaker {
  /** Whether verdicts were held until now. */
  readonly wasHolding: boolean;
  /** The vaults that turned suspect last, by name. */
  readonly vaults: readonly string[];
  /** Keys with a suspect version, each of which is looked at now. */
  readonly keys: number;
}

/**
 * The same again changes nothing, and has the suspect keys looked at once more.
 * @throws CmkError StoreUnavailable, WriteConflict
 */
export type ClearBreaker = (command: { readonly by: string }) => Promise<ClearedBreaker>;

export interface ClearBreakerDeps {
  readonly keks: KekStore & BreakerStore;
  readonly outbox: Pick<OutboxStore, 'put'>;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly log: Log;
  readonly rules: { readonly breakerHoldMinutes: number };
}

export function makeClearBreaker(deps: ClearBreakerDeps): ClearBreaker {
  const { keks, outbox, queue, clock, log, rules } = deps;
  return async ({ by }) => {
    const at = clock.now();
    const cause = { kind: 'operator', by } as const;
    const { suspects, trippedAt } = (await keks.readBreaker())?.value ?? CLOSED_BREAKER;
    const wasHolding = isHolding({ suspects, trippedAt }, at, rules.breakerHoldMinutes);
    const vaults = Object.keys(suspects).toSorted();
    if (wasHolding) {
      // First: that a person let the verdicts act is on record, whatever becomes of the write.
      const about = { servers: [], versionBefore: null, versionAfter: null, reason: null };
      const record = {
        at,
        action: 'breaker.cleared',
        cause,
        ...about,
        detail: { vaults, trippedAt },
      } as const;
      await outbox.put(APP_CHAIN, { audit: [record], events: [] });
      await onConflict(async () => {
        const etag = (await keks.readBreaker())?.etag ?? null;
        await keks.writeBreaker({ value: CLOSED_BREAKER, etag });
      });
      log.write('warn', 'breaker cleared by an operator: suspect verdicts act', { by, vaults });
    }
    let keys = 0;
    for await (const { kek, versions } of keks.list({ vault: null })) {
      if (!versions.some(({ value }) => value.inUse && value.run?.class === 'suspect')) continue;
      await queue.enqueueReconcile({ kek: kek.value.kek, cause });
      keys += 1;
    }
    return { wasHolding, vaults, keys };
  };
}
