// Cursors: where a listing goes on, opaque to callers. Each is authenticated with a key derived from the app's own
// (HKDF, RFC 5869) and bound to its listing and filters, so that none can be made, changed or used elsewhere.
import { createHmac, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';
import type * as z from 'zod';
import { CmkError } from '../../shared/domain/errors.ts';

/** A listing and its filters; `limit` may change from page to page. */
export interface ListingScope {
  readonly listing: string;
  readonly filters: Readonly<Record<string, unknown>>;
}

export interface Cursors {
  seal(scope: ListingScope, position: unknown): string;
  /** @throws CmkError InvalidCursor */
  open<T>(scope: ListingScope, cursor: string, position: z.ZodType<T>): T;
}

const invalid = () =>
  new CmkError('InvalidCursor', 'the cursor was not made for this listing', {
    remedy: 'Start the listing anew, without a cursor, and give back each cursor with the same filters.',
  });

export function makeCursors(signingKey: KeyObject): Cursors {
  const secret = signingKey.export({ format: 'der', type: 'pkcs8' });
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'pg-cmk/cursor', 32));
  const tagOf = ({ listing, filters }: ListingScope, payload: string): Buffer => {
    const { limit: _, cursor: __, ...rest } = filters;
    const given = Object.entries(rest).filter(([, value]) => value !== undefined);
    const bound = JSON.stringify([listing, given.sort(([a], [b]) => (a < b ? -1 : 1)), payload]);
    return createHmac('sha256', key).update(bound).digest();
  };
  return {
    seal: (scope, position) => {
      const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
      return `${payload}.${tagOf(scope, payload).toString('base64url')}`;
    },
    open: (scope, cursor, position) => {
      const [payload = '', tag = '', ...rest] = cursor.split('.');
      const given = Buffer.from(tag, 'base64url');
      const expected = tagOf(scope, payload);
      // One text for each cursor: no second spelling of the same bytes passes.
      const isSound =
        rest.length === 0 &&
        given.length === expected.length &&
        timingSafeEqual(given, expected) &&
        expected.toString('base64url') === tag;
      if (!isSound) throw invalid();
      // Made by an earlier version of the app, it may hold what this one doesn't know.
      const parsed = position.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString()));
      if (!parsed.success) throw invalid();
      return parsed.data;
    },
  };
}
