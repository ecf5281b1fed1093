// A DEK as its reader wants it. Text is made byte by byte: a string could not be zeroed.
import type { Dek } from '../../shared/domain/dek.ts';

export const FORMATS = ['raw', 'hex', 'base64'] as const;
export type DekFormat = (typeof FORMATS)[number];

const ALPHABETS = {
  hex: { digits: '0123456789abcdef', bits: 4 },
  base64: { digits: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', bits: 6 },
} as const;

const LINE_FEED = 0x0a;
const PADDING = 0x3d;

/** `raw`: the 32 bytes and nothing else; the others end with a line feed. The caller zeroes the result. */
export const encodeDek = (dek: Dek, format: DekFormat): Uint8Array =>
  dek.read((bytes) => (format === 'raw' ? Uint8Array.from(bytes) : toText(bytes, ALPHABETS[format])));

function toText(bytes: Uint8Array, { digits, bits }: (typeof ALPHABETS)[keyof typeof ALPHABETS]): Uint8Array {
  const used = Math.ceil((bytes.length * 8) / bits);
  // Base64 comes in fours (RFC 4648, 4).
  const length = bits === 6 ? Math.ceil(used / 4) * 4 : used;
  const text = new Uint8Array(length + 1).fill(PADDING);
  for (let index = 0; index < used; index += 1) {
    const at = index * bits;
    const pair = ((bytes[at >> 3] ?? 0) << 8) | (bytes[(at >> 3) + 1] ?? 0);
    text[index] = digits.charCodeAt((pair >> (16 - bits - (at & 7))) & ((1 << bits) - 1));
  }
  text[length] = LINE_FEED;
  return text;
}
