// The wrapped DEK and what is inside it (design 7).
import { createHash, timingSafeEqual } from 'node:crypto';
import { DEK_BYTES, Dek } from './dek.ts';
import { CmkError } from './errors.ts';

export const WRAP_ALGORITHM = 'RSA-OAEP-256';

/** `bound-1`: DEK ‖ SHA-256("pg-cmk/1" ‖ serverId). `bare-0`: an imported DEK alone, bound at its first rewrap. */
export type WrappedFormat = 'bound-1' | 'bare-0';

/** A DEK as it is stored. Replaced only by another wrapping of the same DEK. */
export interface WrappedDek {
  /** Concrete, never "latest". */
  readonly kekVersion: string;
  readonly algorithm: typeof WRAP_ALGORITHM;
  readonly format: WrappedFormat;
  readonly dekId: string;
  /** base64url. */
  readonly ciphertext: string;
}

const BINDING_BYTES = 32;

const bindingOf = (serverId: string): Uint8Array =>
  createHash('sha256').update(`pg-cmk/1${serverId}`).digest();

/** What is wrapped, in a buffer that the caller zeroes: DEK ‖ binding, 64 bytes. */
export function bindDek(dek: Dek, serverId: string): Uint8Array {
  const plaintext = new Uint8Array(DEK_BYTES + BINDING_BYTES);
  dek.read((bytes) => plaintext.set(bytes, 0));
  plaintext.set(bindingOf(serverId), DEK_BYTES);
  return plaintext;
}

const malformed = (message: string) =>
  new CmkError('WrappedDekMalformed', message, {
    remedy:
      'The row was changed by something else than this app: restore the wrapping from its history or a backup.',
  });

/**
 * The DEK inside an unwrapped `plaintext`, checked against the server and the id on record, in constant time. Takes
 * ownership of `plaintext` and zeroes it.
 * @throws CmkError WrappedDekMalformed, DekBindingMismatch, DekIdMismatch
 */
export function openWrapping(
  plaintext: Uint8Array,
  wrapped: Pick<WrappedDek, 'format' | 'dekId'>,
  serverId: string,
): Dek {
  try {
    const expected = wrapped.format === 'bound-1' ? DEK_BYTES + BINDING_BYTES : DEK_BYTES;
    if (plaintext.length !== expected) {
      throw malformed(
        `a ${wrapped.format} wrapping holds ${expected} bytes, this one holds ${plaintext.length}`,
      );
    }
    if (wrapped.format === 'bound-1') assertBinding(plaintext.subarray(DEK_BYTES), serverId);
    // A copy also where `plaintext` is a Buffer, whose slice would share what is zeroed below.
    const dek = new Dek(Uint8Array.from(plaintext.subarray(0, DEK_BYTES)));
    if (dek.hasId(wrapped.dekId)) return dek;
    dek[Symbol.dispose]();
    throw new CmkError(
      'DekIdMismatch',
      `the DEK inside the wrapping of ${serverId} is not the one on record`,
      {
        remedy: 'Restore the wrapping from its history or a backup; nothing was changed.',
      },
    );
  } finally {
    plaintext.fill(0);
  }
}

function assertBinding(binding: Uint8Array, serverId: string): void {
  if (timingSafeEqual(binding, bindingOf(serverId))) return;
  throw new CmkError(
    'DekBindingMismatch',
    `the wrapping on record for ${serverId} was made for another server`,
    {
      remedy: "Put the server's own wrapping back from its history or a backup; nothing was changed.",
    },
  );
}
