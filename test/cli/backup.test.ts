import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ExportManifest } from '../../shared/domain/export-manifest.ts';
import { makeStatementSigner } from '../../shared/jose/sign-statement.ts';
import { makeExportTables } from '../../shared/operations/export-tables.ts';
import type { StatementSigner } from '../../shared/ports/statement-signer.ts';
import { makeMemoryStores } from '../fakes/memory-stores.ts';
import { FakeExportStore, FakeRawTables } from '../fakes/raw-tables.ts';
import { CollectingLog, FakeClock } from '../fakes/runtime.ts';
import { A, B, makeRawFleet, V1, V2 } from '../fixtures/raw-fleet.ts';
import { aServer } from './answers-of-api.ts';
import { startFakeApi } from './fake-api.ts';
import { NOW, run } from './run.ts';

let root: string;
let folder: string;
let keys: string;
let clock: FakeClock;
let tables: FakeRawTables;

const clockOfKeys = { now: () => NOW };
const signer = makeStatementSigner({
  key: generateKeyPairSync('ed25519').privateKey,
  issuer: 'pg-cmk',
  clock: clockOfKeys,
});

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pg-cmk-backup-'));
  keys = join(root, 'keys.json');
  await writeFile(keys, JSON.stringify(await signer.publicKeys()));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let folders = 0;
/** Downloads an export, as an operator would. */
async function download(by: StatementSigner | null = signer): Promise<string> {
  const exports = new FakeExportStore();
  const { keks } = makeMemoryStores();
  const log = new CollectingLog();
  await makeExportTables({ tables, exports, keks, signer: by, clock, log, appVersion: '9.9.9' })();
  folders += 1;
  const to = join(root, `export-${folders}`);
  await mkdir(to);
  for (const [name, bytes] of exports.files) await writeFile(join(to, name.split('/')[1] ?? ''), bytes);
  return to;
}

beforeEach(async () => {
  clock = new FakeClock(new Date(NOW.getTime() - 7_200_000));
  tables = new FakeRawTables(() => clock.now());
  const fleet = makeRawFleet(tables);
  for (const id of ['a1', 'a2']) {
    fleet.index(id, A);
    fleet.server(A, id);
  }
  fleet.index('b1', B);
  fleet.server(B, 'b1', { kekVersion: V2 });
  fleet.server(B, 'a1');
  fleet.kek(A);
  fleet.kek(B);
  fleet.audit(A, 3);
  clock.advance(3600);
  folder = await download();
});

/** The columns of a server's row as it is. */
const plainColumns = (kek: string, id: string) =>
  tables.all('servers').find(({ partitionKey, rowKey }) => partitionKey === kek && rowKey === `s:${id}`)
    ?.columns ?? {};

const spoil = async (file: string, change: (text: string) => string) => {
  const path = join(folder, file);
  await writeFile(path, change(await readFile(path, 'utf8')));
};
const verify = (...options: readonly string[]) => run(['backup', 'verify', folder, ...options]);

