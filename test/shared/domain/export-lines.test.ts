import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { linesOf, makeDigest } from '../../../shared/domain/export-lines.ts';

async function* inPieces(text: string, length: number): AsyncIterable<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

describe('linesOf', () => {
  test.each([1, 2, 3, 7, 1000])(
    'gives the same lines in pieces of %s bytes, and the hash of all of it',
    async (length) => {
      const text = 'Überprüfung\n\n{"läuft":"😀"}\nlast\n';
      const digest = makeDigest();
      const lines: string[] = [];
      for await (const line of linesOf(inPieces(text, length), digest)) lines.push(line);
      expect(lines).toEqual(['Überprüfung', '', '{"läuft":"😀"}', 'last']);
      expect(digest.end()).toEqual({
        bytes: Buffer.byteLength(text),
        sha256: createHash('sha256').update(text).digest('hex'),
      });
    },
  );

  test.each([
    ['a line that was cut', 'one\ntw', ['one', 'tw']],
    ['a character that was cut', Buffer.from('one\nü').subarray(0, 5).toString('latin1'), null],
    ['nothing', '', []],
  ])('%s is not passed over', async (_, text, expected) => {
    const lines: string[] = [];
    const bytes = expected === null ? Buffer.from(text, 'latin1') : Buffer.from(text);
    const pieces = (async function* () {
      if (bytes.length > 0) yield bytes;
    })();
    for await (const line of linesOf(pieces, makeDigest())) lines.push(line);
    expect(lines).toEqual(expected ?? ['one', '\ufffd']);
  });
});
