// A function app that answers as a test says: the answers' types are those of the API.
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Problem } from '../../shared/api/common.ts';

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

export async function startFakeApi(routes: Routes): Promise<FakeApi> {
  const seen: Seen[] = [];
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
    },
  };
}
