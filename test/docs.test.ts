// The documentation against the code: a runbook section for every reason and error code and for nothing else, and
// links that lead somewhere.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ROLES } from '../shared/domain/caller.ts';
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

describe('every page', () => {
  const pages = listMarkdown();
  /** The pages that a page links; with a folder, those in it. */
  const linkedFrom = (page: string): readonly string[] =>
    readLinks(page)
      .map((link) => relative('.', join(dirname(page), link)))
      .flatMap((path) => pages.filter((one) => one === path || dirname(one) === path));
  const direct = linkedFrom('README.md');
  const reached = new Set(['README.md', ...direct, ...direct.flatMap(linkedFrom)]);

  test.each(pages)('%s is at most two links from the README', (page) => {
    expect(reached).toContain(page);
  });
});

describe('tests that a page names', () => {
  const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const namedIn = (page: string): readonly string[] =>
    [...withoutFences(read(page)).matchAll(/`(?:test\/)?([\w/-]+\.test\.ts)`/g)].map(([, path = '']) => path);

  test.each(listMarkdown())('%s: are there', (page) => {
    const missing = namedIn(page).filter(
      (path) => !tests.some((one) => one === path || one.endsWith(`/${path}`)),
    );
    expect(missing).toEqual([]);
  });

  test.each(['docs/security.md', 'docs/upgrading.md'])('%s: hold what it claims', (page) => {
    expect(namedIn(page).length).toBeGreaterThan(5);
  });
});

describe('the security model', () => {
  const page = read('docs/security.md');

  test('names invariants that are there', () => {
    const named = [...page.matchAll(/\bI-\d\d\b/g)].map(([label]) => label);
    const held = new Set(
      [...read('docs/architecture.md').matchAll(/^\| (I-\d\d) \|/gm)].map(([, label]) => label),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((label) => !held.has(label))).toEqual([]);
  });

  test.each(ROLES)('says what %s may, and what a stolen token with it gives', (role) => {
    const [, may = '', gives = ''] = page.split(/^## (?:Who may do what|What an attacker gets)$/m);
    expect(may).toContain(`| \`${role}\` |`);
    expect(gives).toContain(`\`${role}\``);
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
