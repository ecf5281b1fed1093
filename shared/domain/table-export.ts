// An export of the app's tables: JSON Lines, one row a line with every column and its type, whoever wrote it.
import { chainRecord } from './audit.ts';
import { CmkError } from './errors.ts';
import { parseJson } from './parse-json.ts';

/** In the order in which they are exported; see export-tables.ts for why. */
export const EXPORTED_TABLES = ['servers', 'serverindex', 'keks', 'audit'] as const;
export type ExportedTable = (typeof EXPORTED_TABLES)[number];

export const exportFile = (table: ExportedTable): string => `${table}.jsonl`;

/** Texts, truth values and Int32 as JSON has them; any other type of Table Storage is named. */
export type Column =
  | string
  | number
  | boolean
  | { readonly type: 'Double'; readonly value: number | string }
  | { readonly type: 'Int64' | 'Guid' | 'DateTime' | 'Binary'; readonly value: string };

/** A row as the table has it. */
export interface TableRow {
  readonly partitionKey: string;
  readonly rowKey: string;
  /** When it was last written, by the clock of Table Storage. */
  readonly changedAt: string;
  readonly columns: Readonly<Record<string, Column>>;
}

/** One line, without its end. */
export const toExportLine = ({ partitionKey, rowKey, changedAt, columns }: TableRow): string =>
  JSON.stringify({ partitionKey, rowKey, changedAt, columns });

const LONG_TYPES = ['Double', 'Int64', 'Guid', 'DateTime', 'Binary'] as const;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Of a column with a type nothing else is taken over; undefined: it is no column. */
function toColumn(value: unknown): Column | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? value : undefined;
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (!isObject(value)) return undefined;
  const { type, value: inner } = value;
  if (type === 'Double' && typeof inner === 'number') return { type, value: inner };
  const long = LONG_TYPES.find((one) => one === type);
  return long === undefined || typeof inner !== 'string' ? undefined : { type: long, value: inner };
}

/** @throws CmkError ExportBroken */
export function parseExportLine(text: string): TableRow {
  const row = parseJson(text);
  if (isObject(row) && isObject(row['columns'])) {
    const { partitionKey, rowKey, changedAt, columns } = row;
    const isNamed =
      typeof partitionKey === 'string' && typeof rowKey === 'string' && typeof changedAt === 'string';
    const given = Object.entries(columns as object);
    const entries = given.flatMap(([name, value]) => {
      const column = toColumn(value);
      return column === undefined ? [] : [[name, column] as const];
    });
    if (isNamed && entries.length === given.length)
      return { partitionKey, rowKey, changedAt, columns: Object.fromEntries(entries) };
  }
  throw exportBroken('a line holds no row');
}

/** What is there isn't what was written. The message names files, tables and numbers. */
export const exportBroken = (message: string, detail: Readonly<Record<string, unknown>> = {}) =>
  new CmkError('ExportBroken', message, {
    remedy:
      'Take another export; do not restore this one. If new exports break too, look at the storage account.',
    retryable: true,
    detail,
  });

const SERVER_PREFIX = 's:';
const HISTORY_PREFIX = 'h:';

/** The row of a server, as far as its columns can be read. */
export interface ExportedServer {
  readonly serverId: string;
  readonly kek: string;
  /** null: the row doesn't say. */
  readonly kekVersion: string | null;
  readonly incoming: boolean;
  readonly sequence: number;
}

/** undefined: it is another kind of row. */
export function toExportedServer({ partitionKey, rowKey, columns }: TableRow): ExportedServer | undefined {
  if (!rowKey.startsWith(SERVER_PREFIX)) return undefined;
  const { kekVersion, incoming, sequence } = columns;
  return {
    serverId: rowKey.slice(SERVER_PREFIX.length),
    kek: partitionKey,
    kekVersion: typeof kekVersion === 'string' && /^[0-9a-f]{32}$/.test(kekVersion) ? kekVersion : null,
    incoming: incoming === true,
    sequence: typeof sequence === 'number' ? sequence : 0,
  };
}

/** Of a row in the history of wrappings; undefined: it is another kind of row. */
export function toExportedHistory({ rowKey }: TableRow): { serverId: string; sequence: number } | undefined {
  if (!rowKey.startsWith(HISTORY_PREFIX)) return undefined;
  const [serverId = '', , sequence = ''] = rowKey.slice(HISTORY_PREFIX.length).split(':');
  return { serverId, sequence: Number(sequence) };
}

/** Where a chain of the audit ends. */
export interface ChainHeadAt {
  readonly chain: string;
  readonly sequence: number;
  readonly hash: string;
}

const HEAD_ROW = 'head';

/** A row of the table `audit`, by its sequence; `head` says where the chain ends. Of a record nothing may be missing. */
function toRecord({ rowKey, columns }: TableRow) {
  const { outboxId, previousHash, hash, body } = columns;
  if (!/^\d+$/.test(rowKey)) return undefined;
  return {
    sequence: Number(rowKey),
    outboxId: String(outboxId),
    previousHash: String(previousHash),
    hash: String(hash),
    body: joinPieces(columns, String(body)),
  };
}

/** Long text goes on in `body_1`, `body_2`. */
function joinPieces(columns: TableRow['columns'], first: string): string {
  let text = first;
  for (let index = 1; typeof columns[`body_${index}`] === 'string'; index += 1)
    text += columns[`body_${index}`];
  return text;
}

/**
 * Makes the heads in a pass over the table `audit` name the last record that the same pass has seen: records may be
 * appended between two pages, and a head that is ahead of its records is a fault. Rows of a chain come in order, its
 * head last. The head of a chain whose last record has no hash stays as it is.
 */
export function makeHeadSettler(): (row: TableRow) => TableRow {
  let last: ChainHeadAt | null = null;
  return (row) => {
    const record = toRecord(row);
    const hasHash = typeof row.columns['hash'] === 'string';
    if (record !== undefined)
      last = hasHash ? { chain: row.partitionKey, sequence: record.sequence, hash: record.hash } : null;
    if (row.rowKey !== HEAD_ROW || last?.chain !== row.partitionKey) return row;
    return { ...row, columns: { ...row.columns, sequence: last.sequence, hash: last.hash } };
  };
}

export interface ChainsSeen {
  /** Of chains that are whole. */
  readonly heads: readonly ChainHeadAt[];
  /** The first record of a chain that doesn't follow from the one before. */
  readonly broken: readonly { readonly chain: string; readonly sequence: number }[];
}

/** Follows every chain in a pass over the table `audit`; its memory grows with the chains, not with their records. */
export function makeChainFollower(): { add(row: TableRow): void; seen(): ChainsSeen } {
  const heads = new Map<string, ChainHeadAt>();
  const broken = new Map<string, number>();
  return {
    add: (row) => {
      const record = toRecord(row);
      const chain = row.partitionKey;
      if (record === undefined || broken.has(chain)) return;
      const expected = chainRecord(chain, heads.get(chain) ?? null, record.outboxId, record.body);
      const follows =
        expected.sequence === record.sequence &&
        expected.previousHash === record.previousHash &&
        expected.hash === record.hash;
      if (follows) heads.set(chain, { chain, sequence: record.sequence, hash: record.hash });
      else {
        broken.set(chain, record.sequence);
        heads.delete(chain);
      }
    },
    seen: () => ({
      heads: [...heads.values()],
      broken: [...broken].map(([chain, sequence]) => ({ chain, sequence })),
    }),
  };
}
