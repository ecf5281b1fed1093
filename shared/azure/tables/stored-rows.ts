// Between rows and what the ports call stored values and writes.
import type { Stored, Write } from '../../ports/stored.ts';
import { markedEtag, type RowWrite } from './conditional-table.ts';
import type { Entity, RowFormat } from './row-format.ts';

/** @throws CmkError InvalidRow */
export const toStored = <T>(entity: Entity, format: RowFormat<T>): Stored<T> => ({
  value: format.fromEntity(entity),
  etag: markedEtag(entity, format),
});

export const toRowWrite = <T>(rowKey: string, { value, etag }: Write<T>, format: RowFormat<T>): RowWrite => ({
  rowKey,
  columns: format.toColumns(value),
  known: format.columns,
  etag,
});
