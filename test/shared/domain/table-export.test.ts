import { describe, expect, test } from 'vitest';
import { chainRecord } from '../../../shared/domain/audit.ts';
import {
  exportFolder,
  MANIFEST_FILE,
  PLAIN_HEADS_FILE,
  SIGNED_HEADS_FILE,
} from '../../../shared/domain/export-manifest.ts';
import {
  exportBroken,
  exportFile,
  makeChainFollower,
  makeHeadSettler,
  parseExportLine,
  type TableRow,
  toExportedHistory,
  toExportedServer,
  toExportLine,
} from '../../../shared/domain/table-export.ts';

const row = (change: Partial<TableRow> = {}): TableRow => ({
  partitionKey: 'alpha.vault.azure.net|fleet',
  rowKey: 's:orders-1',
  changedAt: '2026-11-24T12:00:00.1234567Z',
  columns: {},
  ...change,
});

describe('a line of an export', () => {
  test('keeps every type of column', () => {
    const full = row({
      columns: {
        text: 'Überprüfung: "läuft"\n',
        empty: '',
        yes: true,
        number: -5,
        share: { type: 'Double', value: 1.5 },
        none: { type: 'Double', value: 'NaN' },
        big: { type: 'Int64', value: '9007199254740993' },
        id: { type: 'Guid', value: '5b4c2f6e-0000-4000-8000-000000000001' },
        time: { type: 'DateTime', value: '2026-11-24T12:00:00.1234567Z' },
        bytes: { type: 'Binary', value: 'AQL/' },
      },
    });
    const line = toExportLine(full);
    expect(line).not.toContain('\n');
    expect(parseExportLine(line)).toEqual(full);
  });

  test.each([
    ['no JSON', '{"partitionKey"'],
    ['nothing', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['no columns', JSON.stringify({ ...row(), columns: undefined })],
    ['a list of columns', JSON.stringify({ ...row(), columns: [] })],
    ['no partition', JSON.stringify({ ...row(), partitionKey: 1 })],
    ['no row key', JSON.stringify({ ...row(), rowKey: null })],
    ['no time', JSON.stringify({ ...row(), changedAt: undefined })],
    ['a number that is no Int32', JSON.stringify(row({ columns: { a: 1.5 } }))],
    ['a column of null', '{"partitionKey":"a","rowKey":"b","changedAt":"c","columns":{"a":null}}'],
    [
      'an unknown type',
      '{"partitionKey":"a","rowKey":"b","changedAt":"c","columns":{"a":{"type":"Float","value":1}}}',
    ],
    [
      'a type without a name',
      '{"partitionKey":"a","rowKey":"b","changedAt":"c","columns":{"a":{"value":"1"}}}',
    ],
    [
      'an Int64 as a number',
      '{"partitionKey":"a","rowKey":"b","changedAt":"c","columns":{"a":{"type":"Int64","value":1}}}',
    ],
    [
      'a Double that is neither',
      '{"partitionKey":"a","rowKey":"b","changedAt":"c","columns":{"a":{"type":"Double","value":true}}}',
    ],
  ])('is refused where it is %s', (_, text) => {
    expect(() => parseExportLine(text)).toThrow(
      expect.objectContaining({ code: 'ExportBroken', retryable: true }),
    );
  });

  test('a fault without details has none', () => {
    expect(exportBroken('x').detail).toEqual({});
  });
});

test('what is broken is said, and what to do about it', () => {
  expect(() => parseExportLine('no')).toThrow('a line holds no row');
  expect(exportBroken('x').remedy).toContain('another export');
});

test('files and folders are named for what is in them', () => {
  expect([MANIFEST_FILE, SIGNED_HEADS_FILE, PLAIN_HEADS_FILE]).toEqual([
    'manifest.json',
    'audit-heads.jws',
    'audit-heads.json',
  ]);
  expect(exportFile('serverindex')).toBe('serverindex.jsonl');
  expect(exportFolder(new Date('2026-11-24T02:30:00.005Z'))).toBe('2026-11-24T02-30-00.005Z');
});

describe('rows of servers', () => {
  test('say what they depend on, as far as they can be read', () => {
    const version = 'a'.repeat(32);
    expect(toExportedServer(row({ columns: { kekVersion: version, incoming: true, sequence: 4 } }))).toEqual({
      serverId: 'orders-1',
      kek: 'alpha.vault.azure.net|fleet',
      kekVersion: version,
      incoming: true,
      sequence: 4,
    });
    const spoilt = { kekVersion: 'latest', incoming: 'yes', sequence: 'x' };
    expect(toExportedServer(row({ columns: spoilt }))).toMatchObject({
      kekVersion: null,
      incoming: false,
      sequence: 0,
    });
    expect(toExportedServer(row())).toMatchObject({ kekVersion: null });
    for (const kekVersion of [`${version}a`, `a${version}`, version.toUpperCase()])
      expect(toExportedServer(row({ columns: { kekVersion } }))).toMatchObject({ kekVersion: null });
  });

  test('are told from the history and the outbox', () => {
    const history = row({ rowKey: `h:orders-1:${'a'.repeat(32)}:0000000003` });
    expect(toExportedServer(history)).toBeUndefined();
    expect(toExportedHistory(history)).toEqual({ serverId: 'orders-1', sequence: 3 });
    expect(toExportedHistory(row())).toBeUndefined();
    expect(toExportedHistory(row({ rowKey: 'o:000001:x' }))).toBeUndefined();
    expect(toExportedHistory(row({ rowKey: 'h:' }))).toEqual({ serverId: '', sequence: 0 });
  });
});

const toRow = (chain: string, { sequence, ...columns }: ReturnType<typeof chainRecord>): TableRow =>
  row({ partitionKey: chain, rowKey: String(sequence).padStart(16, '0'), columns });

function makeChain(chain: string, length: number): readonly TableRow[] {
  const rows: TableRow[] = [];
  let tail: ReturnType<typeof chainRecord> | null = null;
  for (let number = 1; number <= length; number += 1) {
    tail = chainRecord(chain, tail, `outbox-${number}`, `{"number":${number}}`);
    rows.push(toRow(chain, tail));
  }
  return rows;
}
const head = (chain: string, columns: TableRow['columns']) =>
  row({ partitionKey: chain, rowKey: 'head', columns });

describe('the head of a chain', () => {
  test('names the last record that the pass has seen, and keeps its other columns', () => {
    const settle = makeHeadSettler();
    const records = makeChain('a', 2);
    expect(records.map(settle)).toEqual(records);
    const settled = settle(head('a', { sequence: 9, hash: 'f'.repeat(64), new: 'x' }));
    expect(settled.columns).toEqual({ sequence: 2, hash: records[1]?.columns['hash'], new: 'x' });
  });

  test('stays as it is where none of its records was seen, those of another chain least of all', () => {
    const settle = makeHeadSettler();
    const alone = head('b', { sequence: 9, hash: 'f'.repeat(64) });
    expect(settle(alone)).toBe(alone);
    for (const record of makeChain('a', 1)) settle(record);
    expect(settle(alone)).toBe(alone);
    expect(settle(row({ partitionKey: 'a', rowKey: 'other' }))).toMatchObject({ rowKey: 'other' });
    settle(row({ partitionKey: 'b', rowKey: '0000000000000009', columns: {} }));
    expect(settle(alone)).toBe(alone);
  });
});

describe('following the chains', () => {
  const follow = (rows: readonly TableRow[]) => {
    const follower = makeChainFollower();
    for (const one of rows) follower.add(one);
    return follower.seen();
  };

  test('gives the end of each chain', () => {
    const [a, b] = [makeChain('a', 3), makeChain('b', 1)];
    expect(follow([...a, head('a', { sequence: 3, hash: 'f'.repeat(64) }), ...b])).toEqual({
      heads: [
        { chain: 'a', sequence: 3, hash: a[2]?.columns['hash'] },
        { chain: 'b', sequence: 1, hash: b[0]?.columns['hash'] },
      ],
      broken: [],
    });
  });

  test('passes by rows that are no records', () => {
    const a = makeChain('a', 1);
    expect(
      follow([row({ partitionKey: 'a', rowKey: '+1' }), ...a, row({ partitionKey: 'a', rowKey: '1x' })]),
    ).toEqual({
      heads: [{ chain: 'a', sequence: 1, hash: a[0]?.columns['hash'] }],
      broken: [],
    });
  });

  test('joins a record that was long', () => {
    const record = chainRecord('a', null, 'outbox-1', 'one two three');
    const { columns } = toRow('a', record);
    const pieces = { ...columns, body: 'one ', body_1: 'two ', body_2: 'three' };
    expect(follow([row({ partitionKey: 'a', rowKey: '0000000000000001', columns: pieces })])).toMatchObject({
      heads: [{ sequence: 1, hash: record.hash }],
    });
  });

  test.each<[string, (rows: readonly TableRow[]) => readonly TableRow[], number]>([
    ['a record is missing', (rows) => rows.toSpliced(1, 1), 3],
    ['the first is missing', (rows) => rows.slice(1), 2],
    [
      'a body was changed',
      (rows) => rows.map((one, at) => (at === 1 ? { ...one, columns: { ...one.columns, body: '{}' } } : one)),
      2,
    ],
    [
      'a record says that another came before it',
      (rows) =>
        rows.map((one, at) =>
          at === 2 ? { ...one, columns: { ...one.columns, previousHash: 'f'.repeat(64) } } : one,
        ),
      3,
    ],
    [
      'the last has lost its hash',
      (rows) =>
        rows.map((one, at) => {
          const { hash, ...columns } = one.columns;
          return at === 3 ? { ...one, columns } : { ...one, columns: { ...columns, hash: hash ?? '' } };
        }),
      4,
    ],
  ])('names the first record that does not follow where %s', (_, spoil, sequence) => {
    expect(follow([...spoil(makeChain('a', 4)), ...makeChain('b', 1)])).toMatchObject({
      heads: [{ chain: 'b' }],
      broken: [{ chain: 'a', sequence }],
    });
  });
});
