// App settings reach an app through its process environment, here as in Azure.
import type { Settings } from './host-function.ts';

/** Puts `settings` into process.env; the function returned puts back what was there. */
export function applySettings(settings: Settings): () => void {
  const before = Object.keys(settings).map((name) => [name, process.env[name]] as const);
  const apply = (entries: Iterable<readonly [string, string | undefined]>): void => {
    for (const [name, value] of entries) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  apply(Object.entries(settings));
  return () => apply(before);
}
