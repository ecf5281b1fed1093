// How long the app takes to load (design 12): the deployed bundle against the build that isn't bundled, each in a fresh
// process. First: npm run build && npm run bundle.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { z } from 'zod';
import { definePart } from './part.ts';

/** What is imported; null: nothing, so the process itself. */
const SUBJECTS = {
  baseline: null,
  bundle: 'dist/bundle/index.js',
  /** With Node's compile cache, as a process finds it that isn't the first on its instance. */
  bundleCached: 'dist/bundle/index.js',
  build: 'dist/functions/index.js',
  // A part of the build that the first request loads: the HTTP API with its schemas.
  api: 'dist/functions/http/api.js',
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

function run(subject: Subject, cache: string): Sample {
  const path = SUBJECTS[subject];
  const url = path === null ? '' : pathToFileURL(path).href;
  const since = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', path === null ? '0' : CHILD], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      ...SETTINGS,
      PGCMK_HOST_IMPORT: url,
      ...(subject === 'bundleCached' ? { NODE_COMPILE_CACHE: cache } : {}),
    },
  });
  const processMs = performance.now() - since;
  if (status !== 0) throw new Error(`${subject} ended with ${status}: ${stderr}`);
  return {
    processMs,
    ...(path === null ? { importMs: 0, cpuMs: 0 } : measured.parse(JSON.parse(stdout.trim()))),
  };
}

interface Spread {
  readonly median: number;
  readonly least: number;
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const round = (value: number | undefined) => Math.round(value ?? 0);
  return { median: round(sorted[Math.floor(sorted.length / 2)]), least: round(sorted[0]) };
}

export interface ColdImportResult {
  readonly subject: Subject;
  readonly rounds: number;
  readonly importMs: Spread;
  readonly cpuMs: Spread;
  readonly processMs: Spread;
}

const NAMES: readonly Subject[] = ['baseline', 'bundle', 'bundleCached', 'build', 'api'];

/** In turns, so that all meet the same machine. */
function measure(rounds: number): readonly ColdImportResult[] {
  const cache = mkdtempSync(join(tmpdir(), 'pg-cmk-compile-cache-'));
  const samples = new Map<Subject, Sample[]>(NAMES.map((name) => [name, []]));
  // One turn that doesn't count: the files come from the disk once.
  for (const name of NAMES) run(name, cache);
  for (let round = 0; round < rounds; round += 1) {
    for (const name of NAMES) samples.get(name)?.push(run(name, cache));
  }
  rmSync(cache, { recursive: true, force: true });
  return [...samples].map(([subject, all]) => ({
    subject,
    rounds,
    importMs: spread(all.map(({ importMs }) => importMs)),
    cpuMs: spread(all.map(({ cpuMs }) => cpuMs)),
    processMs: spread(all.map(({ processMs }) => processMs)),
  }));
}

const show = ({ median, least }: Spread) => `${median} (least ${least}) ms`;

export const coldImport = definePart<number, readonly ColdImportResult[]>({
  name: 'cold-import',
  cases: (short) => [short ? 5 : 31],
  measure: async (rounds) => {
    for (const path of [SUBJECTS.bundle, SUBJECTS.build]) {
      if (!existsSync(path)) throw new Error(`${path} isn't there: npm run build && npm run bundle`);
    }
    return measure(rounds);
  },
  show: (results) =>
    results
      .map(
        ({ subject, importMs, cpuMs, processMs }) =>
          `${subject}: import ${show(importMs)}, its CPU ${show(cpuMs)}, process ${show(processMs)}`,
      )
      .join('; '),
  checks: ([results = []]) => {
    const of = (name: Subject) => results.find(({ subject }) => subject === name)?.importMs;
    const [bundle, build] = [of('bundle'), of('build')];
    if (bundle === undefined || build === undefined) return [];
    return [
      {
        name: 'the bundle loads',
        target: '≤ 200 ms',
        measured: `median ${bundle.median} ms, least ${bundle.least} ms`,
        met: bundle.median <= 200,
        why: 'most of it is V8 reading the source, see docs/decisions/0016-bundle.md',
      },
      {
        name: 'the bundle loads faster than the build',
        target: 'at most half its time',
        measured: `${bundle.median} against ${build.median} ms`,
        met: bundle.median * 2 <= build.median,
      },
    ];
  },
});
