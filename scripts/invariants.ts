// Compares the safety labels of the sources (`Invariant I-01: …`) with those that tests carry (`I-01`), both ways.
import { existsSync, globSync, readFileSync } from 'node:fs';

/** Where each label stands first, in the files under `folders`. */
function findLabels(folders: readonly string[], pattern: RegExp): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const folder of folders.filter((one) => existsSync(one))) {
    for (const file of globSync(`${folder}/**/*.ts`).sort()) {
      for (const [, label = ''] of readFileSync(file, 'utf8').matchAll(pattern)) {
        if (!found.has(label)) found.set(label, file);
      }
    }
  }
  return found;
}

const claimed = findLabels(['functions', 'shared', 'local'], /\bInvariant (I-\d{2}):/g);
const shown = findLabels(['test'], /\b(I-\d{2})\b/g);
const differences = [
  ...[...claimed]
    .filter(([label]) => !shown.has(label))
    .map(([label, file]) => `${label} (${file}): no test shows it`),
  ...[...shown]
    .filter(([label]) => !claimed.has(label))
    .map(([label, file]) => `${label} (${file}): no source claims it`),
];
for (const line of differences.sort()) console.error(line);
if (claimed.size === 0) console.error('no labels found: run it from the root of the repository');
process.exitCode = differences.length > 0 || claimed.size === 0 ? 1 : 0;
