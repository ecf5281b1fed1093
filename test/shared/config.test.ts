import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Environment, readConfig } from '../../shared/config.ts';
import { CmkError } from '../../shared/domain/errors.ts';
import { settingsTable } from '../../shared/settings.ts';

const minimal = { AzureWebJobsStorage: 'UseDevelopmentStorage=true', PGCMK_CREDENTIAL: 'azureCli' };
const readText = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

function faultsOf(environment: Environment): unknown {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof CmkError) return error.detail['faults'];
    throw error;
  }
  return [];
}

describe('readConfig', () => {
  test('needs a storage account and a credential, and has a default for the rest', () => {
    expect(readConfig(minimal)).toEqual({
      storage: { kind: 'connectionString', connectionString: 'UseDevelopmentStorage=true' },
      credential: { kind: 'azureCli', clientId: null },
      vault: {
        dnsSuffixes: ['vault.azure.net', 'vault.azure.cn', 'vault.usgovcloudapi.net'],
        challengeVerification: true,
        share: 0.5,
        limitPer10s: null,
        maxInstances: 2,
      },
      keyRules: {
        confirmSuspectSeconds: 60,
        restoreGapSeconds: 3,
        transientBufferHours: 24,
        breakerHoldMinutes: 60,
      },
      schedules: {
        probe: '*/10 * * * * *',
        sweep: '0 * * * * *',
        outbox: '*/5 * * * * *',
        export: '0 30 2 * * *',
      },
      sweep: {
        sweepSeconds: 300,
        inspectGrantedSeconds: 300,
        inspectRevokedSeconds: 60,
        proveAfterSeconds: 300,
      },
      drainSeconds: 900,
      eventTopic: null,
      auditEventHub: null,
      postgresCaFile: null,
      postgresTokenSuffixes: ['postgres.database.azure.com'],
      api: null,
      dek: { leaseSeconds: 300, releasesPerMinute: 10 },
      retireSoakHours: 2,
      telemetry: null,
      logLevel: 'info',
    });
  });

  test('reads every setting', () => {
    const config = readConfig({
      ...minimal,
      PGCMK_CREDENTIAL: ' ManagedIdentity ',
      AZURE_CLIENT_ID: '00000000-0000-4000-8000-000000000000',
      PGCMK_KEY_VAULT_DNS_SUFFIXES: ' Vault.localhost , localhost',
      PGCMK_VAULT_CHALLENGE_VERIFICATION: 'off',
      PGCMK_VAULT_SHARE: '1',
      PGCMK_VAULT_LIMIT_PER_10S: '250',
      PGCMK_PROBE_SCHEDULE: '0,30 */5 8-18/2 1 JAN-mar mon-FRI',
      PGCMK_EVENT_TOPIC_ENDPOINT: 'http://127.0.0.1:9000/api/events',
      PGCMK_EVENT_TOPIC_KEY: 'key',
      PGCMK_AUDIT_EVENT_HUB: 'keyvault-audit',
      AuditEventHub__fullyQualifiedNamespace: 'ns.servicebus.windows.net',
      PGCMK_POSTGRES_CA_FILE: '/etc/ssl/postgres.pem',
      PGCMK_SECRET_ORDERS: 'hunter2',
      PGCMK_HOST_PORT: '7071',
    });
    expect(config).toMatchObject({
      credential: { kind: 'managedIdentity', clientId: '00000000-0000-4000-8000-000000000000' },
      vault: {
        dnsSuffixes: ['vault.localhost', 'localhost'],
        challengeVerification: false,
        share: 1,
        limitPer10s: 250,
      },
      schedules: { probe: '0,30 */5 8-18/2 1 JAN-mar mon-FRI' },
      eventTopic: { endpoint: 'http://127.0.0.1:9000/api/events', key: 'key' },
      auditEventHub: { name: 'keyvault-audit', connection: 'AuditEventHub' },
      postgresCaFile: '/etc/ssl/postgres.pem',
      postgresTokenSuffixes: ['postgres.database.azure.com'],
    });
  });

  test('reaches storage with the identity, by account name or by URLs', () => {
    const byName = {
      PGCMK_CREDENTIAL: 'managedIdentity',
      AzureWebJobsStorage: '',
      AzureWebJobsStorage__accountName: 'acme',
      AzureWebJobsStorage__blobServiceUri: 'https://acme.blob.core.example',
    };
    const uris = {
      kind: 'identity',
      tableServiceUri: 'https://acme.table.core.windows.net',
      queueServiceUri: 'https://acme.queue.core.windows.net',
      blobServiceUri: 'https://acme.blob.core.example',
    };
    expect(readConfig(byName).storage).toEqual(uris);
    const byUris = {
      PGCMK_CREDENTIAL: 'managedIdentity',
      AzureWebJobsStorage__tableServiceUri: uris.tableServiceUri,
      AzureWebJobsStorage__queueServiceUri: uris.queueServiceUri,
      AzureWebJobsStorage__blobServiceUri: uris.blobServiceUri,
    };
    expect(readConfig(byUris).storage).toEqual(uris);
  });

  describe('the API', () => {
    const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
    const given = {
      ...minimal,
      PGCMK_AUTH_ISSUER: 'https://login.microsoftonline.com/t/v2.0',
      PGCMK_AUTH_AUDIENCE: 'api://pg-cmk, 5b4c2f6e-0000-4000-8000-000000000001',
      PGCMK_SIGNING_KEY: String(pem),
    };

    test('needs an issuer, an audience and a signing key together', () => {
      expect(readConfig(given).api).toMatchObject({
        issuer: 'https://login.microsoftonline.com/t/v2.0',
        audiences: ['api://pg-cmk', '5b4c2f6e-0000-4000-8000-000000000001'],
        jwksUri: null,
        rolesClaim: 'roles',
        principalClaim: 'oid',
      });
      const { PGCMK_AUTH_ISSUER } = given;
      expect(faultsOf({ ...minimal, PGCMK_AUTH_ISSUER })).toMatchObject([
        { name: 'PGCMK_AUTH_AUDIENCE' },
        { name: 'PGCMK_SIGNING_KEY' },
      ]);
    });

    test('takes the signing key as PEM, as PEM on one line, and as base64', () => {
      const base64 = String(pem).replaceAll(/-----.*-----|\n/g, '');
      for (const text of [String(pem), String(pem).replaceAll('\n', '\\n'), base64])
        expect(faultsOf({ ...given, PGCMK_SIGNING_KEY: text })).toEqual([]);
    });

    test('refuses another key, and shows nothing of it', () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const other = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
      for (const text of [other, 'c2VjcmV0']) {
        const faults = faultsOf({ ...given, PGCMK_SIGNING_KEY: text });
        expect(faults).toMatchObject([{ name: 'PGCMK_SIGNING_KEY' }]);
        expect(JSON.stringify(faults)).not.toContain(text);
      }
    });
  });

  describe('telemetry', () => {
    const ikey = 'InstrumentationKey=00000000-0000-4000-8000-000000000000';
    const told = { ...minimal, PGCMK_TELEMETRY: 'azuremonitor' };
    const given = {
      ...told,
      APPLICATIONINSIGHTS_CONNECTION_STRING: `${ikey};IngestionEndpoint=https://x.example/`,
    };

    test('goes where the connection string says, with the identity where that is asked for', () => {
      const connectionString = given.APPLICATIONINSIGHTS_CONNECTION_STRING;
      expect(readConfig(given).telemetry).toEqual({ connectionString, byIdentity: false });
      const byIdentity = {
        ...given,
        APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=x;Authorization=AAD',
      };
      expect(readConfig(byIdentity).telemetry).toEqual({ connectionString, byIdentity: true });
    });

    test('is off where nobody asks for it, though the host has its connection string', () => {
      expect(readConfig({ ...given, PGCMK_TELEMETRY: '' }).telemetry).toBeNull();
    });

    test('needs a connection string, and another way to sign in is none', () => {
      const name = 'APPLICATIONINSIGHTS_CONNECTION_STRING';
      expect(faultsOf(told)).toMatchObject([{ name }]);
      expect(faultsOf({ ...told, [name]: 'InstrumentationKey=none' })).toMatchObject([{ name }]);
      expect(
        faultsOf({ ...given, APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=Key' }),
      ).toMatchObject([{ name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING' }]);
    });
  });

  test('lists all faults at once', () => {
    expect(
      faultsOf({
        PGCMK_SWEEP_SECONDS: 'often',
        PGCMK_SWEEP_SECOND: '300',
        AzureWebJobsStorage__tableServiceUri: 'https://acme.table.core.windows.net',
        PGCMK_EVENT_TOPIC_KEY: 'key',
      }),
    ).toMatchObject([
      { name: 'PGCMK_CREDENTIAL', problem: 'is missing' },
      { name: 'PGCMK_SWEEP_SECONDS', remedy: 'Give 10 to 86400 (seconds), or leave it out for 300.' },
      { name: 'PGCMK_SWEEP_SECOND' },
      { name: 'AzureWebJobsStorage__queueServiceUri' },
      { name: 'AzureWebJobsStorage__blobServiceUri' },
      { name: 'PGCMK_EVENT_TOPIC_KEY' },
    ]);
  });

  test('repeats nothing that may be a secret', () => {
    const secret = 'sig=s3cret';
    const faulty = {
      AzureWebJobsStorage: secret,
      AzureWebJobsStorage__accountName: secret,
      AzureWebJobsStorage__tableServiceUri: `https://acme.example/?${secret}`,
      PGCMK_EVENT_TOPIC_ENDPOINT: `https://user:${secret}@acme.example`,
      PGCMK_AUDIT_EVENT_HUB: secret,
      AuditEventHub__fullyQualifiedNamespace: secret,
      AZURE_CLIENT_ID: secret,
    };
    const faults = JSON.stringify(faultsOf({ ...faulty, PGCMK_CREDENTIAL: 'azureCli' }));
    for (const name of Object.keys(faulty)) expect(faults).toContain(name);
    expect(faults).not.toContain('s3cret');
  });

  test.each([
    ['0 30 2 * * mon', 'on Mondays only'],
    ['0 30 2 1 * *', 'on the first only'],
    ['0 30 2 * jan *', 'in January only'],
    ['0 30 2 * *', 'five fields'],
  ])('tables are exported every day: not %s (%s)', (schedule) => {
    expect(faultsOf({ ...minimal, PGCMK_EXPORT_SCHEDULE: schedule })).toMatchObject([
      { name: 'PGCMK_EXPORT_SCHEDULE' },
    ]);
    expect(readConfig({ ...minimal, PGCMK_EXPORT_SCHEDULE: '0 0 */6 * * *' }).schedules.export).toBe(
      '0 0 */6 * * *',
    );
  });

  const ranged = settingsTable.filter(({ limits }) => /^[\d.]+ to \d+$/.test(limits));
  test.each(ranged)('$name takes its limits and nothing beyond', ({ name, limits }) => {
    const [min = '', max = ''] = limits.split(' to ');
    const read = (value: string) => faultsOf({ ...minimal, [name]: value });
    expect([read(min), read(max)]).toEqual([[], []]);
    expect(read(String(Number(max) + 1))).toMatchObject([{ name }]);
    expect(read(Number(min) < 1 ? '-1' : String(Number(min) - 1))).toMatchObject([{ name }]);
  });
});

describe('settings', () => {
  test('no setting is without a meaning', () => {
    expect(settingsTable).toHaveLength(45);
    expect(settingsTable.filter(({ meaning }) => meaning === '')).toEqual([]);
  });

  test.each(settingsTable)('docs/settings.md lists $name as it is', (row) => {
    const shown = row.default === null ? '–' : `\`${row.default}\``;
    expect(readText('docs/settings.md')).toContain(
      `| \`${row.name}\` | ${row.meaning} | ${row.unit} | ${shown} | ${row.limits} |`,
    );
  });

  test('the sample names every setting, and starts the app', () => {
    const { Values } = JSON.parse(readText('local.settings.sample.json'));
    expect(Object.keys(Values)).toEqual([
      'FUNCTIONS_WORKER_RUNTIME',
      ...settingsTable.map(({ name }) => name),
    ]);
    expect(readConfig(Values)).toEqual(readConfig(minimal));
  });
});
