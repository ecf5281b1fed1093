// A value as it was read from a store, with the tag that a write of it must name.

export interface Stored<T> {
  readonly value: T;
  readonly etag: string;
}

/**
 * A write of one row. `etag` null inserts and fails if the row exists.
 *
 * Invariant I-10: every write names the ETag it read; a row that changed meanwhile fails the whole transaction
 * with CmkError WriteConflict, and its caller reads again and decides again.
 */
export interface Write<T> {
  readonly value: T;
  readonly etag: string | null;
}
