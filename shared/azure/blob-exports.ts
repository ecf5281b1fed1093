// The ExportStore port on blobs: a folder for each export, and beside them one manifest, of the newest that was verified.
import * as z from 'zod';
import { CmkError } from '../domain/errors.ts';
import { parseKekKey } from '../domain/key-id.ts';
import { parseJson } from '../domain/parse-json.ts';
import type { TableExport } from '../ports/export-catalog.ts';
import type { ExportStore } from '../ports/export-store.ts';
import { openContainer, statusOf } from './blob-container.ts';
import { openBlockWriter } from './block-writer.ts';
import { startLimit, storageUnavailable, withinLimit } from './storage-client.ts';
import type { StorageConnection } from './tables/storage-connection.ts';

const CONTAINER = 'table-exports';
const MANIFEST = 'newest.json';
/** Of a download that breaks off: it goes on from there. */
const READ_RETRIES = 3;

const isKekKey = (text: string): boolean => {
  try {
    parseKekKey(text);
    return true;
  } catch {
    return false;
  }
};

// Strict: a field that this version of the app doesn't know might name what an export depends on.
const Manifest = z.strictObject({
  schema: z.literal(1),
  exportedAt: z.iso.datetime(),
  versions: z.record(z.string().refine(isKekKey), z.array(z.string().regex(/^[0-9a-f]{32}$/))),
});

export function makeBlobExports(connection: StorageConnection): ExportStore {
  const openStore = openContainer(connection, CONTAINER);
  const blobOf = async (name: string) => (await openStore()).getBlockBlobClient(name);

  const read = async (): Promise<{ readonly value: TableExport; readonly etag: string } | undefined> => {
    const blob = await blobOf(MANIFEST);
    try {
      return await withinLimit(async (abortSignal) => {
        const { etag = '', readableStreamBody } = await blob.download(0, undefined, { abortSignal });
        const chunks: Buffer[] = [];
        for await (const chunk of readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
        return { value: parseManifest(Buffer.concat(chunks).toString()), etag };
      });
    } catch (error) {
      if (error instanceof CmkError) throw error;
      if (isMissing(error)) return undefined;
      throw storageUnavailable('the catalog of exports could not be read', error);
    }
  };

  return {
    newest: async () => (await read())?.value,

    open: (folder, file) => openBlockWriter(() => blobOf(`${folder}/${file}`)),

    async *read(folder, file) {
      const name = `${folder}/${file}`;
      const blob = await blobOf(name);
      const limit = startLimit();
      try {
        const { readableStreamBody } = await blob.download(0, undefined, {
          abortSignal: limit.abortSignal,
          maxRetryRequests: READ_RETRIES,
        });
        for await (const piece of readableStreamBody ?? []) {
          limit.stop();
          yield Buffer.from(piece);
          limit.again();
        }
      } catch (error) {
        throw storageUnavailable(`${name} could not be read`, error);
      } finally {
        limit.stop();
      }
    },

    record: async ({ exportedAt, versions }) => {
      const held = await read();
      if (held !== undefined && held.value.exportedAt >= exportedAt) return;
      const manifest = { schema: 1, exportedAt: exportedAt.toISOString(), versions };
      const text = JSON.stringify(manifest);
      parseManifest(text);
      const blob = await blobOf(MANIFEST);
      try {
        await withinLimit((abortSignal) =>
          blob.upload(text, Buffer.byteLength(text), {
            abortSignal,
            // Invariant I-10: every write names the ETag it read.
            conditions: held === undefined ? { ifNoneMatch: '*' } : { ifMatch: held.etag },
            blobHTTPHeaders: { blobContentType: 'application/json' },
          }),
        );
      } catch (error) {
        if (![409, 412].includes(statusOf(error)))
          throw storageUnavailable('the catalog of exports took no entry', error);
        throw new CmkError('WriteConflict', 'another export was noted meanwhile', {
          remedy: 'Nothing: whoever exports reads again and decides again.',
          cause: error,
        });
      }
    },
  };
}

function parseManifest(text: string): TableExport {
  const parsed = Manifest.safeParse(parseJson(text));
  if (parsed.success) {
    const { exportedAt, versions } = parsed.data;
    return { exportedAt: new Date(exportedAt), versions };
  }
  throw new CmkError('InvalidRow', `${MANIFEST} in ${CONTAINER} does not parse`, {
    remedy: `Put back an earlier version of the blob, or export the tables anew. Until then no key version is retired.`,
    detail: { problem: parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) },
  });
}

/** The blob isn't there; a 404 of anybody else, or of an account that is gone, says no such thing. */
const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'BlobNotFound';
