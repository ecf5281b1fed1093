// A message that failed five times: noted where people look, and never the end of the matter. The sweep enqueues
// again what is not as it should be.
import type { AuditRecord } from '../domain/audit.ts';
import { kekKey, keyUrl } from '../domain/key-id.ts';
import type { OutboxStore } from '../ports/outbox-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { PoisonedMessage } from './hint.ts';
import { APP_CHAIN } from './reject-input.ts';

export type RecordPoison = (poisoned: PoisonedMessage) => Promise<void>;

/** @throws CmkError StoreUnavailable */
export const makeRecordPoison =
  ({
    outbox,
    clock,
    log,
  }: {
    readonly outbox: OutboxStore;
    readonly clock: Clock;
    readonly log: Log;
  }): RecordPoison =>
  async ({ queue, id, message }) => {
    const at = clock.now();
    const about = 'kek' in message ? message : null;
    const range = 'from' in message ? { from: message.from, to: message.to } : {};
    const record: AuditRecord = {
      at,
      action: 'message.poisoned',
      cause: about?.cause ?? { kind: 'followUp', of: queue },
      servers: [],
      versionBefore: null,
      versionAfter: null,
      reason: queue,
      detail: { id, ...range },
    };
    log.count('poison', { queue });
    log.write('error', 'a message failed on its last attempt; the sweep takes its work up again', {
      queue,
      id,
      ...range,
    });
    await outbox.put(about === null ? APP_CHAIN : kekKey(about.kek), {
      audit: [record],
      events: [
        {
          id: `poison:${queue}:${id ?? at.getTime()}`,
          type: 'PgCmk.ControlPlaneDegraded',
          subject: about === null ? queue : keyUrl(about.kek),
          time: at,
          data: { queue, ...range },
        },
      ],
    });
  };
