// A message that failed five times: noted where people look, and never the end of the matter. The sweep enqueues
// again what is not as it should be.
import type { AuditRecord } from '../domain/audit.ts';
import { isCmkError } from '../domain/errors.ts';
import { type KekId, kekKey, keyUrl } from '../domain/key-id.ts';
import { brokenRetry } from '../domain/retry.ts';
import type { ServerRow } from '../domain/server.ts';
import type { OutboxEntry } from '../ports/kek-store.ts';
import type { OutboxStore } from '../ports/outbox-store.ts';
import type { Clock, Log } from '../ports/runtime.ts';
import type { ServerStore } from '../ports/server-store.ts';
import type { Stored } from '../ports/stored.ts';
import type { Meter } from '../ports/telemetry.ts';
import type { PoisonedMessage } from './hint.ts';
import { onConflict } from './on-conflict.ts';
import { APP_CHAIN } from './reject-input.ts';

export type RecordPoison = (poisoned: PoisonedMessage) => Promise<void>;

export interface RecordPoisonDeps {
  readonly servers: ServerStore;
  readonly outbox: OutboxStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** @throws CmkError StoreUnavailable */
export function makeRecordPoison(deps: RecordPoisonDeps): RecordPoison {
  const { outbox, log, meter } = deps;

  return async (poisoned) => {
    const { queue, id, message } = poisoned;
    const range = 'from' in message ? { from: message.from, to: message.to } : {};
    meter.count('pgcmk.poison', 1, { queue });
    log.write('error', 'a message failed on its last attempt; the sweep takes its work up again', {
      queue,
      id,
      ...range,
    });
    const entry = toEntry(poisoned, range, deps.clock.now());
    if (await noteOnRow(deps, poisoned, entry)) return;
    await outbox.put('kek' in message ? kekKey(message.kek) : APP_CHAIN, entry);
  };
}

function toEntry({ queue, id, message }: PoisonedMessage, range: object, at: Date): OutboxEntry {
  const about = 'kek' in message ? message : null;
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
  return {
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
  };
}

/**
 * The order to one server is noted on its row as well, in one transaction with the record; whether it was. The note is
 * a retry that is overdue (Invariant I-08): whatever passes by goes on at once, and with it the note goes. What is left
 * of a rotation follows from the versions alone: a note of it is one that nothing might take away again.
 */
async function noteOnRow(
  { servers, clock }: RecordPoisonDeps,
  { queue, message }: PoisonedMessage,
  entry: OutboxEntry,
): Promise<boolean> {
  if (queue !== 'server-access' || !('from' in message) || message.from !== message.to) return false;
  const { kek, from: serverId, attempt } = message;
  return onConflict(async () => {
    const stored = await readSound(servers, kek, serverId);
    if (stored === undefined || !isToBeNoted(stored.value, attempt)) return false;
    const { value: row, etag } = stored;
    const why = 'a message about this server failed on its last attempt';
    const { reason, message: text } = row.failure ?? { reason: 'AccessNotApplied', message: why };
    const failure = { ...brokenRetry(row.failure, text, clock.now()), reason };
    await servers.commit(kek, [{ value: { ...row, failure }, etag, history: null }], entry);
    return true;
  });
}

/** The work of a server without access has no retries; a chain of retries that goes on without this message stays. */
const isToBeNoted = (row: ServerRow, attempt: number | null): boolean =>
  row.access.kind !== 'none' &&
  !row.tombstone &&
  !row.incoming &&
  (row.failure === null || row.failure.attempt === attempt);

/** A row that doesn't parse keeps no record back. */
async function readSound(
  servers: ServerStore,
  kek: KekId,
  serverId: string,
): Promise<Stored<ServerRow> | undefined> {
  try {
    return await servers.read(kek, serverId);
  } catch (error) {
    if (!isCmkError(error, 'InvalidRow')) throw error;
    return undefined;
  }
}
