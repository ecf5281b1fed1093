// One table, of which every write is conditional.
//
// Columns that the code doesn't know are kept: the ETag of a row that has some is marked, and a write that names a
// marked ETag reads the row once more and takes them over. The condition still is the ETag itself, so nothing is
// written over a row that changed in between.
import { odata, RestError, type TableClient, type TransactionAction } from '@azure/data-tables';
import { CmkError } from '../../domain/errors.ts';
import { type Columns, isKnownColumn } from './columns.ts';
import type { Entity, RowFormat, RowKeys } from './row-format.ts';
import { asStore, isRowMissing, toStoreError } from './table-errors.ts';

/** A write of one row; `etag` null inserts. */
export interface RowWrite {
  readonly rowKey: string;
  readonly columns: Columns;
  readonly known: ReadonlySet<string>;
  readonly etag: string | null;
}

export interface EntityPage {
  readonly entities: readonly Entity[];
  readonly isLast: boolean;
}

export interface ConditionalTable {
  find(keys: RowKeys): Promise<Entity | undefined>;
  /** Pages may be empty. */
  pages(query: {
    readonly filter: string;
    readonly select?: readonly string[];
    readonly pageSize?: number;
  }): AsyncIterable<EntityPage>;
  /** One transaction; gives the new ETags. @throws CmkError WriteConflict, StoreUnavailable */
  commit(partitionKey: string, writes: readonly RowWrite[]): Promise<readonly string[]>;
  /** A row that is gone already is no error. @throws CmkError WriteConflict, StoreUnavailable */
  remove(keys: RowKeys, etag: string): Promise<void>;
  ensure(): Promise<void>;
}

const MOST_OPERATIONS = 100;
const MOST_ROWS_A_PAGE = 1000;
const MARK = ' +';
// What the service and the SDK add to the columns.
const ADDED = new Set(['etag', 'partitionKey', 'rowKey', 'timestamp', 'odata.metadata', 'odata.etag']);

type Result = { readonly etag: string; readonly partitionKey?: string; readonly rowKey?: string };

function toEntity({ etag, partitionKey = '', rowKey = '', ...rest }: Result): Entity {
  return { partitionKey, rowKey, etag, properties: rest };
}

/** The ETag to hand out for a row of that format. */
export const markedEtag = (entity: Entity, format: RowFormat<unknown>): string =>
  Object.keys(entity.properties).some((name) => isUnknown(name, format.columns))
    ? `${entity.etag}${MARK}`
    : entity.etag;

/** Invariant I-10: never "*", and never empty, which would write or delete whatever is there. */
function toCondition(etag: string): string {
  const bare = isMarked(etag) ? etag.slice(0, -MARK.length) : etag;
  if (/^(?:W\/)?".*"$/.test(bare)) return bare;
  throw new CmkError('WriteConflict', `not the ETag of a row: ${JSON.stringify(etag)}`, {
    remedy: 'Read the row, and write it under the ETag that was read.',
  });
}

const isMarked = (etag: string): boolean => etag.endsWith(MARK);
const isUnknown = (name: string, known: ReadonlySet<string>) =>
  !ADDED.has(name) && !isKnownColumn(name, known);

