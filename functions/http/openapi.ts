// The OpenAPI 3.1 document, made from the same table and schemas as the handlers. docs/openapi.json is this document as
// `npm run openapi` writes it.
import { OpenAPIRegistry, OpenApiGeneratorV31 } from '@asteasolutions/zod-to-openapi';
import * as z from 'zod';
import { Problem } from '../../shared/api/common.ts';
import type { Route } from '../../shared/api/route.ts';
import { routes } from '../../shared/api/routes.ts';
import { STATUS_OF } from './problem.ts';

export type OpenApi = ReturnType<OpenApiGeneratorV31['generateDocument']>;

const TAGS = [
  { name: 'Servers', description: 'PostgreSQL servers, each with one DEK under one key.' },
  { name: 'Keys', description: "The customers' keys in Key Vault." },
  { name: 'Audit', description: 'What was decided and done, in hash chains.' },
  { name: 'App', description: 'The app itself.' },
];

const ETAG = z.string().meta({ description: 'Opaque; for `If-Match`.', example: '"Vy8iMSI"' });
const RETRY_AFTER = z.string().meta({ description: 'Seconds to wait before the same request may work.' });

export function makeOpenApi(version: string): OpenApi {
  const registry = new OpenAPIRegistry();
  const bearer = registry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'A token of the configured issuer. The role that a route takes is named in its description.',
  });
  for (const [operationId, route] of Object.entries<Route>(routes)) {
    registry.registerPath({
      method: toMethod(route.method),
      path: `/${route.path}`,
      operationId,
      tags: [route.tag],
      summary: route.summary,
      description: describe(route),
      security: route.role === null ? [] : [{ [bearer.name]: [] }],
      request: toRequest(route),
      responses: { ...toAnswers(route), ...toProblems(route) },
    });
  }
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: {
      title: 'pg-cmk',
      version,
      description: `Customer-managed keys for PostgreSQL fleets. Every error is a problem (RFC 9457) with a stable \`code\`, and the runbook has a section for each: ${codes()}.`,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/api', description: 'The app itself.' }],
    tags: TAGS,
  });
}

const codes = (): string => [...Object.keys(STATUS_OF), 'Internal'].sort().join(', ');

const toMethod = (method: Route['method']) =>
  (({ GET: 'get', PUT: 'put', POST: 'post', PATCH: 'patch', DELETE: 'delete' }) as const)[method];

const describe = ({ role, description }: Route): string =>
  [description ?? null, role === null ? 'Open to anybody.' : `Takes the role \`${role}\`.`]
    .filter((one) => one !== null)
    .join(' ');

function toRequest(route: Route) {
  const { params, query, body } = route;
  const isWrite = route.method !== 'GET';
  return {
    ...(Object.keys(params.shape).length === 0 ? {} : { params }),
    ...(Object.keys(query.shape).length === 0 ? {} : { query }),
    ...(isWrite && route.tagged ? { headers: z.object({ 'If-Match': ETAG.optional() }) } : {}),
    ...(body === null
      ? {}
      : {
          body: {
            required: route.bodyOptional !== true,
            content: { 'application/json': { schema: body } },
          },
        }),
  };
}

const toAnswers = ({ answers, tagged }: Route) =>
  Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema }]) => [
      status,
      {
        description,
        ...(tagged ? { headers: z.object({ ETag: ETAG }) } : {}),
        content: { 'application/json': { schema } },
      },
    ]),
  );

/** Parts of paths and queries that name something which need not be there. */
const NAMING = ['serverId', 'name', 'server'];

/** Of what they are asked to make or change, key and server are checked first. */
const CHECKED: readonly Route[] = [routes.registerServer, routes.copyServer, routes.moveServer];

/** The statuses that a route of its kind can come to. */
function toProblems(route: Route) {
  const isRead = route.method === 'GET';
  const names = Object.keys({ ...route.params.shape, ...route.query.shape }).some((one) =>
    NAMING.includes(one),
  );
  const statuses = {
    400: 'The request has faults; `faults` points at each.',
    ...(route.role === null ? {} : { 401: 'There is no token, or it is not accepted.' }),
    ...(route.role === null ? {} : { 403: 'The role is missing, or the token is another identity’s.' }),
    ...(names ? { 404: 'There is no such resource.' } : {}),
    ...(isRead ? {} : { 409: 'The state of the resource is against it; `code` says how.' }),
    ...(isRead ? {} : { 412: 'The resource is not as `If-Match` says.' }),
    ...(route.body === null ? {} : { 413: 'The body is too large.', 415: 'The body is not JSON.' }),
    ...(CHECKED.includes(route) ? { 422: 'Checks failed; `checks` has each.' } : {}),
    ...(route.path.endsWith('/dek') ? { 429: 'Too many releases to one server.' } : {}),
    500: 'A fault of the app.',
    503: 'Something that the app depends on is not there; the same request may work later.',
  };
  return Object.fromEntries(
    Object.entries(statuses)
      .filter(([status]) => route.answers[Number(status)] === undefined)
      .map(([status, description]) => [
        status,
        {
          description,
          ...(status === '503' ? { headers: z.object({ 'Retry-After': RETRY_AFTER.optional() }) } : {}),
          content: { 'application/problem+json': { schema: Problem } },
        },
      ]),
  );
}
