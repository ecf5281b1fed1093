import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { DEK_BYTES, Dek } from '../../../shared/domain/dek.ts';

const bytesOf = (value: number, length = DEK_BYTES) => new Uint8Array(length).fill(value);

describe('Dek (I-07)', () => {
  test('I-07: the bytes are zeroed when the scope ends', () => {
    const bytes = bytesOf(7);
    {
      using dek = new Dek(bytes);
      expect(dek.read((inside) => inside === bytes)).toBe(true);
      expect(bytes).toEqual(bytesOf(7));
    }
    expect(bytes).toEqual(bytesOf(0));
  });

  test('I-07: they are zeroed when the scope is left by an error', () => {
    const bytes = bytesOf(7);
    const leave = () => {
      using _ = new Dek(bytes);
      throw new Error('left');
    };
    expect(leave).toThrow('left');
    expect(bytes).toEqual(bytesOf(0));
  });

  test.each([0, 31, 33, 64])('I-07: %i bytes are refused, and zeroed', (length) => {
    const bytes = bytesOf(7, length);
    expect(() => new Dek(bytes)).toThrow(
      expect.objectContaining({
        code: 'WrappedDekMalformed',
        message: expect.stringContaining(`${length}`),
        remedy: expect.stringMatching(/./),
      }),
    );
    expect(bytes).toEqual(bytesOf(0, length));
  });

  test('I-07: printing and serialising show nothing of them', () => {
    using dek = new Dek(bytesOf(7));
    expect(JSON.stringify({ dek })).toBe('{"dek":"[Dek]"}');
    expect(inspect(dek, { depth: 9, showHidden: true })).not.toMatch(/7|bytes/);
    expect(Object.keys(dek)).toEqual([]);
    expect(`${dek}`).toBe('[object Object]');
  });

  test('read gives back what its callback returns', () => {
    using dek = new Dek(bytesOf(7));
    expect(dek.read((bytes) => bytes.length)).toBe(32);
  });

  test('I-07: a DEK can’t be read after its scope', () => {
    const dek = new Dek(bytesOf(7));
    dek[Symbol.dispose]();
    expect(() => dek.read((bytes) => bytes[0])).toThrow('used after its scope');
    expect(() => dek.id).toThrow('after its scope');
    expect(() => dek.hasId('0'.repeat(32))).toThrow('after its scope');
  });
});

describe('id', () => {
  test('is the first 16 bytes of the hash, in hex', () => {
    using dek = new Dek(bytesOf(7));
    const hash = createHash('sha256').update(Buffer.concat([Buffer.from('pg-cmk/dek-id'), bytesOf(7)]));
    expect(dek.id).toBe(hash.digest().subarray(0, 16).toString('hex'));
  });

  test('hasId compares the whole of it', () => {
    using dek = new Dek(bytesOf(7));
    using other = new Dek(bytesOf(8));
    expect(dek.hasId(dek.id)).toBe(true);
    expect(dek.hasId(other.id)).toBe(false);
    expect(dek.hasId(dek.id.slice(0, 31))).toBe(false);
    expect(dek.hasId(`${dek.id}0`)).toBe(false);
    expect(dek.hasId('')).toBe(false);
  });

  test('equals compares the bytes', () => {
    using dek = new Dek(bytesOf(7));
    using same = new Dek(bytesOf(7));
    using other = new Dek(bytesOf(8));
    expect(dek.equals(same)).toBe(true);
    expect(dek.equals(other)).toBe(false);
  });
});
