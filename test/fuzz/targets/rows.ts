// What is stored: rows of every table, the catalog of exports, exports and their manifests.

import { AuditHeadsDocument, parseExportManifest } from '../../../shared/api/table-export.ts';
import {
  breakerFormat,
  KEK_ROW,
  kekFormat,
  VERSION_PREFIX,
  versionFormat,
} from '../../../shared/azure/tables/kek-rows.ts';
import {
  auditRowKey,
  HEAD_ROW,
  headFormat,
  makeOutboxFormat,
  OUTBOX_PREFIX,
  recordFormat,
} from '../../../shared/azure/tables/outbox-rows.ts';
import type { RowFormat } from '../../../shared/azure/tables/row-format.ts';
import {
  historyFormat,
  historyRowKey,
  indexFormat,
  serverFormat,
  serverRowKey,
} from '../../../shared/azure/tables/server-rows.ts';
import { chainRecord } from '../../../shared/domain/audit.ts';
import { Dek } from '../../../shared/domain/dek.ts';
import { linesOf, makeDigest } from '../../../shared/domain/export-lines.ts';
import { kekKey } from '../../../shared/domain/key-id.ts';
import { makeRestorePlan } from '../../../shared/domain/restore-plan.ts';
import {
  EXPORTED_TABLES,
  type ExportedTable,
  makeChainFollower,
  makeHeadSettler,
  parseExportLine,
  toExportedHistory,
  toExportedServer,
  toExportLine,
} from '../../../shared/domain/table-export.ts';
import { bindDek, openWrapping } from '../../../shared/domain/wrapped-dek.ts';
import {
  auditOf,
  eventOf,
  fullKek,
  fullServer,
  fullVersion,
  historyOf,
  NOW,
  plainKek,
  plainServer,
  plainVersion,
  versionOf,
} from '../../fixtures/rows.ts';
import { jsonTarget, PIECE_OF_FILE, TABLE_ROW, type Target, textTarget, valueTarget } from '../target.ts';

const dek = new Dek(new Uint8Array(32).fill(7));
const kek = { vault: 'v1.vault.azure.net', name: 'k1' };
const outboxFormat = makeOutboxFormat('servers');
const first = chainRecord(kekKey(kek), null, 'o/1', JSON.stringify(auditOf('first')));

const example = (rowKey: string, properties: unknown, partitionKey = kekKey(kek)) => ({
  partitionKey,
  rowKey,
  properties,
});

/** Reads a row, and writes back what was read. */
function reread<T>(format: RowFormat<T>, input: unknown): unknown {
  const { partitionKey, rowKey, properties } = Object(input);
  const entity = {
    partitionKey: String(partitionKey),
    rowKey: String(rowKey),
    etag: 'W/"1"',
    properties: Object(properties),
  };
  return format.toColumns(format.fromEntity(entity));
}

const rowTarget = <T>(name: string, format: RowFormat<T>, examples: readonly unknown[]): Target =>
  valueTarget({
    name: `rows: ${name}`,
    codes: ['InvalidRow'],
    most: TABLE_ROW,
    examples,
    parse: (input) => reread(format, withKeys(input)),
  });

/** The keys of a row are always text, of a kilobyte. */
function withKeys(input: unknown): unknown {
  const { partitionKey, rowKey, properties } = Object(input);
  return { partitionKey: toKey(partitionKey), rowKey: toKey(rowKey), properties };
}

const toKey = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 512) : '');

/** JSON inside a column of a row, changed as JSON. */
const columnTarget = <T>(
  name: string,
  format: RowFormat<T>,
  row: ReturnType<typeof example>,
  column: string,
): Target =>
  jsonTarget({
    name: `rows: ${name}.${column}`,
    codes: ['InvalidRow'],
    most: TABLE_ROW,
    examples: [String(Object(row.properties)[column])],
    parse: (text) => reread(format, { ...row, properties: { ...Object(row.properties), [column]: text } }),
  });

const server = example(serverRowKey('db-1'), serverFormat.toColumns(fullServer(kek, 'db-1')));
const kekRow = example(KEK_ROW, kekFormat.toColumns(fullKek(kek)));
const versionRow = example(`${VERSION_PREFIX}${versionOf(1)}`, versionFormat.toColumns(fullVersion(1)));
const outboxRow = example(
  `${OUTBOX_PREFIX}000000000000001:000000-00-s`,
  outboxFormat.toColumns({
    audited: false,
    auditBodies: [JSON.stringify(auditOf('first'))],
    events: [eventOf('e/1')],
  }),
);
const history = historyOf(plainServer(kek, 'db-1'));

const lines = [
  toExportLine({
    partitionKey: kekKey(kek),
    rowKey: 's:db-1',
    changedAt: NOW.toISOString(),
    columns: { kekVersion: versionOf(1), sequence: 3, incoming: false, dekId: 'd' },
  }),
  toExportLine({
    partitionKey: kekKey(kek),
    rowKey: `h:db-1:${versionOf(1)}:0000000002`,
    changedAt: NOW.toISOString(),
    columns: { size: { type: 'Int64', value: '9' } },
  }),
  toExportLine({
    partitionKey: 'db-1',
    rowKey: 'server',
    changedAt: NOW.toISOString(),
    columns: { kek: kekKey(kek) },
  }),
  toExportLine({
    partitionKey: kekKey(kek),
    rowKey: auditRowKey(1),
    changedAt: NOW.toISOString(),
    columns: {
      outboxId: first.outboxId,
      previousHash: first.previousHash,
      hash: first.hash,
      body: first.body,
    },
  }),
  toExportLine({
    partitionKey: kekKey(kek),
    rowKey: HEAD_ROW,
    changedAt: NOW.toISOString(),
    columns: { sequence: 1, hash: first.hash },
  }),
];

