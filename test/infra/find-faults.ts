// What must hold of the evaluated templates. Each check gives the faults it found: none is as it should be.
import type { Resource } from './evaluate.ts';

const ofType = (resources: readonly Resource[], type: string) => resources.filter((one) => one.type === type);

/** The value at `a.b.c` of a resource's properties. */
export const readAt = (one: Resource, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
      one.properties,
    );

const textAt = (one: Resource, path: string): string => {
  const value = readAt(one, path);
  return typeof value === 'string' ? value : '';
};

const difference = (left: Iterable<string>, right: Iterable<string>): readonly string[] => {
  const known = new Set(right);
  return [...new Set(left)].filter((one) => !known.has(one));
};

/** `missing` and `extra` of what is there against what should be. */
export const compare = (what: string, is: Iterable<string>, should: Iterable<string>): readonly string[] => [
  ...difference(should, is).map((one) => `${what} is missing: ${one}`),
  ...difference(is, should).map((one) => `${what} too many: ${one}`),
];

/** Who has which role on what, as `identity role scope`; the scope is a type, and its id. */
export interface RoleAssignment {
  readonly identity: string;
  readonly role: string;
  readonly scope: string;
  readonly scopeType: string;
}

export const readRoles = (resources: readonly Resource[]): readonly RoleAssignment[] =>
  ofType(resources, 'Microsoft.Authorization/roleAssignments').map((one) => {
    const scope =
      /^(?:\[extensionResourceId\(')?(\/[^']*?)(?:\/providers\/Microsoft\.Authorization|')/.exec(
        one.id,
      )?.[1] ?? '';
    const principal = textAt(one, 'principalId');
    return {
      identity: /userAssignedIdentities\/(id-pgcmk-delivery|id-pgcmk)/.exec(principal)?.[1] ?? 'deployer',
      role: textAt(one, 'roleDefinitionId').split('/').at(-1) ?? '',
      scope,
      scopeType: typeOf(scope),
    };
  });

/** The type of an id: its provider, and every second part after it. */
function typeOf(id: string): string {
  const [provider = '', ...parts] = id.split('/providers/').at(-1)?.split('/') ?? [];
  return [provider, ...parts.filter((_, index) => index % 2 === 0)].join('/');
}

/**
 * @param table `identity role scopeType` of every row of the docs
 * @param scopes every key and every secret: each must have its role, and nothing else of its vault
 */
export function findRoleFaults(
  resources: readonly Resource[],
  table: readonly string[],
  scopes: readonly string[],
): readonly string[] {
  const roles = readRoles(resources);
  const inVaults = roles.filter(
    ({ identity, scope }) => identity !== 'deployer' && scope.includes('/Microsoft.KeyVault/'),
  );
  return [
    ...compare(
      'a role',
      roles.map(({ identity, role, scopeType }) => `${identity} ${role} ${scopeType}`),
      table,
    ),
    ...compare(
      'a role on a key or secret',
      inVaults.map(({ scope }) => scope),
      scopes,
    ),
  ];
}

/** Values that resources of a type must have. */
export const REQUIRED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'Microsoft.Storage/storageAccounts': {
    allowSharedKeyAccess: false,
    allowBlobPublicAccess: false,
    allowCrossTenantReplication: false,
    minimumTlsVersion: 'TLS1_2',
    supportsHttpsTrafficOnly: true,
  },
  'Microsoft.Storage/storageAccounts/blobServices': {
    isVersioningEnabled: true,
    'deleteRetentionPolicy.enabled': true,
    'containerDeleteRetentionPolicy.enabled': true,
  },
  'Microsoft.Storage/storageAccounts/blobServices/containers': { publicAccess: 'None' },
  'Microsoft.EventHub/namespaces': { minimumTlsVersion: '1.2' },
  'Microsoft.EventGrid/topics': {
    disableLocalAuth: true,
    minimumTlsVersionAllowed: '1.2',
    inputSchema: 'CloudEventSchemaV1_0',
  },
  'Microsoft.Insights/components': { DisableLocalAuth: true },
  'Microsoft.OperationalInsights/workspaces': { 'features.disableLocalAuth': true },
  'Microsoft.Web/sites': {
    httpsOnly: true,
    'siteConfig.minTlsVersion': '1.2',
    'siteConfig.scmMinTlsVersion': '1.2',
    'siteConfig.ftpsState': 'Disabled',
    'functionAppConfig.deployment.storage.authentication.type': 'UserAssignedIdentity',
  },
  'Microsoft.Web/sites/basicPublishingCredentialsPolicies': { allow: false },
  'Microsoft.KeyVault/vaults': {
    enableRbacAuthorization: true,
    enablePurgeProtection: true,
    enableSoftDelete: true,
    softDeleteRetentionInDays: 90,
  },
};

