// Moves what effects have left in the outbox to where it belongs: audit records into the chain of their KEK, own
// events to whoever subscribes. One writer; every step may be repeated.
import { type ChainedRecord, chainRecord } from '../domain/audit.ts';
import { describeError } from '../domain/errors.ts';
import { kekKey } from '../domain/key-id.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { AuditStore, ChainName, OutboxRow, OutboxStore } from '../ports/outbox-store.ts';
import type { Publisher } from '../ports/publisher.ts';
import type { Log } from '../ports/runtime.ts';
import { mapBounded } from './bounded.ts';
import { APP_CHAIN } from './reject-input.ts';

export interface DeliverOutboxDeps {
  readonly keks: KekStore;
  readonly outbox: OutboxStore;
  readonly audit: AuditStore;
  /** null: no topic is configured, and own events go no further than the audit. */
  readonly publisher: Publisher | null;
  readonly log: Log;
}

const PAGE_ROWS = 50;
/** Records chained in one transaction. A row has few; the chain's tail is searched for twice as many. */
const CHAINED_AT_ONCE = 90;
const CHAINS_AT_A_TIME = 8;

/** One chain's trouble delays no other chain; publishing's trouble delays no audit. */
export function makeDeliverOutbox(deps: DeliverOutboxDeps): () => Promise<void> {
  const { keks, log } = deps;
  return async () => {
    const chains: ChainName[] = [APP_CHAIN];
    for await (const { kek } of keks.list({ vault: null })) chains.push(kekKey(kek.value.kek));
    await mapBounded(chains, CHAINS_AT_A_TIME, async (chain) => {
      try {
        await deliverChain(deps, chain);
      } catch (error) {
        log.write('error', 'the outbox could not be delivered; it is kept and tried again', {
          chain,
          error: describeError(error),
        });
      }
    });
  };
}

async function deliverChain(deps: DeliverOutboxDeps, chain: ChainName): Promise<void> {
  // A chain at rest is asked once.
  let rows = await deps.outbox.pageOutbox(chain, null, 1);
  if (rows.length === 0) return;
  do {
    rows = await deps.outbox.pageOutbox(chain, false, PAGE_ROWS);
    await appendAudit(deps, chain, rows);
  } while (rows.length === PAGE_ROWS);
  do {
    rows = await deps.outbox.pageOutbox(chain, true, PAGE_ROWS);
    for (const row of rows) {
      await deps.publisher?.publish(row.events);
      await deps.outbox.remove(chain, row);
    }
  } while (rows.length === PAGE_ROWS);
}

/** Chains what isn't chained yet, then marks the rows, or removes those that have nothing to publish. */
async function appendAudit(
  deps: DeliverOutboxDeps,
  chain: ChainName,
  rows: readonly OutboxRow[],
): Promise<void> {
  const tail = rows.length === 0 ? [] : await deps.audit.tail(chain, 2 * CHAINED_AT_ONCE);
  // After a crash between appending and marking the tail has those rows already, and nothing was appended since.
  const chained = new Set(tail.map((record) => record.outboxId));
  let last: ChainedRecord | null = tail.at(-1) ?? null;
  let records: ChainedRecord[] = [];
  let batch: OutboxRow[] = [];
  const flush = async () => {
    if (records.length > 0) await deps.audit.append(chain, records);
    for (const row of batch) {
      if (row.events.length === 0 || deps.publisher === null) await deps.outbox.remove(chain, row);
      else await deps.outbox.markAudited(chain, row);
    }
    records = [];
    batch = [];
  };
  for (const row of rows) {
    if (records.length + row.auditBodies.length > CHAINED_AT_ONCE) await flush();
    batch.push(row);
    for (const [index, body] of row.auditBodies.entries()) {
      const outboxId = `${row.id}/${index}`;
      if (chained.has(outboxId)) continue;
      last = chainRecord(chain, last, outboxId, body);
      records.push(last);
    }
  }
  await flush();
}
