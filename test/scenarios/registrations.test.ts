// The composed app through its registrations: what comes in over the host's URLs, good and bad, and what becomes of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../local/demo/world.ts';
import { spawnHost } from '../../local/host/spawn-host.ts';
import type { EmulatedVault } from '../../local/key-vault/emulated-vault.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { routes } from '../../shared/api/routes.ts';
import type { ChainedRecord } from '../../shared/domain/audit.ts';
import { type KekId, kekKey, keyUrl, parseKekId } from '../../shared/domain/key-id.ts';

const FUNCTIONS = [
  'applyServerAccess',
  'applyServerAccessPoison',
  'deliverOutbox',
  'exportTables',
  'keyDisabled',
  'keyExpired',
  'keyNearExpiry',
  'keyNewVersionCreated',
  'keyVaultAuditLog',
  'probeKekShard',
  'probeKekShardPoison',
  'probeKeks',
  'reconcileKek',
  'reconcileKekPoison',
  'rewrapDeks',
  'rewrapDeksPoison',
  'sweepFleet',
  'vaultAccessPolicyChanged',
];

describe('the app on the local host', () => {
  let stack: Stack;
  let vault: EmulatedVault;
  let kek: KekId;

  beforeAll(async () => {
    stack = await startStack({
      // Nothing looks by itself while the tests run: what happens, happens because of what they send.
      times: { probeSeconds: 59, sweepSeconds: 59, confirmSuspectSeconds: 5 },
      vaults: ['contoso'],
      settings: {
        PGCMK_PROBE_SCHEDULE: '0 0 0 1 1 *',
        PGCMK_SWEEP_SCHEDULE: '0 0 0 1 1 *',
        PGCMK_AUDIT_EVENT_HUB: 'audit-log',
        AuditEventHub: 'Endpoint=sb://localhost/;SharedAccessKeyName=a;SharedAccessKey=b',
      },
      onHostLog: () => undefined,
    });
    vault = stack.vaultEmulator.vault('contoso');
    kek = parseKekId(vault.host, 'kek');
    await vault.createKey('kek');
    await stack.operations.registerServer({
      serverId: 'server-1',
      keyId: keyUrl(kek),
      access: { kind: 'none' },
      keyLossPolicy: 'terminate',
      drainSeconds: null,
      principalId: null,
      labels: {},
      wrappedDek: null,
      by: 'test',
      mayAssign: true,
      ifMatch: null,
    });
    expect(await until(async () => (await state()) === 'Ready', 20)).toBe(true);
  }, 60_000);
  afterAll(() => stack?.stop());

  const state = async (): Promise<string | undefined> =>
    Object.keys((await stack.operations.readProgress(kek))?.states ?? {})[0];
  const chain = async (name: string): Promise<readonly ChainedRecord[]> => {
    const records: ChainedRecord[] = [];
    for await (const record of stack.stores.audit.readChain(name)) records.push(record);
    return records;
  };
  const post = (functionName: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${stack.host().url}/runtime/webhooks/EventGrid?functionName=${functionName}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'aeg-event-type': 'Notification', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const run = (functionName: string, input: unknown) =>
    fetch(`${stack.host().url}/admin/functions/${functionName}?wait=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: typeof input === 'string' ? input : JSON.stringify(input) }),
    });
  const hint = (keyId: unknown) => [
    {
      id: 'hint-1',
      topic: 'siem',
      subject: 'kek',
      eventType: 'PgCmk.KeyStatusHint',
      eventTime: new Date().toISOString(),
      data: { keyId },
      dataVersion: '1',
    },
  ];

  test('registers every function of the design', async () => {
    const listed: unknown = await (await fetch(`${stack.host().url}/admin/functions`)).json();
    const names = Array.isArray(listed)
      ? listed.map((one: { readonly name: string }) => one.name).sort()
      : [];
    expect(names).toEqual([...FUNCTIONS, ...Object.keys(routes)].sort());
  });

  test('a hint makes the app look: the disabled key is noticed without probe or sweep, and enabled again likewise', async () => {
    vault.updateKey('kek', 'current', { enabled: false });
    expect((await post('keyDisabled', hint(keyUrl(kek)))).status).toBe(202);
    expect(await until(async () => (await state()) === 'Inaccessible', 15)).toBe(true);
    vault.updateKey('kek', 'current', { enabled: true });
    expect((await post('keyDisabled', hint(keyUrl(kek)))).status).toBe(202);
    expect(await until(async () => (await state()) === 'Ready', 20)).toBe(true);
  });

  test('I-01: a forged hint costs a look and changes nothing', async () => {
    const before = (await stack.stores.servers.read(kek, 'server-1'))?.value.accessEpoch;
    vault.resetCounters();
    expect((await post('keyDisabled', hint(keyUrl(kek)))).status).toBe(202);
    expect(await until(() => (vault.counters()['listversions'] ?? 0) > 0, 10)).toBe(true);
    expect((await stack.stores.servers.read(kek, 'server-1'))?.value.accessEpoch).toBe(before);
    expect(await state()).toBe('Ready');
  });

  test('the audit log of the vault is a hint too, and says in the audit who did it', async () => {
    vault.updateKey('kek', 'current', { enabled: false });
    const record = {
      time: new Date().toISOString(),
      resourceId: vault.resourceId.toUpperCase(),
      operationName: 'KeyUpdate',
      category: 'AuditEvent',
      resultType: 'Success',
      correlationId: 'correlation-1',
      identity: { claim: { upn: 'key.officer@contoso.example' } },
      properties: { id: keyUrl(kek), httpStatusCode: 200, requestUri: keyUrl(kek) },
    };
    const answer = await run('keyVaultAuditLog', [{ records: [record] }]);
    expect(answer.status).toBe(200);
    expect(await until(async () => (await state()) === 'Inaccessible', 15)).toBe(true);
    const told = async () =>
      (await chain(kekKey(kek))).some(({ body }) => body.includes('key.officer@contoso.example'));
    expect(await until(told, 15)).toBe(true);
    vault.updateKey('kek', 'current', { enabled: true });
    await post('keyDisabled', hint(keyUrl(kek)));
    expect(await until(async () => (await state()) === 'Ready', 20)).toBe(true);
  });

  test('a malformed event is acknowledged and recorded once, with the reason', async () => {
    const before = (await chain('app')).length;
    expect((await post('keyDisabled', hint(42))).status).toBe(202);
    expect(await until(async () => (await chain('app')).length > before, 15)).toBe(true);
    const [record] = (await chain('app')).slice(before);
    expect(record?.body).toContain('InvalidEvent');
    expect(record?.body).toContain('keyDisabled');
  });

  test('an event about a key that isn’t held is acknowledged, and asks no vault', async () => {
    vault.resetCounters();
    expect((await post('keyDisabled', hint(`${vault.url}/keys/somebody-elses`))).status).toBe(202);
    expect(Object.values(vault.counters())).toEqual([]);
  });

  test('a message that can’t be understood is recorded and leaves its queue', async () => {
    const before = (await chain('app')).length;
    expect((await run('reconcileKek', '{"kek":"latest"}')).status).toBe(200);
    expect(await until(async () => (await chain('app')).length > before, 15)).toBe(true);
    expect((await chain('app')).at(-1)?.body).toContain('InvalidMessage');
  });

  test('bad settings stop the start, and say all that is wrong at once', async () => {
    const started = spawnHost({
      entry: 'functions/index.ts',
      hostJsonPath: 'host.json',
      env: { ...stack.settings, PGCMK_VAULT_SHARE: '7', PGCMK_PROBE_SCHEDUEL: '*/5 * * * * *' },
      onLog: () => undefined,
    });
    await expect(started).rejects.toThrow(/PGCMK_VAULT_SHARE[\s\S]*PGCMK_PROBE_SCHEDUEL/);
  });
});
