// A server that is down while its key comes back: it is given its DEK, boots with it, and is reopened by itself.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../local/day/session.ts';
import { until } from '../../local/demo/world.ts';
import type { EmulatedVault } from '../../local/key-vault/emulated-vault.ts';
import { type Postgres, startPostgres } from '../../local/postgres.ts';
import { prepareServer, readOpenDatabases, toAccess } from '../../local/stack/fleet-server.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { keyUrl, parseKekId } from '../../shared/domain/key-id.ts';

const SETTING = 'PGCMK_SECRET_BOOT';
const IDENTITY = 'identity-of-boot-1';

let stack: Stack;
let vault: EmulatedVault;
let postgres: Postgres;

beforeAll(async () => {
  const appPassword = randomBytes(18).toString('base64url');
  stack = await startStack({
    times: { probeSeconds: 1, sweepSeconds: 2, confirmSuspectSeconds: 5 },
    vaults: ['contoso'],
    settings: { [SETTING]: appPassword },
    onHostLog: () => undefined,
  });
  vault = stack.vaultEmulator.vault('contoso');
  await vault.createKey('boot');
  postgres = await startPostgres({ name: 'boot-1', ssl: stack.certificates });
  await prepareServer(postgres, appPassword);
  await stack.operations.registerServer({
    serverId: 'boot-1',
    keyId: keyUrl(parseKekId(vault.host, 'boot')),
    access: toAccess(postgres, SETTING),
    keyLossPolicy: 'terminate',
    drainSeconds: null,
    principalId: IDENTITY,
    labels: {},
    wrappedDek: null,
    mayAssign: true,
    ifMatch: null,
    by: 'test',
  });
}, 60_000);
afterAll(async () => {
  await postgres?.stop();
  await stack?.stop();
});

const stateIs = (state: string) =>
  until(async () => (await stack.operations.readServer('boot-1')).view.state === state, 60);

test('boots with its DEK while it is still closed, and is opened by itself', async () => {
  const token = await stack.identity.issueFor({ principalId: IDENTITY, roles: ['Dek.Unwrap'] });
  const dek = () =>
    runCli(stack.host().url, process.cwd(), { name: 'boot-1', token }, [
      'dek',
      '--server',
      'boot-1',
      '--format',
      'hex',
    ]);

  expect(await stateIs('Ready')).toBe(true);
  const openBefore = await readOpenDatabases(postgres);
  const first = await dek();
  expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}$/m) });

  vault.updateKey('boot', 'current', { enabled: false });
  expect(await stateIs('Inaccessible')).toBe(true);
  expect(await readOpenDatabases(postgres)).toEqual([]);
  expect(await dek()).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('DekRefused') });

  await postgres.kill();
  vault.updateKey('boot', 'current', { enabled: true });
  expect(await stateIs('Restoring')).toBe(true);
  // The server can't boot without it, and nobody can reopen its databases before it has booted.
  expect(await dek()).toEqual(first);
  const { view } = await stack.operations.readServer('boot-1');
  expect(view.state).toBe('Restoring');

  await postgres.restart();
  expect(await stateIs('Ready')).toBe(true);
  expect(await readOpenDatabases(postgres)).toEqual(openBefore);
}, 180_000);
