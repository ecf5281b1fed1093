// What can't be understood is written down with the reason, and acknowledged: sending it again would not help.
import type { OutboxStore } from '../ports/outbox-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { RejectedInput } from './hint.ts';

/** The chain of what belongs to no KEK. */
export const APP_CHAIN = 'app';

/** @throws CmkError StoreUnavailable: then the sender should send it again */
export const makeRejectInput =
  ({ outbox, clock, log }: { readonly outbox: OutboxStore; readonly clock: Clock; readonly log: Log }) =>
  async ({ source, id, problem }: RejectedInput): Promise<void> => {
    log.write('warn', problem.message, { source, id, code: problem.code, remedy: problem.remedy });
    const record = {
      at: clock.now(),
      action: 'input.rejected',
      cause: { kind: 'event', id: id ?? 'unknown', type: source },
      servers: [],
      versionBefore: null,
      versionAfter: null,
      reason: problem.code,
      detail: { problem: problem.message, ...problem.detail },
    } as const;
    await outbox.put(APP_CHAIN, { audit: [record], events: [] });
  };
