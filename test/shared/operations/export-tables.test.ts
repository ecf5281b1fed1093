import { generateKeyPairSync } from 'node:crypto';
import { decodeJwt } from 'jose';
import { beforeEach, describe, expect, test } from 'vitest';
import { parseExportManifest } from '../../../shared/api/table-export.ts';
import { CmkError } from '../../../shared/domain/errors.ts';
import { exportFolder } from '../../../shared/domain/export-manifest.ts';
import { parseKekKey } from '../../../shared/domain/key-id.ts';
import { makeStatementSigner } from '../../../shared/jose/sign-statement.ts';
import { type ExportTablesDeps, makeExportTables } from '../../../shared/operations/export-tables.ts';
import { makeMemoryStores } from '../../fakes/memory-stores.ts';
import { FakeExportStore, FakeRawTables } from '../../fakes/raw-tables.ts';
import { CollectingLog, FakeClock } from '../../fakes/runtime.ts';
import { A, B, historyKey, linesIn, makeRawFleet, type RawFleet, V1, V2 } from '../../fixtures/raw-fleet.ts';
import { plainKek, plainVersion } from '../../fixtures/rows.ts';

let clock: FakeClock;
let log: CollectingLog;
let tables: FakeRawTables;
let exports: FakeExportStore;
let fleet: RawFleet;
let keks: ExportTablesDeps['keks'];
let begun: Date;

beforeEach(async () => {
  clock = new FakeClock();
  log = new CollectingLog();
  tables = new FakeRawTables(() => clock.now());
  exports = new FakeExportStore();
  fleet = makeRawFleet(tables);
  keks = makeMemoryStores().keks;
  for (const [at, id] of ['a1', 'a2', 'a3'].entries()) {
    fleet.index(id, A);
    fleet.server(A, id, { kekVersion: at === 0 ? V2 : V1, sequence: at === 0 ? 1 : 0 });
  }
  fleet.history(A, 'a1', V1, 0);
  fleet.index('b1', B);
  fleet.server(B, 'b1');
  fleet.kek(A);
  fleet.kek(B);
  fleet.audit(A, 3);
  fleet.audit('app', 1);
  // Longer ago than clocks may differ.
  clock.advance(3600);
  begun = clock.now();
});

const signer = makeStatementSigner({
  key: generateKeyPairSync('ed25519').privateKey,
  issuer: 'pg-cmk',
  clock: { now: () => begun },
});
const run = (change: Partial<ExportTablesDeps> = {}) =>
  makeExportTables({
    tables,
    exports,
    keks,
    signer,
    clock: { now: () => clock.now(), sleep: async (milliseconds) => clock.advance(milliseconds / 1000) },
    log,
    appVersion: '9.9.9',
    ...change,
  })();
const folder = () => exportFolder(begun);
const rowsOf = (table: string, inFolder = folder()) => linesIn(exports.text(inFolder, `${table}.jsonl`));
const namesOf = (table: string, inFolder = folder()) =>
  rowsOf(table, inFolder).map(({ partitionKey, rowKey }) => `${partitionKey.split('.')[0]} ${rowKey}`);
const messages = (level: string) =>
  log.lines.filter((line) => line.level === level).map(({ message }) => message);

/** Once, at the first such moment. */
const when = (table: string, part: string, act: () => void) => {
  let done = false;
  const before = tables.afterRead;
  tables.afterRead = async (at, what) => {
    await before(at, what);
    if (done || at !== table || !what.includes(part)) return;
    done = true;
    act();
  };
};

