// Everything that comes from outside, malformed: one row each. Nothing may be enqueued or done, and the input must be
// recorded exactly once, with words that a person can act on. (Stored rows: with their stores.)
import { describe, expect, test } from 'vitest';
import { makeKeyDisabledHandler } from '../functions/events/key-disabled.ts';
import { makeKeyExpiredHandler } from '../functions/events/key-expired.ts';
import { makeKeyVaultAuditLogHandler } from '../functions/events/key-vault-audit-log.ts';
import { makeVaultAccessPolicyChangedHandler } from '../functions/events/vault-access-policy-changed.ts';
import { makePoisonHandler } from '../functions/queues/poison.ts';
import { makeProbeKekShardHandler } from '../functions/queues/probe-kek-shard.ts';
import { makeReconcileKekHandler } from '../functions/queues/reconcile-kek.ts';
import { makeRewrapDeksHandler } from '../functions/queues/rewrap-deks.ts';
import { type Environment, readConfig } from '../shared/config.ts';
import type { ConfigFault } from '../shared/config-faults.ts';
import { CmkError, type ErrorCode } from '../shared/domain/errors.ts';
import { makeBoundaryPorts } from './functions/boundary-ports.ts';

type Ports = ReturnType<typeof makeBoundaryPorts>;
type Send = (input: unknown, ports: Ports) => Promise<void>;

const expired: Send = (input, ports) => makeKeyExpiredHandler(ports)(input);
const disabled: Send = (input, ports) => makeKeyDisabledHandler(ports)(input);
const policy: Send = (input, ports) => makeVaultAccessPolicyChangedHandler(ports)(input);
const auditLog: Send = (input, ports) => makeKeyVaultAuditLogHandler(ports)(input);
const reconcile: Send = (input, ports) => makeReconcileKekHandler(ports)(input, {});
const rewrap: Send = (input, ports) => makeRewrapDeksHandler(ports)(input, {});
const probe: Send = (input, ports) => makeProbeKekShardHandler(ports)(input, {});
const poison: Send = (input, ports) => makePoisonHandler('rewrapDeksPoison', 'rewrap-deks', ports)(input, {});

const KEY = 'https://v1.vault.azure.net/keys/k1';
const EXPIRED = 'Microsoft.KeyVault.KeyExpired';
const event = (data: unknown) => ({ id: 'e', eventType: EXPIRED, data });
const idEvent = (Id: unknown, more: Readonly<Record<string, unknown>> = {}) => event({ Id, ...more });
const hint = (data: unknown) => ({ id: 'e', specversion: '1.0', type: 'PgCmk.KeyStatusHint', data });
const changed = (data: unknown) => ({
  id: 'e',
  eventType: 'Microsoft.KeyVault.VaultAccessPolicyChanged',
  data,
});
const record = (more: Readonly<Record<string, unknown>>) => ({
  records: [{ operationName: 'KeyDelete', ...more }],
});

const kek = { vault: 'v1.vault.azure.net', name: 'k1' };
const sweep = { kind: 'sweep' };
const range = (more: Readonly<Record<string, unknown>>) => ({
  ...{ kek, epoch: 1, from: 'a', to: 'b', attempt: null, cause: sweep },
  ...more,
});

interface Row {
  readonly name: string;
  readonly send: Send;
  readonly input: unknown;
  readonly code: ErrorCode;
  readonly path: string;
  readonly words: string;
}

const row =
  (code: ErrorCode) =>
  (name: string, send: Send, input: unknown, path: string, words: string): Row => ({
    ...{ name, send, input, code, path, words },
  });
const bad = row('InvalidEvent');
const garbled = row('InvalidMessage');

