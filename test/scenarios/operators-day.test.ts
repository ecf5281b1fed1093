// An operator's day through the command line: it must come to its end, and look as docs/operators-day.md says.
import { readFileSync } from 'node:fs';
import { expect, onTestFailed, test } from 'vitest';
import { runDay } from '../../local/day/start-day.ts';

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/"[\w-]{40,}"/g, '<etag>'],
  [/\b[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}\b/g, '<jws>'],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<id>'],
  [/\b[0-9a-f]{7,64}\b…?/g, '<hex>'],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?/g, '<time>'],
  [/127\.0\.0\.1:\d+/g, '<host>'],
  [/\b[\w-]{43}\b/g, '<thumbprint>'],
  [/\d+(?:[.,]\d+)*/g, '<n>'],
  [/<n> (?:ms|s|min)\b/g, '<duration>'],
  // How far a worker is when the answer is given; what it must come to is waited for in the play itself.
  [
    /^([\w<>-]+(?:| is registered| is a \w+ of [\w<>-]+): )(?:PendingKey|Ready|Re\w+ing|Inaccessible)\b/gm,
    '$1<state>',
  ],
];

/** What differs from day to day made equal: names, times, amounts, and the widths of tables. */
const normalise = (page: string): readonly string[] =>
  PATTERNS.reduce((text, [pattern, name]) => text.replaceAll(pattern, name), page)
    .split('\n')
    .map((line) =>
      line
        .replaceAll(/[─━═-]{2,}/g, '--')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    );

test('comes to its end, and looks as its page says', async () => {
  let chapter = 'the start';
  onTestFailed(() => console.error(`it was at: ${chapter}`));
  const page = await runDay((title) => {
    chapter = title;
  });
  const committed = readFileSync('docs/operators-day.md', 'utf8');
  expect(normalise(page)).toEqual(normalise(committed));
}, 480_000);
