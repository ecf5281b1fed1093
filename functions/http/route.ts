// What every HTTP function does: who asks and whether they may, what they ask, one operation, and its answer as the
// route's schema has it. The role comes before the request is looked at: a stranger learns nothing of the schemas.
import type { HttpRequest, HttpResponseInit } from '@azure/functions';
import type * as z from 'zod';
import type { RouteName } from '../../shared/api/paths.ts';
import type { Route } from '../../shared/api/route.ts';
import type { Routes } from '../../shared/api/routes.ts';
import type { Caller, Role } from '../../shared/domain/caller.ts';
import { CmkError, describeError } from '../../shared/domain/errors.ts';
import type { Log } from '../../shared/ports/runtime.ts';
import type { VerifyToken } from '../../shared/ports/token-verifier.ts';
import { readPreconditions, toEntityTag } from './etag.ts';
import { type ParsedRequest, parseRequest } from './parse-request.ts';
import { toProblem, toProblemResponse } from './problem.ts';
import type { ReadTag } from './read-tag.ts';

/** A request that was understood, from somebody who may ask. */
export interface Asked<R extends Route> extends ParsedRequest<R> {
  readonly caller: R['role'] extends Role ? Caller : null;
  /** The store's ETag that a write must find; null: any. */
  readonly ifMatch: string | null;
}

type Status<R extends Route> = keyof R['answers'] & number;

export type Answer<R extends Route> = {
  readonly [S in Status<R>]: {
    readonly status: S;
    readonly body: z.input<R['answers'][S]['schema']>;
    /** The store's. */
    readonly etag?: string;
    /** Below /api. */
    readonly location?: string;
  };
}[Status<R>];

export type Handle<R extends Route> = (asked: Asked<R>) => Promise<Answer<R>>;

/** One for each route: none can be forgotten, none is there twice. */
export type Handlers = { readonly [N in RouteName]: Handle<Routes[N]> };

export interface RoutePorts {
  readonly verifyToken: VerifyToken;
  readonly readTag: ReadTag;
  readonly log: Log;
}

export type HttpHandler = (
  request: Pick<HttpRequest, 'url' | 'params' | 'headers' | 'arrayBuffer'>,
  context: { readonly invocationId: string; readonly functionName: string },
) => Promise<HttpResponseInit>;

export function makeHttpHandler<R extends Route>(
  route: R,
  handle: Handle<R>,
  ports: RoutePorts,
): HttpHandler {
  return async (request, context) => {
    try {
      const caller = await admit(route, ports, request.headers.get('authorization') ?? undefined);
      const parsed = await parseRequest(route, request);
      const ifMatch = await readIfMatch(route, request.headers, () => ports.readTag(parsed.params));
      // `caller` is null for the open routes only, as their type says.
      return toResponse(route, await handle({ ...parsed, caller, ifMatch } as Asked<R>), request.url);
    } catch (error) {
      report(ports.log, error, context);
      return toProblemResponse(error, context.invocationId);
    }
  };
}

async function admit(route: Route, { verifyToken }: RoutePorts, header: string | undefined) {
  if (route.role === null) return null;
  const caller = await verifyToken(header);
  if (caller.roles.includes(route.role)) return caller;
  throw new CmkError('RoleMissing', `this takes the role ${route.role}`, {
    remedy: `Have the role ${route.role} assigned to you, and get a new token.`,
    detail: { role: route.role },
  });
}

const readIfMatch = async (
  route: Route,
  headers: Pick<Headers, 'get'>,
  readCurrent: () => Promise<string | undefined>,
) =>
  route.method === 'GET'
    ? null
    : readPreconditions(
        { ifMatch: headers.get('if-match'), ifNoneMatch: headers.get('if-none-match') },
        readCurrent,
      );

/** Whatever the schema of the answer doesn't name stays here. */
function toResponse<R extends Route>(route: R, answer: Answer<R>, requestUrl: string): HttpResponseInit {
  const { status, body, etag, location } = answer;
  const schema = route.answers[status]?.schema;
  if (schema === undefined) throw new Error(`${route.method} ${route.path} answers no ${status}`);
  return {
    status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...(etag === undefined ? {} : { etag: toEntityTag(etag) }),
      ...(location === undefined ? {} : { location: new URL(`/api/${location}`, requestUrl).pathname }),
    },
    body: JSON.stringify(schema.parse(body)),
  };
}

function report(log: Log, error: unknown, { invocationId, functionName }: Parameters<HttpHandler>[1]): void {
  const { code, status } = toProblem(error, invocationId);
  const level = status >= 500 ? 'error' : status === 401 || status === 403 ? 'warn' : 'info';
  log.write(level, describeError(error), { function: functionName, invocationId, code, status });
}
