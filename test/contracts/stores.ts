// What every store does, the one in memory and the one on Table Storage alike (design 10).
// Invariant I-03 (a wrapping leaves its row only into the history) and invariant I-10 (every write names the ETag it
// read) are proven here on both. The suite itself is in parts, one a table.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect } from 'vitest';
import { type CmkError, type ErrorCode, isCmkError } from '../../shared/domain/errors.ts';
import type { KekId } from '../../shared/domain/key-id.ts';
import type { BreakerStore, KekStore } from '../../shared/ports/kek-store.ts';
import type { AuditStore, OutboxStore } from '../../shared/ports/outbox-store.ts';
import type { ServerIndex, ServerStore } from '../../shared/ports/server-store.ts';

export interface Stores {
  readonly keks: KekStore & BreakerStore;
  readonly servers: ServerStore;
  readonly index: ServerIndex;
  readonly outbox: OutboxStore;
  readonly audit: AuditStore;
}

export interface StoresUnderTest {
  readonly stores: Stores;
  /** What was reported to `onInvalid` so far. */
  readonly invalid: readonly CmkError[];
  /** Makes rows unreadable. */
  spoilServer(kek: KekId, serverId: string): void | Promise<void>;
  spoilKek(kek: KekId): void | Promise<void>;
  stop(): void | Promise<void>;
}

export type StartStores = () => StoresUnderTest | Promise<StoresUnderTest>;

/** Started once for a part of the suite; tests keep apart by their KEKs. */
export function useStores(start: StartStores): () => StoresUnderTest {
  let started: StoresUnderTest | undefined;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(() => started?.stop());
  return () => {
    if (started === undefined) throw new Error('not started');
    return started;
  };
}

/** An ETag that no row has. */
export const STALE = `W/"datetime'2020-01-01T00%3A00%3A00.0000000Z'"`;

export const newKek = (name = 'key'): KekId => ({
  vault: `v${randomBytes(6).toString('hex')}.vault.azure.net`,
  name,
});

export async function expectCode(code: ErrorCode, promise: Promise<unknown>): Promise<void> {
  const outcome = await promise.then(
    () => 'it went through',
    (error: unknown) => (isCmkError(error) ? error.code : error),
  );
  expect(outcome).toBe(code);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
