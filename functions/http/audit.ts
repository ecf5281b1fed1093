// The audit chains (design 10).
import * as z from 'zod';
import { parseKeyUrl } from '../../shared/domain/key-id.ts';
import type { ReadAudit } from '../../shared/operations/read-audit.ts';
import type { Cursors } from './cursor.ts';
import type { Handlers } from './route.ts';

export interface AuditPorts {
  readonly readAudit: ReadAudit;
  readonly cursors: Cursors;
}

const Position = z.object({ chain: z.string(), after: z.int() });

export const makeAuditHandlers = ({ readAudit, cursors }: AuditPorts): Pick<Handlers, 'readAudit'> => ({
  readAudit: async ({ query }) => {
    const scope = { listing: 'audit', filters: query };
    const { records, next } = await readAudit({
      kek: query.key === undefined ? null : parseKeyUrl(query.key).kek,
      serverId: query.server ?? null,
      fromTime: query.from === undefined ? null : new Date(query.from),
      toTime: query.to === undefined ? null : new Date(query.to),
      from: query.cursor === undefined ? null : cursors.open(scope, query.cursor, Position),
      limit: query.limit,
    });
    return {
      status: 200,
      body: {
        records: records.map(({ chain, record }) => ({ chain, ...record })),
        cursor: next === null ? null : cursors.seal(scope, next),
      },
    };
  },
});
