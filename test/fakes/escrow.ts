// The second place of new wrappings, in memory.
import type { CmkError } from '../../shared/domain/errors.ts';
import { type KekId, kekKey, parseKekKey } from '../../shared/domain/key-id.ts';
import type { WrappedDek } from '../../shared/domain/wrapped-dek.ts';
import type { Escrow } from '../../shared/ports/escrow.ts';

interface Fault {
  readonly error: CmkError;
  readonly when: 'before' | 'after';
}

export class FakeEscrow implements Escrow {
  readonly filed = new Map<string, WrappedDek>();
  #failure: Fault | null = null;
  #removeFailure: Fault | null = null;

  /** The next filing fails: before anything was written, or after, so that only its answer is lost. */
  failNext(error: CmkError, when: 'before' | 'after' = 'before'): void {
    this.#failure = { error, when };
  }

  /** So does the next removal. */
  failNextRemoval(error: CmkError, when: 'before' | 'after' = 'before'): void {
    this.#removeFailure = { error, when };
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

  placeOf(serverId: string, kek: KekId): string {
    return `the blob ${keyOf(serverId, kek)}`;
  }

  async list(serverId: string): Promise<readonly KekId[]> {
    const names = [...this.filed.keys()].filter((key) => key.endsWith(`|${serverId}`));
    return names.map((key) => parseKekKey(key.slice(0, -serverId.length - 1)));
  }

  async remove(serverId: string, kek: KekId): Promise<void> {
    const failure = this.#removeFailure;
    this.#removeFailure = null;
    if (failure?.when === 'before') throw failure.error;
    this.filed.delete(keyOf(serverId, kek));
    if (failure !== null) throw failure.error;
  }
}

const keyOf = (serverId: string, kek: KekId): string => `${kekKey(kek)}|${serverId}`;
