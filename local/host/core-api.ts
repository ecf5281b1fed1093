// Supplies the module @azure/functions-core to an app, which is how the library registers functions and hooks with its
// host. The library keeps one core API for the life of the process, so one facade here passes everything on to
// the app being loaded, or loaded last.
import Module from 'node:module';
import type {
  FunctionCallback,
  FunctionMetadata,
  HookCallback,
  LogCategory,
  LogLevel,
  ProgrammingModel,
} from './core-types.ts';

export interface RegisteredFunction {
  readonly metadata: FunctionMetadata;
  readonly callback: FunctionCallback;
}

const hookNames = ['preInvocation', 'postInvocation', 'appStart', 'appTerminate', 'log'] as const;
export type HookName = (typeof hookNames)[number];

/** What one app registered, and where its library logs. */
export interface Registry {
  readonly functions: Map<string, RegisteredFunction>;
  readonly hooks: Readonly<Record<HookName, HookCallback[]>>;
  /** Registering a function once the app has started is an error, as in the real worker. */
  started: boolean;
  log: (level: LogLevel, category: LogCategory, message: string) => void;
}

let current: Registry | undefined;
let programmingModel: ProgrammingModel | undefined;
let installed = false;

class Disposable {
  readonly #dispose: () => void;
  constructor(dispose: () => void) {
    this.#dispose = dispose;
  }
  static from(...all: readonly { dispose(): void }[]): Disposable {
    return new Disposable(() => {
      for (const one of all) one.dispose();
    });
  }
  dispose(): void {
    this.#dispose();
  }
}

function isHookName(name: string): name is HookName {
  return hookNames.some((known) => known === name);
}

function registryInUse(): Registry {
  if (current === undefined) throw new Error('no app is being loaded');
  return current;
}

const coreApi = {
  version: '3.13.0',
  hostVersion: '4.1041.0',
  Disposable,
  registerFunction(metadata: FunctionMetadata, callback: FunctionCallback): Disposable {
    const { functions, started } = registryInUse();
    if (started) throw new Error('A function can only be registered during app startup.');
    const id = metadata.functionId ?? metadata.name;
    if (functions.has(id)) throw new Error(`A function with id "${id}" has already been registered.`);
    functions.set(id, { metadata, callback });
    return new Disposable(() => functions.delete(id));
  },
  registerHook(name: string, callback: HookCallback): Disposable {
    if (!isHookName(name)) {
      throw Object.assign(new RangeError(`Unrecognized hook "${name}"`), {
        isAzureFunctionsSystemError: true,
      });
    }
    const callbacks = registryInUse().hooks[name];
    callbacks.push(callback);
    return new Disposable(() => {
      const at = callbacks.indexOf(callback);
      if (at >= 0) callbacks.splice(at, 1);
    });
  },
  setProgrammingModel(model: ProgrammingModel): void {
    programmingModel = model;
  },
  getProgrammingModel(): ProgrammingModel | undefined {
    return programmingModel;
  },
  log(level: LogLevel, category: LogCategory, message: string): void {
    current?.log(level, category, message);
  },
};

/** Makes `require('@azure/functions-core')` answer. Must run before the app is imported: the library caches a failure. */
export function installCoreApi(): void {
  if (installed) return;
  installed = true;
  const original = Module.prototype.require;
  Module.prototype.require = new Proxy(original, {
    apply(target, self: unknown, args: [string]) {
      return args[0] === '@azure/functions-core' ? coreApi : Reflect.apply(target, self, args);
    },
  });
}

/** Runs `load`, which imports an app, and returns what the app registered meanwhile. */
export async function collectRegistrations(
  load: () => Promise<void>,
  log: Registry['log'],
): Promise<Registry> {
  const registry: Registry = {
    functions: new Map(),
    hooks: { preInvocation: [], postInvocation: [], appStart: [], appTerminate: [], log: [] },
    started: false,
    log,
  };
  current = registry;
  await load();
  return registry;
}

/** The library's own conversions. Undefined until an app has registered its first function in this process. */
export function libraryModel(): ProgrammingModel | undefined {
  return programmingModel;
}
