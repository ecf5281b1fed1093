// The manifest of an export of the tables, and the statement beside it: what the app writes, and pg-cmk reads.
import * as z from 'zod';
import { CmkError } from '../domain/errors.ts';
import type { AuditHeads, ExportManifest } from '../domain/export-manifest.ts';
import { parseJson } from '../domain/parse-json.ts';
import { Instant } from './common.ts';

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();
/** In the folder of the export, and nowhere else. */
const file = z.string().regex(/^[\w-]+\.[a-z]+$/);
const exported = { file, bytes: count, sha256: hash };
const table = z.object({ ...exported, rows: count, late: count, unread: count });

export const ExportManifestDocument = z.object({
  schema: z.literal(1),
  exportedAt: Instant,
  appVersion: z.string(),
  tables: z.object({ servers: table, serverindex: table, keks: table, audit: table }),
  versions: z.record(z.string(), z.array(z.string().regex(/^[0-9a-f]{32}$/))),
  brokenChains: z.array(z.object({ chain: z.string(), sequence: count })),
  heads: z.object({ ...exported, signed: z.boolean() }),
}) satisfies z.ZodType<ExportManifest>;

export const AuditHeadsDocument = z.object({
  kind: z.literal('AuditHeads'),
  sub: z.string(),
  at: Instant,
  heads: z.array(z.object({ chain: z.string(), sequence: z.int().positive(), hash })),
  files: z.record(z.string(), hash),
}) satisfies z.ZodType<AuditHeads>;

/** @throws CmkError ExportBroken */
export function parseExportManifest(text: string): ExportManifest {
  const parsed = ExportManifestDocument.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CmkError('ExportBroken', 'the manifest of the export does not parse', {
    remedy: 'Check that it is the manifest of an export, and of this version of pg-cmk or an older one.',
    detail: { problem: `${issue?.path.join('.')}: ${issue?.message}` },
  });
}
