// The audit (design 9 and 10).
import * as z from 'zod';
import { Cursor, Instant, KeyUrl, LimitQuery, ServerId } from './common.ts';

export const AuditQuery = z.object({
  key: KeyUrl.optional(),
  server: ServerId.optional(),
  from: Instant.optional(),
  to: Instant.optional(),
  limit: LimitQuery,
  cursor: Cursor.optional(),
});

export const AuditEntry = z
  .object({
    chain: z.string().meta({ description: '`{vault}|{key}`, or `app` for what belongs to no key.' }),
    sequence: z.int(),
    outboxId: z.string(),
    previousHash: z.string(),
    hash: z.string(),
    body: z.string().meta({ description: 'The record as JSON, byte for byte what was hashed.' }),
  })
  .meta({ id: 'AuditEntry', description: 'A record in its hash chain; `pg-cmk verify` checks it.' });
export type AuditEntry = z.infer<typeof AuditEntry>;

export const AuditPage = z
  .object({ records: z.array(AuditEntry), cursor: Cursor.nullable() })
  .meta({ id: 'AuditPage' });
export type AuditPage = z.infer<typeof AuditPage>;
