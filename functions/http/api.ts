// The handlers of the HTTP API, with the schemas of their routes: what the first request loads.

import type { RouteName } from '../../shared/api/paths.ts';
import { type Routes, routes } from '../../shared/api/routes.ts';
import { CmkError } from '../../shared/domain/errors.ts';
import { type AppStatePorts, makeAppStateHandlers } from './app-state.ts';
import { type HandlerPorts, makeHandlers } from './handlers.ts';
import { makeReadTag, type ReadTagPorts } from './read-tag.ts';
import { type Handle, type Handlers, type HttpHandler, makeHttpHandler, type RoutePorts } from './route.ts';

/** `handlers` null: no issuer is configured, and every route but the open ones says so. */
export interface ApiPorts {
  readonly open: AppStatePorts;
  readonly handlers: HandlerPorts | null;
  readonly routes: Omit<RoutePorts, 'readTag'> & ReadTagPorts;
}

/** The handler of the route of that name. */
export function makeApi(ports: ApiPorts): (name: RouteName) => HttpHandler {
  const handlers: Partial<Handlers> =
    ports.handlers === null ? makeAppStateHandlers(ports.open) : makeHandlers(ports.handlers);
  const routePorts = { ...ports.routes, readTag: makeReadTag(ports.routes) };
  const make = <N extends RouteName>(name: N): HttpHandler => {
    const handle: Handle<Routes[N]> = handlers[name] ?? refuse;
    return makeHttpHandler<Routes[N]>(routes[name], handle, routePorts);
  };
  return make;
}

const refuse = () =>
  Promise.reject(
    new CmkError('AuthNotConfigured', 'no issuer of tokens is configured', {
      remedy: 'Set PGCMK_AUTH_ISSUER, PGCMK_AUTH_AUDIENCE and PGCMK_SIGNING_KEY.',
    }),
  );
