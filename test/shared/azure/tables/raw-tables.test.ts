// Raw rows of the real stores, out and back in, on Table Storage.
import { TableClient } from '@azure/data-tables';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../../local/azurite.ts';
import { makeRawTables, makeRawTableWriter } from '../../../../shared/azure/tables/raw-tables.ts';
import { makeTableStores, type TableStores } from '../../../../shared/azure/tables/table-stores.ts';
import { chainRecord } from '../../../../shared/domain/audit.ts';
import { kekKey } from '../../../../shared/domain/key-id.ts';
import {
  EXPORTED_TABLES,
  type ExportedTable,
  parseExportLine,
  type TableRow,
  toExportLine,
} from '../../../../shared/domain/table-export.ts';
import { newKek } from '../../../contracts/stores.ts';
import {
  auditOf,
  historyOf,
  NOW,
  plainKek,
  plainServer,
  plainVersion,
  versionOf,
} from '../../../fixtures/rows.ts';

const connectionTo = ({ connectionString }: Azurite) =>
  ({ kind: 'connectionString', value: connectionString }) as const;
const clientOf = ({ connectionString }: Azurite, table: string) =>
  TableClient.fromConnectionString(connectionString, table, { allowInsecureConnection: true });

let azurite: Azurite;
let other: Azurite;
let stores: TableStores;
const kek = newKek();

beforeAll(async () => {
  [azurite, other] = await Promise.all([startAzurite(), startAzurite()]);
  stores = makeTableStores({ connection: connectionTo(azurite), onInvalid: () => undefined });
  await stores.ensureTables();
  await stores.keks.commit(kek, {
    kek: { value: plainKek(kek), etag: null },
    versions: [{ value: plainVersion(1), etag: null }],
    outbox: { audit: [auditOf('sweep')], events: [] },
  });
  await stores.keks.writeBreaker({ value: { suspects: {}, trippedAt: NOW }, etag: null });
  await stores.index.claim('a', kek);
  await stores.servers.commit(kek, [{ value: plainServer(kek, 'a'), etag: null, history: null }], null);
  const stored = await stores.servers.read(kek, 'a');
  const value = plainServer(kek, 'a', { sequence: 1, labels: { long: 'ü'.repeat(40_000) } });
  await stores.servers.commit(
    kek,
    [{ value, etag: stored?.etag ?? '', history: historyOf(plainServer(kek, 'a')) }],
    {
      audit: [auditOf('sweep')],
      events: [],
    },
  );
  await stores.audit.append(kekKey(kek), [chainRecord(kekKey(kek), null, 'outbox-1', '{"n":1}')]);
}, 30_000);
afterAll(() => Promise.all([azurite.stop(), other.stop()]));

async function allOf(from: Azurite, table: ExportedTable): Promise<readonly TableRow[]> {
  const rows: TableRow[] = [];
  for await (const page of makeRawTables(connectionTo(from)).pages(table)) rows.push(...page);
  return rows;
}
const withoutTime = (rows: readonly TableRow[]) => rows.map(({ changedAt: _, ...row }) => row);

