// The HTTP API as the command line calls it: a token, a deadline, a few repeats, and errors that say what to do.
import { Problem } from '../shared/api/common.ts';
import { describeError } from '../shared/domain/errors.ts';
import { parseJson } from '../shared/domain/parse-json.ts';
import { CliError, cliError } from './cli-error.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { CliIo } from './io.ts';
import type { TokenSource } from './token.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly ifMatch?: string | undefined;
  /** Whether the request may be sent again after a fault; by itself all but POST. */
  readonly repeatable?: boolean;
  /** Some routes ask for no token. */
  readonly anonymous?: boolean;
  /** Gives the request up; by itself only a deadline does. */
  readonly signal?: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  readonly etag: string | null;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface ApiClient {
  /**
   * @param path as in the OpenAPI document: `/api/…`, its parts encoded by the caller
   * @throws ApiProblem for each answer that isn't 2xx; CliError AppUnreachable, AnswerNotUnderstood, and what the
   *   token's source throws
   */
  request(method: Method, path: string, options?: RequestOptions): Promise<ApiAnswer>;
}

/** What the API said in place of what was asked for (RFC 9457). */
export class ApiProblem extends CliError {
  readonly status: number;
  readonly faults: readonly { readonly pointer: string; readonly message: string }[];
  /** What else it says: `dependents`, `checks`, `state`, … */
  readonly members: Readonly<Record<string, unknown>>;
  /** What it was made from; null where nobody answered. */
  readonly answer: ApiAnswer | null;

  constructor(problem: Problem, answer: ApiAnswer | null = null) {
    const { type: _type, title: _title, status, code, detail, remedy, faults, ...members } = problem;
    super(code, detail, { remedy, exitCode: toExitCode(status) });
    this.name = 'ApiProblem';
    this.status = status;
    this.faults = faults ?? [];
    this.members = members;
    this.answer = answer;
  }
}

const toExitCode = (status: number): ExitCode => {
  if (RETRIED.includes(status)) return EXIT.unavailable;
  return status >= 400 && status < 500 ? EXIT.refused : EXIT.unexpected;
};

/** The app, or what is before it, can't answer now. */
const RETRIED = [429, 502, 503, 504];
const TRIES = 4;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
/** A drill and an impact over many servers take their time. */
const TIMEOUT_MS = 100_000;

export interface ApiClientDeps {
  /** Of the function app, with or without `/api`. */
  readonly url: string;
  readonly token: () => TokenSource;
  readonly io: Pick<CliIo, 'fetch' | 'sleep' | 'now'>;
}

/** @throws CliError ConfigWrong where a token can't safely be sent to the URL */
export function makeApiClient({ url, token, io }: ApiClientDeps): ApiClient {
  const base = parseBase(url);
  let source: TokenSource | undefined;

  const send = async (method: Method, address: string, options: RequestOptions): Promise<Response> => {
    const headers = new Headers({ accept: 'application/json, application/problem+json' });
    if (options.anonymous !== true) {
      source ??= token();
      headers.set('authorization', `Bearer ${await source()}`);
    }
    if (options.ifMatch !== undefined) headers.set('if-match', options.ifMatch);
    if (options.body !== undefined) headers.set('content-type', 'application/json');
    try {
      return await io.fetch(address, {
        method,
        headers,
        // A redirect would take the token elsewhere.
        redirect: 'manual',
        signal: AbortSignal.any([
          AbortSignal.timeout(TIMEOUT_MS),
          ...(options.signal ? [options.signal] : []),
        ]),
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      });
    } catch (error) {
      throw unreachable(base, error);
    }
  };

  return {
    request: async (method, path, options = {}) => {
      const address = `${base}${path}${toSearch(options.query)}`;
      const isRepeatable = options.repeatable ?? method !== 'POST';
      for (let attempt = 1; ; attempt += 1) {
        const isLast = !isRepeatable || attempt === TRIES;
        try {
          const response = await send(method, address, options);
          if (isLast || !RETRIED.includes(response.status)) return await toAnswer(response, base);
          await response.body?.cancel();
          await io.sleep(waitFor(response.headers.get('retry-after'), attempt, io.now()));
        } catch (error) {
          const isUnreachable = error instanceof CliError && error.code === 'AppUnreachable';
          if (isLast || !isUnreachable) throw error;
          await io.sleep(FIRST_WAIT_MS * 2 ** (attempt - 1));
        }
      }
    },
  };
}

function parseBase(url: string): string {
  const parsed = URL.parse(url);
  const fault = (why: string) =>
    cliError(
      'ConfigWrong',
      `${why}: ${url.slice(0, 500)}`,
      'Give the URL of the function app: https://{app}.azurewebsites.net',
    );
  if (parsed === null) throw fault('not a URL');
  if (parsed.username !== '' || parsed.password !== '') {
    throw cliError('ConfigWrong', 'the URL of the app holds a user or a password', 'Leave them out.');
  }
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname);
  if (parsed.protocol !== 'https:' && !(parsed.protocol === 'http:' && isHere)) {
    throw fault('a token is sent by https only, or by http to this very machine');
  }
  const path = parsed.pathname.split('/').filter((part) => part !== '');
  if (path.at(-1) === 'api') path.pop();
  return [parsed.origin, ...path].join('/');
}

function toSearch(query: RequestOptions['query'] = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) search.set(name, String(value));
  }
  return search.size === 0 ? '' : `?${search}`;
}

/** Retry-After is a number of seconds, or a date (RFC 9110, section 10.2.3). */
function waitFor(retryAfter: string | null, attempt: number, now: Date): number {
  const fallback = FIRST_WAIT_MS * 2 ** attempt;
  if (retryAfter === null) return fallback;
  const asked = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : new Date(retryAfter).getTime() - now.getTime();
  return Number.isNaN(asked) ? fallback : Math.min(Math.max(asked, 0), LONGEST_WAIT_MS);
}

async function toAnswer(response: Response, base: string): Promise<ApiAnswer> {
  const { status, headers } = response;
  const answer = { status, headers, etag: headers.get('etag'), body: await readJson(response, base) };
  if (response.ok) return answer;
  throw new ApiProblem(
    Problem.safeParse(answer.body).data ?? {
      type: 'about:blank',
      title: 'No problem of pg-cmk',
      status,
      code: 'AnswerNotUnderstood',
      detail: `${base} answered ${status}, and not in the way of pg-cmk`,
      remedy: 'Check the URL, and what is between you and the app.',
    },
    answer,
  );
}

async function readJson(response: Response, base: string): Promise<unknown> {
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw unreachable(base, error);
  }
  const body = parseJson(text);
  if (body !== undefined || text === '' || !response.ok) return body;
  throw cliError(
    'AnswerNotUnderstood',
    `${base} answered ${response.status} with something that is no JSON`,
    'Check the URL, and what is between you and the app.',
  );
}

function unreachable(base: string, error: unknown): CliError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cliError(
    'AppUnreachable',
    `no answer from ${base}: ${describeError(cause)}`,
    'Check PG_CMK_URL, that the app runs, and the network. If something was changed, repeating the command is safe.',
    error,
  );
}