export function makeConditionalTable(client: TableClient): ConditionalTable {
  const name = client.tableName;

  const find = async ({ partitionKey, rowKey }: RowKeys, disableTypeConversion: boolean) => {
    try {
      return toEntity(await client.getEntity(partitionKey, rowKey, { disableTypeConversion }));
    } catch (thrown) {
      if (isRowMissing(thrown)) return undefined;
      throw toStoreError(thrown, `reading ${rowKey} of ${partitionKey} in ${name}`);
    }
  };

  /** The columns that this version of the app doesn't know, with their types. */
  const readUnknown = async (partitionKey: string, { rowKey, etag, known }: RowWrite) => {
    if (etag === null || !isMarked(etag)) return {};
    const entity = await find({ partitionKey, rowKey }, true);
    // Gone or changed: the write itself will say so.
    if (entity === undefined || entity.etag !== toCondition(etag)) return {};
    const unknown = Object.entries(entity.properties).filter(([column]) => isUnknown(column, known));
    return Object.fromEntries(unknown.map(([column, value]) => [column, fromTyped(value)]));
  };

  return {
    find: (keys) => find(keys, false),

    async *pages({ filter, select, pageSize = MOST_ROWS_A_PAGE }) {
      const queryOptions = select === undefined ? { filter } : { filter, select: [...select] };
      const pages = client.listEntities({ queryOptions }).byPage({ maxPageSize: pageSize });
      while (true) {
        const next = await asStore(`listing ${filter} in ${name}`, () => pages.next());
        if (next.done === true) return;
        yield { entities: next.value.map(toEntity), isLast: !next.value.continuationToken };
      }
    },

    async commit(partitionKey, writes) {
      if (writes.length === 0) return [];
      if (writes.length > MOST_OPERATIONS) throw new RangeError(`${writes.length} writes in one transaction`);
      const unknown = await Promise.all(writes.map((write) => readUnknown(partitionKey, write)));
      const actions = writes.map(({ rowKey, columns, etag }, index): TransactionAction => {
        const entity = { ...unknown[index], ...columns, partitionKey, rowKey };
        // Invariant I-10: every write names the ETag it read; a row that isn't there yet is inserted.
        if (etag === null) return ['create', entity];
        return ['update', entity, 'Replace', { etag: toCondition(etag) }];
      });
      const rows = writes.map(({ rowKey }) => rowKey);
      const what = `writing ${describeRows(rows)} of ${partitionKey} in ${name}`;
      const etags = await asStore(what, () => submit(client, actions));
      return etags.map((etag, index) => (isMarked(writes[index]?.etag ?? '') ? `${etag}${MARK}` : etag));
    },

    async remove({ partitionKey, rowKey }, etag) {
      const condition = toCondition(etag);
      try {
        // Invariant I-10: a delete names the ETag as well. Not in a transaction, where the SDK would drop it.
        await client.deleteEntity(partitionKey, rowKey, { etag: condition });
      } catch (thrown) {
        if (isRowMissing(thrown)) return;
        throw toStoreError(thrown, `removing ${rowKey} of ${partitionKey} in ${name}`);
      }
    },

    ensure: () => asStore(`creating the table ${name}`, () => client.createTable()),
  };
}

const describeRows = (rows: readonly string[]): string =>
  rows.length <= 3 ? rows.join(', ') : `${rows.slice(0, 2).join(', ')} and ${rows.length - 2} more rows`;

/** The SDK takes any 2xx for success, and an operation that was refused without a body for done. */
async function submit(client: TableClient, actions: TransactionAction[]): Promise<readonly string[]> {
  const { subResponses } = await client.submitTransaction(actions);
  const refused = subResponses.find(({ status }) => status >= 300);
  if (refused !== undefined) throw new RestError('refused', { statusCode: refused.status });
  if (subResponses.length !== actions.length) throw new RestError('the answer to a transaction is not whole');
  return subResponses.map(({ etag = '' }) => etag);
}

/** Plain where that keeps the type; Int64, Guid, DateTime and Binary stay as the service wrote them. */
function fromTyped(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('type' in value) || !('value' in value)) return value;
  if (value.type === 'Boolean') return String(value.value) === 'true';
  if (value.type === 'Int32' || value.type === 'Double') return Number(value.value);
  return value.type === 'String' ? value.value : value;
}

/** A filter for the rows of one partition whose row keys begin with `prefix`. */
export const prefixFilter = (partitionKey: string, prefix: string): string =>
  odata`PartitionKey eq ${partitionKey} and RowKey ge ${prefix} and RowKey lt ${after(prefix)}`;

/** The first string behind all that begin with `prefix`. */
export const after = (prefix: string): string =>
  prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
