// node scripts/costs.ts: makes the tables of docs/limits.md anew, from the code's constants and the prices in costs/prices.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { withTables } from './costs/tables.ts';

const path = fileURLToPath(new URL('../docs/limits.md', import.meta.url));
writeFileSync(path, withTables(readFileSync(path, 'utf8')));
