// The outbox rows, which stand beside the effects that they belong to, and the rows of the table `audit`.
import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import type { ChainedRecord } from '../../domain/audit.ts';
import type { OwnEvent, OwnEventType } from '../../domain/own-event.ts';
import type { OutboxEntry } from '../../ports/kek-store.ts';
import type { OutboxRow } from '../../ports/outbox-store.ts';
import { count, instant, json, kept } from './columns.ts';
import type { RowWrite } from './conditional-table.ts';
import { makeRowFormat, parseSequence, schemaColumn } from './row-format.ts';

export const OUTBOX_PREFIX = 'o:';
export const HEAD_ROW = 'head';

export type OutboxContent = Omit<OutboxRow, 'id' | 'etag'>;

/** Of any type of ours, also one that only a newer version of the app knows: it is passed on as it is. */
const eventType = z.custom<OwnEventType>((value) => typeof value === 'string' && /^PgCmk\.\w+$/.test(value));

const outboxColumns = z.object({
  schema: schemaColumn,
  audited: z.boolean(),
  audit: json(z.array(z.string()).readonly()),
  events: json(
    z
      .array(
        kept({
          id: z.string().min(1),
          type: eventType,
          subject: z.string(),
          time: instant,
          data: z.record(z.string(), z.unknown()),
        }),
      )
      .readonly(),
  ),
});

export const makeOutboxFormat = (table: string) =>
  makeRowFormat({
    table,
    columns: outboxColumns,
    fromColumns: ({ audited, audit, events }): OutboxContent => ({ audited, auditBodies: audit, events }),
    toColumns: ({ audited, auditBodies, events }: OutboxContent) => ({
      schema: 1 as const,
      audited,
      audit: auditBodies,
      events: events.map(copyEvent),
    }),
  });

const copyEvent = ({ data, ...event }: OwnEvent) => ({ ...event, data: { ...data } });

/** Which of the two tables that have an outbox a row is in: the last letter of its id. */
export type OutboxHome = 'k' | 's';

/**
 * Ids are `{time}:{count}-{random}-{home}`: in the order of time, and in the order of writing where one process
 * writes many in a millisecond.
 */
export function makeOutboxWriter(home: OutboxHome, table: string, now: () => Date) {
  const format = makeOutboxFormat(table);
  let time = 0;
  let within = 0;
  return (entry: OutboxEntry): RowWrite => {
    const clock = now().getTime();
    within = clock > time ? 0 : within + 1;
    time = Math.max(time, clock);
    const count = String(within).padStart(6, '0');
    const id = `${String(time).padStart(15, '0')}:${count}-${randomBytes(6).toString('hex')}-${home}`;
    const auditBodies = entry.audit.map((record) => JSON.stringify(record));
    return {
      rowKey: `${OUTBOX_PREFIX}${id}`,
      columns: format.toColumns({ auditBodies, events: entry.events, audited: false }),
      known: format.columns,
      etag: null,
    };
  };
}

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'not a hash');

const SEQUENCE_DIGITS = 16;

export const auditRowKey = (sequence: number): string => String(sequence).padStart(SEQUENCE_DIGITS, '0');

export const recordFormat = makeRowFormat({
  table: 'audit',
  columns: z.object({
    schema: schemaColumn,
    outboxId: z.string().min(1),
    previousHash: hash,
    hash,
    body: z.string(),
  }),
  fromColumns: ({ schema: _, ...record }, { rowKey }): ChainedRecord => ({
    sequence: parseSequence(rowKey, SEQUENCE_DIGITS),
    ...record,
  }),
  toColumns: ({ sequence: _, ...record }: ChainedRecord) => ({ schema: 1 as const, ...record }),
});

export interface ChainHead {
  readonly sequence: number;
  readonly hash: string;
}

export const headFormat = makeRowFormat({
  table: 'audit',
  columns: z.object({ schema: schemaColumn, sequence: count, hash }),
  fromColumns: ({ sequence, hash }): ChainHead => ({ sequence, hash }),
  toColumns: ({ sequence, hash }: ChainHead) => ({ schema: 1 as const, sequence, hash }),
});
