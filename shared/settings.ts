// Every setting of the app, with its meaning and its limits: what config.ts reads, and what docs/settings.md lists.
import * as z from 'zod';
import { findScheduleFault } from './ncrontab.ts';
import {
  choice,
  fraction,
  optionalText,
  optionalWhole,
  type SettingInfo,
  settingInfo,
  text,
  whole,
} from './setting-kinds.ts';
import { parseSigningKey } from './signing-key.ts';

export const CREDENTIALS = [
  'managedIdentity',
  'workloadIdentity',
  'azureCli',
  'azureDeveloperCli',
  'environment',
] as const;

const schedule = (meaning: string, fallback: string) =>
  text({ unit: 'NCRONTAB', limits: 'six fields', meaning, fallback, fault: findScheduleFault });

const secret = (meaning: string, limits: string, fault?: (given: string) => string | null) =>
  optionalText({ unit: 'secret', limits, meaning, ...(fault === undefined ? {} : { fault }) });

const storageUri = (service: string) =>
  optionalText({
    unit: 'URL',
    limits: 'https',
    meaning: `URL of the ${service} service of the storage account, reached with the app's identity.`,
    fault: (given) => findUrlFault(given, []),
  });

const matches = (pattern: RegExp, fault: string) => (given: string) => (pattern.test(given) ? null : fault);

const CLAIM = /^[\w.:/-]{1,200}$/;

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