describe('an export', () => {
  test('has every row of every table, its columns as they are, and says what it is', async () => {
    tables.put('keks', A, 'v:1', { big: { type: 'Int64', value: '9007199254740993' }, odd: 'ü\n' });
    const manifest = await run();
    for (const table of ['servers', 'serverindex', 'keks', 'audit'] as const) {
      expect(rowsOf(table)).toEqual(tables.all(table));
      expect(manifest.tables[table]).toMatchObject({ rows: tables.all(table).length, late: 0, unread: 0 });
    }
    expect(manifest).toMatchObject({
      exportedAt: begun.toISOString(),
      appVersion: '9.9.9',
      versions: { [A]: [V1, V2], [B]: [V1] },
      brokenChains: [],
      heads: { file: 'audit-heads.jws', signed: true },
    });
    expect(parseExportManifest(exports.text(folder(), 'manifest.json'))).toEqual(manifest);
    expect(await exports.newest()).toEqual({ exportedAt: begun, versions: manifest.versions });
  });

  test('of nothing is an export too', async () => {
    tables = new FakeRawTables(() => clock.now());
    expect(await run()).toMatchObject({ tables: { audit: { rows: 0 } }, versions: {} });
    expect(decodeJwt(exports.text(folder(), 'audit-heads.jws'))['heads']).toEqual([]);
  });

  test('signs where each chain ends, and what the files are', async () => {
    const { tables: files } = await run();
    const claims = decodeJwt(exports.text(folder(), 'audit-heads.jws'));
    expect(claims).toMatchObject({
      kind: 'AuditHeads',
      sub: folder(),
      at: begun.toISOString(),
      files: { 'servers.jsonl': files.servers.sha256, 'audit.jsonl': files.audit.sha256 },
    });
    const last = rowsOf('audit').filter(({ rowKey }) => rowKey === '0000000000000003');
    expect(claims['heads']).toEqual([
      { chain: A, sequence: 3, hash: last[0]?.columns['hash'] },
      { chain: 'app', sequence: 1, hash: expect.any(String) },
    ]);
  });

  test('without a key says the same unsigned, and says so', async () => {
    const { heads } = await run({ signer: null });
    expect(heads).toMatchObject({ file: 'audit-heads.json', signed: false });
    expect(JSON.parse(exports.text(folder(), 'audit-heads.json'))).toMatchObject({ kind: 'AuditHeads' });
    expect(messages('warn')).toEqual([expect.stringContaining('not signed')]);
  });

  test('has a row that does not parse as it is, and says so', async () => {
    fleet.server(B, 'b1', { spoilt: true, kekVersion: 'latest' });
    clock.advance(3600);
    begun = clock.now();
    const { tables: files, versions } = await run();
    expect(files.servers).toMatchObject({ rows: 5, unread: 1 });
    expect(versions).toEqual({ [A]: [V1, V2] });
    expect(messages('error')).toEqual([expect.stringContaining('does not parse')]);
    expect(rowsOf('servers')).toEqual(tables.all('servers'));
  });

  test('goes through with a broken chain, whose head is not signed', async () => {
    tables.put('audit', A, '0000000000000002', { outboxId: 'x', previousHash: 'y', hash: 'z', body: '{}' });
    const { brokenChains } = await run();
    expect(brokenChains).toEqual([{ chain: A, sequence: 2 }]);
    const heads = decodeJwt(exports.text(folder(), 'audit-heads.jws'))['heads'];
    expect(heads).toMatchObject([{ chain: 'app' }]);
    expect(messages('error')).toEqual([expect.stringContaining('does not hold together')]);
  });
});

