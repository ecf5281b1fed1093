import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { encodeDek } from '../../../cli/dek/encode-dek.ts';
import { Dek } from '../../../shared/domain/dek.ts';

describe('encodeDek', () => {
  test.each([
    ['random bytes', Uint8Array.from(randomBytes(32))],
    ['zeros', new Uint8Array(32)],
    ['ones', new Uint8Array(32).fill(0xff)],
    ['a ramp', Uint8Array.from({ length: 32 }, (_, index) => index * 8 + 3)],
  ])('is what any decoder reads: %s', (_, bytes) => {
    using dek = new Dek(Uint8Array.from(bytes));
    const text = (format: 'hex' | 'base64') => new TextDecoder().decode(encodeDek(dek, format));
    expect(text('hex')).toBe(`${Buffer.from(bytes).toString('hex')}\n`);
    expect(text('base64')).toBe(`${Buffer.from(bytes).toString('base64')}\n`);
    expect(encodeDek(dek, 'raw')).toEqual(bytes);
  });

  test('raw is a copy: zeroing it leaves the DEK alone', () => {
    using dek = new Dek(new Uint8Array(32).fill(7));
    encodeDek(dek, 'raw').fill(0);
    expect(dek.read((bytes) => bytes[0])).toBe(7);
  });
});
