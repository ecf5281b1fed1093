// The templates, evaluated, against the docs and the code; and that removing anything is seen.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { settingsTable } from '../../shared/settings.ts';
import { bicep, type Evaluated, evaluate, type Resource, SUBSCRIPTION } from './evaluate.ts';
import {
  compare,
  findOpenDoors,
  findRoleFaults,
  findSettingFaults,
  findSubscriptionFaults,
  REQUIRED,
  readAt,
  readSettings,
} from './find-faults.ts';
import { listFunctions, type RegisteredFunction } from './registered-functions.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');
const OTHER = '22222222-2222-4222-8222-222222222222';
const PRINCIPAL = '11111111-1111-4111-8111-111111111111';

const ENVIRONMENT = {
  AZURE_ENV_NAME: 'test',
  AZURE_LOCATION: 'westeurope',
  AZURE_PRINCIPAL_ID: PRINCIPAL,
  PGCMK_DEPLOY_VAULTS: JSON.stringify([
    { name: 'near', resourceGroup: 'rg-near', keys: ['orders', 'payments'] },
    {
      name: 'far',
      resourceGroup: 'rg-far',
      subscriptionId: OTHER,
      location: 'northeurope',
      keys: ['ledger'],
      systemTopic: 'far-events',
      auditLog: false,
    },
  ]),
  PGCMK_DEPLOY_DEMO_VAULT: 'true',
  PGCMK_DEPLOY_PRIVATE_NETWORK: 'true',
  PGCMK_DEPLOY_MAX_INSTANCES: '3',
  PGCMK_DEPLOY_AUTH_ISSUER: 'https://login.microsoftonline.com/tenant/v2.0',
  PGCMK_DEPLOY_AUTH_AUDIENCE: 'api://pg-cmk',
  PGCMK_DEPLOY_SECRETS: JSON.stringify([
    { setting: 'PGCMK_SIGNING_KEY', vault: 'ops', resourceGroup: 'rg-ops', secret: 'signing' },
  ]),
};

/** Cells of the table under a heading of docs/infrastructure.md; of each cell what is in backticks, else its text. */
function readTable(heading: string): readonly (readonly string[])[] {
  const [, section = ''] = read('docs/infrastructure.md').split(`\n## ${heading}\n`);
  const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => /`([^`]+)`/.exec(cell)?.[1] ?? cell.trim()),
  );
}

const group = `/subscriptions/${SUBSCRIPTION}/resourceGroups`;
const vaults = 'providers/Microsoft.KeyVault/vaults';
const HOST_SETTINGS = [
  'AzureWebJobsStorage__credential',
  'AzureWebJobsStorage__clientId',
  'AuditEventHub__credential',
  'AuditEventHub__clientId',
  'APPLICATION_INSIGHTS_NO_STATSBEAT',
];
/** What only Azure knows, as it could be. */
const STAND_INS: Readonly<Record<string, string>> = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: `InstrumentationKey=${PRINCIPAL};IngestionEndpoint=https://x.in.applicationinsights.azure.com/`,
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: `ClientId=${PRINCIPAL};Authorization=AAD`,
  AZURE_CLIENT_ID: PRINCIPAL,
  AzureWebJobsStorage__blobServiceUri: 'https://x.blob.core.windows.net',
  AzureWebJobsStorage__queueServiceUri: 'https://x.queue.core.windows.net',
  AzureWebJobsStorage__tableServiceUri: 'https://x.table.core.windows.net',
  AuditEventHub__fullyQualifiedNamespace: 'x.servicebus.windows.net',
  PGCMK_EVENT_TOPIC_ENDPOINT: 'https://x.westeurope-1.eventgrid.azure.net/api/events',
  PGCMK_KEY_VAULT_DNS_SUFFIXES: 'vault.azure.net',
  PGCMK_SIGNING_KEY: 'MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f',
};

