// The documentation against the code: a runbook section for every reason and error code and for nothing else, and
// links that lead somewhere.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { REMEDIES } from '../shared/domain/reason.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** The codes, from the source: a type leaves no list at run time. */
function readErrorCodes(): readonly string[] {
  const [, union] =
    /export type ErrorCode =([^;]*);/.exec(stripComments(read('shared/domain/errors.ts'))) ?? [];
  return [...(union ?? '').matchAll(/'(\w+)'/g)].map(([, code = '']) => code);
}

const stripComments = (source: string) => source.replaceAll(/\/\/.*$/gm, '');

const readSections = (path: string): readonly string[] =>
  [...read(path).matchAll(/^## (.+)$/gm)].map(([, name = '']) => name.trim());

function listMarkdown(): readonly string[] {
  const top = readdirSync(root).filter((name) => name.endsWith('.md'));
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name));
  return [...top, ...docs];
}

const withoutFences = (markdown: string) => markdown.replaceAll(/^```[\s\S]*?^```/gm, '');
const withoutCode = (markdown: string) => withoutFences(markdown).replaceAll(/`[^`\n]*`/g, '');

/** Relative links of a page, without their anchors. */
const readLinks = (path: string): readonly string[] =>
  [...withoutCode(read(path)).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z]+:/i.test(link) && !link.startsWith('#'))
    .map((link) => link.replace(/#.*$/, ''));

/** The anchors of a page's headings, as GitHub makes them. */
const anchorsOf = (path: string): ReadonlySet<string> =>
  new Set(
    [...withoutFences(read(path)).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );

describe('the runbook', () => {
  const sections = readSections('docs/runbook.md');
  const names = new Set([...Object.keys(REMEDIES), ...readErrorCodes()]);

  test('reads the codes from the source', () => {
    expect(readErrorCodes()).toContain('InvalidConfig');
    expect(readErrorCodes()).toContain('PublishFailed');
  });

  test('has a section for every reason and every code', () => {
    expect([...names].filter((name) => !sections.includes(name))).toEqual([]);
  });

  test('has no section for anything else', () => {
    expect(sections.filter((name) => !names.has(name))).toEqual([]);
  });

  test('has each section once', () => {
    expect(sections.filter((name, index) => sections.indexOf(name) !== index)).toEqual([]);
  });
});

describe('links', () => {
  const pages = listMarkdown();

  test('are looked for where there are some', () => {
    expect(pages).toContain('README.md');
    expect(readLinks('README.md').length).toBeGreaterThan(0);
  });

  test.each(pages)('of %s lead to files', (page) => {
    const missing = readLinks(page).filter((link) => !existsSync(join(root, dirname(page), link)));
    expect(missing).toEqual([]);
  });

  test.each(pages)('of %s with an anchor lead to a heading', (page) => {
    const anchored = [...withoutCode(read(page)).matchAll(/\]\(([^)\s:]*)#([^)\s]+)\)/g)];
    const missing = anchored
      .map(([, path = '', anchor = '']) => ({
        target: path === '' ? page : relative('.', join(dirname(page), path)),
        anchor,
      }))
      .filter(({ target, anchor }) => target.endsWith('.md') && !anchorsOf(target).has(anchor));
    expect(missing).toEqual([]);
  });
});

test('every package has its line in decision 0001', () => {
  const manifest: Readonly<Record<string, Readonly<Record<string, string>>>> = JSON.parse(
    read('package.json'),
  );
  const page = read('docs/decisions/0001-dependencies.md');
  const packages = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) =>
    Object.keys(manifest[kind] ?? {}),
  );
  expect(packages.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
