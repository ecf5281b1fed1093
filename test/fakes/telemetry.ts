// A Meter that remembers what it was told.
import type { Counters, Duration, Meter, Reading } from '../../shared/ports/telemetry.ts';

interface Counted {
  readonly name: keyof Counters;
  readonly amount: number;
  readonly attributes: Readonly<Record<string, string>>;
}

export class CollectingMeter implements Meter {
  readonly counts: Counted[] = [];
  readonly times: { readonly name: Duration; readonly ms: number }[] = [];
  shown: { readonly readings: readonly Reading[]; readonly seconds: number } | null = null;

  count<N extends keyof Counters>(name: N, amount: number, attributes: Counters[N]): void {
    this.counts.push({ name, amount, attributes: { ...attributes } });
  }

  time(name: Duration, ms: number): void {
    this.times.push({ name, ms });
  }

  show(readings: readonly Reading[], seconds: number): void {
    this.shown = { readings, seconds };
  }

  /** What was counted under that name, all attributes together, or those that are given. */
  sum(name: keyof Counters, attributes: Readonly<Record<string, string>> = {}): number {
    return this.counts
      .filter((one) => one.name === name)
      .filter((one) => Object.entries(attributes).every(([key, value]) => one.attributes[key] === value))
      .reduce((total, { amount }) => total + amount, 0);
  }

  timesOf(name: Duration): readonly number[] {
    return this.times.filter((one) => one.name === name).map(({ ms }) => ms);
  }
}
