// What the API answers, parsed by the API's own schemas; listings page by page.
import type * as z from 'zod';
import { cliError } from './cli-error.ts';
import type { ApiAnswer, ApiClient, RequestOptions } from './client.ts';

/** @throws CliError AnswerNotUnderstood */
export function parseAnswer<T>(schema: z.ZodType<T>, { body }: Pick<ApiAnswer, 'body'>): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  throw cliError(
    'AnswerNotUnderstood',
    `the app answered what this pg-cmk does not understand: ${first?.path.join('.')}: ${first?.message}`,
    'Use the pg-cmk of the same version as the app (pg-cmk --version; GET /api/health).',
  );
}

/** Largest page of a listing; an impact has smaller ones. */
const PAGE = 1000;

export interface Listing<P> {
  readonly path: string;
  readonly query: NonNullable<RequestOptions['query']>;
  readonly schema: z.ZodType<P>;
  readonly pageSize?: number;
}

/** Each page, until there is none left. */
export async function* readPages<P extends { readonly cursor: string | null }>(
  api: ApiClient,
  { path, query, schema, pageSize = PAGE }: Listing<P>,
): AsyncIterable<P> {
  let cursor: string | null = null;
  do {
    const answer: ApiAnswer = await api.request('GET', path, {
      query: { ...query, limit: pageSize, cursor: cursor ?? undefined },
    });
    const page: P = parseAnswer(schema, answer);
    yield page;
    cursor = page.cursor;
  } while (cursor !== null);
}

export interface Read<T> {
  readonly items: readonly T[];
  /** Whether there were more than were asked for. */
  readonly more: boolean;
}

/** The first `limit` items of a listing; null: all. */
export async function readAll<P extends { readonly cursor: string | null }, T>(
  api: ApiClient,
  listing: Listing<P>,
  limit: number | null,
  toItems: (page: P) => readonly T[],
): Promise<Read<T>> {
  const items: T[] = [];
  const pageSize = Math.min(listing.pageSize ?? PAGE, limit ?? PAGE);
  for await (const page of readPages(api, { ...listing, pageSize })) {
    items.push(...toItems(page));
    if (limit === null || items.length < limit) continue;
    return { items: items.slice(0, limit), more: page.cursor !== null || items.length > limit };
  }
  return { items, more: false };
}
