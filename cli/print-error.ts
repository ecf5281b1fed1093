// An error for people: one line what, one line what to do, and the code; with `-o json` as one line of JSON.
import { describeError, isCmkError } from '../shared/domain/errors.ts';
import { CliError, cliError } from './cli-error.ts';
import { ApiProblem } from './client.ts';
import type { GlobalOptions } from './context.ts';
import type { CliIo } from './io.ts';
import { makePaint, plain } from './paint.ts';

/** Whatever was thrown, as an end with a reason. */
export function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (isCmkError(error)) return cliError('UsageWrong', error.message, error.remedy, error);
  return cliError(
    'Unexpected',
    describeError(error),
    'This is a fault of pg-cmk: please report it, with the command and this line.',
    error,
  );
}

export function printError(
  { stderr, env }: Pick<CliIo, 'stderr' | 'env'>,
  output: GlobalOptions['output'],
  error: CliError,
): void {
  const faults = error instanceof ApiProblem ? error.faults : [];
  const members = error instanceof ApiProblem ? error.members : {};
  if (output === 'json') {
    const { code, message, remedy } = error;
    const status = error instanceof ApiProblem ? { status: error.status } : {};
    stderr.write(`${JSON.stringify({ error: { code, ...status, message, remedy, faults, ...members } })}\n`);
    return;
  }
  const paint = makePaint(stderr, env);
  stderr.write(`${paint('bad', 'error')}: ${plain(error.message)} [${plain(error.code)}]\n`);
  const lines = [
    ...faults.map(({ pointer, message }) => `${pointer || '/'}: ${message}`),
    ...toLines(members, error.remedy),
  ];
  // A single fault is the sentence itself.
  for (const text of lines) if (text !== error.message) stderr.write(`  ${plain(text)}\n`);
  stderr.write(`${plain(error.remedy)}\n`);
}

/** What a problem says beyond its sentence: a line for each failed check or dependent, and each plain member. */
function toLines(members: ApiProblem['members'], said: string): readonly string[] {
  return Object.entries(members).flatMap(([name, value]) =>
    Array.isArray(value) ? value.flatMap((one) => toLine(one, said)) : toMember(name, value),
  );
}

const toMember = (name: string, value: unknown): readonly string[] =>
  typeof value === 'string' || typeof value === 'number' ? [`${name}: ${value}`] : [];

/** @param said the remedy that comes last anyway */
function toLine(one: unknown, said: string): readonly string[] {
  if (typeof one !== 'object' || one === null) return [String(one)];
  const { outcome, code, message, remedy, kind, count, examples }: Readonly<Record<string, unknown>> = {
    ...one,
  };
  if (kind !== undefined && count !== undefined) {
    const among = Array.isArray(examples) && examples.length > 0 ? `: ${examples.join(', ')}` : '';
    return [`${count} × ${kind}${among}`];
  }
  if (outcome === 'passed' || outcome === 'skipped') return [];
  const isNews = typeof remedy === 'string' && remedy !== said;
  if (code !== undefined) return [`${code}: ${message}${isNews ? ` ${remedy}` : ''}`];
  return [JSON.stringify(one)];
}
