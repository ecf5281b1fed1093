// What a template of the Azure Developer CLI's gallery must have, and what a public repository should.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const workflows = readdirSync(join(root, '.github/workflows'));

test.each([
  'LICENSE',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'CODE_OF_CONDUCT.md',
  'CHANGELOG.md',
  '.github/ISSUE_TEMPLATE',
  '.github/PULL_REQUEST_TEMPLATE.md',
  '.github/dependabot.yml',
  '.github/workflows/azure-dev.yml',
  '.github/workflows/codeql.yml',
  '.devcontainer/devcontainer.json',
])('has %s', (path) => {
  expect(existsSync(join(root, path))).toBe(true);
});

describe('workflows', () => {
  test.each(workflows)('%s pins every action by commit, with its version beside', (name) => {
    const uses = [...read(`.github/workflows/${name}`).matchAll(/uses: (.+)$/gm)].map(([, used]) => used);
    expect(uses.length).toBeGreaterThan(0);
    expect(
      uses.filter((used) => !/^[\w-]+\/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(used ?? '')),
    ).toEqual([]);
  });

  test.each(workflows)('%s begins with no more than the right to read', (name) => {
    expect(read(`.github/workflows/${name}`)).toMatch(/^permissions:\n {2}contents: read\n/m);
  });

  test('deploys with a federated identity and no secret', () => {
    const text = read('.github/workflows/azure-dev.yml');
    expect(text).toContain('id-token: write');
    expect(text).not.toMatch(/secrets\./);
  });
});
