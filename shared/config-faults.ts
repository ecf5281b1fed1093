// Faults of the configuration that no setting has by itself: what is missing, doubled or can't go together.
import { settingsSchema, splitSuffixes } from './settings.ts';

/** One setting that can't work. */
export interface ConfigFault {
  readonly name: string;
  readonly problem: string;
  readonly remedy: string;
}

/** The settings that were given, by name, trimmed. */
export type Given = Readonly<Record<string, string>>;

const STORAGE = 'AzureWebJobsStorage';
const STORAGE_URIS = [
  'AzureWebJobsStorage__tableServiceUri',
  'AzureWebJobsStorage__queueServiceUri',
  'AzureWebJobsStorage__blobServiceUri',
] as const;
const STORAGE_REMEDY =
  'Give a connection string, or AzureWebJobsStorage__accountName, or all of __tableServiceUri, __queueServiceUri and __blobServiceUri.';

/** What is wrong with the way to the storage account. */
export function findStorageFaults(given: Given): readonly ConfigFault[] {
  const hasAccount = given['AzureWebJobsStorage__accountName'] !== undefined;
  const missing = STORAGE_URIS.filter((name) => given[name] === undefined);
  const byIdentity = hasAccount || missing.length < STORAGE_URIS.length;
  if (given[STORAGE] !== undefined) {
    if (!byIdentity) return [];
    return [
      {
        name: STORAGE,
        problem: 'is given twice, as a connection string and for the identity',
        remedy: STORAGE_REMEDY,
      },
    ];
  }
  if (!byIdentity) return [{ name: STORAGE, problem: 'is missing', remedy: STORAGE_REMEDY }];
  if (hasAccount) return [];
  return missing.map((name) => ({ name, problem: 'is missing', remedy: STORAGE_REMEDY }));
}

const PUBLIC_VAULTS = [
  'vault.azure.net',
  'vaultcore.azure.net',
  'managedhsm.azure.net',
  'vault.azure.cn',
  'managedhsm.azure.cn',
  'vault.usgovcloudapi.net',
  'managedhsm.usgovcloudapi.net',
  'vault.microsoftazure.de',
];

/** Whether vaults of a public cloud are among those that a suffix lets in. */
const letsInPublic = (suffix: string): boolean =>
  PUBLIC_VAULTS.some(
    (known) => suffix === known || suffix.endsWith(`.${known}`) || known.endsWith(`.${suffix}`),
  );

/** Settings that are sound each by itself, and can't work together. */
export function findClashes(given: Given): readonly ConfigFault[] {
  const faults: ConfigFault[] = [];
  const suffixes = settingsSchema.shape.PGCMK_KEY_VAULT_DNS_SUFFIXES.safeParse(
    given['PGCMK_KEY_VAULT_DNS_SUFFIXES'],
  );
  const verification = given['PGCMK_VAULT_CHALLENGE_VERIFICATION']?.toLowerCase();
  if (verification === 'off' && suffixes.success && splitSuffixes(suffixes.data).some(letsInPublic))
    faults.push({
      name: 'PGCMK_VAULT_CHALLENGE_VERIFICATION',
      problem: 'is "off" while vaults of a public Azure cloud are allowed',
      remedy: "Turn it on, or let PGCMK_KEY_VAULT_DNS_SUFFIXES name nothing but the emulator's domain.",
    });
  if (given['PGCMK_EVENT_TOPIC_KEY'] !== undefined && given['PGCMK_EVENT_TOPIC_ENDPOINT'] === undefined)
    faults.push({
      name: 'PGCMK_EVENT_TOPIC_KEY',
      problem: 'is given without PGCMK_EVENT_TOPIC_ENDPOINT',
      remedy: 'Give the endpoint of the topic too, or remove the key.',
    });
  const hasConnection =
    given['AuditEventHub'] !== undefined || given['AuditEventHub__fullyQualifiedNamespace'] !== undefined;
  if (given['PGCMK_AUDIT_EVENT_HUB'] !== undefined && !hasConnection)
    faults.push({
      name: 'AuditEventHub',
      problem: 'is missing, while PGCMK_AUDIT_EVENT_HUB names an event hub',
      remedy:
        'Give AuditEventHub__fullyQualifiedNamespace or a connection string, or remove the name of the event hub.',
    });
  const isTold = given['PGCMK_TELEMETRY']?.toLowerCase() === 'azuremonitor';
  if (isTold && given['APPLICATIONINSIGHTS_CONNECTION_STRING'] === undefined)
    faults.push({
      name: 'APPLICATIONINSIGHTS_CONNECTION_STRING',
      problem: 'is missing, while PGCMK_TELEMETRY is "azureMonitor"',
      remedy: 'Give the connection string of Application Insights, or turn PGCMK_TELEMETRY off.',
    });
  if (given['PGCMK_AUTH_ISSUER'] === undefined) return faults;
  for (const name of ['PGCMK_AUTH_AUDIENCE', 'PGCMK_SIGNING_KEY']) {
    if (given[name] !== undefined) continue;
    faults.push({
      name,
      problem: 'is missing, while PGCMK_AUTH_ISSUER is given',
      remedy: 'Give it too, or remove PGCMK_AUTH_ISSUER: then the API answers 503.',
    });
  }
  return faults;
}
