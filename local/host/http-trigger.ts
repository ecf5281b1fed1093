// HTTP functions: finds the one a request is for, and turns its answer into a response.
import type { HttpCookie, TypedData } from './core-types.ts';
import { HostStartError, toError } from './errors.ts';
import type { HostFunction } from './host-function.ts';
import type { HostRequest, HostResponse } from './http-messages.ts';
import type { Invoke } from './invoke.ts';
import { parseRoute, type Route } from './routes.ts';

export interface HttpRoute {
  readonly fn: HostFunction;
  readonly path: string;
  readonly methods: readonly string[];
  readonly route: Route;
}

/** `authLevel` is accepted and not enforced, as with Core Tools. */
export function toHttpRoute(fn: HostFunction, routePrefix: string): HttpRoute {
  const { route, methods } = fn.trigger;
  const own = typeof route === 'string' && route !== '' ? route : fn.name;
  const path = [routePrefix, own.replace(/^\/+/, '')].filter((part) => part !== '').join('/');
  const allowed = Array.isArray(methods) ? methods.map((method) => String(method).toUpperCase()) : [];
  try {
    return { fn, path, methods: allowed, route: parseRoute(path) };
  } catch (thrown) {
    throw new HostStartError(`function '${fn.name}': ${toError(thrown).message}`, { cause: thrown });
  }
}

/** No route or no such method: 404, as the real host. A failed invocation: 500 without a body. */
export function makeHttpHandler(
  routes: readonly HttpRoute[],
  invoke: Invoke,
): (request: HostRequest) => Promise<HostResponse> {
  const ordered = [...routes].sort((a, b) =>
    a.route.rank < b.route.rank ? -1 : a.route.rank > b.route.rank ? 1 : 0,
  );
  return async (request) => {
    for (const { fn, methods, route } of ordered) {
      if (methods.length > 0 && !methods.includes(request.method)) continue;
      const params = route.match(request.url.pathname);
      if (params === undefined) continue;
      const outcome = await invoke(fn, { data: { http: toHttpData(request, params) } });
      return outcome.ok ? toResponse(outcome.returnValue) : { status: 500 };
    }
    return { status: 404 };
  };
}

function toHttpData(
  request: HostRequest,
  params: Readonly<Record<string, string>>,
): TypedData['http'] & object {
  const { method, url, headers, body } = request;
  const query = Object.fromEntries(url.searchParams);
  const data = { method, url: url.href, headers, params, query };
  return body.length > 0 ? { ...data, body: { bytes: body } } : data;
}

function toResponse(value: TypedData | null | undefined): HostResponse {
  const http = value?.http;
  if (http === undefined) return { status: 204 };
  const headers: Record<string, string | readonly string[]> = { ...http.headers };
  const cookies = http.cookies ?? [];
  if (cookies.length > 0) headers['set-cookie'] = cookies.map(toSetCookie);
  const status = Number(http.statusCode ?? '200');
  const { bytes, string } = http.body ?? {};
  return { status, headers, body: bytes ?? string ?? '' };
}

function toSetCookie(cookie: HttpCookie): string {
  const parts = [`${cookie.name}=${encodeURIComponent(cookie.value)}`];
  if (cookie.maxAge !== undefined) parts.push(`Max-Age=${cookie.maxAge.value}`);
  if (cookie.domain !== undefined) parts.push(`Domain=${cookie.domain.value}`);
  if (cookie.path !== undefined) parts.push(`Path=${cookie.path.value}`);
  if (cookie.expires !== undefined)
    parts.push(`Expires=${new Date(cookie.expires.value.seconds * 1000).toUTCString()}`);
  if (cookie.httpOnly?.value === true) parts.push('HttpOnly');
  if (cookie.secure?.value === true) parts.push('Secure');
  const sameSite = { none: undefined, lax: 'Lax', strict: 'Strict', explicitNone: 'None' }[
    cookie.sameSite ?? 'none'
  ];
  if (sameSite !== undefined) parts.push(`SameSite=${sameSite}`);
  return parts.join('; ');
}
