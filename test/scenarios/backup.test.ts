// A backup taken from a running stack, while servers move and a key rotates, restores into an empty one: every server's
// DEK unwraps to the same bytes, the app goes on with them, and the audit chains go on where they ended.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BlobServiceClient } from '@azure/storage-blob';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildOperations, type Operations } from '../../functions/operations.ts';
import { type Azurite, startAzurite } from '../../local/azurite.ts';
import { until } from '../../local/demo/world.ts';
import { type HostProcess, spawnHost } from '../../local/host/spawn-host.ts';
import type { EmulatedVault } from '../../local/key-vault/emulated-vault.ts';
import { type Stack, startStack } from '../../local/stack/start-stack.ts';
import { readConfig } from '../../shared/config.ts';
import {
  type AuditAction,
  type AuditRecord,
  type ChainedRecord,
  findBrokenRecord,
} from '../../shared/domain/audit.ts';
import { type KekId, kekKey, keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import { run } from '../cli/run.ts';
import { collect } from '../contracts/stores.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const SERVERS = Array.from({ length: 12 }, (_, index) => `db-${String(index + 1).padStart(2, '0')}`);

let stack: Stack;
let vault: EmulatedVault;
let empty: Azurite;
let directory: string;
let restored: HostProcess | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pg-cmk-restore-'));
  [stack, empty] = await Promise.all([
    startStack({
      times: { probeSeconds: 2, sweepSeconds: 3, confirmSuspectSeconds: 5 },
      vaults: ['contoso'],
      settings: {},
      onHostLog: () => undefined,
    }),
    startAzurite(),
  ]);
  vault = stack.vaultEmulator.vault('contoso');
  await vault.createKey('alpha');
  await vault.createKey('beta');
  for (const [at, serverId] of SERVERS.entries()) await register(serverId, at % 2 === 0 ? 'alpha' : 'beta');
}, 90_000);
afterAll(async () => {
  await restored?.stop();
  await stack?.stop();
  await empty?.stop();
  await rm(directory, { recursive: true, force: true });
});

const kekOf = (name: string): KekId => parseKekId(vault.host, name);
const register = (serverId: string, key: string) =>
  stack.operations.registerServer({
    serverId,
    keyId: keyUrl(kekOf(key)),
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

/** What each server's wrapping, as that app has it on record, unwraps to. */
async function readDeks({ stores, vault: port }: Operations): Promise<ReadonlyMap<string, string>> {
  const deks = new Map<string, string>();
  for (const serverId of SERVERS) {
    const owner = await stores.index.find(serverId);
    const stored = owner && (await stores.servers.read(owner.value, serverId));
    if (stored === undefined) continue;
    using dek = await unwrapDek(port, stored.value.kek, serverId, stored.value.wrapped);
    deks.set(
      serverId,
      dek.read((bytes) => Buffer.from(bytes).toString('hex')),
    );
  }
  return deks;
}

const areReady = async (operations: Operations) => {
  const views = await Promise.all(SERVERS.map((id) => operations.readServer(id)));
  return views.every(({ view }) => view.state === 'Ready');
};

const chainOf = (name: string) => kekKey(kekOf(name));
const readChain = ({ stores }: Operations, name: string): Promise<readonly ChainedRecord[]> =>
  collect(stores.audit.readChain(chainOf(name)));

/** The servers that the chains have a record of that says `action`, in the order of the names. */
function serversWith(action: AuditAction, chains: readonly (readonly ChainedRecord[])[]): readonly string[] {
  const records = chains.flat().map(({ body }) => JSON.parse(body) as AuditRecord);
  return records.flatMap((record) => (record.action === action ? record.servers : [])).sort();
}

const readChains = (operations: Operations) =>
  Promise.all(['alpha', 'beta'].map((name) => readChain(operations, name)));

const areRegistered = async (operations: Operations) =>
  serversWith('server.registered', await readChains(operations)).length === SERVERS.length;

const isOutboxEmpty = async ({ stores: { outbox } }: Operations) => {
  const rows = await Promise.all(['alpha', 'beta'].map((name) => outbox.pageOutbox(chainOf(name), null, 1)));
  return rows.every((page) => page.length === 0);
};

const move = (serverId: string, key: string) =>
  stack.operations.moveServer({ serverId, keyId: keyUrl(kekOf(key)), by: 'test', ifMatch: null });

/** As `az storage blob download-batch` does. */
async function download(exportedAt: Date): Promise<string> {
  const container = BlobServiceClient.fromConnectionString(stack.azurite.connectionString).getContainerClient(
    'table-exports',
  );
  const folder = exportedAt.toISOString().replaceAll(':', '-');
  await mkdir(join(directory, folder));
  for await (const { name } of container.listBlobsFlat({ prefix: `${folder}/` }))
    await writeFile(join(directory, name), await container.getBlockBlobClient(name).downloadToBuffer());
  return join(directory, folder);
}

const restore = (from: string): Promise<{ code: number; output: string }> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      ['scripts/restore-tables.ts', '--from', from],
      {
        cwd: root,
        env: {
          PATH: process.env['PATH'],
          AzureWebJobsStorage: empty.connectionString,
          PGCMK_CREDENTIAL: 'azureCli',
        },
      },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });

test('a backup of a running stack restores into an empty one', async () => {
  expect(await until(() => areReady(stack.operations), 60)).toBe(true);
  const before = await readDeks(stack.operations);
  expect(before.size).toBe(SERVERS.length);
  expect(await until(() => areRegistered(stack.operations), 60)).toBe(true);
  const chainsBefore = await readChains(stack.operations);

  // The fleet goes on while it is exported, by the function itself.
  const busy = Promise.all([
    vault.rotateKey('alpha'),
    move('db-02', 'alpha'),
    move('db-01', 'beta'),
    move('db-11', 'beta'),
  ]);
  const asked = await fetch(`${stack.host().url}/admin/functions/exportTables`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: '' }),
  });
  expect(asked.status).toBe(202);
  const { exports } = stack.operations;
  expect(await until(async () => (await exports.newest()) !== undefined, 60)).toBe(true);
  await busy;
  const noted = await exports.newest();
  const from = await download(noted?.exportedAt ?? new Date(0));

  const keys = join(directory, 'keys.json');
  await writeFile(keys, JSON.stringify(await stack.operations.signer?.publicKeys()));
  // Signed by the clock of the stack, not by that of the tests.
  const io = { now: () => new Date() };
  const verified = await run(['backup', 'verify', from, '--keys', keys], { io });
  expect(verified.stdout).toContain('audit-heads.jws: signed by the app');
  expect(verified).toMatchObject({ code: 0, stderr: '' });
  const planned = await run(['backup', 'restore', from, '--dry-run', '-o', 'json'], { io });
  expect(planned.code).toBe(0);

  await stack.host().kill();
  const done = await restore(from);
  expect(done).toMatchObject({ code: 0 });
  expect(await restore(from)).toMatchObject({ code: 1, output: expect.stringContaining('RestoreRefused') });

  const settings = { ...stack.settings, AzureWebJobsStorage: empty.connectionString };
  const quiet = readConfig({ ...settings, PGCMK_LOG_LEVEL: 'error' });
  const again = buildOperations(quiet, () => undefined);
  expect(await readDeks(again)).toEqual(before);

  restored = await spawnHost({
    entry: join(root, 'functions/index.ts'),
    hostJsonPath: join(root, 'host.json'),
    env: {
      ...settings,
      ...stack.identity.env,
      NODE_EXTRA_CA_CERTS: stack.settings['PGCMK_POSTGRES_CA_FILE'] ?? '',
    },
    queueLeaseSeconds: 15,
    onLog: () => undefined,
  });
  expect(await until(() => areReady(again), 90)).toBe(true);
  // An order in the restored app is carried out, and its record joins the chain.
  await again.holdServer({ serverId: 'db-03', reason: 'test', by: 'test', ifMatch: null });
  const isHeld = async () => (await again.readServer('db-03')).view.state === 'Inaccessible';
  expect(await until(isHeld, 60)).toBe(true);
  expect(await readDeks(again)).toEqual(before);
  // What was on its way when the export was taken arrives now: every record once, behind those that were chained.
  expect(await until(() => isOutboxEmpty(again), 60)).toBe(true);
  const chains = await readChains(again);
  expect(chains.map((records, at) => records.slice(0, chainsBefore[at]?.length))).toEqual(chainsBefore);
  expect(findBrokenRecord(chainOf('alpha'), chains[0] ?? [])).toBeNull();
  expect(findBrokenRecord(chainOf('beta'), chains[1] ?? [])).toBeNull();
  expect(serversWith('server.registered', chains)).toEqual(SERVERS);
  expect(serversWith('server.held', chains)).toEqual(['db-03']);
}, 300_000);