/** Keys, passwords, weak TLS. */
export const findOpenDoors = (resources: readonly Resource[]): readonly string[] => [
  ...Object.entries(REQUIRED).flatMap(([type, values]) => {
    const found = ofType(resources, type);
    return found.length === 0
      ? [`${type}: there is none`]
      : found.flatMap((one) =>
          Object.entries(values)
            .filter(([path, value]) => readAt(one, path) !== value)
            .map(([path, value]) => `${one.name}: ${path} is not ${value}`),
        );
  }),
  ...resources
    .filter((one) => /listKeys|listAccountSas|listConnectionStrings|AccountKey=/i.test(JSON.stringify(one)))
    .map((one) => `${one.name}: reads a key`),
];

/** The settings of the function app: their names, and values as far as they are known before the deployment. */
export function readSettings(resources: readonly Resource[]): Readonly<Record<string, string>> {
  const [app] = ofType(resources, 'Microsoft.Web/sites');
  const settings = app === undefined ? [] : readAt(app, 'siteConfig.appSettings');
  if (!Array.isArray(settings)) return {};
  return Object.fromEntries(settings.map(({ name, value }) => [String(name), String(value)]));
}

export interface SettingRules {
  /** Every setting that the code reads. */
  readonly read: readonly string[];
  /** Those that are left out on purpose. */
  readonly leftOut: readonly string[];
  /** Those that the host or the exporter reads. */
  readonly host: readonly string[];
}

export function findSettingFaults(
  resources: readonly Resource[],
  { read, leftOut, host }: SettingRules,
): readonly string[] {
  const wanted = [...read.filter((name) => !leftOut.includes(name)), ...host];
  return [
    ...compare('a setting', Object.keys(readSettings(resources)), wanted),
    ...difference(leftOut, read).map((name) => `left out, and nobody reads it: ${name}`),
  ];
}

const EVENT_SUBSCRIPTIONS = [
  'Microsoft.EventGrid/systemTopics/eventSubscriptions',
  'Microsoft.EventGrid/topics/eventSubscriptions',
];

const readSubscriptions = (resources: readonly Resource[]) =>
  resources
    .filter((one) => EVENT_SUBSCRIPTIONS.includes(one.type))
    .map((one) => {
      const types = readAt(one, 'filter.includedEventTypes');
      return {
        one,
        topic: one.id.split('/eventSubscriptions/')[0] ?? '',
        events: Array.isArray(types) ? types.map(String) : [],
        functionId: textAt(one, 'destination.properties.resourceId'),
      };
    });

/** @param wanted `topic eventType functionId` of every event of every topic */
export function findSubscriptionFaults(
  resources: readonly Resource[],
  wanted: readonly string[],
  deadLetters: { readonly container: string; readonly storageId: string; readonly identityId: string },
): readonly string[] {
  const found = readSubscriptions(resources);
  const required = {
    'destination.endpointType': 'AzureFunction',
    eventDeliverySchema: 'CloudEventSchemaV1_0',
    'retryPolicy.maxDeliveryAttempts': 30,
    'retryPolicy.eventTimeToLiveInMinutes': 1440,
    'deadLetterWithResourceIdentity.identity.userAssignedIdentity': deadLetters.identityId,
    'deadLetterWithResourceIdentity.deadLetterDestination.endpointType': 'StorageBlob',
    'deadLetterWithResourceIdentity.deadLetterDestination.properties.resourceId': deadLetters.storageId,
    'deadLetterWithResourceIdentity.deadLetterDestination.properties.blobContainerName':
      deadLetters.container,
  };
  return [
    ...compare(
      'a subscription',
      found.flatMap(({ topic, events, functionId }) =>
        events.map((event) => `${topic} ${event} ${functionId}`),
      ),
      wanted,
    ),
    ...found.flatMap(({ one }) =>
      Object.entries(required)
        .filter(([path, value]) => readAt(one, path) !== value)
        .map(([path, value]) => `${one.name}: ${path} is not ${value}`),
    ),
  ];
}
