// How long the app takes to load (design 12): the deployed bundle against the build that isn't bundled, each in a fresh
// process, in turns, so that all meet the same machine. Reported, not asserted. First: npm run build && npm run bundle.
//   node bench/cold-import.ts [--rounds 15] [--json FILE]
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';

/** What is imported; null: nothing, so the process itself. */
const SUBJECTS = {
  baseline: null,
  bundle: 'dist/bundle/index.js',
  build: 'dist/functions/index.js',
  // A part of the build: the HTTP API with its schemas.
  registerApi: 'dist/functions/http/register-api.js',
} as const;
type Subject = keyof typeof SUBJECTS;

/** The module that the Functions host supplies, as far as registering needs it; nothing of ours, which would warm caches. */
const CHILD = `
  const Module = require('node:module');
  const nothing = () => ({ dispose() {} });
  const core = { version: '3.13.0', hostVersion: '4', Disposable: class {}, registerFunction: nothing,
    registerHook: nothing, setProgrammingModel() {}, getProgrammingModel() {}, log() {} };
  const original = Module.prototype.require;
  Module.prototype.require = function (id) {
    return id === '@azure/functions-core' ? core : original.call(this, id);
  };
  const before = process.cpuUsage();
  const since = performance.now();
  import(process.env.PGCMK_HOST_IMPORT).then(() => {
    const importMs = performance.now() - since;
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ importMs, cpuMs: (user + system) / 1000 }));
    process.exit(0);
  });
`;
const SETTINGS = { AzureWebJobsStorage: 'UseDevelopmentStorage=true', PGCMK_CREDENTIAL: 'managedIdentity' };

const measured = z.object({ importMs: z.number(), cpuMs: z.number() });
interface Sample extends z.infer<typeof measured> {
  /** From the start of the process to its end. */
  readonly processMs: number;
}

function run(subject: Subject): Sample {
  const path = SUBJECTS[subject];
  const url = path === null ? '' : pathToFileURL(path).href;
  const since = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', path === null ? '0' : CHILD], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...SETTINGS, PGCMK_HOST_IMPORT: url },
  });
  const processMs = performance.now() - since;
  if (status !== 0) throw new Error(`${subject} ended with ${status}: ${stderr}`);
  return {
    processMs,
    ...(path === null ? { importMs: 0, cpuMs: 0 } : measured.parse(JSON.parse(stdout.trim()))),
  };
}

function spread(values: readonly number[]): { readonly median: number; readonly least: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const round = (value: number | undefined) => Math.round(value ?? 0);
  return { median: round(sorted[Math.floor(sorted.length / 2)]), least: round(sorted[0]) };
}

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, json: { type: 'string' } },
});
const names: readonly Subject[] = ['baseline', 'bundle', 'build', 'registerApi'];
const samples = new Map<Subject, Sample[]>(names.map((name) => [name, []]));
// One turn that doesn't count: the files come from the disk once.
for (const name of names) run(name);
const loadBefore = loadavg()[0];
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const name of names) samples.get(name)?.push(run(name));
}

const results = Object.fromEntries(
  [...samples].map(([name, all]) => [
    name,
    {
      importMs: spread(all.map(({ importMs }) => importMs)),
      cpuMs: spread(all.map(({ cpuMs }) => cpuMs)),
      processMs: spread(all.map(({ processMs }) => processMs)),
    },
  ]),
);
for (const [name, { importMs, cpuMs, processMs }] of Object.entries(results)) {
  const show = ({ median, least }: { readonly median: number; readonly least: number }) =>
    `${median} (least ${least}) ms`;
  console.log(
    `${name.padEnd(12)} import ${show(importMs)}, its CPU ${show(cpuMs)}, process ${show(processMs)}`,
  );
}
if (values.json !== undefined) {
  await mkdir(dirname(values.json), { recursive: true });
  const machine = {
    node: process.version,
    cpus: navigator.hardwareConcurrency,
    loadBefore,
    loadAfter: loadavg()[0],
  };
  await writeFile(
    values.json,
    `${JSON.stringify({ rounds: Number(values.rounds), ...machine, results }, null, 2)}\n`,
  );
}
