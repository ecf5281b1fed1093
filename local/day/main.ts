// npm run day: an operator's day through the command line, on the local stack; --write FILE keeps it as a page.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { dim } from '../demo/report.ts';
import { runDay } from './start-day.ts';

const { values } = parseArgs({ options: { write: { type: 'string' } } });
const page = await runDay((what) => console.error(dim(what)));
if (values.write === undefined) console.log(page);
else await writeFile(values.write, page);
