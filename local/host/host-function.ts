// A registered function with its bindings checked and its settings resolved: what the triggers work with.
import type { RegisteredFunction } from './core-api.ts';
import type { Binding, FunctionCallback, FunctionMetadata } from './core-types.ts';
import { HostStartError } from './errors.ts';

export type Settings = Readonly<Record<string, string | undefined>>;

export interface NamedBinding extends Binding {
  readonly name: string;
}

export interface HostFunction {
  readonly name: string;
  readonly trigger: NamedBinding;
  readonly outputs: readonly NamedBinding[];
  readonly metadata: FunctionMetadata;
  readonly callback: FunctionCallback;
  /** Set by the app setting AzureWebJobs.{name}.Disabled: no trigger runs it, only the admin endpoint. */
  readonly disabled: boolean;
}

const triggers = ['httpTrigger', 'queueTrigger', 'timerTrigger', 'eventGridTrigger', 'eventHubTrigger'];

/** @throws HostStartError for a setting that doesn't exist or a binding this host doesn't know */
export function toHostFunction({ metadata, callback }: RegisteredFunction, settings: Settings): HostFunction {
  const { name } = metadata;
  const bindings = Object.entries(metadata.bindings).map(
    ([key, binding]): NamedBinding => ({ ...resolveSettings(name, key, binding, settings), name: key }),
  );
  const trigger = bindings.find(({ type }) => isTriggerType(type, 'Trigger'));
  if (trigger === undefined || !triggers.some((type) => isTriggerType(trigger.type, type))) {
    throw new HostStartError(
      `function '${name}': trigger '${trigger?.type}' is not supported by the local host`,
    );
  }
  const outputs = bindings.filter(({ direction }) => direction === 'out');
  const unsupported =
    bindings.find((binding) => binding !== trigger && binding.direction === 'in') ??
    outputs.find(({ type }) => !['http', 'queue'].includes(type.toLowerCase()));
  if (unsupported !== undefined) {
    const kind = `${unsupported.direction}put binding '${unsupported.type}'`;
    throw new HostStartError(`function '${name}': ${kind} is not supported by the local host`);
  }
  return { name, trigger, outputs, metadata, callback, disabled: isDisabled(name, settings) };
}

/** Trigger types are compared without regard to case, as the real host does. */
export function isTriggerType(type: string, wanted: string): boolean {
  return type.toLowerCase().endsWith(wanted.toLowerCase());
}

/** A string option of a trigger or output. */
export function stringOption(fn: HostFunction, binding: NamedBinding, option: string): string {
  const value = binding[option];
  if (typeof value === 'string' && value !== '') return value;
  throw new HostStartError(`function '${fn.name}', binding '${binding.name}': '${option}' is missing`);
}

/** The connection string behind a binding's `connection`: AzureWebJobs{name} or {name}, as in the real host. */
export function connectionString(fn: HostFunction, binding: NamedBinding, settings: Settings): string {
  const option = binding['connection'];
  const name = typeof option === 'string' && option !== '' ? option : 'AzureWebJobsStorage';
  const value = settings[`AzureWebJobs${name}`] ?? settings[name];
  if (value !== undefined && value !== '') return value;
  throw new HostStartError(
    `function '${fn.name}', binding '${binding.name}': setting '${name}' holds no connection string`,
  );
}

function resolveSettings(fn: string, key: string, binding: Binding, settings: Settings): Binding {
  const resolved: Record<string, unknown> = {};
  for (const [option, value] of Object.entries(binding)) {
    resolved[option] = typeof value === 'string' ? resolve(value, fn, key, settings) : value;
  }
  return { ...resolved, type: binding.type, direction: binding.direction };
}

function resolve(text: string, fn: string, key: string, settings: Settings): string {
  return text.replace(/%([^%]+)%/g, (_, setting: string) => {
    const value = settings[setting];
    if (value !== undefined) return value;
    throw new HostStartError(
      `function '${fn}', binding '${key}': setting '${setting}' does not resolve to a value`,
    );
  });
}

function isDisabled(name: string, settings: Settings): boolean {
  const value = settings[`AzureWebJobs.${name}.Disabled`] ?? settings[`AzureWebJobs__${name}__Disabled`];
  return value === '1' || value?.toLowerCase() === 'true';
}
