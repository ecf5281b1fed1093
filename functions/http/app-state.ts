// What the app says of itself to anybody: its health and its API.
import type { CheckHealth } from '../../shared/operations/check-health.ts';
import type { OpenApi } from './openapi.ts';
import type { Handlers } from './route.ts';

export interface AppStatePorts {
  readonly checkHealth: CheckHealth;
  readonly version: string;
  readonly now: () => Date;
}

export const makeAppStateHandlers = ({
  checkHealth,
  version,
  now,
}: AppStatePorts): Pick<Handlers, 'readHealth' | 'readOpenApi'> => {
  // Asked for seldom, and slow to load and to make: once, since anybody may ask as often as he likes.
  let document: Promise<OpenApi> | undefined;
  const readDocument = () => {
    document ??= import('./openapi.ts').then(({ makeOpenApi }) => makeOpenApi(version));
    return document;
  };
  return {
    readHealth: async () => {
      const checks = [...(await checkHealth())];
      const has = (status: string) => checks.some((one) => one.status === status);
      const said = { version, now: now().toISOString(), checks };
      if (has('failing')) return { status: 503, body: { status: 'failing', ...said } };
      return { status: 200, body: { status: has('degraded') ? 'degraded' : 'ok', ...said } };
    },

    readOpenApi: async () => ({ status: 200, body: { ...(await readDocument()) } }),
  };
};
