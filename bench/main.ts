// The bench: every part in turn, each measurement against its baselines in the same run. Exit 1 where a target isn't met.
//   node bench/main.ts [--short] [--only PART[,PART]] [--cases N[,N]] [--json FILE]
// --cases: the first case of a part is 0. With --only, the other parts of FILE stay as they were measured before.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { PartRecord } from './part.ts';
import { PARTS, SHORT_PARTS } from './parts.ts';

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string' },
    cases: { type: 'string' },
    json: { type: 'string' },
  },
});
const { short, json } = values;
const only = values.only?.split(',') ?? null;
const cases = values.cases?.split(',').map(Number) ?? null;
const unknown = only?.find((name) => !PARTS.some((part) => part.name === name));
if (unknown !== undefined)
  throw new Error(`there is no part ${unknown}; there are ${PARTS.map(({ name }) => name).join(', ')}`);

const chosen = PARTS.filter(({ name }) => only?.includes(name) ?? (!short || SHORT_PARTS.includes(name)));
const kept: Readonly<Record<string, PartRecord>> =
  only !== null && json !== undefined && existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : {};
const records: Record<string, PartRecord> = { ...kept };
let met = true;
const write = async (record: PartRecord): Promise<void> => {
  records[record.part] = record;
  if (json === undefined) return;
  await mkdir(dirname(json), { recursive: true });
  await writeFile(json, `${JSON.stringify(records, null, 2)}\n`);
};
for (const part of chosen) {
  console.log(`${part.name}${short ? ' (short)' : ''}`);
  const record = await part.run(short, cases, write);
  for (const { name, target, measured, met: isMet, why } of record.checks) {
    console.log(
      `  ${isMet ? 'met    ' : 'NOT MET'} ${name}: ${measured} (target ${target})${why === undefined ? '' : `; ${why}`}`,
    );
    met &&= isMet;
  }
}
process.exitCode = met ? 0 : 1;