/** Whatever reads the rows of an export afterwards. */
function useLine(text: string): unknown {
  const row = parseExportLine(text);
  const plan = makeRestorePlan(1);
  const follower = makeChainFollower();
  const settle = makeHeadSettler();
  follower.add(row);
  for (const table of EXPORTED_TABLES) plan.see(table, row, 1);
  const reasons = EXPORTED_TABLES.map((table: ExportedTable) => plan.decide(table, row, 1));
  return [toExportedServer(row), toExportedHistory(row), settle(row), follower.seen(), reasons];
}

const hash = 'a'.repeat(64);
const table = { file: 'servers.jsonl', bytes: 1, sha256: hash, rows: 1, late: 0, unread: 0 };
const manifest = JSON.stringify({
  schema: 1,
  exportedAt: NOW.toISOString(),
  appVersion: '1.2.3',
  tables: { servers: table, serverindex: table, keks: table, audit: table },
  versions: { [kekKey(kek)]: [versionOf(1), versionOf(2)] },
  brokenChains: [{ chain: 'app', sequence: 2 }],
  heads: { file: 'audit-heads.jws', bytes: 1, sha256: hash, signed: true },
});
const heads = JSON.stringify({
  kind: 'AuditHeads',
  sub: 'folder',
  at: NOW.toISOString(),
  heads: [{ chain: 'app', sequence: 3, hash }],
  files: { 'servers.jsonl': hash },
});

async function readLines(text: string): Promise<unknown> {
  const bytes = Buffer.from(text);
  const cut = Math.floor(bytes.length / 3);
  async function* pieces() {
    yield bytes.subarray(0, cut);
    yield bytes.subarray(cut);
  }
  const found: string[] = [];
  for await (const line of linesOf(pieces(), makeDigest())) found.push(line);
  return found;
}

export const rowTargets: readonly Target[] = [
  rowTarget('server', serverFormat, [
    server,
    example(serverRowKey('db-2'), serverFormat.toColumns(plainServer(kek, 'db-2'))),
  ]),
  ...['access', 'labels', 'hold', 'failure', 'rewrapFailure', 'moving', 'copyOf'].map((column) =>
    columnTarget('server', serverFormat, server, column),
  ),
  rowTarget('history', historyFormat, [example(historyRowKey(history), historyFormat.toColumns(history))]),
  rowTarget('serverindex', indexFormat, [example('server', indexFormat.toColumns(kek), 'db-1')]),
  rowTarget('kek', kekFormat, [kekRow, example(KEK_ROW, kekFormat.toColumns(plainKek(kek)))]),
  ...['rotation', 'policy', 'hold', 'census'].map((column) => columnTarget('kek', kekFormat, kekRow, column)),
  rowTarget('version', versionFormat, [
    versionRow,
    example(`${VERSION_PREFIX}${versionOf(2)}`, versionFormat.toColumns(plainVersion(2))),
  ]),
  ...['run', 'attributes'].map((column) => columnTarget('version', versionFormat, versionRow, column)),
  rowTarget('breaker', breakerFormat, [
    example('state', breakerFormat.toColumns({ suspects: { v1: NOW }, trippedAt: NOW }), 'breaker'),
  ]),
  rowTarget('outbox', outboxFormat, [outboxRow]),
  ...['audit', 'events'].map((column) => columnTarget('outbox', outboxFormat, outboxRow, column)),
  rowTarget('audit record', recordFormat, [example(auditRowKey(1), recordFormat.toColumns(first))]),
  rowTarget('audit head', headFormat, [
    example(HEAD_ROW, headFormat.toColumns({ sequence: 1, hash: first.hash })),
  ]),
  jsonTarget({ name: 'export lines', codes: ['ExportBroken'], examples: lines, parse: useLine }),
  textTarget({
    name: 'files of lines',
    codes: [],
    examples: [lines.join('\n')],
    parse: readLines,
    most: PIECE_OF_FILE,
  }),
  jsonTarget({
    name: 'export manifest',
    codes: ['ExportBroken'],
    examples: [manifest],
    parse: parseExportManifest,
  }),
  valueTarget({
    name: 'signed audit heads',
    codes: [],
    examples: [JSON.parse(heads)],
    parse: (input) => AuditHeadsDocument.safeParse(input).data,
  }),
  textTarget({
    name: 'unwrapped DEKs',
    codes: ['WrappedDekMalformed', 'DekBindingMismatch', 'DekIdMismatch'],
    examples: [Buffer.from(bindDek(dek, 'db-1')).toString('latin1')],
    parse: (text) => {
      using opened = openWrapping(Buffer.from(text, 'latin1'), { format: 'bound-1', dekId: dek.id }, 'db-1');
      return opened.id;
    },
  }),
];
