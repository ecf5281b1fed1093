// node local/chaos/draw.ts FILE…: one run, or several as one, into docs/reliability: the report, a picture of how long
// each round took to settle, and the table in docs/reliability.md between its marks.
import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { quantile } from './report.ts';

const round = z.looseObject({
  seed: z.int(),
  held: z.boolean(),
  settledMs: z.number().nullable(),
  restoredMs: z.number().nullable(),
});
const counts = z.record(z.string(), z.number());
const report = z.looseObject({
  held: z.boolean(),
  firstSeed: z.int(),
  startedAt: z.string(),
  seconds: z.number(),
  rounds: z.array(round),
  deeds: counts,
  faults: counts,
  violations: counts,
});
type Report = z.infer<typeof report>;
type Round = z.infer<typeof round>;

function add(all: readonly z.infer<typeof counts>[]): z.infer<typeof counts> {
  const sum = new Map<string, number>();
  for (const one of all)
    for (const [name, times] of Object.entries(one)) sum.set(name, (sum.get(name) ?? 0) + times);
  return Object.fromEntries([...sum].toSorted());
}

function merge(reports: readonly [Report, ...Report[]]): Report {
  const [first] = reports;
  return {
    ...first,
    held: reports.every(({ held }) => held),
    firstSeed: Math.min(...reports.map(({ firstSeed }) => firstSeed)),
    seconds: reports.reduce((sum, { seconds }) => sum + seconds, 0),
    rounds: reports.flatMap(({ rounds }) => rounds).toSorted((a, b) => a.seed - b.seed),
    deeds: add(reports.map(({ deeds }) => deeds)),
    faults: add(reports.map(({ faults }) => faults)),
    violations: add(reports.map(({ violations }) => violations)),
  };
}

const WIDTH = 900;
const HEIGHT = 300;
const MARGIN = { left: 56, right: 12, top: 40, bottom: 36 };

/** One dot a round; the scale of time is logarithmic. */
function draw(rounds: readonly Round[]): string {
  const seeds = rounds.map(({ seed }) => seed);
  const [from, to] = [Math.min(...seeds), Math.max(...seeds)];
  const longest = Math.max(
    ...rounds.map(({ settledMs, restoredMs }) => Math.max(settledMs ?? 0, restoredMs ?? 0)),
    1000,
  );
  const [low, high] = [Math.log10(0.1), Math.log10(longest / 1000) + 0.1];
  const x = (seed: number) =>
    MARGIN.left + ((seed - from) / Math.max(1, to - from)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (ms: number) => {
    const share = (Math.log10(Math.max(ms / 1000, 0.1)) - low) / (high - low);
    return HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.top - MARGIN.bottom);
  };
  const dot = (seed: number, ms: number | null, colour: string) =>
    ms === null ? '' : `<circle cx="${x(seed).toFixed(1)}" cy="${y(ms).toFixed(1)}" r="3" fill="${colour}"/>`;
  const lines = [0.1, 1, 10, 100]
    .filter((seconds) => Math.log10(seconds) <= high)
    .map((seconds) => {
      const at = y(seconds * 1000).toFixed(1);
      return `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}" stroke="#ccc"/><text x="${MARGIN.left - 6}" y="${at}" text-anchor="end" dominant-baseline="middle">${seconds} s</text>`;
    });
  const legend = [
    ['#1f6feb', 'faults stopped → as the keys ask'],
    ['#d29922', 'keys given back → all open again'],
  ].map(
    ([colour, text], index) =>
      `<circle cx="${MARGIN.left + 8 + index * 280}" cy="18" r="4" fill="${colour}"/><text x="${MARGIN.left + 18 + index * 280}" y="18" dominant-baseline="middle">${text}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#444" role="img" aria-label="Time to settle of each round">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...legend,
    ...lines,
    ...rounds.map(({ seed, settledMs }) => dot(seed, settledMs, '#1f6feb')),
    ...rounds.map(({ seed, restoredMs }) => dot(seed, restoredMs, '#d29922')),
    `<text x="${MARGIN.left}" y="${HEIGHT - 12}">seed ${from}</text>`,
    `<text x="${WIDTH - MARGIN.right}" y="${HEIGHT - 12}" text-anchor="end">seed ${to}</text>`,
    '</svg>\n',
  ].join('\n');
}

const seconds = (ms: number | null) => (ms === null ? '–' : `${(ms / 1000).toFixed(1)} s`);

/** The part of the page that a run is told in. */
function tell({ rounds, deeds, faults, violations, firstSeed, seconds: took, startedAt }: Report): string {
  const total = (one: z.infer<typeof counts>) => Object.values(one).reduce((sum, times) => sum + times, 0);
  const times = (pick: (round: Round) => number | null) => {
    const numbers = rounds.map(pick).filter((ms) => ms !== null);
    return `${numbers.length} | ${[0.5, 0.95, 1].map((share) => seconds(quantile(numbers, share))).join(' | ')}`;
  };
  const failed = rounds.filter(({ held }) => !held).map(({ seed }) => seed);
  const rows = Object.entries(violations).map(([name, times]) => `| ${name} | ${times} |`);
  const list = (one: z.infer<typeof counts>) =>
    Object.entries(one)
      .map(([name, times]) => `${name} ${times}`)
      .join(', ');
  return [
    `${rounds.length} rounds from seed ${firstSeed}, begun ${startedAt.slice(0, 10)}, in ${(took / 60).toFixed(0)} minutes: ${total(deeds)} deeds, ${total(faults)} requests that met a fault. ${failed.length === 0 ? 'All held.' : `${failed.length} did not hold: seeds ${failed.join(', ')}.`}`,
    '',
    '| from … to … | rounds | median | p95 | max |',
    '|---|---|---|---|---|',
    `| faults stopped → as the keys ask | ${times(({ settledMs }) => settledMs)} |`,
    `| keys given back → all open again | ${times(({ restoredMs }) => restoredMs)} |`,
    '',
    '| invariant | times broken |',
    '|---|---|',
    ...rows,
    '',
    '![Time to settle of each round](reliability/chaos.svg)',
    '',
    `Deeds: ${list(deeds)}.`,
    '',
    `Requests that met a fault: ${list(faults)}. All of it: [chaos.json](reliability/chaos.json).`,
  ].join('\n');
}

const files = process.argv.slice(2);
const [first, ...others] = await Promise.all(
  files.map(async (file) => report.parse(JSON.parse(await readFile(file, 'utf8')))),
);
if (first === undefined) throw new RangeError('node local/chaos/draw.ts FILE…');
const whole = merge([first, ...others]);
const docs = new URL('../../docs/', import.meta.url);
await writeFile(new URL('reliability/chaos.json', docs), `${JSON.stringify(whole, null, 1)}\n`);
await writeFile(new URL('reliability/chaos.svg', docs), draw(whole.rounds));
const page = new URL('reliability.md', docs);
const text = await readFile(page, 'utf8');
const MARKED = /(<!-- chaos -->\n)[\s\S]*(\n<!-- \/chaos -->)/;
if (!MARKED.test(text)) throw new RangeError('docs/reliability.md has no marks for a run');
await writeFile(
  page,
  text.replace(MARKED, (_, open: string, close: string) => `${open}${tell(whole)}${close}`),
);
