// If-Match: a write that was meant for a resource as its caller saw it.
import { CmkError } from '../domain/errors.ts';

/**
 * `ifMatch` null: any. The operation calls this with what it has just read, inside its own attempt, so that a row that
 * changes in between is compared again. @throws CmkError PreconditionFailed
 */
export function assertMatches(etag: string, ifMatch: string | null): void {
  if (ifMatch === null || ifMatch === etag) return;
  throw new CmkError('PreconditionFailed', 'the resource is not as If-Match says any more', {
    remedy: 'Read it again, look at what changed, and send the ETag that came with it.',
  });
}