describe('while the fleet goes on', () => {
  test.each<[string, string, string]>([
    // From a partition that is still to be read to one that was read, and the other way.
    ['b1', B, A],
    ['a3', A, B],
  ])(
    '%s, which moves from %s to %s behind the pass, is in the export where the index says',
    async (id, from, to) => {
      when('servers', from === B ? 's:a2' : 's:a1', () => {
        fleet.server(to, id, { kekVersion: V2, sequence: 1 });
        fleet.index(id, to);
        tables.remove('servers', from, `s:${id}`);
      });
      const { tables: files, versions } = await run();
      expect(rowsOf('serverindex').find(({ partitionKey }) => partitionKey === id)?.columns['kek']).toBe(to);
      const row = rowsOf('servers').findLast(({ rowKey }) => rowKey === `s:${id}`);
      expect(row).toMatchObject({ partitionKey: to, columns: { kekVersion: V2 } });
      expect(files.servers.late).toBe(1);
      expect(versions[to]).toContain(V2);
    },
  );

  test('a server that moves on while its row is looked for is found where it went', async () => {
    clock.advance(-60);
    fleet.index('b1', B);
    clock.advance(60);
    when('serverindex', 'server', () => {
      tables.remove('servers', B, 's:b1');
    });
    when('servers', 'find s:b1', () => {
      fleet.server(A, 'b1', { sequence: 1 });
      fleet.index('b1', A);
    });
    await run();
    expect(rowsOf('serverindex').find(({ partitionKey }) => partitionKey === 'b1')?.columns['kek']).toBe(A);
    expect(namesOf('servers').at(-1)).toBe('alpha s:b1');
  });

  test('one that moves again and again ends the export, which is not noted', async () => {
    fleet.index('c1', A);
    let there = true;
    tables.afterRead = (_, what) => {
      if (what !== 'find s:c1') return;
      there = !there;
      clock.advance(1);
      fleet.index('c1', there ? A : B);
    };
    await expect(run()).rejects.toMatchObject({ code: 'WriteConflict', retryable: true });
    expect(exports.current).toBeUndefined();
  });

  test('a server that was purged in between is in neither; one that is being registered has its id there', async () => {
    fleet.index('gone', A);
    fleet.index('new', A);
    when('servers', 'find s:gone', () => tables.remove('serverindex', 'gone', 'server'));
    await run();
    expect(namesOf('serverindex')).toEqual([
      'a1 server',
      'a2 server',
      'a3 server',
      'b1 server',
      'new server',
    ]);
    expect(namesOf('servers')).toEqual(
      tables.all('servers').map(({ partitionKey, rowKey }) => `${partitionKey.split('.')[0]} ${rowKey}`),
    );
  });

  test('a server that is registered behind the pass is there, and so is its KEK', async () => {
    const other = 'aaa.vault.azure.net|fleet';
    when('servers', 's:b1', () => {
      fleet.index('new', other);
      fleet.kek(other);
      fleet.server(other, 'new');
    });
    await run();
    expect(namesOf('servers')).toContain('aaa s:new');
    expect(namesOf('keks')).toContain('aaa kek');
  });

  test('a wrapping that is replaced in the pass is in the history', async () => {
    // The history of a partition comes before its servers.
    when('servers', historyKey('a1', V1, 0), () => {
      fleet.server(A, 'a2', { kekVersion: V2, sequence: 1 });
      fleet.history(A, 'a2', V1, 0);
    });
    const { tables: files } = await run();
    expect(namesOf('servers')).toContain(`alpha ${historyKey('a2', V1, 0)}`);
    expect(files.servers).toMatchObject({ late: 1 });
  });

  test('records that are chained in the pass do not leave a head that is ahead of them', async () => {
    when('audit', '0000000000000003', () => fleet.audit(A, 2));
    await run();
    const rows = rowsOf('audit').filter(({ partitionKey }) => partitionKey === A);
    const [last, head] = rows.slice(-2);
    expect(head?.rowKey).toBe('head');
    expect(head?.columns['hash']).toBe(last?.columns['hash']);
    expect(head?.columns['sequence']).toBe(Number(last?.rowKey));
  });
});

