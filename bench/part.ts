// A part of the bench: one or more cases, each measured in a process of its own (the SDK's credential takes its endpoint
// from the environment once a process), and what the results must show.
import { fork } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a result must show. Where it doesn't, `why` says what is known of the reason. */
export interface Check {
  readonly name: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean;
  readonly why?: string;
}

export interface PartRecord<R = unknown> {
  readonly part: string;
  readonly short: boolean;
  readonly measuredAt: string;
  readonly machine: {
    readonly node: string;
    readonly cpu: string;
    readonly cpus: number;
    readonly memoryGiB: number;
    readonly loadBefore: number;
    readonly loadAfter: number;
  };
  readonly results: readonly R[];
  readonly checks: readonly Check[];
}

export interface BenchPart {
  readonly name: string;
  /**
   * Runs its cases, one after the other, and checks the results; `onRecord` is told of those so far after each.
   * @param only the numbers of the cases, from 0; null: all
   */
  run(
    short: boolean,
    only: readonly number[] | null,
    onRecord: (record: PartRecord) => Promise<void>,
  ): Promise<PartRecord>;
  /** Runs one case in this process. */
  measureCase(index: number, short: boolean): Promise<unknown>;
}

export function definePart<C, R>(spec: {
  readonly name: string;
  readonly cases: (short: boolean) => readonly C[];
  readonly measure: (one: C, short: boolean) => Promise<R>;
  /** Each case is measured in so many processes side by side, and their results are made one. */
  readonly sideBySide?: { readonly processes: number; readonly merge: (results: readonly R[]) => R };
  readonly show: (result: R) => string;
  readonly checks: (results: readonly R[], short: boolean) => readonly Check[];
}): BenchPart & Pick<typeof spec, 'checks'> {
  return {
    name: spec.name,
    checks: spec.checks,
    async run(short, only, onRecord) {
      const loadBefore = loadavg()[0] ?? 0;
      const results: R[] = [];
      for (const index of spec.cases(short).keys()) {
        if (only?.includes(index) === false) continue;
        const { processes = 1, merge } = spec.sideBySide ?? {};
        const copies = Array.from({ length: processes }, (_, copy) => copy);
        const all: readonly R[] = await Promise.all(
          copies.map((copy) => runInChild(spec.name, index, copy, short)),
        );
        const result = merge?.(all) ?? all[0];
        if (result === undefined) throw new RangeError(`${spec.name} is measured in no process`);
        console.log(`  ${spec.show(result)}`);
        results.push(result);
        await onRecord(toRecord(loadBefore));
      }
      return toRecord(loadBefore);

      function toRecord(before: number): PartRecord<R> {
        const machine = {
          node: process.version,
          cpu: cpus()[0]?.model ?? 'unknown',
          cpus: navigator.hardwareConcurrency,
          memoryGiB: Math.round(totalmem() / 2 ** 30),
          loadBefore: before,
          loadAfter: loadavg()[0] ?? 0,
        };
        const measuredAt = new Date().toISOString();
        const checks = spec.checks(results, short);
        return { part: spec.name, short, measuredAt, machine, results: [...results], checks };
      }
    },
    async measureCase(index, short) {
      const one = spec.cases(short)[index];
      if (one === undefined) throw new RangeError(`${spec.name} has no case ${index}`);
      return spec.measure(one, short);
    },
  };
}

async function runInChild(part: string, index: number, copy: number, short: boolean) {
  const script = fileURLToPath(new URL('./run-case.ts', import.meta.url));
  const file = join(tmpdir(), `pg-cmk-bench-${process.pid}-${part}-${index}-${copy}.json`);
  const args = [part, String(index), file, ...(short ? ['--short'] : [])];
  const child = fork(script, args, { stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`${part}, case ${index}, ended with ${code}`);
  const result = JSON.parse(readFileSync(file, 'utf8'));
  rmSync(file);
  return result;
}
