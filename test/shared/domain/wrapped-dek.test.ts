import { createHash } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { DEK_BYTES, Dek } from '../../../shared/domain/dek.ts';
import { isCmkError } from '../../../shared/domain/errors.ts';
import {
  bindDek,
  openWrapping,
  WRAP_ALGORITHM,
  type WrappedFormat,
} from '../../../shared/domain/wrapped-dek.ts';

const dekOf = (value: number) => new Dek(new Uint8Array(DEK_BYTES).fill(value));
const bare = (value: number) => new Uint8Array(DEK_BYTES).fill(value);
const dekId = dekOf(7).id;
const codeOf = (plaintext: Uint8Array, format: WrappedFormat, id = dekId, serverId = 'pg-1') => {
  try {
    using _ = openWrapping(plaintext, { format, dekId: id }, serverId);
    return null;
  } catch (error) {
    return isCmkError(error) && error.remedy?.length > 0 ? error.code : error;
  }
};

test('there is one algorithm', () => expect(WRAP_ALGORITHM).toBe('RSA-OAEP-256'));

describe('bindDek', () => {
  test('is the DEK and then the hash of the server’s id', () => {
    using dek = dekOf(7);
    const binding = createHash('sha256').update('pg-cmk/1pg-1').digest();
    expect(Buffer.from(bindDek(dek, 'pg-1'))).toEqual(Buffer.concat([bare(7), binding]));
  });
});

describe('openWrapping', () => {
  test('gives back the DEK that was bound, and zeroes the plaintext (I-07)', () => {
    using dek = dekOf(7);
    const plaintext = bindDek(dek, 'pg-1');
    using opened = openWrapping(plaintext, { format: 'bound-1', dekId }, 'pg-1');
    expect(opened.equals(dek)).toBe(true);
    expect(plaintext).toEqual(new Uint8Array(64));
  });

  test('gives back a bare DEK, bound to no server', () => {
    using dek = dekOf(7);
    const plaintext = bare(7);
    using opened = openWrapping(plaintext, { format: 'bare-0', dekId }, 'any');
    expect(opened.equals(dek)).toBe(true);
    expect(plaintext).toEqual(bare(0));
  });

  test.each(['bound-1', 'bare-0'] as const)('gives back the DEK out of a Buffer, %s', (format) => {
    using dek = dekOf(7);
    const plaintext = Buffer.from(format === 'bound-1' ? bindDek(dek, 'pg-1') : bare(7));
    using opened = openWrapping(plaintext, { format, dekId }, 'pg-1');
    expect(opened.equals(dek)).toBe(true);
  });

  const bound = () => bindDek(dekOf(7), 'pg-1');
  const flipped = (index: number) => {
    const plaintext = bound();
    plaintext.set([(plaintext[index] ?? 0) ^ 1], index);
    return plaintext;
  };

  test.each([
    ['a bare DEK in place of a bound one', bare(7), 'bound-1', dekId, 'pg-1', 'WrappedDekMalformed'],
    ['a bound DEK in place of a bare one', bound(), 'bare-0', dekId, 'pg-1', 'WrappedDekMalformed'],
    ['63 bytes', bound().subarray(0, 63), 'bound-1', dekId, 'pg-1', 'WrappedDekMalformed'],
    ['31 bytes', bare(7).subarray(0, 31), 'bare-0', dekId, 'pg-1', 'WrappedDekMalformed'],
    ['nothing', new Uint8Array(), 'bound-1', dekId, 'pg-1', 'WrappedDekMalformed'],
    ['the DEK of another server', bound(), 'bound-1', dekId, 'pg-2', 'DekBindingMismatch'],
    ['a binding with one bit flipped', flipped(63), 'bound-1', dekId, 'pg-1', 'DekBindingMismatch'],
    [
      'another DEK than the one on record',
      bindDek(dekOf(8), 'pg-1'),
      'bound-1',
      dekId,
      'pg-1',
      'DekIdMismatch',
    ],
    ['a DEK with one bit flipped', flipped(0), 'bound-1', dekId, 'pg-1', 'DekIdMismatch'],
    ['another bare DEK than the one on record', bare(8), 'bare-0', dekId, 'pg-1', 'DekIdMismatch'],
    ['an id on record of another length', bound(), 'bound-1', dekId.slice(1), 'pg-1', 'DekIdMismatch'],
  ] as const)('I-07: refuses %s, and zeroes the plaintext', (_, plaintext, format, id, serverId, code) => {
    expect(codeOf(plaintext, format, id, serverId)).toBe(code);
    expect(plaintext).toEqual(new Uint8Array(plaintext.length));
  });

  test('I-07: zeroes the DEK too that isn’t the one on record', () => {
    const disposed = vi.spyOn(Dek.prototype, Symbol.dispose);
    expect(codeOf(bare(8), 'bare-0')).toBe('DekIdMismatch');
    expect(disposed).toHaveBeenCalledOnce();
    disposed.mockRestore();
  });

  test('the message names lengths and ids, never bytes', () => {
    expect(() => openWrapping(bare(7), { format: 'bound-1', dekId }, 'pg-1')).toThrow(
      'a bound-1 wrapping holds 64 bytes, this one holds 32',
    );
    expect(() => openWrapping(bound(), { format: 'bare-0', dekId }, 'pg-1')).toThrow(
      'a bare-0 wrapping holds 32 bytes, this one holds 64',
    );
    expect(() => openWrapping(bound(), { format: 'bound-1', dekId }, 'pg-2')).toThrow('pg-2');
    expect(() => openWrapping(bare(8), { format: 'bare-0', dekId }, 'pg-1')).toThrow('pg-1');
  });
});
