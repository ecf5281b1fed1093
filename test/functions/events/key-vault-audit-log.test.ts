import { describe, expect, test } from 'vitest';
import { makeKeyVaultAuditLogHandler } from '../../../functions/events/key-vault-audit-log.ts';
import type { Hint } from '../../../shared/operations/hint.ts';
import { readFixture } from '../../fixtures/events/read-fixture.ts';
import { makeBoundaryPorts } from '../boundary-ports.ts';

const describeHint = ({ target, cause }: Hint) => [
  target.kind === 'kek' ? target.kek.name : target.vault,
  cause.kind === 'auditLog' ? cause.operation : cause.kind,
  cause.kind === 'auditLog' ? cause.by : null,
];

const record = (operationName: string, more: Readonly<Record<string, unknown>> = {}) => ({
  category: 'AuditEvent',
  operationName,
  correlationId: 'c1',
  properties: { id: 'https://v1.vault.azure.net/keys/k1', httpStatusCode: 200 },
  ...more,
});

async function take(input: unknown) {
  const ports = makeBoundaryPorts();
  await makeKeyVaultAuditLogHandler(ports)(input);
  return ports.calls;
}

describe('keyVaultAuditLog', () => {
  const fromFixture = [
    ['k1', 'KeyUpdate', 'ada@example.com'],
    ['k2', 'KeyDelete', '04b07795-8ddb-461a-bbee-02f9e1bf7b46'],
    ['v1.vault.azure.net', 'VaultPatch', 'live.com#grace@example.com'],
    ['v1.vault.azure.net', 'VaultDelete', null],
  ];

  test.each([
    ['one message', (message: unknown) => message],
    ['an array of messages', (message: unknown) => [message]],
    ['a message as text', (message: unknown) => JSON.stringify(message)],
  ])('takes what changed something from %s, with who did it', async (_, wrap) => {
    const { hints, rejected } = await take(wrap(readFixture('audit-log')));
    expect(hints.map(describeHint)).toEqual(fromFixture);
    expect(rejected).toEqual([]);
  });

  test.each([
    'KeyUpdate',
    'KeyDelete',
    'KeyRecover',
    'KeyPurge',
    'KeyRotate',
    'KeyCreate',
    'KeyImport',
    'KeyRestore',
  ])('takes %s', async (operation) => {
    const { hints } = await take({ records: [record(operation)] });
    expect(hints).toEqual([
      {
        target: { kind: 'kek', kek: { vault: 'v1.vault.azure.net', name: 'k1' } },
        cause: { kind: 'auditLog', id: 'c1', operation, by: null },
      },
    ]);
  });

  test.each([
    'KeyUnwrap',
    'KeyWrap',
    'KeyGet',
    'KeyList',
    'SecretSet',
    'VaultGet',
    'VaultList',
    'Authentication',
  ])('drops %s, whatever else it holds', async (operation) => {
    expect(await take({ records: [record(operation, { properties: null })] })).toMatchObject({
      hints: [],
      rejected: [],
    });
  });

  test('drops other logs, and drops what was refused but not what failed in the vault', async () => {
    const withStatus = (httpStatusCode: unknown) => ({
      properties: { id: 'https://v1.vault.azure.net/keys/k1', httpStatusCode },
    });
    const { hints, rejected } = await take({
      records: [
        { category: 'AllMetrics' },
        record('KeyDelete', withStatus(403)),
        record('KeyDelete', withStatus('404')),
        record('KeyDelete', withStatus(500)),
        record('KeyDelete', withStatus(undefined)),
      ],
    });
    expect(hints).toHaveLength(2);
    expect(rejected).toEqual([]);
  });

  test('names a record without a correlation id by its time, or else by what it is', async () => {
    const records = [
      record('KeyDelete', { correlationId: ' ', time: 't1' }),
      record('KeyPurge', { correlationId: 7 }),
    ];
    const { hints } = await take({ records });
    expect(hints.map(({ cause }) => 'id' in cause && cause.id)).toEqual(['t1', 'KeyPurge']);
  });

  test('records what has a bad shape, and takes the rest of the batch', async () => {
    const { hints, rejected } = await take([
      { records: [7, record('KeyDelete', { properties: {} }), record('KeyDelete')] },
      { nothing: true },
      { records: [record('KeyPurge')] },
    ]);
    expect(hints).toHaveLength(2);
    expect(rejected.map(({ source, id }) => [source, id])).toEqual([
      ['keyVaultAuditLog', null],
      ['keyVaultAuditLog', 'c1'],
      ['keyVaultAuditLog', null],
    ]);
  });

  test('takes the rest of a batch when a hint could not be submitted, and then throws', async () => {
    const hint = ({ cause }: Hint) => {
      if (cause.kind === 'auditLog' && cause.operation === 'KeyDelete') throw new Error('the store is down');
    };
    const ports = makeBoundaryPorts({ hint });
    const handler = makeKeyVaultAuditLogHandler(ports);
    await expect(
      handler([{ records: [record('KeyDelete'), record('KeyPurge')] }, { records: [record('KeyPurge')] }]),
    ).rejects.toThrow('the store is down');
    expect(ports.calls.hints).toHaveLength(2);
  });
});
