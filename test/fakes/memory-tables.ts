// Rows in memory that behave as Table Storage does: partitions, row keys in the order of their characters, ETags that
// change with every write, and transactions that take effect as a whole or not at all. Values are copied both ways.
import { CmkError } from '../../shared/domain/errors.ts';
import type { Stored, Write } from '../../shared/ports/stored.ts';

export const MAX_OPERATIONS = 100;

interface Cell<T> {
  readonly value: T;
  readonly etag: string;
  /** Why the row doesn't parse; null: it does. */
  readonly problem: string | null;
}

/** One operation of a transaction: `check` throws where it can't be, `apply` does it. */
export interface Step {
  check(): void;
  apply(): void;
}

export const writeConflict = (row: string) =>
  new CmkError('WriteConflict', `${row} changed meanwhile`, { remedy: 'Read again and decide again.' });

export const storeUnavailable = (operation: string) =>
  new CmkError('StoreUnavailable', `${operation}: no answer`, { remedy: 'Wait.', retryable: true });

export function transact(steps: readonly Step[]): void {
  if (steps.length > MAX_OPERATIONS) throw new RangeError(`${steps.length} operations in a transaction`);
  for (const step of steps) step.check();
  for (const step of steps) step.apply();
}

let lastTag = 0;
const nextTag = () => {
  lastTag += 1;
  return `W/"${lastTag}"`;
};

export class MemoryTable<T> {
  readonly #name: string;
  readonly #partitions = new Map<string, Map<string, Cell<T>>>();

  constructor(name: string) {
    this.#name = name;
  }

  partitions(): readonly string[] {
    return [...this.#partitions.keys()].toSorted();
  }

  rowKeys(partition: string): readonly string[] {
    return [...(this.#partitions.get(partition)?.keys() ?? [])].toSorted();
  }

  problem(partition: string, rowKey: string): string | null {
    return this.#find(partition, rowKey)?.problem ?? null;
  }

  /** @throws CmkError InvalidRow where the row was spoilt */
  read(partition: string, rowKey: string): Stored<T> | undefined {
    const cell = this.#find(partition, rowKey);
    if (cell === undefined) return undefined;
    if (cell.problem !== null) {
      throw new CmkError('InvalidRow', `${this.#name} ${partition} ${rowKey}: ${cell.problem}`, {
        remedy: 'Repair the row.',
      });
    }
    return { value: structuredClone(cell.value), etag: cell.etag };
  }

  write(partition: string, rowKey: string, { value, etag }: Write<T>): Step {
    const copy = structuredClone(value);
    return {
      check: () => {
        const cell = this.#find(partition, rowKey);
        if ((cell?.etag ?? null) !== etag) throw writeConflict(`${this.#name} ${partition} ${rowKey}`);
      },
      apply: () => this.#set(partition, rowKey, { value: copy, etag: nextTag(), problem: null }),
    };
  }

  /** Goes through also where the row is gone already. */
  remove(partition: string, rowKey: string, etag: string): Step {
    return {
      check: () => {
        const cell = this.#find(partition, rowKey);
        if (cell !== undefined && cell.etag !== etag) {
          throw writeConflict(`${this.#name} ${partition} ${rowKey}`);
        }
      },
      apply: () => this.#partitions.get(partition)?.delete(rowKey),
    };
  }

  /** From now on, until it is written again, the row doesn't parse. */
  spoil(partition: string, rowKey: string, problem: string): void {
    const cell = this.#find(partition, rowKey);
    if (cell === undefined) throw new Error(`no such row: ${partition} ${rowKey}`);
    this.#set(partition, rowKey, { ...cell, etag: nextTag(), problem });
  }

  #find(partition: string, rowKey: string): Cell<T> | undefined {
    return this.#partitions.get(partition)?.get(rowKey);
  }

  #set(partition: string, rowKey: string, cell: Cell<T>): void {
    const rows = this.#partitions.get(partition) ?? new Map<string, Cell<T>>();
    this.#partitions.set(partition, rows);
    rows.set(rowKey, cell);
  }
}
