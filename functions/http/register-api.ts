// The HTTP API's part of the composition: every route of the table, under its name (design 9).
import type { app as FunctionApp } from '@azure/functions';
import { type RouteName, type Routes, routes } from '../../shared/api/routes.ts';
import { CmkError } from '../../shared/domain/errors.ts';
import { type AppStatePorts, makeAppStateHandlers } from './app-state.ts';
import { type HandlerPorts, makeHandlers } from './handlers.ts';
import { makeReadTag, type ReadTagPorts } from './read-tag.ts';
import { type Handle, type Handlers, makeHttpHandler, type RoutePorts } from './route.ts';

/** `handlers` null: no issuer is configured, and every route but the open ones says so. */
export interface ApiPorts {
  readonly open: AppStatePorts;
  readonly handlers: HandlerPorts | null;
  readonly routes: Omit<RoutePorts, 'readTag'> & ReadTagPorts;
}

export function registerApi(app: Pick<typeof FunctionApp, 'http'>, ports: ApiPorts): void {
  const handlers: Partial<Handlers> =
    ports.handlers === null ? makeAppStateHandlers(ports.open) : makeHandlers(ports.handlers);
  const routePorts = { ...ports.routes, readTag: makeReadTag(ports.routes) };
  const register = <N extends RouteName>(name: N): void => {
    const handle: Handle<Routes[N]> = handlers[name] ?? refuse;
    app.http(name, {
      methods: [routes[name].method],
      route: routes[name].path,
      // Callers bear tokens of the issuer, not keys of the host.
      authLevel: 'anonymous',
      handler: makeHttpHandler<Routes[N]>(routes[name], handle, routePorts),
    });
  };
  for (const name of Object.keys(routes)) if (isRouteName(name)) register(name);
}

const isRouteName = (name: string): name is RouteName => Object.hasOwn(routes, name);

const refuse = () =>
  Promise.reject(
    new CmkError('AuthNotConfigured', 'no issuer of tokens is configured', {
      remedy: 'Set PGCMK_AUTH_ISSUER, PGCMK_AUTH_AUDIENCE and PGCMK_SIGNING_KEY.',
    }),
  );
