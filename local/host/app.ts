// Loads a function app: imports its entry with the core API in place and runs its appStart hooks.
import { globSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import type { HookName, RegisteredFunction, Registry } from './core-api.ts';
import { collectRegistrations, installCoreApi, libraryModel } from './core-api.ts';
import type { LogCategory, LogLevel, ProgrammingModel } from './core-types.ts';
import { HostStartError, toError } from './errors.ts';
import type { HostLog, HostLogEntry } from './log.ts';

export interface App {
  readonly functions: readonly RegisteredFunction[];
  readonly model: ProgrammingModel;
  /** Shared by all hooks of the app, for its whole life. */
  readonly appHookData: Readonly<Record<string, unknown>>;
  runHooks(name: Exclude<HookName, 'log'>, context: object): Promise<void>;
  /** Logs through the app's own log hooks, which may change level and message of what the user logged. */
  log(entry: HostLogEntry, invocationContext?: object): void;
}

const timesLoaded = new Map<string, number>();
let lastLoad: Promise<unknown> = Promise.resolve();

/** Apps share one registry while they load, so two never load at a time. */
export function loadApp(entry: string, directory: string, log: HostLog): Promise<App> {
  const load = lastLoad.then(() => loadNow(entry, directory, log));
  lastLoad = load.catch(() => undefined);
  return load;
}

async function loadNow(entry: string, directory: string, log: HostLog): Promise<App> {
  installCoreApi();
  const files = await entryFiles(entry);
  const app = { current: undefined as App | undefined };
  const libraryLog = (level: LogLevel, category: LogCategory, message: string): void => {
    const entryOfLog: HostLogEntry = { level, category, message };
    if (app.current === undefined) log(entryOfLog);
    else app.current.log(entryOfLog);
  };
  const registry = await collectRegistrations(async () => {
    for (const file of files) await importFresh(file);
  }, libraryLog);
  const model = libraryModel();
  if (model === undefined || registry.functions.size === 0) {
    throw new HostStartError(`${entry} registered no function`);
  }
  app.current = makeApp(registry, model, log);
  await start(app.current, registry, directory);
  return app.current;
}

/** A second start in the same process evaluates the entry again; modules below it stay as they are. */
async function importFresh(file: string): Promise<void> {
  const url = pathToFileURL(file).href;
  const times = timesLoaded.get(url) ?? 0;
  timesLoaded.set(url, times + 1);
  try {
    await import(/* @vite-ignore */ times === 0 ? url : `${url}?load=${times}`);
  } catch (thrown) {
    throw new HostStartError(`${file} could not be loaded: ${toError(thrown).message}`, { cause: thrown });
  }
}

async function entryFiles(entry: string): Promise<readonly string[]> {
  const path = resolve(entry);
  if (!(statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)) return [path];
  const manifest = z.looseObject({ main: z.string() });
  try {
    const { main } = manifest.parse(JSON.parse(await readFile(join(path, 'package.json'), 'utf8')));
    const files = globSync(main, { cwd: path }).map((file) => join(path, file));
    if (files.length === 0) throw new Error(`"main" is '${main}', which matches no file`);
    return files;
  } catch (thrown) {
    throw new HostStartError(`package.json of ${path}: ${toError(thrown).message}`, { cause: thrown });
  }
}

function makeApp(registry: Registry, model: ProgrammingModel, log: HostLog): App {
  let insideLogHook = false;
  return {
    functions: [...registry.functions.values()],
    model,
    appHookData: {},
    async runHooks(name, context) {
      for (const hook of registry.hooks[name]) await hook(context);
    },
    log(entry, invocationContext) {
      if (insideLogHook) return log(entry);
      const context = { hookData: {}, ...entry, invocationContext };
      insideLogHook = true;
      try {
        for (const hook of registry.hooks.log) hook(context);
      } finally {
        insideLogHook = false;
      }
      log(entry.category === 'user' ? { ...entry, level: context.level, message: context.message } : entry);
    },
  };
}

async function start(app: App, registry: Registry, directory: string): Promise<void> {
  try {
    const context = {
      functionAppDirectory: directory,
      hookData: app.appHookData,
      appHookData: app.appHookData,
    };
    await app.runHooks('appStart', context);
    const capabilities = await app.model.getCapabilities({});
    if (capabilities['HttpUri'] !== undefined)
      throw new Error('HTTP streaming is not supported by the local host');
    registry.started = true;
  } catch (thrown) {
    throw new HostStartError(`the app did not start: ${toError(thrown).message}`, { cause: thrown });
  }
}
