// What a template of the Azure Developer CLI's gallery must have, and what a public repository should.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ROLES } from '../shared/domain/caller.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
/** What stands under a heading of the second level, up to the next. */
function sectionOf(path: string, title: string): string {
  const [, ...after] = read(path).split(`\n## ${title}\n`);
  return (after[0] ?? '').split('\n## ')[0] ?? '';
}
const workflows = readdirSync(join(root, '.github/workflows'));

describe('the gallery of templates asks for', () => {
  // microsoft/template-validation-action, its rules; what it tries in Azure, nobody here can.
  test.each([
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
    'CODE_OF_CONDUCT.md',
    'azure.yaml',
    'infra/main.bicep',
    '.github/PULL_REQUEST_TEMPLATE.md',
    '.github/workflows/azure-dev.yml',
    '.devcontainer/devcontainer.json',
  ])('%s', (path) => {
    expect(read(path).trim()).not.toBe('');
  });

  test.each(['Features', 'Getting Started', 'Guidance', 'Resources'])(
    'the section "%s" of the README',
    (title) => {
      expect(sectionOf('README.md', title).length).toBeGreaterThan(100);
    },
  );

  test('the parts of Guidance: regions, quotas, costs with a formula, security', () => {
    const guidance = sectionOf('README.md', 'Guidance');
    for (const part of ['Regions', 'Quotas', 'Costs', 'Security'])
      expect(guidance).toMatch(new RegExp(`^\\*\\*${part}\\b`, 'm'));
    expect(guidance).toMatch(/^USD ≈ .*keys.*servers$/m);
  });

  test('how to begin, in one command in Azure and two here', () => {
    const commands = sectionOf('README.md', 'Getting Started');
    for (const command of ['npm ci && npm run demo', 'npm ci && npm test', 'azd up'])
      expect(commands).toContain(command);
  });

  test('the name and the version of the template, those of the package', () => {
    const { name, version }: { name: string; version: string } = JSON.parse(read('package.json'));
    expect(/^metadata:\n {2}template: (.+)$/m.exec(read('azure.yaml'))?.[1]).toBe(`${name}@${version}`);
  });

  test('forms for issues, that ask for what is needed', () => {
    const forms = readdirSync(join(root, '.github/ISSUE_TEMPLATE'));
    expect(forms.length).toBeGreaterThanOrEqual(2);
    for (const form of forms)
      expect(read(`.github/ISSUE_TEMPLATE/${form}`)).toMatch(/^name: .+\ndescription: .+\nbody:/);
  });

  test('a way to report a weakness', () => {
    expect(sectionOf('SECURITY.md', 'Reporting')).toMatch(/privately/);
  });

  test('a devcontainer with azd and the Azure CLI', () => {
    const { features }: { features: Readonly<Record<string, unknown>> } = JSON.parse(
      read('.devcontainer/devcontainer.json'),
    );
    expect(Object.keys(features).map((name) => name.replace(/:.*$/, ''))).toEqual(
      expect.arrayContaining(['ghcr.io/azure/azure-dev/azd', 'ghcr.io/devcontainers/features/azure-cli']),
    );
  });
});

test.each(['CHANGELOG.md', '.github/dependabot.yml', '.github/workflows/codeql.yml'])('has %s', (path) => {
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
    expect(text).toContain('run: azd up --no-prompt');
    expect(text).toContain('id-token: write');
    expect(text).not.toMatch(/secrets\./);
  });

  // A parameter that is left out would be deployed with its default: without an issuer the API answers nobody.
  test('deploys with every parameter that is a variable of the repository', () => {
    const [, filter = ''] = /jq -r '(.+)'/.exec(read('.github/workflows/azure-dev.yml')) ?? [];
    const names = [...read('infra/main.bicepparam').matchAll(/'(PGCMK_DEPLOY_\w+)'/g)].map(
      ([, name = '']) => name,
    );
    expect(names.length).toBeGreaterThan(5);
    const value = '[{"name": "contoso"}]\nand a line';
    const variables = Object.fromEntries([...names, 'AZURE_LOCATION'].map((name) => [name, value]));
    const run = spawnSync('jq', ['-r', filter], { input: JSON.stringify(variables), encoding: 'utf8' });
    // Runners have jq; without one here the filter can only be read.
    if (run.error !== undefined) return expect(filter).toContain('startswith("PGCMK_DEPLOY_")');
    expect(run.stdout).toBe(names.map((name) => `${name}<<END_OF_VALUE\n${value}\nEND_OF_VALUE\n`).join(''));
  });
});

describe('docs/entra-app.json', () => {
  const app: {
    api: { requestedAccessTokenVersion: number };
    appRoles: readonly {
      id: string;
      value: string;
      allowedMemberTypes: readonly string[];
      isEnabled: boolean;
    }[];
  } = JSON.parse(read('docs/entra-app.json'));

  test('has the roles of the API, each with an id of its own', () => {
    expect(app.appRoles.map(({ value }) => value).toSorted()).toEqual([...ROLES].toSorted());
    expect(new Set(app.appRoles.map(({ id }) => id)).size).toBe(ROLES.length);
    for (const { id, isEnabled, allowedMemberTypes } of app.appRoles) {
      expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      expect(isEnabled).toBe(true);
      expect(allowedMemberTypes).toContain('Application');
    }
  });

  test('asks for tokens of version 2, whose issuer the deploy guide names', () => {
    expect(app.api.requestedAccessTokenVersion).toBe(2);
    expect(read('docs/deploying.md')).toContain('/v2.0"');
  });
});
