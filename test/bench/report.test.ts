import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fillBlocks } from '../../bench/fill-blocks.ts';
import type { Check } from '../../bench/part.ts';
import { makeCharts } from '../../bench/report-charts.ts';
import { makeTables } from '../../bench/report-tables.ts';
import { readResults } from '../../bench/results-file.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('docs/performance.md', () => {
  const page = read('docs/performance.md');
  const results = readResults();

  test('has the tables that are made from what was measured, and no other figures in them', () => {
    expect(fillBlocks(page, makeTables(results))).toBe(page);
  });

  test('has every table', () => {
    const blocks = [...page.matchAll(/<!-- bench:([a-z-]+) -->/g)].map(([, name]) => name);
    expect(blocks.toSorted()).toEqual(Object.keys(makeTables(results)).toSorted());
  });

  test('shows the picture of every curve, as it was measured', () => {
    const charts = makeCharts(results);
    expect(readdirSync(new URL('../../docs/performance/', import.meta.url)).toSorted()).toEqual(
      Object.keys(charts).toSorted(),
    );
    for (const [name, svg] of Object.entries(charts)) {
      expect(read(`docs/performance/${name}`)).toBe(svg);
      expect(page).toContain(`(performance/${name})`);
    }
  });

  test('names the targets that are missed, and says of each why', () => {
    const checks: readonly Check[] = Object.values(results).flatMap((record) => record.checks);
    const missed = checks.filter(({ met }) => !met);
    for (const { name } of missed) expect(page).toContain(`| **not met** | ${name} |`);
    if (missed.length > 0) expect(page).toContain('## What is missed, and why');
  });

  test('was measured in full, not by the short bench', () => {
    expect(Object.values(results).filter(({ short }) => short)).toEqual([]);
  });
});

describe('fillBlocks', () => {
  const page = 'before\n<!-- bench:one -->\nold\n<!-- /bench -->\nafter\n';

  test('replaces what is between the marks, and only that', () => {
    expect(fillBlocks(page, { one: 'new' })).toBe(
      'before\n<!-- bench:one -->\nnew\n<!-- /bench -->\nafter\n',
    );
  });

  test('refuses a block that nobody makes', () => {
    expect(() => fillBlocks(page, {})).toThrow('there is no block one');
  });
});
