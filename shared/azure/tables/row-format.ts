// A kind of row: which columns it has, and how it is converted. Rows are parsed when they are read; one that doesn't
// parse is held, reported and left alone.
import * as z from 'zod';
import { CmkError, isCmkError } from '../../domain/errors.ts';
import { type Columns, joinLong, splitLong } from './columns.ts';

export interface RowKeys {
  readonly partitionKey: string;
  readonly rowKey: string;
}

/** A row as the SDK gives it. */
export interface Entity extends RowKeys {
  readonly etag: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

export interface RowFormat<T> {
  readonly columns: ReadonlySet<string>;
  /** @throws CmkError InvalidRow */
  fromEntity(entity: Entity): T;
  /** @throws CmkError InvalidRow for a value that could not be read back */
  toColumns(value: T): Columns;
}

/** The version of the rows' layout; every row carries it. */
export const schemaColumn = z.literal(1, 'a layout that this version of the app does not know');

export function makeRowFormat<S extends z.ZodObject, T>(options: {
  readonly table: string;
  readonly columns: S;
  /** May throw an error of ours where a key doesn't parse. */
  readonly fromColumns: (columns: z.output<S>, keys: RowKeys) => T;
  readonly toColumns: (value: T) => z.output<S>;
}): RowFormat<T> {
  const { table, columns } = options;
  const known = new Set(Object.keys(columns.shape));
  return {
    columns: known,
    fromEntity: ({ partitionKey, rowKey, properties }) => {
      const keys = { partitionKey, rowKey };
      const parsed = columns.safeParse(joinLong(properties, known));
      if (!parsed.success) throw invalidRow(table, keys, describeIssue(parsed.error), parsed.error);
      try {
        return options.fromColumns(parsed.data, keys);
      } catch (thrown) {
        if (!isCmkError(thrown)) throw thrown;
        throw invalidRow(table, keys, { column: 'RowKey', problem: thrown.message }, thrown);
      }
    },
    toColumns: (value) => {
      const encoded = z.safeEncode(columns, options.toColumns(value));
      if (!encoded.success) {
        const { column, problem } = describeIssue(encoded.error);
        throw new CmkError('InvalidRow', `a row for ${table} can't be written: ${column}: ${problem}`, {
          remedy: 'Report it: nothing was written.',
          cause: encoded.error,
          detail: { table, column },
        });
      }
      return splitLong(encoded.data as Columns);
    },
  };
}

interface Problem {
  readonly column: string;
  readonly problem: string;
}

// The first one: the others are often its consequences. Issues name what was expected, never what was there.
function describeIssue({ issues: [issue] }: z.core.$ZodError): Problem {
  const [column, ...inside] = issue?.path ?? [];
  const where = inside.length === 0 ? '' : `${inside.join('.')}: `;
  return { column: String(column), problem: `${where}${issue?.message}` };
}

/** A whole number that a row key says in `digits` digits. @throws CmkError InvalidRow */
export function parseSequence(text: string, digits: number): number {
  if (text.length === digits && /^\d+$/.test(text)) return Number(text);
  throw new CmkError('InvalidRow', `not a number of ${digits} digits`, { remedy: 'Take the row away.' });
}

export const invalidRow = (table: string, keys: RowKeys, { column, problem }: Problem, cause?: unknown) =>
  new CmkError(
    'InvalidRow',
    `the row ${keys.rowKey} of ${keys.partitionKey} in table ${table} doesn't parse: ${column}: ${problem}`,
    {
      remedy: 'Repair the row, or restore it from a backup. Until it parses the app leaves it alone.',
      cause,
      detail: { table, ...keys, column, problem },
    },
  );