/** `function eventType`, from the sources of the event functions. */
const eventTypes: readonly (readonly [string, string])[] = globSync('functions/events/*.ts', {
  cwd: root,
}).flatMap((file) =>
  [...read(file).matchAll(/makeEventHandler\('(\w+)', '([\w.]+)'/g)].map(
    ([, name = '', type = '']) => [name, type] as const,
  ),
);

const without = (resources: readonly Resource[], one: Resource) => resources.filter((other) => other !== one);

describe.skipIf(bicep === null)('the templates', () => {
  let main: Evaluated;
  let subscriptions: Evaluated;
  let functions: readonly RegisteredFunction[];
  let settings: Readonly<Record<string, string>>;

  const scopes = () => [
    `${group}/rg-near/${vaults}/near/keys/orders`,
    `${group}/rg-near/${vaults}/near/keys/payments`,
    `/subscriptions/${OTHER}/resourceGroups/rg-far/${vaults}/far/keys/ledger`,
    `${group}/rg-test/${vaults}/${demoVault().name}/keys/demo`,
    `${group}/rg-ops/${vaults}/ops/secrets/signing`,
  ];
  const ofType = (type: string, from = main) => from.resources.filter((one) => one.type === type);
  const demoVault = () => only('Microsoft.KeyVault/vaults');
  function only(type: string): Resource {
    const [one, ...more] = ofType(type);
    if (one === undefined || more.length > 0) throw new Error(`not one ${type}`);
    return one;
  }
  const roleTable = readTable('Identities and roles').map(([identity, , role, scope]) => {
    const name = { app: 'id-pgcmk', delivery: 'id-pgcmk-delivery' }[identity ?? ''] ?? identity;
    return `${name} ${role} ${scope}`;
  });
  const roleFaults = (resources: readonly Resource[]) => findRoleFaults(resources, roleTable, scopes());

  const settingRules = {
    read: settingsTable.map(({ name }) => name),
    leftOut: readTable('Settings that are left to their default').map(([name = '']) => name),
    host: HOST_SETTINGS,
  };
  const settingFaults = (resources: readonly Resource[]) => findSettingFaults(resources, settingRules);

  const topics = () => [
    `${group}/rg-near/providers/Microsoft.EventGrid/systemTopics/evgst-pgcmk-near`,
    `/subscriptions/${OTHER}/resourceGroups/rg-far/providers/Microsoft.EventGrid/systemTopics/far-events`,
    `${group}/rg-test/providers/Microsoft.EventGrid/systemTopics/evgst-pgcmk-${demoVault().name}`,
  ];
  const subscriptionFaults = (resources: readonly Resource[]) => {
    const app = only('Microsoft.Web/sites').id;
    const wanted = eventTypes.flatMap(([name, type]) =>
      (type.startsWith('Microsoft.KeyVault.') ? topics() : [only('Microsoft.EventGrid/topics').id]).map(
        (topic) => `${topic} ${type} ${app}/functions/${name}`,
      ),
    );
    return findSubscriptionFaults(resources, wanted, {
      container: 'dead-letters',
      storageId: only('Microsoft.Storage/storageAccounts').id,
      identityId: main.outputs['PGCMK_DEPLOY_DELIVERY_IDENTITY'] ?? '',
    });
  };

  beforeAll(() => {
    main = evaluate('main', ENVIRONMENT);
    subscriptions = evaluate('subscriptions', main.outputs);
    settings = Object.fromEntries(
      Object.entries(readSettings(main.resources)).map(([name, value]) => [name, STAND_INS[name] ?? value]),
    );
    functions = listFunctions(settings);
  }, 180_000);

  test('are evaluated to the last resource', () => {
    expect(main.complaints).toEqual([]);
    expect(subscriptions.complaints).toEqual([]);
    expect(main.resources.length).toBeGreaterThan(60);
  });

  test('give the roles of the docs, on every key and secret, and no others', () => {
    expect(roleFaults(main.resources)).toEqual([]);
  });

  test('without any one of the roles are found wanting', () => {
    const roles = ofType('Microsoft.Authorization/roleAssignments');
    expect(roles.length).toBe(roleTable.length + 3);
    expect(roles.filter((one) => roleFaults(without(main.resources, one)).length === 0)).toEqual([]);
  });

  test('with a role on a whole vault, or of an administrator, are found wanting', () => {
    const [role] = ofType('Microsoft.Authorization/roleAssignments').filter(({ id }) =>
      id.includes('/keys/orders'),
    );
    if (role === undefined) throw new Error('no role');
    const wide = { ...role, id: role.id.replaceAll('/keys/orders', '') };
    expect(roleFaults([...main.resources, wide]).length).toBeGreaterThan(0);
    const strong = { ...role, properties: { ...role.properties, roleDefinitionId: 'x/14b46e9e' } };
    expect(roleFaults([...main.resources, strong]).length).toBeGreaterThan(0);
  });

  test('leave no door open', () => {
    expect(findOpenDoors(main.resources)).toEqual([]);
  });

  test('with any one door open are found wanting', () => {
    const changed = main.resources.flatMap((one) =>
      Object.keys(REQUIRED[one.type] ?? {}).map((path) => {
        const [top = ''] = path.split('.');
        const { [top]: _, ...rest } = one.properties;
        return findOpenDoors([...without(main.resources, one), { ...one, properties: rest }]);
      }),
    );
    expect(changed.length).toBeGreaterThan(25);
    expect(changed.filter((faults) => faults.length === 0)).toEqual([]);
  });

  test('are read from the sources: what is changed there is found', () => {
    const edits = [
      { file: 'app/storage.bicep', from: 'allowSharedKeyAccess: false', to: 'allowSharedKeyAccess: true' },
      { file: 'app/vault.bicep', from: 'scope: keys[index]', to: 'scope: vault' },
      { file: 'app/function-app.bicep', from: 'PGCMK_MAX_INSTANCES:', to: 'PGCMK_MAX:' },
    ];
    const { resources } = evaluate('main', ENVIRONMENT, edits);
    expect(findOpenDoors(resources)).toHaveLength(1);
    expect(roleFaults(resources).length).toBeGreaterThan(0);
    expect(settingFaults(resources)).toEqual([
      'a setting is missing: PGCMK_MAX_INSTANCES',
      'a setting too many: PGCMK_MAX',
    ]);
  }, 60_000);

  test('set every setting that is not left out on purpose, and none that nobody reads', () => {
    expect(settingFaults(main.resources)).toEqual([]);
  });

  test('without any one of the settings are found wanting', () => {
    const app = only('Microsoft.Web/sites');
    const list = readAt(app, 'siteConfig.appSettings');
    if (!Array.isArray(list)) throw new Error('no settings');
    for (const setting of list) {
      const siteConfig = { appSettings: list.filter((other) => other !== setting) };
      const changed = { ...app, properties: { ...app.properties, siteConfig } };
      expect(settingFaults([...without(main.resources, app), changed])).toEqual([
        `a setting is missing: ${setting.name}`,
      ]);
    }
    expect(list.length).toBeGreaterThan(15);
  });

  test('give settings that the app starts with, by identity and with the scale limit of the host', () => {
    expect(settings).toMatchObject({ PGCMK_CREDENTIAL: 'managedIdentity', PGCMK_MAX_INSTANCES: '3' });
    const scale = readAt(only('Microsoft.Web/sites'), 'functionAppConfig.scaleAndConcurrency');
    expect(scale).toMatchObject({ maximumInstanceCount: 3 });
    expect(functions.length).toBeGreaterThan(30);
  });

  test('make an app that starts without an audit log, vaults, secrets and issuer, too', () => {
    const least = { AZURE_ENV_NAME: 'least', AZURE_LOCATION: 'westeurope', PGCMK_DEPLOY_AUDIT_LOG: 'false' };
    const { resources, complaints } = evaluate('main', least);
    expect(complaints).toEqual([]);
    expect(resources.filter(({ type }) => /EventHub|KeyVault|Network/.test(type))).toEqual([]);
    const given = Object.entries(readSettings(resources)).map(([name, value]) => [
      name,
      STAND_INS[name] ?? value,
    ]);
    const names = listFunctions(Object.fromEntries(given)).map(({ name }) => name);
    expect(names).toContain('probeKeks');
    expect(names).not.toContain('keyVaultAuditLog');
  }, 60_000);

  test('keep functions of the app ready, and never rewrapDeks', () => {
    const ready = readAt(only('Microsoft.Web/sites'), 'functionAppConfig.scaleAndConcurrency.alwaysReady');
    const names = Array.isArray(ready) ? ready.map(({ name }) => String(name)) : [];
    const known = functions
      .filter(({ name, trigger }) => trigger !== 'http' && name !== 'rewrapDeks')
      .map(({ name }) => `function:${name}`);
    expect(names.length).toBeGreaterThan(2);
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
  });

  test('subscribe every Event Grid function to every topic it is for, and nothing else', () => {
    const registered = functions.filter(({ trigger }) => trigger === 'eventGrid').map(({ name }) => name);
    expect(
      compare(
        'a source of an event',
        eventTypes.map(([name]) => name),
        registered,
      ),
    ).toEqual([]);
    expect(main.outputs['PGCMK_DEPLOY_EVENT_FUNCTIONS']?.split(',').sort()).toEqual(registered.sort());
    expect(subscriptionFaults(subscriptions.resources)).toEqual([]);
  });

  test('without any one of the subscriptions are found wanting', () => {
    const all = subscriptions.resources.filter(({ type }) => type.endsWith('/eventSubscriptions'));
    expect(all).toHaveLength(13);
    for (const one of all) expect(subscriptionFaults(without(subscriptions.resources, one))).toHaveLength(1);
  });

  test('without dead letters, the schema or the retries of any subscription are found wanting', () => {
    const all = subscriptions.resources.filter(({ type }) => type.endsWith('/eventSubscriptions'));
    for (const one of all)
      for (const path of ['deadLetterWithResourceIdentity', 'eventDeliverySchema', 'retryPolicy']) {
        const changed = { ...one, properties: { ...one.properties, [path]: {} } };
        const faults = subscriptionFaults([...without(subscriptions.resources, one), changed]);
        expect(faults.length).toBeGreaterThan(0);
        expect(faults.filter((fault) => !fault.includes(path))).toEqual([]);
      }
  });

  test('let every topic write dead letters by the identity that has the role', () => {
    const identity = main.outputs['PGCMK_DEPLOY_DELIVERY_IDENTITY'];
    const made = [...ofType('Microsoft.EventGrid/systemTopics'), ...ofType('Microsoft.EventGrid/topics')];
    // The far vault has a topic already.
    expect(made).toHaveLength(3);
    for (const one of made)
      expect(Object.keys(one.identity?.userAssignedIdentities ?? {})).toEqual([identity]);
  });

  test('stream the audit log of the vaults that can', () => {
    const streams = ofType('Microsoft.Insights/diagnosticSettings');
    expect(streams.map(({ id }) => /vaults\/([\w-]+)/.exec(id)?.[1]).sort()).toEqual([
      demoVault().name,
      'near',
    ]);
    for (const one of streams)
      expect(readAt(one, 'logs')).toEqual([{ category: 'AuditEvent', enabled: true }]);
  });

  test('make the containers that the app writes to, and keep exports from being changed', () => {
    const made = ofType('Microsoft.Storage/storageAccounts/blobServices/containers').map(({ id }) =>
      id.split('/').at(-1),
    );
    const used = globSync('shared/azure/*.ts', { cwd: root }).flatMap((file) =>
      [...read(file).matchAll(/^const CONTAINER = '([\w-]+)'/gm)].map(([, name = '']) => name),
    );
    expect(used.sort()).toEqual(['dek-escrow', 'table-exports']);
    expect(used.filter((name) => !made.includes(name))).toEqual([]);
    const policy = only('Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies');
    expect(policy.id).toContain('/containers/table-exports/');
  });
});