describe('raw rows', () => {
  test('are all rows, each with its columns, and this version can read them', async () => {
    const raw = makeRawTables(connectionTo(azurite));
    for (const table of EXPORTED_TABLES) {
      const rows = await allOf(azurite, table);
      expect(rows.length).toBeGreaterThan(0);
      for (const row of rows) {
        expect(raw.findProblem(table, row)).toBeNull();
        expect(parseExportLine(toExportLine(row))).toEqual(row);
        expect(new Date(row.changedAt).getTime()).toBeGreaterThan(Date.now() - 600_000);
      }
    }
    const servers = await allOf(azurite, 'servers');
    expect(servers.map(({ rowKey }) => rowKey.slice(0, 2))).toEqual(['h:', 'o:', 's:']);
    expect(servers[2]?.columns).toMatchObject({
      schema: 1,
      kekVersion: versionOf(1),
      incoming: false,
      sequence: 1,
      labels_1: expect.any(String),
    });
  });

  test.each<[ExportedTable, string, TableRow['columns']]>([
    ['servers', 's:x', { schema: 2 }],
    ['servers', 's:x', {}],
    ['servers', 'x:x', { schema: 1 }],
    ['keks', 'x', { schema: 1 }],
    ['audit', 'x', { schema: 1, outboxId: 'a', previousHash: '', hash: '', body: '' }],
    ['serverindex', 'server', { schema: 1, kek: 'no key' }],
  ])('a row of %s that this version can not read is said to be: %s', (table, rowKey, columns) => {
    const row = { partitionKey: kekKey(kek), rowKey, changedAt: NOW.toISOString(), columns };
    const problem = makeRawTables(connectionTo(azurite)).findProblem(table, row);
    expect(problem).toContain(rowKey);
  });

  test('of the history since some time are found, and a row by its keys', async () => {
    const raw = makeRawTables(connectionTo(azurite));
    const find = async (changedFrom: Date) => {
      const rows: TableRow[] = [];
      for await (const page of raw.pages('servers', { changedFrom, rowKeyPrefix: 'h:' })) rows.push(...page);
      return rows.map(({ rowKey }) => rowKey);
    };
    expect(await find(new Date(Date.now() - 600_000))).toEqual([expect.stringMatching(/^h:a:/)]);
    expect(await find(new Date(Date.now() + 600_000))).toEqual([]);
    const [first] = await allOf(azurite, 'serverindex');
    expect(await raw.find('serverindex', 'a', 'server')).toEqual(first);
    expect(await raw.find('serverindex', 'b', 'server')).toBeUndefined();
  });

  test('go into another account as they were, unknown columns and types too, and never over a row that is there', async () => {
    await clientOf(azurite, 'servers').updateEntity(
      {
        partitionKey: kekKey(kek),
        rowKey: 's:a',
        newText: '',
        newFlag: true,
        newShare: 1.5,
        newBig: 9_007_199_254_740_993n,
        newId: { type: 'Guid', value: '5b4c2f6e-0000-4000-8000-000000000001' },
        newTime: { type: 'DateTime', value: '2026-11-24T12:00:00.1234567Z' },
        newBytes: new Uint8Array([1, 2, 255]),
      },
      'Merge',
    );
    const target = makeRawTableWriter(connectionTo(other));
    await target.ensureTables();
    await target.ensureTables();
    for (const table of EXPORTED_TABLES) {
      const rows = await allOf(azurite, table);
      expect(await target.isEmpty(table)).toBe(true);
      for (const partition of Map.groupBy(rows, ({ partitionKey }) => partitionKey).values())
        expect(await target.insert(table, partition)).toBe(0);
      expect(await target.isEmpty(table)).toBe(false);
      expect(withoutTime(await allOf(other, table))).toEqual(withoutTime(rows));
    }
    const servers = await allOf(azurite, 'servers');
    const restored = makeTableStores({ connection: connectionTo(other), onInvalid: () => undefined });
    expect((await restored.servers.read(kek, 'a'))?.value).toEqual(
      (await stores.servers.read(kek, 'a'))?.value,
    );
    await clientOf(other, 'servers').deleteEntity(kekKey(kek), servers[0]?.rowKey ?? '');
    await clientOf(other, 'servers').updateEntity(
      { partitionKey: kekKey(kek), rowKey: 's:a', newText: 'mine' },
      'Merge',
    );
    expect(await target.insert('servers', servers)).toBe(servers.length - 1);
    expect((await allOf(other, 'servers')).at(-1)?.columns['newText']).toBe('mine');
  });

  test('that can not be had, or written, are said to be unavailable', async () => {
    const dead = {
      kind: 'connectionString',
      value:
        'DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1:1/a;',
    } as const;
    const failure = { code: 'StoreUnavailable' };
    const row = { partitionKey: 'p', rowKey: 'r', changedAt: '', columns: {} };
    await expect(makeRawTables(dead).find('keks', 'p', 'r')).rejects.toMatchObject(failure);
    await expect(makeRawTableWriter(dead).insert('keks', [row])).rejects.toMatchObject(failure);
    await expect(makeRawTableWriter(dead).isEmpty('keks')).rejects.toMatchObject(failure);
    await expect(
      makeRawTableWriter(connectionTo(other)).insert('keks', [{ ...row, partitionKey: 'a/b' }]),
    ).rejects.toMatchObject(failure);
  }, 60_000);
});