const rows: readonly Row[] = [
  bad('an event that is null', expired, null, 'event', 'is null'),
  bad('an event that is missing', expired, undefined, 'event', 'is missing'),
  bad('an event that is text', expired, 'hello', 'event', 'string, not an object'),
  bad('an event that is a number', expired, 7, 'event', 'number, not an object'),
  bad('an empty array', expired, [], 'event', 'empty array'),
  bad('an array in an array', expired, [[event({ Id: KEY })]], 'event', 'an array'),
  bad('an empty event', expired, {}, 'id', 'expected string'),
  bad('an event without a type', expired, { id: 'e', data: { Id: KEY } }, 'eventType', 'expected string'),
  bad('an event with a number as its id', expired, { ...event({}), id: 7 }, 'id', 'expected string'),
  bad('an event with a blank id', expired, { ...event({}), id: ' ' }, 'id', 'Too small'),
  bad('an event with an endless id', expired, { ...event({}), id: 'e'.repeat(300) }, 'id', 'Too big'),
  bad('an unknown type', expired, { ...event({}), eventType: 'Contoso.Key' }, 'eventType', `not ${EXPIRED}`),
  bad(
    'an own event coming back',
    disabled,
    { ...hint({}), type: 'PgCmk.KeyUnusable' },
    'type',
    'PgCmk.KeyUnusable',
  ),
  bad(
    'a handshake',
    expired,
    { ...event({}), eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent' },
    'eventType',
    'Subscription',
  ),
  bad(
    'a vault event at a function for keys',
    disabled,
    changed({ VaultName: 'v1' }),
    'eventType',
    'not PgCmk.KeyStatusHint',
  ),
  bad('a CloudEvent of version 0.3', expired, { ...hint({}), specversion: '0.3' }, 'specversion', '1.0'),
  bad(
    'a CloudEvent without a type',
    disabled,
    { specversion: '1.0', id: 'e', data: {} },
    'type',
    'expected string',
  ),
  bad('an event without data', expired, { id: 'e', eventType: EXPIRED }, 'data', 'is missing'),
  bad('data as JSON text', expired, event(JSON.stringify({ Id: KEY })), 'data', 'string, not an object'),
  bad('data as an array', expired, event([{ Id: KEY }]), 'data', 'an array, not an object'),
  bad('data that names nothing', expired, event({}), 'data.Id', 'is missing'),
  bad('the name of a vault without a key', expired, event({ VaultName: 'v1' }), 'data.Id', 'is missing'),
  bad('an id that is a number', expired, idEvent(42), 'data.Id', 'number, not text'),
  bad(
    'a name that is an object',
    expired,
    idEvent(KEY, { ObjectName: {} }),
    'data.ObjectName',
    'object, not text',
  ),
  bad('two ids', expired, idEvent(KEY, { id: `${KEY}2` }), 'data.Id', 'twice'),
  bad('an id that is no URL', expired, idEvent('k1'), 'data.Id', 'not a Key Vault key URL'),
  bad(
    'an id over http',
    expired,
    idEvent(KEY.replace('https', 'http')),
    'data.Id',
    'not a Key Vault key URL',
  ),
  bad('the id of a secret as a key', expired, idEvent(KEY.replace('keys', 'secrets')), 'data.Id', '/keys/'),
  bad('a version that is none', expired, idEvent(`${KEY}/latest`), 'data.Id', '32 hexadecimal digits'),
  bad(
    'a key name with a path',
    expired,
    event({ VaultName: 'v1', ObjectName: '../k1' }),
    'data.Id',
    'key name',
  ),
  bad('an id with a query', expired, idEvent(`${KEY}?sig=s3cret`), 'data.Id', 'query'),
  bad(
    'an id with a password',
    expired,
    idEvent('https://u:s3cret@v1.vault.azure.net/keys/k1'),
    'data.Id',
    'user name',
  ),
  bad(
    "a stranger's vault",
    expired,
    idEvent('https://vault.example.com/keys/k1'),
    'data.Id',
    'outside the allowed suffixes',
  ),
  bad(
    'a host that only ends like a vault',
    expired,
    idEvent('https://evilvault.azure.net/keys/k1'),
    'data.Id',
    'outside the allowed',
  ),
  bad(
    'a vault as a prefix of a stranger',
    expired,
    idEvent('https://v1.vault.azure.net.evil.com/keys/k1'),
    'data.Id',
    'outside the allowed',
  ),
  bad(
    'a stranger by the name of a vault',
    expired,
    event({ VaultName: 'v.evil.com', ObjectName: 'k1' }),
    'data.Id',
    'outside the allowed',
  ),
  bad(
    'names of different vaults',
    expired,
    idEvent(KEY, { VaultName: 'v2' }),
    'data.Id',
    'another vault than VaultName',
  ),
  bad(
    'names of different keys',
    expired,
    idEvent(KEY, { ObjectName: 'k2' }),
    'data.Id',
    'another key than ObjectName',
  ),
  bad('a hint without keyId', disabled, hint({ Id: KEY }), 'data.keyId', 'is missing'),
  bad(
    'a hint about a stranger',
    disabled,
    hint({ keyId: 'https://evil.com/keys/k' }),
    'data.keyId',
    'outside the allowed',
  ),
  bad(
    'a policy change that names nothing',
    policy,
    changed({ ObjectName: 'k1' }),
    'data.Id',
    'so is VaultName',
  ),
  bad('a policy change about a key', policy, changed({ Id: KEY }), 'data.Id', "neither a vault's URL"),
  bad(
    'a policy change of a storage account',
    policy,
    changed({ Id: '/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/v1' }),
    'data.Id',
    'neither',
  ),
  bad(
    'a policy change at a stranger',
    policy,
    changed({ Id: 'https://evil.com' }),
    'data.Id',
    'outside the allowed',
  ),
  bad(
    'a policy change with a bad host',
    policy,
    changed({ Id: 'https://v_1.vault.azure.net' }),
    'data.Id',
    'no host has',
  ),
  bad(
    'a policy change with two vaults',
    policy,
    changed({ Id: 'https://v1.vault.azure.net', VaultName: 'v2' }),
    'data.Id',
    'another vault',
  ),

  bad('a log message that is no JSON', auditLog, 's3cret {', 'message', 'is no JSON'),
  bad('a log message without records', auditLog, {}, 'records', 'is missing'),
  bad('records that are no array', auditLog, { records: {} }, 'records', 'not an array'),
  bad('a record that is null', auditLog, { records: [null] }, 'record', 'is null'),
  bad(
    'a record without an operation',
    auditLog,
    record({ operationName: '' }),
    'record.operationName',
    'is missing',
  ),
  bad(
    'an operation that is a number',
    auditLog,
    record({ operationName: 1 }),
    'record.operationName',
    'not text',
  ),
  bad('a record without properties', auditLog, record({}), 'record.properties', 'is missing'),
  bad('a record without a key', auditLog, record({ properties: {} }), 'record.properties.id', 'is missing'),
  bad(
    "a record of a stranger's key",
    auditLog,
    record({ properties: { id: 'https://evil.com/keys/k' } }),
    'record.properties.id',
    'outside the allowed',
  ),
  bad(
    'a vault operation without a vault',
    auditLog,
    record({ operationName: 'VaultPut', properties: {} }),
    'record.resourceId',
    'is missing',
  ),

  garbled('a message that is no JSON', reconcile, 'hello', 'message', 'expected object'),
  garbled('a message that is null', reconcile, null, 'message', 'expected object'),
  garbled('a message without a KEK', reconcile, { cause: sweep }, 'kek', 'expected object'),
  garbled('a KEK as text', reconcile, { kek: KEY, cause: sweep }, 'kek', 'expected object'),
  garbled(
    'a KEK with a bad vault',
    reconcile,
    { kek: { ...kek, vault: 'v 1' }, cause: sweep },
    'kek',
    'no host has',
  ),
  garbled(
    'a KEK with a bad name',
    reconcile,
    { kek: { ...kek, name: 'k|1' }, cause: sweep },
    'kek',
    'key name',
  ),
  garbled('a message without a cause', reconcile, { kek }, 'cause', 'expected object'),
  garbled(
    'a cause of no known kind',
    reconcile,
    { kek, cause: { kind: 'whim' } },
    'cause.kind',
    'discriminator',
  ),
  garbled(
    'a cause without its id',
    reconcile,
    { kek, cause: { kind: 'event', type: 't' } },
    'cause.id',
    'expected string',
  ),
  garbled('an epoch as text', rewrap, range({ epoch: '1' }), 'epoch', 'expected number'),
  garbled('an epoch below nothing', rewrap, range({ epoch: -1 }), 'epoch', '>=0'),
  garbled('half an epoch', rewrap, range({ epoch: 1.5 }), 'epoch', 'int'),
  garbled('a range without an end', rewrap, range({ to: undefined }), 'to', 'expected string'),
  garbled(
    'a range that ends before it begins',
    rewrap,
    range({ from: 'b', to: 'a' }),
    'to',
    'comes before from',
  ),
  garbled('a server id in capitals', rewrap, range({ from: 'A' }), 'from', 'not a server id'),
  garbled('a server id that is too long', rewrap, range({ to: 'b'.repeat(64) }), 'to', 'not a server id'),
  garbled('a range that counts tries', rewrap, range({ attempt: 1 }), 'attempt', 'this is a range'),
  garbled(
    'a message without an attempt',
    rewrap,
    range({ attempt: undefined }),
    'attempt',
    'expected number',
  ),
  garbled('a shard without KEKs', probe, { keks: [] }, 'keks', 'Too small'),
  garbled('a shard with a bad KEK', probe, { keks: [kek, {}] }, 'keks.1.vault', 'expected string'),
  garbled('a garbled message that was poisoned', poison, { kek }, 'epoch', 'expected number'),
];

describe('malformed events and messages', () => {
  test.each(rows)('$name', async ({ send, input, code, path, words }) => {
    const ports = makeBoundaryPorts();
    await send(input, ports);
    const { rejected, ...others } = ports.calls;
    expect(others).toEqual({ hints: [], poisoned: [], worked: [] });
    expect(rejected).toHaveLength(1);
    const problem = rejected[0]?.problem;
    expect(problem).toMatchObject({ code, retryable: false, detail: { path } });
    expect(problem?.message).toContain(words);
    expect(problem?.message).not.toContain('s3cret');
    expect(problem?.remedy).not.toBe('');
  });
});

const sound = { AzureWebJobsStorage: 'UseDevelopmentStorage=true', PGCMK_CREDENTIAL: 'azureCli' };

const settings: readonly (readonly [name: string, change: Environment, setting: string, words: string])[] = [
  ['no storage', { AzureWebJobsStorage: undefined }, 'AzureWebJobsStorage', 'is missing'],
  ['blank storage', { AzureWebJobsStorage: '  ' }, 'AzureWebJobsStorage', 'is missing'],
  [
    'storage that is none',
    { AzureWebJobsStorage: 'true' },
    'AzureWebJobsStorage',
    'not a storage connection string',
  ],
  ['storage twice', { AzureWebJobsStorage__accountName: 'acme' }, 'AzureWebJobsStorage', 'given twice'],
  ['no credential', { PGCMK_CREDENTIAL: undefined }, 'PGCMK_CREDENTIAL', 'is missing'],
  [
    'a credential that hides mistakes',
    { PGCMK_CREDENTIAL: 'default' },
    'PGCMK_CREDENTIAL',
    'not one of managedIdentity',
  ],
  ['a client that is no GUID', { AZURE_CLIENT_ID: 'my-identity' }, 'AZURE_CLIENT_ID', 'not a GUID'],
  [
    'an empty suffix',
    { PGCMK_KEY_VAULT_DNS_SUFFIXES: 'vault.azure.net,' },
    'PGCMK_KEY_VAULT_DNS_SUFFIXES',
    '"" is none',
  ],
  [
    'a suffix with a dot before',
    { PGCMK_KEY_VAULT_DNS_SUFFIXES: '.vault.azure.net' },
    'PGCMK_KEY_VAULT_DNS_SUFFIXES',
    'not a list of domain names',
  ],
  [
    'a suffix that is a URL',
    { PGCMK_KEY_VAULT_DNS_SUFFIXES: 'https://vault.azure.net' },
    'PGCMK_KEY_VAULT_DNS_SUFFIXES',
    'not a list of domain names',
  ],
  [
    'a suffix for the whole world',
    { PGCMK_KEY_VAULT_DNS_SUFFIXES: 'com' },
    'PGCMK_KEY_VAULT_DNS_SUFFIXES',
    'too wide',
  ],
  [
    'too many suffixes',
    { PGCMK_KEY_VAULT_DNS_SUFFIXES: Array(21).fill('a.b').join() },
    'PGCMK_KEY_VAULT_DNS_SUFFIXES',
    'more than 20',
  ],
  [
    'no verification of public vaults',
    { PGCMK_VAULT_CHALLENGE_VERIFICATION: 'off' },
    'PGCMK_VAULT_CHALLENGE_VERIFICATION',
    'public Azure cloud',
  ],
  [
    'no verification above public vaults',
    { PGCMK_VAULT_CHALLENGE_VERIFICATION: 'OFF', PGCMK_KEY_VAULT_DNS_SUFFIXES: 'azure.net' },
    'PGCMK_VAULT_CHALLENGE_VERIFICATION',
    'public Azure cloud',
  ],
  [
    'no verification of one public vault',
    {
      PGCMK_VAULT_CHALLENGE_VERIFICATION: 'off',
      PGCMK_KEY_VAULT_DNS_SUFFIXES: 'localhost,v1.vault.azure.cn',
    },
    'PGCMK_VAULT_CHALLENGE_VERIFICATION',
    'public Azure cloud',
  ],
  ['a word for a number', { PGCMK_SWEEP_SECONDS: 'often' }, 'PGCMK_SWEEP_SECONDS', 'not a whole number'],
  [
    'a number with a unit',
    { PGCMK_CONFIRM_SUSPECT_SECONDS: '60s' },
    'PGCMK_CONFIRM_SUSPECT_SECONDS',
    'not a whole number',
  ],
  ['half a second', { PGCMK_RESTORE_GAP_SECONDS: '0.5' }, 'PGCMK_RESTORE_GAP_SECONDS', 'not a whole number'],
  ['a number in hexadecimal', { PGCMK_DRAIN_SECONDS: '0x10' }, 'PGCMK_DRAIN_SECONDS', 'not a whole number'],
  ['too few hours', { PGCMK_TRANSIENT_BUFFER_HOURS: '0' }, 'PGCMK_TRANSIENT_BUFFER_HOURS', 'less than 1'],
  [
    'too many minutes',
    { PGCMK_BREAKER_HOLD_MINUTES: '9999' },
    'PGCMK_BREAKER_HOLD_MINUTES',
    'more than 1440',
  ],
  ['a share of more than all', { PGCMK_VAULT_SHARE: '1.1' }, 'PGCMK_VAULT_SHARE', 'more than 1'],
  ['a share of nothing', { PGCMK_VAULT_SHARE: '0' }, 'PGCMK_VAULT_SHARE', 'less than 0.01'],
  ['a share in percent', { PGCMK_VAULT_SHARE: '50%' }, 'PGCMK_VAULT_SHARE', 'not a number such as 0.5'],
  [
    'a schedule of five fields',
    { PGCMK_PROBE_SCHEDULE: '* * * * *' },
    'PGCMK_PROBE_SCHEDULE',
    'not six fields',
  ],
  [
    'a schedule with a second too many',
    { PGCMK_SWEEP_SCHEDULE: '60 * * * * *' },
    'PGCMK_SWEEP_SCHEDULE',
    'field 1 (second',
  ],
  [
    'a topic without TLS',
    { PGCMK_EVENT_TOPIC_ENDPOINT: 'http://acme.example/api/events' },
    'PGCMK_EVENT_TOPIC_ENDPOINT',
    'not an https URL',
  ],
  [
    'a topic that is no URL',
    { PGCMK_EVENT_TOPIC_ENDPOINT: 'acme' },
    'PGCMK_EVENT_TOPIC_ENDPOINT',
    'not a URL',
  ],
  [
    'a topic with its key in the URL',
    { PGCMK_EVENT_TOPIC_ENDPOINT: 'https://acme.example/?aeg-sas-key=s3cret' },
    'PGCMK_EVENT_TOPIC_ENDPOINT',
    'a query',
  ],
  [
    'a key without a topic',
    { PGCMK_EVENT_TOPIC_KEY: 's3cret' },
    'PGCMK_EVENT_TOPIC_KEY',
    'without PGCMK_EVENT_TOPIC_ENDPOINT',
  ],
  [
    'an event hub with a path',
    { PGCMK_AUDIT_EVENT_HUB: 'a/b', AuditEventHub: 'c' },
    'PGCMK_AUDIT_EVENT_HUB',
    'not the name',
  ],
  ['an event hub without a namespace', { PGCMK_AUDIT_EVENT_HUB: 'audit' }, 'AuditEventHub', 'is missing'],
  ['a log level of another system', { PGCMK_LOG_LEVEL: 'verbose' }, 'PGCMK_LOG_LEVEL', 'not one of debug'],
  ['a slip of the pen', { PGCMK_SWEEP_SECOND: '60' }, 'PGCMK_SWEEP_SECOND', 'no setting'],
  ['a name in another case', { pgcmk_log_level: 'info' }, 'pgcmk_log_level', 'no setting'],
];

describe('settings that stop the start', () => {
  test.each(settings)('%s', (_, change, setting, words) => {
    const faults: ConfigFault[] = [];
    const start = () => {
      try {
        readConfig({ ...sound, ...change });
      } catch (error) {
        if (error instanceof CmkError && Array.isArray(error.detail['faults']))
          faults.push(...error.detail['faults']);
        throw error;
      }
    };
    expect(start).toThrow(expect.objectContaining({ code: 'InvalidConfig' }));
    expect(faults).toMatchObject([{ name: setting, problem: expect.stringContaining(words) }]);
    expect(faults[0]?.remedy).not.toBe('');
    expect(JSON.stringify(faults)).not.toContain('s3cret');
  });
});