describe('backup verify', () => {
  test('of a sound export says so, who signed it, and which key versions it needs', async () => {
    const { code, stdout } = await verify('--keys', keys);
    expect(code).toBe(0);
    expect(stdout).not.toContain('BAD');
    expect(stdout).toContain('OK   servers.jsonl: 4 rows');
    expect(stdout).toContain('OK   audit-heads.jws: signed by the app');
    expect(stdout).toContain(V2);
    const json = await verify('--keys', keys, '-o', 'json');
    expect(json.json()).toMatchObject({
      sound: true,
      appVersion: '9.9.9',
      versions: { [A]: [V1], [B]: [V1, V2] },
      chains: { heads: [{ chain: A, sequence: 3 }], broken: [] },
      statement: { status: 'signed' },
    });
  });

  test('takes the manifest for the folder, and needs no keys', async () => {
    const { code, stdout } = await run(['backup', 'verify', join(folder, 'manifest.json')]);
    expect(code).toBe(0);
    expect(stdout).toContain('NOTE audit-heads.jws: give --keys');
  });

  test.each<[string, (text: string) => string, string]>([
    ['servers.jsonl', (text) => text.replace('wrapped-a2', 'wrapped-a3'), 'hash'],
    ['audit.jsonl', (text) => text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1), 'hash'],
    ['keks.jsonl', (text) => text.slice(0, -5), 'hash'],
    ['serverindex.jsonl', () => '', 'hash'],
    ['audit-heads.jws', (text) => `${text}x`, 'hash'],
  ])('names %s where it was changed or cut', async (file, change, why) => {
    await spoil(file, change);
    const { code, stdout } = await verify();
    expect(code).toBe(5);
    expect(stdout).toMatch(new RegExp(`BAD +${file}: .*${why}`));
  });

  test('names a file that is missing', async () => {
    await rm(join(folder, 'keks.jsonl'));
    const { code, stdout } = await verify();
    expect(code).toBe(5);
    expect(stdout).toContain("BAD  keks.jsonl: it can't be read");
  });

  /** By somebody who can write files and hash them, and has no key. */
  const forge = async (file: string, change: (text: string) => string) => {
    await spoil(file, change);
    const sha256 = createHash('sha256')
      .update(await readFile(join(folder, file)))
      .digest('hex');
    await spoil('manifest.json', (text) => {
      const manifest: ExportManifest = JSON.parse(text);
      const forged = Object.fromEntries(
        Object.entries(manifest.tables).map(([table, one]) => [
          table,
          one.file === file ? { ...one, sha256 } : one,
        ]),
      );
      return JSON.stringify({ ...manifest, tables: forged });
    });
  };

  test('finds what was forged with its hashes: the statement is about other files', async () => {
    await forge('servers.jsonl', (text) => text.replace('wrapped-a2', 'wrapped-a3'));
    expect((await verify()).code).toBe(0);
    const { code, stdout } = await verify('--keys', keys);
    expect(code).toBe(5);
    expect(stdout).toContain('BAD  audit-heads.jws: it is about another servers.jsonl');
  });

  test('finds lines that are none, rows that are missing, and versions that are not named', async () => {
    await forge('servers.jsonl', (text) => text.replaceAll(V2, 'f'.repeat(32)));
    expect((await verify()).stdout).toContain(`BAD  ${B} ${'f'.repeat(32)} is used`);
    await forge('keks.jsonl', (text) => `${text}{}\n`);
    expect((await verify()).stdout).toContain('BAD  keks.jsonl: line 3 holds no row');
    await forge('serverindex.jsonl', (text) => text.slice(text.indexOf('\n') + 1));
    expect((await verify()).stdout).toContain('it has 2 rows, and 3 were written');
  });

  test('names a chain that does not hold together, and rows that could not be read', async () => {
    tables.put('audit', A, '0000000000000002', { outboxId: 'x', previousHash: 'y', hash: 'z', body: '{}' });
    tables.put('keks', A, 'v:1', { spoilt: true });
    clock.advance(1);
    folder = await download();
    const { code, stdout } = await verify('--keys', keys);
    expect(code).toBe(5);
    expect(stdout).toContain(`BAD  chain ${A}: record 2`);
    expect(stdout).toContain('NOTE 1 row could not be read');
  });

  test('of one that was not signed says so', async () => {
    clock.advance(1);
    folder = await download(null);
    const { code, stdout } = await verify();
    expect(code).toBe(0);
    expect(stdout).toContain('NOTE audit-heads.json: the app had no key');
  });

  test('of one that somebody else signed, or that another export was signed with, is bad', async () => {
    clock.advance(1);
    const { privateKey } = generateKeyPairSync('ed25519');
    folder = await download(makeStatementSigner({ key: privateKey, issuer: 'pg-cmk', clock: clockOfKeys }));
    const { code, stdout } = await verify('--keys', keys);
    expect(code).toBe(5);
    expect(stdout).toMatch(/BAD +audit-heads.jws: none of the keys/);
    clock.advance(1);
    const odd: StatementSigner = {
      ...signer,
      sign: () => signer.sign({ sub: 'x', kind: 'KeyVersionRetired' }),
    };
    folder = await download(odd);
    expect((await verify('--keys', keys)).stdout).toContain('no statement of where the chains end');
    clock.advance(1);
    const cut: StatementSigner = {
      ...signer,
      sign: (claims) => signer.sign({ ...claims, heads: [{ chain: A, sequence: 9, hash: 'a'.repeat(64) }] }),
    };
    folder = await download(cut);
    expect((await verify('--keys', keys)).stdout).toContain('does not end with record 9 here');
  });

  test.each([
    ['is not there', null],
    ['is no JSON', 'x'],
    ['is of another layout', '{"schema":2}'],
  ])('can not begin where the manifest %s', async (_, text) => {
    if (text === null) await rm(join(folder, 'manifest.json'));
    else await spoil('manifest.json', () => text);
    const { code, stderr } = await verify();
    expect(code).toBe(2);
    expect(stderr).toContain('[FileUnusable]');
  });
});

