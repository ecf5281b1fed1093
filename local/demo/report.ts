// What the demo says when it is done, as a table for people and as JSON for machines.

export interface StepReport {
  readonly name: string;
  readonly held: boolean;
  readonly expected: string;
  readonly observed: string;
  /** From the deed to the moment when all of it was seen. */
  readonly ms: number;
  /** Requests that the vaults answered in that time, by kind; `unwrapkey:64` are DEKs, `unwrapkey:32` canaries. */
  readonly vaultCalls: Readonly<Record<string, number>>;
}

export interface DemoReport {
  readonly held: boolean;
  readonly servers: number;
  readonly steps: readonly StepReport[];
}

const colours = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
const paint = (code: number, text: string) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

export const bold = (text: string): string => paint(1, text);
export const dim = (text: string): string => paint(2, text);

/** One line of the timeline, with what was seen below it. */
export function formatStep(step: StepReport, index: number, since: number): string {
  const mark = step.held ? paint(32, '✔') : paint(31, '✘');
  const at = `${(since / 1000).toFixed(1).padStart(6)} s`;
  const took = dim(`${(step.ms / 1000).toFixed(1)} s`);
  const calls = Object.entries(step.vaultCalls)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
  return [
    `${dim(at)}  ${mark} ${String(index + 1).padStart(2)}. ${bold(step.name)}  ${took}`,
    `            expected  ${step.expected}`,
    `            observed  ${step.held ? step.observed : paint(31, step.observed)}`,
    dim(`            vault     ${calls === '' ? 'no calls' : calls}`),
  ].join('\n');
}

export function formatSummary(report: DemoReport, ms: number): string {
  const failed = report.steps.filter((step) => !step.held);
  const verdict = report.held
    ? paint(32, `All ${report.steps.length} steps held`)
    : paint(
        31,
        `${failed.length} of ${report.steps.length} steps did not hold: ${failed.map((step) => step.name).join('; ')}`,
      );
  return `\n${verdict}, in ${(ms / 1000).toFixed(0)} s.`;
}
