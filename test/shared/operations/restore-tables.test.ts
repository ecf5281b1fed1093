import { beforeEach, describe, expect, test } from 'vitest';
import type { ExportManifest } from '../../../shared/domain/export-manifest.ts';
import { EXPORTED_TABLES } from '../../../shared/domain/table-export.ts';
import { makeExportTables } from '../../../shared/operations/export-tables.ts';
import { makeRestoreTables } from '../../../shared/operations/restore-tables.ts';
import { makeMemoryStores } from '../../fakes/memory-stores.ts';
import { FakeExportStore, FakeRawTables } from '../../fakes/raw-tables.ts';
import { CollectingLog, FakeClock } from '../../fakes/runtime.ts';
import { A, B, makeRawFleet } from '../../fixtures/raw-fleet.ts';

let clock: FakeClock;
let from: FakeRawTables;
let to: FakeRawTables;
let exports: FakeExportStore;
let manifest: ExportManifest;

const take = async () => {
  manifest = await makeExportTables({
    tables: from,
    exports,
    keks: makeMemoryStores().keks,
    signer: null,
    clock,
    log: new CollectingLog(),
    appVersion: '9.9.9',
  })();
};
const folder = () => manifest.exportedAt.replaceAll(':', '-');
const restore = (intoNonEmpty = false) =>
  makeRestoreTables({ source: { read: (file) => exports.read(folder(), file) }, tables: to })({
    manifest,
    intoNonEmpty,
  });
const contents = (tables: FakeRawTables) =>
  EXPORTED_TABLES.map((table) => tables.all(table).map(({ changedAt: _, ...row }) => row));

beforeEach(async () => {
  clock = new FakeClock();
  from = new FakeRawTables(() => clock.now());
  to = new FakeRawTables(() => clock.now());
  exports = new FakeExportStore();
  const fleet = makeRawFleet(from);
  for (let number = 1; number <= 102; number += 1) {
    const id = `a${String(number).padStart(3, '0')}`;
    fleet.index(id, A);
    fleet.server(A, id);
  }
  fleet.index('b1', B);
  fleet.server(B, 'b1', { ciphertext: 'x'.repeat(600_000), big: { type: 'Int64', value: '5' } });
  fleet.index('b2', B);
  fleet.server(B, 'b2', { ciphertext: 'y'.repeat(600_000) });
  fleet.kek(A);
  fleet.kek(B);
  fleet.audit(A, 5);
  clock.advance(3600);
  await take();
}, 20_000);

describe('a restore', () => {
  test('into empty tables puts back every row as it was', async () => {
    const report = await restore();
    expect(contents(to)).toEqual(contents(from));
    expect(report).toEqual({
      inserted: { servers: 104, serverindex: 104, keks: 2, audit: 6 },
      present: { servers: 0, serverindex: 0, keks: 0, audit: 0 },
      leftOut: [],
    });
  });

  test('puts the KEKs, which the app acts on, last; and takes no more into a transaction than fits', async () => {
    const inserts: [string, number][] = [];
    const { insert } = to;
    to.insert = (table, rows) => {
      inserts.push([table, rows.length]);
      return insert.call(to, table, rows);
    };
    await restore();
    expect([...new Set(inserts.map(([table]) => table))]).toEqual([
      'audit',
      'serverindex',
      'servers',
      'keks',
    ]);
    expect(inserts.filter(([table]) => table === 'servers').map(([, rows]) => rows)).toEqual([100, 2, 1, 1]);
  });

  test('of an empty export is done at once', async () => {
    from = new FakeRawTables(() => clock.now());
    clock.advance(1);
    await take();
    expect(await restore()).toMatchObject({ inserted: { servers: 0, audit: 0 }, leftOut: [] });
  });

  test.each(EXPORTED_TABLES)('is refused where there is a row in %s, and writes nothing', async (table) => {
    to.put(table, 'other', 'row', {});
    await expect(restore()).rejects.toMatchObject({ code: 'RestoreRefused', detail: { tables: [table] } });
    expect(EXPORTED_TABLES.flatMap((one) => to.all(one))).toHaveLength(1);
  });

  test('that was cut short goes on, and leaves what is there as it is', async () => {
    const { insert } = to;
    let left = 3;
    to.insert = (table, rows) => {
      left -= 1;
      return left < 0 ? Promise.reject(new Error('cut')) : insert.call(to, table, rows);
    };
    await expect(restore()).rejects.toThrow('cut');
    to.insert = insert;
    await expect(restore()).rejects.toMatchObject({ code: 'RestoreRefused' });
    to.put('serverindex', 'b1', 'server', { kek: A });
    const { present } = await restore(true);
    expect(present).toMatchObject({ audit: 6 });
    expect(to.all('serverindex').find(({ partitionKey }) => partitionKey === 'b1')?.columns['kek']).toBe(A);
    expect(to.all('servers')).toHaveLength(104);
  });

  test('names what it leaves out', async () => {
    const fleet = makeRawFleet(from);
    fleet.server(A, 'orphan');
    clock.advance(3600);
    await take();
    expect(await restore()).toMatchObject({
      inserted: { servers: 104 },
      leftOut: [{ partitionKey: A, rowKey: 's:orphan', reason: 'purged' }],
    });
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['is another', (bytes) => Buffer.from(bytes.toString().replace('wrapped-a001', 'wrapped-a009'))],
    ['has a line that is none', (bytes) => Buffer.concat([bytes, Buffer.from('{}\n')])],
    ['was cut', (bytes) => bytes.subarray(0, -1)],
  ])('of a file that %s writes nothing', async (_, spoil) => {
    exports.onRead = (name, bytes) => (name.endsWith('servers.jsonl') ? spoil(bytes) : bytes);
    await expect(restore()).rejects.toMatchObject({ code: 'ExportBroken' });
    expect(EXPORTED_TABLES.flatMap((one) => to.all(one))).toEqual([]);
  });

  test('of a file whose number of rows is another writes nothing', async () => {
    manifest = {
      ...manifest,
      tables: { ...manifest.tables, keks: { ...manifest.tables.keks, rows: 3 } },
    };
    await expect(restore()).rejects.toMatchObject({ code: 'ExportBroken' });
  });
});
