// What most of many measurements were.

export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** The nearest rank: of 100 values the 99th is p99. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

export const showMs = ({ p50, p95, max }: Percentiles): string =>
  `${p50.toFixed(0)} / ${p95.toFixed(0)} / ${max.toFixed(0)} ms`;
