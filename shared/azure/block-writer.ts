// One block blob, written piece by piece and there only once it is whole; it is never written over.
import type { BlockBlobClient } from '@azure/storage-blob';
import { CmkError } from '../domain/errors.ts';
import type { ExportWriter } from '../ports/export-store.ts';
import { statusOf } from './blob-container.ts';
import { storageUnavailable, withinLimit } from './storage-client.ts';

/** A blob takes 50,000 blocks: 200 GB of these. */
const BLOCK_BYTES = 4 * 1024 * 1024;

/** Blocks that no close follows are thrown away by the service after a week. */
export function openBlockWriter(
  openBlob: () => Promise<BlockBlobClient>,
  blockBytes = BLOCK_BYTES,
): ExportWriter {
  const blocks: string[] = [];
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;

  const flush = async (): Promise<void> => {
    if (waitingBytes === 0) return;
    const block = Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
    // All ids of a blob have one length.
    const id = Buffer.from(String(blocks.length).padStart(8, '0')).toString('base64');
    const blob = await openBlob();
    try {
      await withinLimit((abortSignal) => blob.stageBlock(id, block, block.length, { abortSignal }));
    } catch (error) {
      throw storageUnavailable(`${blob.name} took no block`, error);
    }
    blocks.push(id);
  };

  return {
    append: async (bytes) => {
      waiting.push(bytes);
      waitingBytes += bytes.length;
      if (waitingBytes >= blockBytes) await flush();
    },

    close: async () => {
      await flush();
      const blob = await openBlob();
      try {
        await withinLimit((abortSignal) =>
          blob.commitBlockList(blocks, {
            abortSignal,
            conditions: { ifNoneMatch: '*' },
            blobHTTPHeaders: { blobContentType: contentTypeOf(blob.name) },
          }),
        );
      } catch (error) {
        if (![409, 412].includes(statusOf(error)))
          throw storageUnavailable(`${blob.name} could not be written`, error);
        throw new CmkError('WriteConflict', `${blob.name} is there already`, {
          remedy:
            'Nothing: another export was taken in the same moment, or an answer was lost; the next is another.',
          cause: error,
        });
      }
    },
  };
}

function contentTypeOf(name: string): string {
  if (name.endsWith('.jsonl')) return 'application/jsonl';
  return name.endsWith('.json') ? 'application/json' : 'application/jose';
}
