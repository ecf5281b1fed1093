// Alerts and workbook against what the docs say of them, the sources and the runbook.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { bicep, evaluate, type Resource } from './evaluate.ts';
import { compare, readAt } from './find-faults.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');
const page = read('docs/infrastructure.md');
const firstCells = (heading: string): readonly string[] =>
  [...(page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '').matchAll(/^\| `([^`]+)`/gm)].map(
    ([, cell = '']) => cell,
  );

const anchors = new Set(
  [...read('docs/runbook.md').matchAll(/^## (.+)$/gm)].map(([, name = '']) => name.toLowerCase()),
);
const metrics = firstCells('Metrics');
const sources = globSync(['shared/**/*.ts', 'functions/**/*.ts'], { cwd: root }).map(read).join('\n');
const metricsIn = (text: string) => [...text.matchAll(/pgcmk\.[a-z.]+/g)].map(([name]) => name);
const linesIn = (text: string) =>
  [...text.matchAll(/Message has \\?"([^"\\]+)/g)].map(([, line = '']) => line);

describe.skipIf(bicep === null)('alerts', () => {
  let alerts: readonly Resource[];
  const queryOf = (one: Resource) => JSON.stringify(readAt(one, 'criteria'));

  beforeAll(() => {
    const { resources } = evaluate('main', {
      AZURE_ENV_NAME: 'test',
      AZURE_LOCATION: 'westeurope',
      PGCMK_DEPLOY_VAULTS: JSON.stringify([{ name: 'one', resourceGroup: 'rg', keys: ['k'] }]),
    });
    alerts = resources.filter(({ type }) => /scheduledQueryRules$|metricAlerts$/.test(type));
  }, 120_000);

  test('are those of the docs, one for dead letters at each topic', () => {
    const names = alerts.map(({ name, type }) =>
      type.endsWith('metricAlerts') ? 'dead-letters' : name.replace(/^pgcmk-[a-z0-9]+-/, ''),
    );
    expect(compare('an alert', names, firstCells('Alerts'))).toEqual([]);
    expect(names.filter((name) => name === 'dead-letters')).toHaveLength(2);
  });

  test('each lead to a section of the runbook that is there, and to somebody', () => {
    for (const one of alerts) {
      expect(anchors).toContain(String(readAt(one, 'description')).split('#')[1]);
      expect(JSON.stringify(readAt(one, 'actions'))).toContain('/actionGroups/');
    }
  });

  test('look for metrics of the docs, and for lines and functions that are in the sources', () => {
    const queries = alerts.map(queryOf).join('\n');
    expect(metricsIn(queries).length).toBeGreaterThan(5);
    expect(metricsIn(queries).filter((name) => !metrics.includes(name))).toEqual([]);
    expect(linesIn(queries).length).toBeGreaterThan(2);
    expect(linesIn(queries).filter((line) => !sources.includes(line))).toEqual([]);
    expect(queries).toContain('probeKeks');
  });
});

describe('the workbook', () => {
  const workbook = read('infra/app/workbook.json');

  test('shows every metric of the docs and no other', () => {
    expect(compare('a metric', metricsIn(workbook), metrics)).toEqual([]);
  });

  test('is JSON of queries with titles', () => {
    const { items } = JSON.parse(workbook);
    const queries = items.filter((item: { type: number }) => item.type === 3);
    expect(queries.length).toBeGreaterThan(10);
    for (const { content } of queries) expect([content.query, content.title].filter(Boolean)).toHaveLength(2);
  });
});
