// The plaintext DEK: 32 bytes that live in a `using` scope and are zeroed when it ends.
import { createHash, timingSafeEqual } from 'node:crypto';
import { CmkError } from './errors.ts';

export const DEK_BYTES = 32;

/**
 * A plaintext data encryption key.
 *
 * Invariant I-07: plaintext DEKs live only inside a `using` scope and are zeroed when it ends. The constructor takes
 * ownership of `bytes`; printing or serialising a Dek shows nothing of them.
 */
export class Dek implements Disposable {
  readonly #bytes: Uint8Array;
  #disposed = false;

  /** @throws CmkError WrappedDekMalformed unless `bytes` are 32 bytes; they are zeroed then too. */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== DEK_BYTES) {
      bytes.fill(0);
      throw new CmkError('WrappedDekMalformed', `a DEK is ${DEK_BYTES} bytes, this is ${bytes.length}`, {
        remedy: 'Check where the wrapped DEK comes from.',
      });
    }
    this.#bytes = bytes;
  }

  /** Runs `use` on the bytes themselves; they must not be kept. @throws TypeError once the DEK is disposed of */
  read<T>(use: (bytes: Uint8Array) => T): T {
    if (this.#disposed) throw new TypeError('the DEK was used after its scope');
    return use(this.#bytes);
  }

  /** The name of this DEK: the first 16 bytes of SHA-256("pg-cmk/dek-id" ‖ DEK), in hex. Reveals nothing of it. */
  get id(): string {
    const hash = createHash('sha256').update('pg-cmk/dek-id');
    return this.read((bytes) => hash.update(bytes).digest('hex').slice(0, 32));
  }

  /** In constant time. */
  equals(other: Dek): boolean {
    return this.read((mine) => other.read((theirs) => timingSafeEqual(mine, theirs)));
  }

  /** In constant time. */
  hasId(dekId: string): boolean {
    const mine = Buffer.from(this.id);
    const theirs = Buffer.from(dekId);
    return mine.length === theirs.length && timingSafeEqual(mine, theirs);
  }

  toJSON(): string {
    return '[Dek]';
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#bytes.fill(0);
  }
}