describe('reading back', () => {
  test.each<[string, string, (bytes: Buffer) => Buffer]>([
    [
      'servers.jsonl',
      'a byte is another',
      (bytes) => Buffer.from(bytes.toString().replace('wrapped-a1', 'wrapped-a9')),
    ],
    [
      'audit.jsonl',
      'it was cut off',
      (bytes) => bytes.subarray(0, bytes.lastIndexOf('\n', bytes.length - 2) + 1),
    ],
    ['keks.jsonl', 'a line was cut', (bytes) => bytes.subarray(0, -4)],
    ['serverindex.jsonl', 'it is empty', () => Buffer.alloc(0)],
    ['audit-heads.jws', 'it is another', () => Buffer.from('a.b.c')],
    ['manifest.json', 'it is empty', () => Buffer.alloc(0)],
  ])('%s is refused where %s, and the export is not noted', async (file, _, spoil) => {
    exports.onRead = (name, bytes) => (name.endsWith(`/${file}`) ? spoil(bytes) : bytes);
    await expect(run()).rejects.toMatchObject({ code: 'ExportBroken', retryable: true });
    expect(exports.current).toBeUndefined();
  });

  test('a file that lost rows on its way out is refused', async () => {
    const { open } = exports;
    exports.open = (inFolder, file) => {
      const writer = open.call(exports, inFolder, file);
      let first = true;
      return {
        ...writer,
        append: async (bytes) => {
          // The store says that it took it.
          if (file === 'keks.jsonl' && !first) return;
          first = false;
          await writer.append(bytes);
        },
      };
    };
    tables.put('keks', B, 'v:1', {});
    tables.put('keks', B, 'v:2', {});
    await expect(run()).rejects.toMatchObject({ code: 'ExportBroken' });
  });
});

describe('retired versions (invariant I-12)', () => {
  const retire = async (version: typeof V1, at: Date | null = begun, name = A) => {
    const kek = parseKekKey(name);
    const stored = await keks.read(kek);
    const value = { ...plainVersion(1), version, retiredAt: at };
    const held = stored?.versions.find((one) => one.value.version === version);
    await keks.commit(kek, {
      kek: stored === undefined ? { value: plainKek(kek), etag: null } : null,
      versions: [{ value, etag: held?.etag ?? null }],
      outbox: null,
    });
  };
  /** As it is before anybody retires a version: nothing is under it. */
  const leaveV2 = () => fleet.server(A, 'a1', { kekVersion: V1 });

  test('that no row names are no matter', async () => {
    await retire('f'.repeat(32));
    // The same version of a key that has no servers.
    await retire(V1, begun, 'gamma.vault.azure.net|fleet');
    expect(await run()).toMatchObject({ exportedAt: begun.toISOString() });
  });

  test('one that is retired during the export: it is not noted, and another is taken at once', async () => {
    when('audit', 'head', async () => {
      leaveV2();
      await retire(V2);
    });
    const noted: string[] = [];
    exports.beforeRecord = () => void noted.push('record');
    const { versions } = await run();
    expect(versions).toEqual({ [A]: [V1], [B]: [V1] });
    expect(noted).toHaveLength(1);
    expect(exports.current?.versions).toEqual(versions);
    expect(exports.folders()).toHaveLength(2);
  });

  test('one that is retired while the export is noted: the next takes its place at once', async () => {
    exports.afterRecord = async () => {
      exports.afterRecord = () => undefined;
      leaveV2();
      await retire(V2);
    };
    await run();
    expect(exports.current?.versions).toEqual({ [A]: [V1], [B]: [V1] });
  });

  test('an export that names one each time ends, to be tried again', async () => {
    await retire(V2);
    await expect(run()).rejects.toMatchObject({ code: 'WriteConflict', retryable: true });
    expect(exports.folders()).toHaveLength(3);
    expect(exports.current).toBeUndefined();
  });

  test('a mark that was taken back counts for nothing', async () => {
    await retire(V2);
    await retire(V2, null);
    await run();
    expect(exports.current?.versions[A]).toEqual([V1, V2]);
  });
});

test('another instance that notes one in the same moment is no fault', async () => {
  let conflicts = 0;
  exports.beforeRecord = () => {
    conflicts += 1;
    if (conflicts < 3) throw new CmkError('WriteConflict', 'another was noted', { remedy: 'Nothing.' });
  };
  await run();
  expect(exports.current?.exportedAt).toEqual(begun);
});

test('a store that is away ends the export, and the next begins afresh', async () => {
  const { record } = exports;
  exports.record = () =>
    Promise.reject(new CmkError('StoreUnavailable', 'no answer', { remedy: 'Wait.', retryable: true }));
  await expect(run()).rejects.toMatchObject({ code: 'StoreUnavailable' });
  exports.record = record;
  clock.advance(1);
  await run();
  expect(exports.current?.exportedAt).toEqual(clock.now());
});
