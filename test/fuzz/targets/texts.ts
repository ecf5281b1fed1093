// Names, settings and schedules, and what vaults answer.
import { generateKeyPairSync } from 'node:crypto';
import { isInsecure } from '../../../shared/azure/tables/storage-connection.ts';
import { toStoreError } from '../../../shared/azure/tables/table-errors.ts';
import { assertSameKey } from '../../../shared/azure/vault/ask-vault.ts';
import { toSeenResponse, toVaultFault, UnexpectedAnswer } from '../../../shared/azure/vault/vault-fault.ts';
import { readConfig } from '../../../shared/config.ts';
import {
  isAllowedVault,
  keyUrl,
  parseKekId,
  parseKekKey,
  parseKeyUrl,
  parseVersion,
} from '../../../shared/domain/key-id.ts';
import { parseServerId } from '../../../shared/domain/server.ts';
import { classifyFault } from '../../../shared/domain/vault-answer.ts';
import { findScheduleFault, longestGapSeconds } from '../../../shared/ncrontab.ts';
import { settingsTable } from '../../../shared/settings.ts';
import { type Target, textTarget, valueTarget } from '../target.ts';

const V = 'a'.repeat(32);
const kek = { vault: 'v1.vault.azure.net', name: 'k1' };

const signingKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' });
const environment = {
  AzureWebJobsStorage:
    'DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5;EndpointSuffix=core.windows.net',
  PGCMK_CREDENTIAL: 'managedIdentity',
  AZURE_CLIENT_ID: '5b4c2f6e-0000-4000-8000-000000000001',
  PGCMK_KEY_VAULT_DNS_SUFFIXES: 'vault.azure.net,vault.azure.cn',
  PGCMK_VAULT_SHARE: '0.5',
  PGCMK_PROBE_SCHEDULE: '*/10 * * * * *',
  PGCMK_EXPORT_SCHEDULE: '0 30 2 * * *',
  PGCMK_EVENT_TOPIC_ENDPOINT: 'https://topic.example/api/events',
  PGCMK_AUTH_ISSUER: 'https://issuer.example',
  PGCMK_AUTH_AUDIENCE: 'api://pg-cmk, api://other',
  PGCMK_SIGNING_KEY: signingKey.toString('base64'),
};
const bare = { AzureWebJobsStorage: 'UseDevelopmentStorage=true', PGCMK_CREDENTIAL: 'azureCli' };

/** A setting has text, or isn't there. */
const toEnvironment = (input: unknown) =>
  Object.fromEntries(
    Object.entries(Object(input)).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : undefined,
    ]),
  );

const refused = { error: { code: 'Forbidden', message: 'no', innererror: { code: 'KeyDisabled' } } };
const answers = [
  { status: 403, headers: { date: 'Tue, 24 Nov 2026 12:00:00 GMT' }, parsedBody: refused },
  { status: 429, headers: { 'retry-after': '7', 'x-ms-retry-after-ms': '700' }, parsedBody: {} },
  { status: 503, headers: { 'retry-after': 'Tue, 24 Nov 2026 12:00:09 GMT' }, parsedBody: null },
];

/** As the SDK shows a response: the status is a number, headers are text. */
function seeVault(input: unknown): unknown {
  const { status, headers, parsedBody, error } = Object(input);
  const seen = toSeenResponse({
    status: typeof status === 'number' ? status : 403,
    headers: {
      get: (name) => {
        const text: unknown = Object.getOwnPropertyDescriptor(Object(headers), name)?.value;
        return typeof text === 'string' ? text : undefined;
      },
    },
    parsedBody,
  });
  return [seen, null].map((one) =>
    classifyFault(toVaultFault(error, one), { deleted: 'unsaid', seenDeleted: false }),
  );
}

export const textTargets: readonly Target[] = [
  textTarget({
    name: 'key URLs',
    codes: ['InvalidKeyId'],
    examples: [keyUrl(kek), keyUrl(kek, V), `  https://v1.vault.azure.net:443/keys/k1/${V}/ `],
    parse: parseKeyUrl,
  }),
  textTarget({
    name: 'names of KEKs',
    codes: ['InvalidKeyId'],
    examples: ['v1.vault.azure.net|k1', 'localhost:8443|k1'],
    parse: (text) => [parseKekKey(text), isAllowedVault(text, ['vault.azure.net'])],
  }),
  textTarget({
    name: 'hosts of vaults',
    codes: ['InvalidKeyId'],
    examples: ['v1.vault.azure.net', 'localhost:8443'],
    parse: (text) => [isAllowedVault(text, ['vault.azure.net']), parseKekId(text, 'k1')],
  }),
  textTarget({
    name: 'key versions',
    codes: ['InvalidKeyId'],
    examples: [V, ` ${V.toUpperCase()}`],
    parse: parseVersion,
  }),
  textTarget({ name: 'server ids', codes: ['InvalidServer'], examples: ['db-1'], parse: parseServerId }),
  textTarget({
    name: 'schedules',
    codes: [],
    examples: ['*/10 * * * * *', '0 30 2 * * *', '0,30 5-50/5 1-3 * jan-mar mon,fri'],
    parse: (text) => findScheduleFault(text) ?? longestGapSeconds(text),
  }),
  valueTarget({
    name: 'settings, all',
    codes: ['InvalidConfig'],
    examples: [environment, bare],
    parse: (input) => readConfig(toEnvironment(input)),
  }),
  ...settingsTable.map(({ name, default: fallback }) => {
    const others = name.startsWith('AzureWebJobsStorage') ? bare : environment;
    return textTarget({
      name: `settings: ${name}`,
      codes: ['InvalidConfig'],
      examples: [fallback ?? new Map(Object.entries(environment)).get(name) ?? ''],
      parse: (text) => readConfig({ ...others, [name]: text }),
      share: 0.1,
    });
  }),
  textTarget({
    name: 'storage connection strings',
    codes: [],
    examples: [
      environment.AzureWebJobsStorage,
      'UseDevelopmentStorage=true',
      'TableEndpoint=http://127.0.0.1:1/a;',
    ],
    parse: (value) =>
      (['table', 'queue', 'blob'] as const).map((service) =>
        isInsecure({ kind: 'connectionString', value }, service),
      ),
  }),
  valueTarget({
    name: 'answers of vaults',
    codes: [],
    examples: [
      ...answers,
      ...['ENOTFOUND', 'PARSE_ERROR', 'CERT_HAS_EXPIRED'].map((code) => ({
        error: { name: 'RestError', message: 'm', code, statusCode: 404, details: refused },
      })),
    ],
    parse: seeVault,
  }),
  textTarget({
    name: 'key ids that vaults answer with',
    codes: [],
    examples: [keyUrl(kek, V)],
    parse: (text) => {
      try {
        return assertSameKey(text, kek, V);
      } catch (error) {
        if (error instanceof UnexpectedAnswer) return error.message;
        throw error;
      }
    },
  }),
  valueTarget({
    name: 'errors of Table Storage',
    codes: [],
    examples: [
      { statusCode: 404, code: 'ResourceNotFound', details: { odataError: { code: 'EntityNotFound' } } },
      { statusCode: 412, details: {} },
    ],
    parse: (thrown) => toStoreError(thrown, 'reading').message,
  }),
];