describe('backup restore --dry-run', () => {
  const plan = (...options: readonly string[]) => run(['backup', 'restore', folder, '--dry-run', ...options]);

  test('says what would be written, per key, and what would not', async () => {
    const { code, stdout } = await plan();
    expect(code).toBe(0);
    expect(stdout).toMatch(/servers +3/);
    expect(stdout).toContain(`left out ${B} s:a1: the server had moved to another key`);
    expect((await plan('-o', 'json')).json()).toMatchObject({
      rows: { servers: 3, serverindex: 3, keks: 2, audit: 4 },
      servers: { [A]: 2, [B]: 1 },
      leftOut: [{ partitionKey: B, rowKey: 's:a1', reason: 'moved' }],
    });
  });

  test('refuses an export that is not what was written', async () => {
    await spoil('servers.jsonl', (text) => text.replace('wrapped-a2', 'wrapped-a3'));
    const { code, stderr } = await plan();
    expect(code).toBe(2);
    expect(stderr).toContain('[FileUnusable]');
  });

  test('is all that there is: without it nothing is done, and the way is shown', async () => {
    const { code, stderr } = await run(['backup', 'restore', folder]);
    expect(code).toBe(2);
    expect(stderr).toContain('npm run restore');
  });

  test('--compare says what a restore would undo', async () => {
    for (const [id, kek] of [
      ['a1', A],
      ['a2', A],
      ['b1', B],
    ] as const)
      tables.put('servers', kek, `s:${id}`, { ...plainColumns(kek, id), dekId: id.repeat(16) });
    clock.advance(3600);
    folder = await download();
    const servers = [
      aServer({ serverId: 'a1', dekId: 'a1'.repeat(16) }),
      aServer({ serverId: 'b1', dekId: 'c'.repeat(32) }),
      ...Array.from({ length: 22 }, (_, at) => aServer({ serverId: `new-${at}` })),
    ];
    const body = { servers, held: [], cursor: null };
    await using api = await startFakeApi({ 'GET /api/servers': { body } });
    const options = ['backup', 'restore', folder, '--dry-run', '--compare'];
    const { code, stdout } = await run(options, { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('the app has 1 server of these');
    expect(stdout).toMatch(/only in the app, and not restored: new-0, .* and 2 more/);
    expect(stdout).toContain('only in the export, and back after a restore: a2');
    expect(stdout).toContain('with another DEK in the app: b1');
    const held = [{ serverId: 'a2', problem: 'x' }];
    await using other = await startFakeApi({ 'GET /api/servers': { body: { ...body, held } } });
    expect((await run([...options, '-o', 'json'], { url: other.url })).json()).toMatchObject({
      comparison: { same: 1, otherDek: ['b1'], onlyInExport: [] },
    });
  });
});
