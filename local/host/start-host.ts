// A Functions host for one machine: loads an app, serves its HTTP and Event Grid endpoints, runs its queue and timer
// triggers. One process runs one app well; a second start of the same entry re-evaluates the entry file only.
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { AdminOptions } from './admin.ts';
import { handleAdmin } from './admin.ts';
import { loadApp } from './app.ts';
import { applySettings } from './app-settings.ts';
import { HostStartError, toError } from './errors.ts';
import { handleEventGrid } from './event-grid-webhook.ts';
import type { HostFunction, Settings } from './host-function.ts';
import { isTriggerType, toHostFunction } from './host-function.ts';
import { readHostJson } from './host-json.ts';
import type { HostRequest, HostResponse } from './http-messages.ts';
import { readRequest, textResponse, writeResponse } from './http-messages.ts';
import { makeHttpHandler, toHttpRoute } from './http-trigger.ts';
import { makeInvoker } from './invoke.ts';
import { makeListeners } from './listeners.ts';
import { type HostLog, makeStderrLog } from './log.ts';
import { makeWriteOutputs } from './outputs.ts';
import { makeQueueClients } from './queue-clients.ts';

export interface StartHostOptions {
  /** The app's entry file, or its directory: then `main` of its package.json, which may be a glob. */
  readonly entry: string;
  readonly hostJsonPath: string;
  /** App settings. They join the environment the host was started with, also for the app itself. */
  readonly env?: Settings;
  /** 0, the default, takes any free port. */
  readonly port?: number;
  readonly log?: HostLog;
  /** Lowest level of the default log; else the setting LOG_LEVEL, else `information`. */
  readonly logLevel?: string;
  /** For how long a message in work is invisible: 600 in the real host. A killed host's messages come back after it. */
  readonly queueLeaseSeconds?: number;
}

export interface Host {
  readonly url: string;
  readonly functions: readonly {
    readonly name: string;
    readonly trigger: string;
    readonly disabled: boolean;
  }[];
  /** Stops triggers, waits up to `graceMs` (5,000) for running invocations, runs appTerminate hooks. */
  stop(graceMs?: number): Promise<void>;
}

/** @throws HostStartError when the app, its bindings, its settings or host.json are at fault */
export async function startHost(options: StartHostOptions): Promise<Host> {
  const hostJson = await readHostJson(options.hostJsonPath);
  const restoreSettings = applySettings(options.env ?? {});
  const stopping = new AbortController();
  try {
    const settings: Settings = { ...process.env };
    const log = options.log ?? makeStderrLog(options.logLevel ?? settings['LOG_LEVEL'] ?? 'information');
    const app = await loadApp(options.entry, dirname(resolve(options.hostJsonPath)), log);
    const functions = app.functions.map((registered) => toHostFunction(registered, settings));
    const clients = makeQueueClients(settings, hostJson.queues);
    const invoker = makeInvoker(app, makeWriteOutputs(clients));
    const listeners = await makeListeners({
      functions,
      clients,
      queues: hostJson.queues,
      leaseSeconds: options.queueLeaseSeconds ?? 600,
      timezone: settings['WEBSITE_TIME_ZONE'] ?? 'UTC',
      invoke: invoker.invoke,
      log,
      signal: stopping.signal,
    });
    const active = functions.filter(({ disabled }) => !disabled);
    const ofType = (type: string): readonly HostFunction[] =>
      active.filter(({ trigger }) => isTriggerType(trigger.type, type));
    const routes = ofType('httpTrigger').map((fn) => toHttpRoute(fn, hostJson.routePrefix));
    const eventGrid = new Map(ofType('eventGridTrigger').map((fn) => [fn.name.toLowerCase(), fn]));
    let url = '';
    const admin: AdminOptions = {
      functions,
      invoke: invoker.invoke,
      url: () => url,
      invokeUrl: (fn) => {
        const route = routes.find((one) => one.fn === fn);
        return route === undefined ? undefined : `${url}/${route.path}`;
      },
    };
    const handleHttp = makeHttpHandler(routes, invoker.invoke);
    const server = await serve(options.port ?? 0, (request) => {
      const [first = '', second = '', third = ''] = request.url.pathname
        .toLowerCase()
        .split('/')
        .filter(Boolean);
      if (first === 'admin') return handleAdmin(request, admin);
      if (first === 'runtime' && second === 'webhooks') {
        if (third !== 'eventgrid') return Promise.resolve({ status: 404 });
        return handleEventGrid(request, (name) => eventGrid.get(name.toLowerCase()), invoker.invoke);
      }
      return handleHttp(request);
    });
    url = `http://127.0.0.1:${server.port}`;
    const listening = listeners.start();
    return {
      url,
      functions: functions.map(({ name, trigger, disabled }) => ({ name, trigger: trigger.type, disabled })),
      async stop(graceMs = 5000) {
        stopping.abort();
        const closed = server.close();
        const left = await invoker.settle(graceMs);
        if (left > 0)
          log({ level: 'warning', category: 'system', message: `stopped with ${left} still running` });
        // What ran has ended, or will not be waited for: nor are the connections and polls that belong to it.
        if (left === 0) await listening;
        server.closeConnections();
        await closed;
        await app.runHooks('appTerminate', { hookData: app.appHookData, appHookData: app.appHookData });
        restoreSettings();
      },
    };
  } catch (thrown) {
    stopping.abort();
    restoreSettings();
    if (thrown instanceof HostStartError) throw thrown;
    throw new HostStartError(`the host did not start: ${toError(thrown).message}`, { cause: thrown });
  }
}

interface RunningServer {
  readonly port: number;
  close(): Promise<void>;
  closeConnections(): void;
}

async function serve(
  port: number,
  handle: (request: HostRequest) => Promise<HostResponse>,
): Promise<RunningServer> {
  const server: Server = createServer((message, response) => {
    readRequest(message)
      .then(handle)
      .catch((thrown: unknown) => textResponse(500, toError(thrown).message))
      .then((answer) => writeResponse(response, answer))
      .catch(() => response.destroy());
  });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(port, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    close: () => new Promise((done) => server.close(() => done())),
    closeConnections: () => server.closeAllConnections(),
  };
}
