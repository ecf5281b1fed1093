// Every route of the HTTP API: what goes in, what comes out, and which role it takes (design 9). The handlers and the
// OpenAPI document are both made from this table; each name is the name of its function.
import * as z from 'zod';
import { AuditPage, AuditQuery } from './audit.ts';
import { ClearedBreaker, Health } from './health.ts';
import { keyRoutes } from './key-routes.ts';
import { SigningKeys } from './keys.ts';
import { paths, type RouteName } from './paths.ts';
import { answer, nothing, type Route } from './route.ts';
import { serverRoutes } from './server-routes.ts';

export const routes = {
  ...serverRoutes,
  ...keyRoutes,
  readAudit: {
    ...paths.readAudit,
    role: 'Fleet.Read',
    tag: 'Audit',
    summary: 'Reads the audit chains',
    description:
      'A page may hold fewer records than `limit` and still not be the last: go on until `cursor` is null.',
    params: nothing,
    query: AuditQuery,
    body: null,
    answers: { 200: answer('A page of records, chain by chain.', AuditPage) },
    tagged: false,
  },
  readSigningKeys: {
    ...paths.readSigningKeys,
    role: 'Fleet.Read',
    tag: 'App',
    summary: "Reads the app's own public keys",
    params: nothing,
    query: nothing,
    body: null,
    answers: { 200: answer('A JWK set (RFC 7517).', SigningKeys) },
    tagged: false,
  },
  clearBreaker: {
    ...paths.clearBreaker,
    role: 'Fleet.Operate',
    tag: 'App',
    summary: 'Lets suspect verdicts act that the breaker holds',
    description:
      'Servers whose keys cannot be used lose access. Verdicts are held where most vaults turn suspect at once: rule out a fault of the app’s identity or network first.',
    params: nothing,
    query: nothing,
    body: null,
    answers: { 200: answer('What was held.', ClearedBreaker) },
    tagged: false,
  },
  readHealth: {
    ...paths.readHealth,
    role: null,
    tag: 'App',
    summary: 'Whether the app works, and what it depends on that does not',
    params: nothing,
    query: nothing,
    body: null,
    answers: {
      200: answer('It works, if not without reserve.', Health),
      503: answer('It does not.', Health),
    },
    tagged: false,
  },
  readOpenApi: {
    ...paths.readOpenApi,
    role: null,
    tag: 'App',
    summary: 'Reads this document',
    params: nothing,
    query: nothing,
    body: null,
    answers: { 200: answer('This document.', z.looseObject({ openapi: z.string() })) },
    tagged: false,
  },
} as const satisfies Readonly<Record<RouteName, Route>>;

export type Routes = typeof routes;
