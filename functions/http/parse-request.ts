// A request taken apart by its route's schemas. All that is wrong with it is said at once, each with where it is:
// a JSON pointer (RFC 6901) into the body, `?name` of the query, `{name}` of the path.
import type { HttpRequest } from '@azure/functions';
import type * as z from 'zod';
import type { Route } from '../../shared/api/route.ts';
import { CmkError } from '../../shared/domain/errors.ts';

export interface Fault {
  readonly pointer: string;
  readonly message: string;
}

export interface ParsedRequest<R extends Route> {
  readonly params: z.output<R['params']>;
  readonly query: z.output<R['query']>;
  readonly body: R['body'] extends z.ZodType ? z.output<R['body']> : null;
}

export type RequestParts = Pick<HttpRequest, 'url' | 'params' | 'headers' | 'arrayBuffer'>;

const MAX_BODY_BYTES = 256 * 1024;
/** Deeper than any body of the API. */
const MAX_DEPTH = 32;

/** @throws CmkError InvalidRequest with `detail.faults`, BodyTooLarge, ContentTypeRefused */
export async function parseRequest<R extends Route>(
  route: R,
  request: RequestParts,
): Promise<ParsedRequest<R>> {
  const faults: Fault[] = [];
  const take = (schema: z.ZodType, value: unknown, toPointer: (path: readonly PropertyKey[]) => string) => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    faults.push(...parsed.error.issues.flatMap((issue) => toFaults(issue, toPointer)));
    return undefined;
  };
  const params = take(route.params, request.params, (path) => `{${path.join('.')}}`);
  // A name that isn't known may be a slip: `?validateonly=true` must not register.
  const query = take(route.query.strict(), readQuery(request.url, faults), (path) => `?${path.join('.')}`);
  const body =
    route.body === null ? null : take(route.body, await readBody(route, request, faults), toJsonPointer);
  if (faults.length > 0) throw invalid(faults);
  // The schemas of this very route made these.
  return { params, query, body } as ParsedRequest<R>;
}

/** The pointers are the caller's own words: an answer and a log line hold so much of them, and no more. */
const MOST_FAULTS = 100;
const LONGEST_POINTER = 300;

function invalid(all: readonly Fault[]): CmkError {
  const faults = all.slice(0, MOST_FAULTS).map(({ pointer, message }) => ({
    pointer: pointer.length > LONGEST_POINTER ? `${pointer.slice(0, LONGEST_POINTER)}…` : pointer,
    message,
  }));
  const first = faults.slice(0, 5);
  return new CmkError(
    'InvalidRequest',
    first.map(({ pointer, message }) => `${pointer === '' ? 'the body' : pointer}: ${message}`).join('; '),
    { remedy: 'Correct each of the faults; GET /api/openapi.json has the schemas.', detail: { faults } },
  );
}

function toFaults(
  issue: z.core.$ZodIssue,
  toPointer: (path: readonly PropertyKey[]) => string,
): readonly Fault[] {
  if (issue.code !== 'unrecognized_keys') return [{ pointer: toPointer(issue.path), message: issue.message }];
  return issue.keys.map((key) => ({ pointer: toPointer([...issue.path, key]), message: 'not known here' }));
}

const toJsonPointer = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

function readQuery(address: string, faults: Fault[]): Readonly<Record<string, string>> {
  const query = new Map<string, string>();
  for (const [name, value] of new URL(address).searchParams) {
    if (query.has(name)) faults.push({ pointer: `?${name}`, message: 'given more than once' });
    query.set(name, value);
  }
  return Object.fromEntries(query);
}

async function readBody(route: Route, request: RequestParts, faults: Fault[]): Promise<unknown> {
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength > MAX_BODY_BYTES) throw tooLarge();
  if (bytes.byteLength === 0) {
    if (route.bodyOptional === true) return {};
    throw invalid([{ pointer: '', message: 'is missing' }]);
  }
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) throw notJson(type);
  const body = parseJson(bytes);
  findUnsafe(body, faults);
  return body;
}

function parseJson(bytes: ArrayBuffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid([{ pointer: '', message: 'is no JSON in UTF-8' }]);
  }
}

const tooLarge = () =>
  new CmkError('BodyTooLarge', `the body is larger than ${MAX_BODY_BYTES} bytes`, {
    remedy: 'Send less: no body of this API needs as much.',
  });

const notJson = (type: string) =>
  new CmkError(
    'ContentTypeRefused',
    `the body is ${type === '' ? 'of no type' : JSON.stringify(type.slice(0, 100))}`,
    {
      remedy: 'Send JSON, and say so: `Content-Type: application/json`.',
    },
  );

/** `__proto__` would be dropped by what reads the body later, without a word; too deep a body is nobody's. */
function findUnsafe(body: unknown, faults: Fault[]): void {
  const left: { readonly value: unknown; readonly path: readonly PropertyKey[] }[] = [
    { value: body, path: [] },
  ];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { value, path } = next;
    if (typeof value !== 'object' || value === null) continue;
    if (path.length > MAX_DEPTH)
      throw invalid([{ pointer: toJsonPointer(path), message: 'is nested too deep' }]);
    for (const [name, member] of Object.entries(value)) {
      if (name === '__proto__')
        faults.push({ pointer: toJsonPointer([...path, name]), message: 'not known here' });
      else left.push({ value: member, path: [...path, name] });
    }
  }
}
