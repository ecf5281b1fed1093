// Feeds a target, and judges what it does: a value or a typed refusal, in time, and of no more than a bounded size.
import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { CliError } from '../../cli/cli-error.ts';
import { CmkError } from '../../shared/domain/errors.ts';
import type { Recipe } from './edits.ts';
import type { Target } from './target.ts';

/** A busy machine stops anything for a while: of so many further tries the least counts. */
const TRIES = 10;
/** A fault is made smaller for so long. */
const SHRINK_MS = 3000;
/** What is in an error ends in a log line, an answer and the audit. */
const MOST_ERROR = 64 * 1024;
/** What is made of an input is no more than this many times as large, give or take. */
const GROWTH = 4;
const MOST_SMALL = 256 * 1024;

export interface Fault {
  readonly kind: 'untyped' | 'slow' | 'large';
  readonly message: string;
  /** The smallest that was found. */
  readonly example: string;
}

export interface TargetReport {
  readonly target: string;
  readonly inputs: number;
  readonly values: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly faults: readonly Fault[];
}

class Found extends Error {
  readonly kind: Fault['kind'];
  constructor(kind: Fault['kind'], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

type Outcome =
  | { readonly value: unknown; readonly code: null; readonly ms: number }
  | { readonly error: unknown; readonly code: string | undefined; readonly ms: number };

/** The code of an error that was thrown on purpose, and says what to do; undefined: it is no such error. */
function codeOf(error: unknown): string | undefined {
  if (error instanceof InvalidArgumentError) return 'InvalidArgument';
  const isOurs = error instanceof CmkError || error instanceof CliError;
  return isOurs && error.remedy !== '' ? error.code : undefined;
}

async function attempt(target: Target, input: unknown): Promise<Outcome> {
  const begin = performance.now();
  try {
    const given = target.parse(input);
    const value = given instanceof Promise ? await given : given;
    return { value, code: null, ms: performance.now() - begin };
  } catch (error) {
    return { error, code: codeOf(error), ms: performance.now() - begin };
  }
}

/** The least that this input takes, of the clock or of the processor, or whatever is no more than `mostMs`. */
export async function leastMs(
  target: Target,
  input: unknown,
  first: number,
  mostMs: number,
): Promise<number> {
  let least = first;
  for (let tries = 0; tries < TRIES && least > mostMs; tries += 1) {
    // No machine is busy in that way: more tries would only take longer.
    if (tries === 2 && least > 3 * mostMs) break;
    const before = process.threadCpuUsage();
    const { ms } = await attempt(target, input);
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, ms, (user + system) / 1000);
  }
  return least;
}

/** Characters and members of a value, counted up to `most`: as many times as they would be sent. */
export function sizeOf(value: unknown, most: number): number {
  let size = 0;
  const left: unknown[] = [value];
  while (left.length > 0 && size <= most) {
    const next = left.pop();
    size += typeof next === 'string' ? next.length : 1;
    if (typeof next !== 'object' || next === null) continue;
    if (ArrayBuffer.isView(next)) size += next.byteLength;
    else if (next instanceof Map) left.push(...next.keys(), ...next.values());
    else
      for (const [name, member] of Object.entries(next)) {
        size += name.length;
        left.push(member);
      }
  }
  return size;
}

function judge(target: Target, input: unknown, outcome: Outcome, ms: number, mostMs: number): void {
  if (ms > mostMs) throw new Found('slow', `it takes ${Math.round(ms)} ms`);
  if (outcome.code === null) {
    const most = GROWTH * sizeOf(input, 2 ** 24) + MOST_SMALL;
    if (sizeOf(outcome.value, most) > most) throw new Found('large', `what it gives is larger than ${most}`);
    return;
  }
  const { error, code } = outcome;
  if (code === undefined || !target.codes.includes(code))
    throw new Found('untyped', `it throws ${describe(error)}`, error);
  const told = error instanceof CmkError ? [error.message, error.remedy, error.detail] : String(error);
  if (sizeOf(told, MOST_ERROR) > MOST_ERROR)
    throw new Found('large', `its ${code} holds more than ${MOST_ERROR} characters`);
}

const describe = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message.slice(0, 200)}` : String(error);

export interface RunOptions {
  readonly runs: number;
  readonly seed: number;
  /** Longer than this no input may take, up to a megabyte. */
  readonly mostMs: number;
}

export async function runTarget(target: Target, { runs, seed, mostMs }: RunOptions): Promise<TargetReport> {
  const seen = { inputs: 0, values: 0, slowestMs: 0 };
  const refused = new Map<string, number>();
  let foundAt: number | null = null;
  const isSpent = () => foundAt !== null && performance.now() - foundAt > SHRINK_MS;
  const property = fc.asyncProperty(target.arbitrary, async (recipe: Recipe) => {
    if (isSpent()) return;
    const input = target.build(recipe);
    fc.pre(sizeOf(input, target.most) <= target.most);
    const outcome = await attempt(target, input);
    const ms = await leastMs(target, input, outcome.ms, mostMs);
    seen.inputs += 1;
    seen.slowestMs = Math.max(seen.slowestMs, ms);
    if (outcome.code === null) seen.values += 1;
    else if (outcome.code !== undefined) refused.set(outcome.code, (refused.get(outcome.code) ?? 0) + 1);
    try {
      judge(target, input, outcome, ms, mostMs);
    } catch (fault) {
      // What is slow is shown as it is: making it smaller takes as long each time.
      const isSlow = fault instanceof Found && fault.kind === 'slow';
      foundAt ??= isSlow ? Number.NEGATIVE_INFINITY : performance.now();
      throw fault;
    }
  });
  const { failed, counterexample, errorInstance } = await fc.check(property, {
    numRuns: runs,
    seed,
  });
  const faults = failed ? [toFault(target, counterexample?.[0], errorInstance)] : [];
  return { target: target.name, ...seen, refused: Object.fromEntries(refused), faults };
}

function toFault(target: Target, recipe: Recipe | undefined, error: unknown): Fault {
  const { kind, message } =
    error instanceof Found ? error : { kind: 'untyped' as const, message: describe(error) };
  const input = recipe === undefined ? undefined : target.build(recipe);
  return { kind, message, example: `${excerptOf(input)} made by ${JSON.stringify(recipe)}` };
}

function excerptOf(input: unknown): string {
  try {
    return (JSON.stringify(input) ?? String(input)).slice(0, 2000);
  } catch {
    return 'too deep to be shown';
  }
}
