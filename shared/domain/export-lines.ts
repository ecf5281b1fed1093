// Reading a file of lines piece by piece, and hashing what was read: memory grows with the longest line only.
import { createHash } from 'node:crypto';

export interface Digest {
  add(bytes: Uint8Array): void;
  /** Of all that was added; may be asked for once. */
  end(): { readonly bytes: number; readonly sha256: string };
}

export function makeDigest(): Digest {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    add: (piece) => {
      hash.update(piece);
      bytes += piece.length;
    },
    end: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}

/**
 * The lines of a file; `digest` is given every byte of it. What stands behind the last line's end is a line too, so
 * that a file that was cut in the middle of one is seen to be.
 */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>, digest: Digest): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let begun = '';
  for await (const piece of pieces) {
    digest.add(piece);
    const [first = '', ...others] = decoder.decode(piece, { stream: true }).split('\n');
    begun += first;
    for (const next of others) {
      yield begun;
      begun = next;
    }
  }
  const rest = begun + decoder.decode();
  if (rest !== '') yield rest;
}
