// ETags of HTTP (RFC 9110, 8.8.3) for those of the store, and the preconditions that name them (13.1).
import { CmkError } from '../../shared/domain/errors.ts';

/** The store's own may hold quotes and spaces; to callers it is opaque. */
export const toEntityTag = (etag: string): string => `"${Buffer.from(etag).toString('base64url')}"`;

/** `*`: any that exists. */
export type TagList = '*' | readonly string[];

const TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/** @throws CmkError InvalidRequest */
export function parseTagList(name: string, header: string): TagList {
  const text = header.trim();
  if (text === '*') return '*';
  const tags = text.split(',').map((tag) => tag.trim());
  if (tags.every((tag) => TAG.test(tag))) return tags;
  throw new CmkError('InvalidRequest', `${name} is no list of ETags`, {
    remedy: 'Send the ETag as it came, quotes included.',
    detail: { faults: [{ pointer: name, message: 'expected "…" or *' }] },
  });
}

export interface Preconditions {
  readonly ifMatch: string | null;
  readonly ifNoneMatch: string | null;
}

/**
 * The ETag of the store that a write must find, null where any will do. The operation compares it again in its own
 * attempt; what is refused here saves it the work.
 * @param current the store's ETag of the resource; undefined: there is none
 * @throws CmkError PreconditionFailed, InvalidRequest
 */
export async function readPreconditions(
  { ifMatch, ifNoneMatch }: Preconditions,
  readCurrent: () => Promise<string | undefined>,
): Promise<string | null> {
  if (ifMatch === null && ifNoneMatch === null) return null;
  const wanted = ifMatch === null ? null : parseTagList('If-Match', ifMatch);
  const unwanted = ifNoneMatch === null ? null : parseTagList('If-None-Match', ifNoneMatch);
  const current = await readCurrent();
  // Strong comparison here, so a weak tag never matches; weak comparison there (RFC 9110, 13.1.1 and 13.1.2).
  if (wanted !== null && !isAmong(current, wanted)) throw failed('the resource is not as If-Match says');
  const weak = unwanted === '*' ? '*' : unwanted?.map((tag) => tag.replace(/^W\//, ''));
  if (weak !== undefined && isAmong(current, weak)) throw failed('the resource is as If-None-Match says');
  return wanted === null || wanted === '*' ? null : (current ?? null);
}

const isAmong = (etag: string | undefined, tags: TagList): boolean =>
  etag !== undefined && (tags === '*' || tags.includes(toEntityTag(etag)));

const failed = (message: string) =>
  new CmkError('PreconditionFailed', message, {
    remedy: 'Read it again, look at what changed, and send the ETag that came with it.',
  });
