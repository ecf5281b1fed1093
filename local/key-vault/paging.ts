// Pages of a list: at most 25 items, the rest behind `nextLink`.
import type { Route } from './routes.ts';
import { badParameter } from './vault-error.ts';

const PAGE_SIZE = 25;

/** A stable order is needed, by `id`: the token is the last id given, so that changes between pages lose nothing. */
export function toPage<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { query }: Route,
  baseUrl: string,
): { readonly items: readonly T[]; readonly nextLink: string | null } {
  const size = Number(query.get('maxresults') ?? PAGE_SIZE);
  if (!Number.isInteger(size) || size < 1 || size > PAGE_SIZE) {
    throw badParameter(`maxresults must be between 1 and ${PAGE_SIZE}.`);
  }
  const after = query.get('$skiptoken') ?? '';
  const sorted = items.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const rest = sorted.filter((item) => idOf(item) > after);
  const page = rest.slice(0, size);
  const last = page.at(-1);
  if (last === undefined || rest.length === page.length) return { items: page, nextLink: null };
  const next = new URLSearchParams({
    'api-version': query.get('api-version') ?? '',
    $skiptoken: idOf(last),
    maxresults: String(size),
  });
  return { items: page, nextLink: `${baseUrl}?${next}` };
}
