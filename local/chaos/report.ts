// What a run says at its end, as a table for people and as JSON for machines.
import { INVARIANTS, type Invariant } from './judge.ts';
import type { RoundReport } from './round.ts';

export interface ChaosReport {
  readonly held: boolean;
  readonly firstSeed: number;
  readonly startedAt: string;
  readonly seconds: number;
  readonly servers: number;
  readonly rounds: readonly RoundReport[];
  /** How many deeds of each kind were done. */
  readonly deeds: Readonly<Record<string, number>>;
  /** How many requests met each fault on the wires. */
  readonly faults: Readonly<Record<string, number>>;
  readonly violations: Readonly<Record<Invariant, number>>;
}

export function countViolations(rounds: readonly RoundReport[]): ChaosReport['violations'] {
  const all = rounds.flatMap(({ violations }) => violations);
  const count = (invariant: Invariant) => all.filter((one) => one.invariant === invariant).length;
  return Object.fromEntries(INVARIANTS.map((one) => [one, count(one)])) as ChaosReport['violations'];
}

/** Of sorted numbers; null of none. */
export function quantile(numbers: readonly number[], share: number): number | null {
  return numbers.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(numbers.length * share) - 1)] ?? null;
}

const seconds = (ms: number | null) => (ms === null ? '–' : `${(ms / 1000).toFixed(1)} s`);

export function formatRound({ seed, held, actions, ends, settledMs, restoredMs, ms }: RoundReport): string {
  const left = `${ends.payments}, ${ends.ledger}`;
  return [
    held ? '✔' : '✘',
    `seed ${String(seed).padEnd(6)}`,
    `${String(actions).padStart(2)} deeds`,
    `settled ${seconds(settledMs).padStart(7)}`,
    `restored ${seconds(restoredMs).padStart(7)}`,
    `round ${seconds(ms).padStart(7)}`,
    left,
  ].join('  ');
}

export function formatSummary(report: ChaosReport): string {
  const times = (pickMs: (round: RoundReport) => number | null) => {
    const numbers = report.rounds.map(pickMs).filter((ms) => ms !== null);
    return [0.5, 0.95, 1].map((share) => seconds(quantile(numbers, share)).padStart(8)).join('  ');
  };
  const failed = report.rounds.filter(({ held }) => !held);
  const faults = Object.values(report.faults).reduce((sum, count) => sum + count, 0);
  const deeds = Object.values(report.deeds).reduce((sum, count) => sum + count, 0);
  return [
    '',
    `${report.rounds.length} rounds, ${deeds} deeds, ${faults} requests that met a fault, ${report.seconds} s`,
    '',
    '                                                          median       p95       max',
    `  faults stopped → as the keys ask                      ${times(({ settledMs }) => settledMs)}`,
    `  keys given back → all open again                      ${times(({ restoredMs }) => restoredMs)}`,
    '',
    ...INVARIANTS.map((one) => {
      const count = report.violations[one];
      return `  ${count === 0 ? '✔' : '✘'} ${one}${count === 0 ? '' : `: broken ${count} times`}`;
    }),
    '',
    failed.length === 0
      ? `All ${report.rounds.length} rounds held.`
      : `${failed.length} of ${report.rounds.length} rounds did not hold: seeds ${failed.map(({ seed }) => seed).join(', ')}.`,
  ].join('\n');
}
