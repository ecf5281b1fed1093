// The second place of new wrappings, in memory.
import type { CmkError } from '../../shared/domain/errors.ts';
import { type KekId, kekKey } from '../../shared/domain/key-id.ts';
import type { WrappedDek } from '../../shared/domain/wrapped-dek.ts';
import type { Escrow } from '../../shared/ports/escrow.ts';

export class FakeEscrow implements Escrow {
  readonly filed = new Map<string, WrappedDek>();
  #failure: { readonly error: CmkError; readonly when: 'before' | 'after' } | null = null;

  /** The next filing fails: before anything was written, or after, so that only its answer is lost. */
  failNext(error: CmkError, when: 'before' | 'after' = 'before'): void {
    this.#failure = { error, when };
  }

  async file(serverId: string, kek: KekId, wrapped: WrappedDek): Promise<WrappedDek> {
    const failure = this.#failure;
    this.#failure = null;
    if (failure?.when === 'before') throw failure.error;
    const key = keyOf(serverId, kek);
    const held = this.filed.get(key) ?? wrapped;
    this.filed.set(key, held);
    if (failure !== null) throw failure.error;
    return held;
  }

  async find(serverId: string, kek: KekId): Promise<WrappedDek | undefined> {
    return this.filed.get(keyOf(serverId, kek));
  }
}

const keyOf = (serverId: string, kek: KekId): string => `${kekKey(kek)}|${serverId}`;
