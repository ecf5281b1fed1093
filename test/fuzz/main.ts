// The long run: a million inputs over all targets, in a process with a small heap. Prints a table, and writes
// docs/reliability/fuzz.json, or the file that REPORT names. FC_RUNS: inputs in all. SEED: another million. ONLY: targets with this in their name are
// run again, and put in their place in the report.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { getHeapStatistics } from 'node:v8';
import { findSlow } from './growth.ts';
import { runTarget, type TargetReport } from './run-target.ts';
import { targets } from './targets.ts';

/** With what every input, up to a megabyte, must be read. */
const HEAP_MB = 128;
const MOST_MS = 50;
const FILE = process.env['REPORT'] ?? 'docs/reliability/fuzz.json';

const total = Number(process.env['FC_RUNS'] ?? 1_000_000);
const seed = Number(process.env['SEED'] ?? 1);
const only = process.env['ONLY'] ?? '';
const chosen = targets.filter(({ name }) => name.includes(only));

interface Line extends TargetReport {
  /** The heap when the target was done, in megabytes. */
  readonly heapMb: number;
  readonly seconds: number;
}

/** In the process with the small heap: a line for each target, from the one of this number. */
async function runFrom(first: number): Promise<void> {
  const shares = targets.reduce((sum, { share }) => sum + share, 0);
  for (const target of chosen.slice(first)) {
    const begin = performance.now();
    const runs = Math.ceil((total * target.share) / shares);
    const report = await runTarget(target, { runs, seed, mostMs: MOST_MS });
    const slow = target.isText && target.share === 1 ? await findSlow(target, MOST_MS) : [];
    const grown = slow.map(({ piece, size, ms }) => ({
      kind: 'slow' as const,
      message: `${size} characters of ${JSON.stringify(piece)} take ${ms} ms`,
      example: piece,
    }));
    const line: Line = {
      ...report,
      faults: [...report.faults, ...grown],
      heapMb: Math.round(getHeapStatistics().used_heap_size / 2 ** 20),
      seconds: Math.round((performance.now() - begin) / 1000),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

/** Adds a line for each target that is done; whether the process came to its end. */
async function runApart(first: number, lines: Line[]): Promise<boolean> {
  const child = spawn(
    process.execPath,
    [`--max-old-space-size=${HEAP_MB}`, import.meta.filename, String(first)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  for await (const text of createInterface(child.stdout)) {
    const line: Line = JSON.parse(text);
    lines.push(line);
    show(line);
    write(lines);
  }
  return (await exit) === 0;
}

function show({ target, inputs, values, refused, slowestMs, heapMb, faults }: Line): void {
  const codes = Object.entries(refused).map(([code, many]) => `${code} ${many}`);
  const columns = [target, inputs, values, codes.join(', '), `${slowestMs.toFixed(1)} ms`, `${heapMb} MB`];
  console.log(`| ${columns.join(' | ')} |`);
  for (const { kind, message, example } of faults) console.error(`${kind}: ${message}\n  ${example}`);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
const totalsOf = (lines: readonly Line[]) => ({
  targets: lines.length,
  inputs: sum(lines.map((line) => line.inputs)),
  values: sum(lines.map((line) => line.values)),
  faults: sum(lines.map((line) => line.faults.length)),
  slowestMs: Math.max(0, ...lines.map((line) => line.slowestMs)),
});

/** After each target: a run that is stopped has shown something too. */
function write(fresh: readonly Line[]): void {
  const before: readonly Line[] = only === '' ? [] : JSON.parse(readFileSync(FILE, 'utf8')).lines;
  const lines = targets.flatMap(({ name }) => {
    const line = [...fresh, ...before].find(({ target }) => target === name);
    return line === undefined ? [] : [line];
  });
  const report = {
    seed,
    node: process.version,
    heapMb: HEAP_MB,
    ofTargets: targets.length,
    ...totalsOf(lines),
  };
  writeFileSync(FILE, `${JSON.stringify({ ...report, lines }, null, 2)}\n`);
}

async function main(): Promise<void> {
  console.log('| target | inputs | values | refused | slowest | heap |\n|---|---|---|---|---|---|');
  const lines: Line[] = [];
  const died: string[] = [];
  while (lines.length + died.length < chosen.length) {
    const ended = await runApart(lines.length + died.length, lines);
    if (!ended) died.push(chosen[lines.length + died.length]?.name ?? 'none');
  }
  const { targets: many, inputs, faults } = totalsOf(lines);
  console.log(
    `${inputs} inputs, ${many} targets, ${faults} faults, out of memory: ${died.join(', ') || 'none'}`,
  );
  process.exitCode = faults + died.length === 0 ? 0 : 1;
}

const [, , first] = process.argv;
await (first === undefined ? main() : runFrom(Number(first)));
