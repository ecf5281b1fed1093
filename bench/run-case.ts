// One case of one part, in a process of its own. Started by part.ts: run-case.ts PART INDEX FILE [--short]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { PARTS } from './parts.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false } },
});
const [name, index, file] = positionals;
const part = PARTS.find((one) => one.name === name);
if (part === undefined || file === undefined) throw new Error(`there is no part ${name}`);
writeFileSync(file, JSON.stringify(await part.measureCase(Number(index), values.short)));
// What a case started is stopped; a keep-alive connection of the SDK must not hold up the next case.
process.exit(0);
