import { describe, expect, test } from 'vitest';
import { makeWarnings } from '../../bench/bench-stack.ts';
import { fitLine } from '../../bench/growth.ts';
import { percentiles } from '../../bench/percentiles.ts';
import { addUp } from '../../bench/profile.ts';
import { drawChart, ticksTo } from '../../bench/svg-chart.ts';

describe('percentiles', () => {
  test('are of the nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentiles(hundred)).toEqual({ count: 100, p50: 50, p95: 95, p99: 99, max: 100 });
  });

  test('of few values, p99 is the largest', () => {
    expect(percentiles([3, 1, 2])).toEqual({ count: 3, p50: 2, p95: 3, p99: 3, max: 3 });
  });
});

describe('fitLine', () => {
  test('finds the line that points are on', () => {
    const { slope, intercept, r2 } = fitLine([1, 2, 5].map((x) => ({ x, y: 2 + 3 * x })));
    expect([slope, intercept, r2].map((value) => Number(value.toFixed(9)))).toEqual([3, 2, 1]);
  });

  test('says by r² that a curve is none', () => {
    expect(fitLine([1, 2, 3, 4].map((x) => ({ x, y: 2 ** (3 * x) }))).r2).toBeLessThan(0.8);
  });
});

describe('addUp', () => {
  test('adds self times by whose code it is, without what is idle', () => {
    const node = (id: number, functionName: string, url: string) => ({
      id,
      callFrame: { functionName, url, lineNumber: 0 },
    });
    const text = JSON.stringify({
      nodes: [
        node(1, '(idle)', ''),
        node(2, 'rewrap', 'file:///app/shared/operations/rewrap-deks.ts'),
        node(3, 'send', 'file:///app/node_modules/@azure/core-client/dist/x.js'),
      ],
      samples: [1, 2, 3, 3],
      timeDeltas: [5_000_000, 1_000_000, 2_000_000, 1_000_000],
    });
    expect(addUp(text)).toEqual({
      busySeconds: 4,
      groups: [
        { name: 'Azure SDK', share: 0.75 },
        { name: 'pg-cmk', share: 0.25 },
      ],
      functions: [
        { name: 'send, @azure/core-client/dist/x.js:1', share: 0.75 },
        { name: 'rewrap, shared/operations/rewrap-deks.ts:1', share: 0.25 },
      ],
    });
  });
});

describe('drawChart', () => {
  test.each([
    [100, [0, 20, 40, 60, 80, 100]],
    [7, [0, 2, 4, 6, 8]],
    [0.4, [0, 0.1, 0.2, 0.3, 0.4]],
  ])('has ticks up to %d', (max, ticks) => {
    expect(ticksTo(max)).toEqual(ticks);
  });

  test('puts every point inside the picture, and names in as text', () => {
    const points = [
      { x: 1, y: 0 },
      { x: 100, y: 50 },
    ];
    const svg = drawChart({
      title: 'A < B & C',
      xLabel: 'x',
      yLabel: 'y',
      logX: true,
      series: [{ name: 'one', points }],
    });
    expect(svg).toContain('A &lt; B &amp; C');
    expect(svg).toContain('points="64,348 696,44"');
  });
});

describe('makeWarnings', () => {
  test('keeps what a host warns of, and no more of it than anyone reads', () => {
    const { hear, all } = makeWarnings();
    hear('2026-01-02T03:04:05.678Z information rewrapDeks 1a2b3c4d: a warning was shown');
    hear('2026-01-02T03:04:05.678Z warning rewrapDeks: renewing message 1: no answer');
    hear('live-heap 123');
    expect(all).toEqual(['2026-01-02T03:04:05.678Z warning rewrapDeks: renewing message 1: no answer']);
    for (let line = 0; line < 200; line += 1) hear(`2026-01-02T03:04:05.678Z error host: ${line}`);
    expect(all).toHaveLength(100);
  });
});
