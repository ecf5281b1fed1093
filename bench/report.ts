// Writes the tables and pictures of docs/performance.md from bench/results/bench.json; the words around them stay.
//   node bench/report.ts
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fillBlocks } from './fill-blocks.ts';
import { makeCharts } from './report-charts.ts';
import { makeTables } from './report-tables.ts';
import { readResults } from './results-file.ts';

const page = new URL('../docs/performance.md', import.meta.url);
const pictures = new URL('../docs/performance/', import.meta.url);
const results = readResults();
writeFileSync(page, fillBlocks(readFileSync(page, 'utf8'), makeTables(results)));
mkdirSync(pictures, { recursive: true });
for (const [name, svg] of Object.entries(makeCharts(results))) writeFileSync(new URL(name, pictures), svg);