export const settingsSchema = z.object({
  AzureWebJobsStorage: secret(
    'Connection string of the storage account. Instead of it, give an account name or three URLs, and the app uses its identity.',
    'a storage connection string',
    matches(
      /^UseDevelopmentStorage=true;?$|(?:^|;)(?:AccountName|TableEndpoint)=[^;]/i,
      'not a storage connection string',
    ),
  ),
  AzureWebJobsStorage__accountName: optionalText({
    unit: 'name',
    limits: '3 to 24 lower-case letters and digits',
    meaning: "Name of a storage account in the public cloud, reached with the app's identity.",
    fault: matches(/^[a-z0-9]{3,24}$/, 'not the name of a storage account'),
  }),
  AzureWebJobsStorage__tableServiceUri: storageUri('table'),
  AzureWebJobsStorage__queueServiceUri: storageUri('queue'),
  AzureWebJobsStorage__blobServiceUri: storageUri('blob'),
  PGCMK_CREDENTIAL: choice({
    of: CREDENTIALS,
    fallback: null,
    meaning: 'How the app shows who it is to Key Vault, Storage and Event Grid. In Azure: managedIdentity.',
  }),
  AZURE_CLIENT_ID: optionalText({
    unit: 'GUID',
    limits: 'a GUID',
    meaning: 'Client id of a user-assigned identity. Leave it out for the system-assigned one.',
    fault: matches(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'not a GUID'),
  }),
  PGCMK_KEY_VAULT_DNS_SUFFIXES: text({
    unit: 'list',
    limits: '1 to 20 domain names, separated by commas',
    fallback: 'vault.azure.net,vault.azure.cn,vault.usgovcloudapi.net',
    meaning:
      "Where vaults may be: the app's token goes nowhere else. A vault that an event names without its domain is taken to be under the first.",
    fault: findSuffixFault,
  }),
  PGCMK_VAULT_CHALLENGE_VERIFICATION: choice({
    of: ['on', 'off'],
    fallback: 'on',
    meaning: 'Whether a vault must name itself in its challenge for a token. `off` is for emulators only.',
  }),
  PGCMK_CONFIRM_SUSPECT_SECONDS: whole({
    unit: 'seconds',
    fallback: 60,
    min: 1,
    max: 3_600,
    meaning:
      'How long a loss that may be a mistake (role, firewall, missing key) must last, over at least three answers, before access is taken away.',
  }),
  PGCMK_RESTORE_GAP_SECONDS: whole({
    unit: 'seconds',
    fallback: 3,
    min: 1,
    max: 300,
    meaning: 'Time between the two good probes that give access back.',
  }),
  PGCMK_TRANSIENT_BUFFER_HOURS: whole({
    unit: 'hours',
    fallback: 24,
    min: 1,
    max: 720,
    meaning:
      'How long a vault may be out of reach before the emergency alert, and before a revocation where the policy of the key asks for one.',
  }),
  PGCMK_BREAKER_HOLD_MINUTES: whole({
    unit: 'minutes',
    fallback: 60,
    min: 1,
    max: 1_440,
    meaning: 'How long suspect verdicts are held when most vaults turn suspect at once.',
  }),
  PGCMK_VAULT_SHARE: fraction({
    fallback: 0.5,
    min: 0.01,
    max: 1,
    meaning: "Share of a vault's limit that all instances of the app together may use.",
  }),
  PGCMK_VAULT_LIMIT_PER_10S: optionalWhole({
    unit: 'operations per 10 seconds',
    min: 1,
    max: 100_000,
    meaning: 'Limit of a vault, in place of the documented one for the type and size of the key.',
  }),
  PGCMK_MAX_INSTANCES: whole({
    unit: 'instances',
    fallback: 2,
    min: 1,
    max: 1_000,
    meaning: "The host's scale limit for `rewrapDeks`: each instance takes its part of the vault's share.",
  }),
  PGCMK_PROBE_SCHEDULE: schedule('When every key version in use is probed.', '*/10 * * * * *'),
  PGCMK_SWEEP_SCHEDULE: schedule('When the sweep looks for work that is due.', '0 * * * * *'),
  PGCMK_OUTBOX_SCHEDULE: schedule('When audit records and own events are delivered.', '*/5 * * * * *'),
  PGCMK_EXPORT_SCHEDULE: text({
    unit: 'NCRONTAB',
    limits: 'six fields, on every day',
    fallback: '0 30 2 * * *',
    meaning: 'When the tables are exported, and the ends of the audit chains signed: at least once a day.',
    fault: findDailyFault,
  }),
  PGCMK_SWEEP_SECONDS: whole({
    unit: 'seconds',
    fallback: 300,
    min: 10,
    max: 86_400,
    meaning: 'Every key is reconciled from scratch at least so often.',
  }),
  PGCMK_INSPECT_GRANTED_SECONDS: whole({
    unit: 'seconds',
    fallback: 300,
    min: 10,
    max: 86_400,
    meaning: 'Servers that have access are inspected at least so often.',
  }),
  PGCMK_INSPECT_REVOKED_SECONDS: whole({
    unit: 'seconds',
    fallback: 60,
    min: 10,
    max: 86_400,
    meaning: 'Revoked servers are inspected at least so often, and what was reopened is closed.',
  }),
  PGCMK_PROVE_AFTER_SECONDS: whole({
    unit: 'seconds',
    fallback: 300,
    min: 0,
    max: 86_400,
    meaning: 'Age from which the sweep proves a new wrapping by unwrapping it in the vault.',
  }),
  PGCMK_DRAIN_SECONDS: whole({
    unit: 'seconds',
    fallback: 900,
    min: 0,
    max: 604_800,
    meaning: 'Time that open sessions are left under `keyLossPolicy: drain`, unless the server has its own.',
  }),
  PGCMK_EVENT_TOPIC_ENDPOINT: optionalText({
    unit: 'URL',
    limits: 'https; http on this machine only',
    meaning: 'Endpoint of the Event Grid topic for own events. Without it they are audited and go nowhere.',
    fault: (given) => findUrlFault(given, LOOPBACK),
  }),
  PGCMK_EVENT_TOPIC_KEY: secret("Access key of that topic. Without it the app's identity is used.", 'text'),
  PGCMK_AUDIT_EVENT_HUB: optionalText({
    unit: 'name',
    limits: '1 to 256 letters, digits, dots, dashes and underscores',
    meaning:
      "Name of the event hub with the vaults' audit log. Without it `keyVaultAuditLog` is not registered.",
    fault: matches(/^[a-z0-9](?:[\w.-]{0,254}[a-z0-9])?$/i, 'not the name of an event hub'),
  }),
  AuditEventHub: secret('Connection string of the namespace of that event hub.', 'a connection string'),
  AuditEventHub__fullyQualifiedNamespace: optionalText({
    unit: 'host',
    limits: 'a host name',
    meaning: "Host of that namespace, reached with the app's identity, instead of a connection string.",
    fault: matches(/^[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?$/i, 'not a host name'),
  }),
  PGCMK_POSTGRES_TOKEN_SUFFIXES: text({
    unit: 'list',
    limits: '1 to 20 domain names, separated by commas',
    fallback: 'postgres.database.azure.com',
    meaning:
      "Where servers with `auth: entra` may be: the app's token, which is good at each of them, goes to no other host.",
    fault: findSuffixFault,
  }),
  PGCMK_POSTGRES_CA_FILE: optionalText({
    unit: 'path',
    limits: 'a PEM file',
    meaning: 'Certificates that PostgreSQL servers may chain to, in place of the public ones.',
  }),
  PGCMK_AUTH_ISSUER: optionalText({
    unit: 'URL',
    limits: 'https; http on this machine only',
    meaning:
      'Issuer of the tokens that callers of the API bear, exactly as their `iss` says it. Without it every route but health and the OpenAPI document answers 503.',
    fault: (given) => findUrlFault(given, LOOPBACK),
  }),
  PGCMK_AUTH_AUDIENCE: optionalText({
    unit: 'list',
    limits: '1 to 10 audiences, separated by commas',
    meaning: 'Audiences of which a token must name one: the application id URI or the client id of the API.',
    fault: matches(/^[^\s,]{1,300}(?:\s*,\s*[^\s,]{1,300}){0,9}$/, 'not a list of audiences'),
  }),
  PGCMK_AUTH_JWKS_URI: optionalText({
    unit: 'URL',
    limits: 'https; http on this machine only',
    meaning: "Where the issuer's keys are. Without it the issuer's discovery document says so.",
    fault: (given) => findUrlFault(given, LOOPBACK),
  }),
  PGCMK_AUTH_ROLES_CLAIM: text({
    unit: 'name',
    limits: 'the name of a claim',
    fallback: 'roles',
    meaning: 'Claim with the roles of the caller: a list, or one text with spaces between.',
    fault: matches(CLAIM, 'not the name of a claim'),
  }),
  PGCMK_AUTH_PRINCIPAL_CLAIM: text({
    unit: 'name',
    limits: 'the name of a claim',
    fallback: 'oid',
    meaning:
      'Claim that says who the caller is, and what the `principalId` of a server is compared with. `oid` for Entra; for others often `sub`.',
    fault: matches(CLAIM, 'not the name of a claim'),
  }),
  PGCMK_SIGNING_KEY: secret(
    "The app's own private key: it signs statements that a key version was retired, and cursors. Made by `base64 -w0 <(openssl genpkey -algorithm ed25519 -outform DER)` in bash; in Azure a Key Vault reference. Needed with PGCMK_AUTH_ISSUER.",
    'an Ed25519 private key: PKCS #8, as base64 or PEM',
    findSigningKeyFault,
  ),
  PGCMK_DEK_LEASE_SECONDS: whole({
    unit: 'seconds',
    fallback: 300,
    min: 10,
    max: 86_400,
    meaning:
      'How long a server may rely on a DEK before it asks again: the most that a revocation can lag behind on it.',
  }),
  PGCMK_DEK_RELEASES_PER_MINUTE: whole({
    unit: 'releases per minute',
    fallback: 10,
    min: 1,
    max: 1_000,
    meaning: 'How often one server is given its DEK, in each instance of the app.',
  }),
  PGCMK_RETIRE_SOAK_HOURS: whole({
    unit: 'hours',
    fallback: 2,
    min: 0,
    max: 8_760,
    meaning: 'How long nothing must have depended on a key version before it is retired.',
  }),
  PGCMK_TELEMETRY: choice({
    of: ['off', 'azureMonitor'],
    fallback: 'off',
    meaning: 'Where metrics and traces go.',
  }),
  APPLICATIONINSIGHTS_CONNECTION_STRING: optionalText({
    unit: 'connection string',
    limits: 'InstrumentationKey=…;IngestionEndpoint=…',
    meaning:
      'Where Application Insights is, for `azureMonitor`. The Functions host reads it too, whatever `PGCMK_TELEMETRY` says.',
    fault: matches(
      /(?:^|;)InstrumentationKey=[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:;|$)/i,
      'not a connection string of Application Insights',
    ),
  }),
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: optionalText({
    unit: 'text',
    limits: 'Authorization=AAD, and ClientId=… for the host',
    meaning:
      "With it telemetry is sent with the app's identity; without it with no more than the connection string.",
    fault: matches(/(?:^|;)Authorization=AAD(?:;|$)/i, 'without Authorization=AAD'),
  }),
  PGCMK_LOG_LEVEL: choice({
    of: ['debug', 'info', 'warn', 'error'],
    fallback: 'info',
    meaning: 'What is logged: this level and above.',
  }),
});

export interface SettingRow extends SettingInfo {
  readonly name: string;
}

/** Every setting that the app reads, in the order of the docs. */
export const settingsTable: readonly SettingRow[] = Object.entries(settingsSchema.shape).flatMap(
  ([name, one]) => {
    const info = settingInfo.get(one);
    return info === undefined ? [] : [{ name, ...info }];
  },
);

/** The suffixes of a list, in lower case. */
export const splitSuffixes = (list: string): readonly string[] =>
  list.split(',').map((suffix) => suffix.trim().toLowerCase());

/** A day without an export is a day of wrapped DEKs that can be lost. */
function findDailyFault(given: string): string | null {
  const fault = findScheduleFault(given);
  if (fault !== null) return fault;
  const isDaily = given
    .split(/\s+/)
    .slice(3)
    .every((field) => field === '*');
  return isDaily ? null : 'not on every day: its last three fields must be *';
}

const DOMAIN =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

function findSuffixFault(list: string): string | null {
  const suffixes = splitSuffixes(list);
  if (suffixes.length > 20) return 'more than 20 suffixes';
  const odd = suffixes.find((suffix) => !DOMAIN.test(suffix));
  if (odd !== undefined) return `not a list of domain names: ${JSON.stringify(odd)} is none`;
  const wide = suffixes.find((suffix) => !suffix.includes('.') && suffix !== 'localhost');
  return wide === undefined
    ? null
    : `too wide: ${JSON.stringify(wide)} has no dot and would take in strangers`;
}

/** @param plainHosts the hosts that may be reached without TLS */
function findUrlFault(given: string, plainHosts: readonly string[]): string | null {
  const url = URL.parse(given);
  if (url === null) return 'not a URL';
  const isPlain = url.protocol === 'http:' && plainHosts.includes(url.hostname);
  if (url.protocol !== 'https:' && !isPlain) return 'not an https URL';
  if (url.username !== '' || url.search !== '' || url.hash !== '')
    return 'a URL with a user, a query or a fragment';
  return null;
}

/** The text may be a key of somebody else's: a message never repeats any of it. */
function findSigningKeyFault(given: string): string | null {
  try {
    return parseSigningKey(given).asymmetricKeyType === 'ed25519' ? null : 'not an Ed25519 key';
  } catch {
    return 'not a private key in PKCS #8';
  }
}
