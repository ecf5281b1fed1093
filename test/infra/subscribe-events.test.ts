import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type SubscribeDeps, subscribeEvents } from '../../scripts/subscribe-events.ts';

const ENVIRONMENT = {
  AZURE_ENV_NAME: 'test',
  AZURE_LOCATION: 'westeurope',
  AZURE_SUBSCRIPTION_ID: 'sub',
  AZURE_RESOURCE_GROUP: 'rg-test',
  PGCMK_DEPLOY_FUNCTION_APP: 'func',
  PGCMK_DEPLOY_EVENT_FUNCTIONS: 'keyExpired,keyDisabled',
};

type Answer = ReturnType<SubscribeDeps['az']>;
const yes = (output = ''): Answer => ({ ok: true, output });
const no = (output: string): Answer => ({ ok: false, output });
const BOTH = 'func/keyExpired\nfunc/keyDisabled\nfunc/probeKeks';

/** An Azure CLI that answers each command with the next of its answers, and with the last for ever. */
function makeAz(answers: { list?: readonly Answer[]; create?: readonly Answer[]; account?: Answer } = {}) {
  const commands: string[] = [];
  const slept: number[] = [];
  const count = { list: 0, create: 0 };
  const next = (kind: 'list' | 'create', given: readonly Answer[]): Answer => {
    const answer = given[Math.min(count[kind], given.length - 1)] ?? yes();
    count[kind] += 1;
    return answer;
  };
  const deps = (environment: SubscribeDeps['environment'] = ENVIRONMENT): SubscribeDeps => ({
    environment,
    az: (args) => {
      commands.push(args.join(' '));
      if (args[0] === 'account') return answers.account ?? yes();
      if (args[0] === 'functionapp') return next('list', answers.list ?? [yes(BOTH)]);
      return next('create', answers.create ?? [yes()]);
    },
    sleep: async (milliseconds) => {
      slept.push(milliseconds);
    },
    say: () => undefined,
  });
  return { deps, commands, slept, count };
}

describe('subscribeEvents', () => {
  test('deploys the subscriptions when every event function is there', async () => {
    const az = makeAz();
    await subscribeEvents(az.deps());
    expect(az.commands.at(-1)).toBe(
      'deployment sub create --subscription sub --name pg-cmk-events-test --location westeurope --parameters infra/subscriptions.bicepparam --output none',
    );
    expect(az.slept).toEqual([]);
  });

  test('waits for a function that is missing, and through answers that fail', async () => {
    const az = makeAz({ list: [no('not yet'), yes(''), yes('func/keyExpired'), yes(BOTH)] });
    await subscribeEvents(az.deps());
    expect(az.slept).toEqual([10_000, 10_000, 10_000]);
    expect(az.count).toEqual({ list: 4, create: 1 });
  });

  test('gives up after ten minutes, names what is missing and deploys nothing', async () => {
    const az = makeAz({ list: [yes('func/keyExpired')] });
    await expect(subscribeEvents(az.deps())).rejects.toThrow(/doesn't list keyDisabled\./);
    expect(az.slept.length).toBe(59);
    expect(az.count.create).toBe(0);
  });

  test('tries again when Event Grid refuses, with the same deployment', async () => {
    const az = makeAz({ create: [no('Destination endpoint not found'), yes()] });
    await subscribeEvents(az.deps());
    const made = az.commands.filter((command) => command.startsWith('deployment'));
    expect(made).toHaveLength(2);
    expect(new Set(made).size).toBe(1);
  });

  test('fails with what Azure said when it refuses for good', async () => {
    const az = makeAz({ create: [no('AuthorizationFailed')] });
    await expect(subscribeEvents(az.deps())).rejects.toThrow(/AuthorizationFailed/);
    expect(az.count.create).toBe(4);
  });

  test('says which outputs are missing before it asks Azure anything', async () => {
    const az = makeAz();
    const { AZURE_LOCATION: _, ...rest } = ENVIRONMENT;
    await expect(subscribeEvents(az.deps(rest))).rejects.toThrow(/not set: AZURE_LOCATION\./);
    expect(az.commands).toEqual([]);
  });

  test('says so when the Azure CLI is not signed in', async () => {
    const az = makeAz({ account: no('Please run az login') });
    await expect(subscribeEvents(az.deps())).rejects.toThrow(/az login/);
    expect(az.count).toEqual({ list: 0, create: 0 });
  });
});

test('azure.yaml deploys the bundle and runs the script after it', () => {
  const text = readFileSync(fileURLToPath(new URL('../../azure.yaml', import.meta.url)), 'utf8');
  for (const part of [
    'host: function',
    'dist: dist/bundle',
    'postdeploy:',
    'node scripts/postdeploy.ts',
    'template: pg-cmk@',
  ])
    expect(text).toContain(part);
});
