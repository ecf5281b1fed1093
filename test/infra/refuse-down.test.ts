import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { refuseDown } from '../../scripts/refuse-down.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const VAULT = JSON.stringify([{ name: 'contoso', resourceGroup: 'rg-contoso', keys: ['orders'] }]);
const SECRET = JSON.stringify([
  { setting: 'PGCMK_SIGNING_KEY', vault: 'ops', resourceGroup: 'rg-ops', secret: 'signing' },
]);

describe('azd down is refused while the deployment reaches into the resource group of', () => {
  test.each([
    ['a vault', { PGCMK_DEPLOY_VAULTS: VAULT }, ['rg-contoso']],
    ['a secret', { PGCMK_DEPLOY_SECRETS: SECRET }, ['rg-ops']],
    [
      'both',
      { PGCMK_DEPLOY_VAULTS: VAULT, PGCMK_DEPLOY_SECRETS: SECRET, PGCMK_DEPLOY_OTHER_GROUPS: 'rg-contoso' },
      ['rg-contoso', 'rg-ops'],
    ],
    [
      'a vault that is no longer a parameter, but was deployed last',
      { PGCMK_DEPLOY_VAULTS: '[]', PGCMK_DEPLOY_OTHER_GROUPS: 'rg-contoso,rg-ops' },
      ['rg-contoso', 'rg-ops'],
    ],
  ])('%s', (_, environment, groups) => {
    const refusal = refuseDown(environment);
    for (const group of groups) expect(refusal).toContain(group);
    expect(refusal).toContain("azd env set PGCMK_DEPLOY_VAULTS '[]'");
  });

  test.each(['{', '"rg"', '[{"name": "contoso"}]', '[{"resourceGroup": ""}]'])(
    'nobody knows which: %s',
    (text) => {
      expect(refuseDown({ PGCMK_DEPLOY_VAULTS: text })).toContain("PGCMK_DEPLOY_VAULTS can't be read");
    },
  );
});

test.each([{}, { PGCMK_DEPLOY_VAULTS: '', PGCMK_DEPLOY_OTHER_GROUPS: '' }, { PGCMK_DEPLOY_SECRETS: '[]' }])(
  'azd down may begin with nothing of others: %j',
  (environment) => {
    expect(refuseDown(environment)).toBeNull();
  },
);

describe('the hook', () => {
  const run = (environment: Readonly<Record<string, string>>) =>
    spawnSync(process.execPath, ['scripts/predown.ts'], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...environment },
    });

  test('ends with 1, and azd goes no further', () => {
    const { status, stderr } = run({ PGCMK_DEPLOY_VAULTS: VAULT });
    expect(status).toBe(1);
    expect(stderr).toContain('rg-contoso');
  });

  test('ends with 0 where there is nothing of others', () => {
    expect(run({})).toMatchObject({ status: 0, stderr: '' });
  });

  test('is in azure.yaml, for both shells, and stops on an error', () => {
    const text = readFileSync(`${ROOT}/azure.yaml`, 'utf8');
    const [, hook = ''] = text.split(/^ {2}predown:$/m);
    expect(hook.match(/run: node scripts\/predown\.ts/g)).toHaveLength(2);
    expect(hook.match(/continueOnError: false/g)).toHaveLength(2);
  });
});
