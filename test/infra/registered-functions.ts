// The functions that the app registers, by trigger: from register-app.ts itself, with an app that only writes down.
import type { app as functionApp } from '@azure/functions';
import { buildOperations } from '../../functions/operations.ts';
import { registerApp } from '../../functions/register-app.ts';
import { readConfig } from '../../shared/config.ts';

export interface RegisteredFunction {
  readonly name: string;
  readonly trigger: string;
}

/** @param settings the app's settings, as Azure would give them */
export function listFunctions(settings: Readonly<Record<string, string>>): readonly RegisteredFunction[] {
  const found: RegisteredFunction[] = [];
  const record = (trigger: string) => (name: string) => {
    found.push({ name, trigger });
  };
  const recorder = Object.fromEntries(
    ['eventGrid', 'eventHub', 'storageQueue', 'timer', 'http'].map((trigger) => [trigger, record(trigger)]),
  );
  const config = readConfig(settings);
  // What register-app.ts may call is what is recorded; anything else fails loudly.
  registerApp(
    recorder as unknown as typeof functionApp,
    config,
    buildOperations(config, () => undefined),
  );
  return found;
}
