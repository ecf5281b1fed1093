// A function app that answers as a test says. What it is asked must be what the API's own table of routes takes, and a
// good answer is checked by the command itself: a test whose command line asks for something else fails when the app goes.
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Problem } from '../../shared/api/common.ts';
import type { Route } from '../../shared/api/route.ts';
import { routes as table } from '../../shared/api/routes.ts';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** In place of a body: these bytes. */
  readonly text?: string;
}

/** By `METHOD /api/…`; a function sees the request. */
export type Routes = Readonly<Record<string, Answer | ((seen: Seen) => Answer)>>;

export interface FakeApi extends AsyncDisposable {
  readonly url: string;
  readonly seen: readonly Seen[];
  /** `METHOD /path` of all that was asked. */
  readonly calls: () => readonly string[];
}

export const problem = (
  status: number,
  code: string,
  more: Readonly<Partial<Problem>> & Readonly<Record<string, unknown>> = {},
): Answer => ({
  status,
  headers: { 'content-type': 'application/problem+json' },
  body: {
    type: `urn:pg-cmk:${code}`,
    title: code,
    status,
    code,
    detail: `what is wrong: ${code}`,
    remedy: `what to do about ${code}`,
    ...more,
  },
});

const known: readonly Route[] = Object.values(table);

const toPattern = ({ path }: Route): RegExp => new RegExp(`^/api/${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);

/** What the real app would refuse of a request. */
function findFaults(one: Seen): readonly string[] {
  const name = `${one.method} ${one.path}`;
  const route = known.find((each) => each.method === one.method && toPattern(each).test(one.path));
  if (route === undefined) return [`${name}: no such route`];
  const strangers = Object.keys(one.query).filter((key) => !(key in route.query.shape));
  const query = route.query.safeParse(one.query);
  const body = route.body?.safeParse(one.body);
  return [
    ...strangers.map((key) => `${name}: no such parameter: ${key}`),
    ...(query.success ? [] : [`${name}: query: ${query.error.message}`]),
    ...(body === undefined || body.success ? [] : [`${name}: body: ${body.error.message}`]),
    ...(route.body === null && one.body !== undefined ? [`${name}: takes no body`] : []),
    ...(one.headers['if-match'] !== undefined && !route.tagged ? [`${name}: takes no If-Match`] : []),
  ];
}

/** @param strict off for tests of the client itself, which ask for anything */
export async function startFakeApi(routes: Routes, { strict = true } = {}): Promise<FakeApi> {
  const seen: Seen[] = [];
  const faults: string[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const text = (await request.toArray()).join('');
    const one: Seen = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === '' ? undefined : JSON.parse(text),
      headers: request.headers,
    };
    seen.push(one);
    if (strict) faults.push(...findFaults(one));
    const route = routes[`${one.method} ${one.path}`] ?? problem(404, 'NoSuchRoute');
    const answer = typeof route === 'function' ? route(one) : route;
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.text ?? (answer.body === undefined ? '' : JSON.stringify(answer.body)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    calls: () => seen.map(({ method, path }) => `${method} ${path}`),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      if (faults.length > 0) throw new Error(faults.join('\n'));
    },
  };
}
