// The HTTP API's part of the composition: every route of the table, under its name (design 9).
import type { app as FunctionApp } from '@azure/functions';
import { paths, type RouteName } from '../../shared/api/paths.ts';
import { loadOnce } from '../../shared/load-once.ts';
import type { ApiPorts } from './api.ts';

export function registerApi(app: Pick<typeof FunctionApp, 'http'>, ports: ApiPorts): void {
  const load = loadOnce(async () => (await import('./api.ts')).makeApi(ports));
  for (const name of Object.keys(paths)) {
    if (!isRouteName(name)) continue;
    const handle = loadOnce(async () => (await load())(name));
    app.http(name, {
      methods: [paths[name].method],
      route: paths[name].path,
      // Callers bear tokens of the issuer, not keys of the host.
      authLevel: 'anonymous',
      handler: async (request, context) => (await handle())(request, context),
    });
  }
}

const isRouteName = (name: string): name is RouteName => Object.hasOwn(paths, name);
