// Every parser at the boundary, fed with near-valid inputs: a value or a typed error, in time, of a bounded size.
// `npm run fuzz` feeds them a million; `FC_RUNS` sets how many each is fed here.
import { describe, expect, test } from 'vitest';
import { findSlow } from './growth.ts';
import { runTarget } from './run-target.ts';
import { targets } from './targets.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 100);
/** The same inputs each time: what is new is found by the long run. */
const SEED = 5;
/**
 * Not the 50 ms of the long run: coverage makes a loop over a megabyte several times as slow, and a test is no
 * stopwatch. A reader whose time grows faster than its input takes longer than this all the same.
 */
const MOST_MS = 1000;

test('every target is there once', () => {
  const names = targets.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

describe.each(targets)('$name', (target) => {
  test('takes its examples', async () => {
    expect(target.examples.length).toBeGreaterThan(0);
    for (const base of target.examples.keys()) await target.parse(target.build({ base, edits: [] }));
  });

  test('gives a value or an error of its own, in time', { timeout: 300_000 }, async () => {
    const report = await runTarget(target, { runs: RUNS, seed: SEED, mostMs: MOST_MS });
    expect(report.faults).toEqual([]);
    expect(report.values).toBeGreaterThan(0);
  });
});

describe('text that makes a careless reader slow', () => {
  const texts = targets.filter(({ isText, share }) => isText && share === 1);
  test.each(texts)('$name takes it in time', { timeout: 300_000 }, async (target) => {
    const pieces = process.env['FC_RUNS'] === undefined ? [',', '/', ' ', '['] : undefined;
    expect(await findSlow(target, MOST_MS, pieces)).toEqual([]);
  });
});
