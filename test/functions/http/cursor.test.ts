import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { makeCursors } from '../../../functions/http/cursor.ts';
import { isCmkError } from '../../../shared/domain/errors.ts';

const key = generateKeyPairSync('ed25519').privateKey;
const cursors = makeCursors(key);
const scope = { listing: 'servers', filters: { state: 'Ready', key: undefined, limit: 100 } };
const Position = z.object({ after: z.string() });
const position = { after: 'orders-1' };
const cursor = cursors.seal(scope, position);

const isRefused = (open: () => unknown): boolean => {
  try {
    open();
    return false;
  } catch (error) {
    if (isCmkError(error, 'InvalidCursor')) return true;
    throw error;
  }
};

describe('a cursor', () => {
  test('gives back what was put in, in any instance with the same key', () => {
    expect(makeCursors(key).open(scope, cursor, Position)).toEqual(position);
  });

  test('holds whatever the limit of the page, and the cursor that led to it', () => {
    const next = { ...scope, filters: { state: 'Ready', limit: 7, cursor } };
    expect(cursors.open(next, cursor, Position)).toEqual(position);
  });

  test.each([
    ['another listing', { ...scope, listing: 'audit' }],
    ['another filter', { ...scope, filters: { state: 'Suspect' } }],
    ['one filter more', { ...scope, filters: { state: 'Ready', version: 'a' } }],
    ['no filter', { ...scope, filters: {} }],
  ])('is refused for %s', (_, other) => {
    expect(isRefused(() => cursors.open(other, cursor, Position))).toBe(true);
  });

  test('of another key is refused', () => {
    const foreign = makeCursors(generateKeyPairSync('ed25519').privateKey).seal(scope, position);
    expect(isRefused(() => cursors.open(scope, foreign, Position))).toBe(true);
  });

  test('that was changed in any one place is refused, and so is any text', () => {
    const characters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ '];
    fc.assert(
      fc.property(fc.nat(cursor.length - 1), fc.constantFrom(...characters), (at, character) => {
        const changed = cursor.slice(0, at) + character + cursor.slice(at + 1);
        return changed === cursor || isRefused(() => cursors.open(scope, changed, Position));
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => isRefused(() => cursors.open(scope, text, Position))));
    for (const text of ['', '.', `${cursor}.`, `.${cursor}`, `${cursor}=`, cursor.slice(0, -1)]) {
      expect(isRefused(() => cursors.open(scope, text, Position))).toBe(true);
    }
  });

  test('of a position that this version doesn’t know is refused', () => {
    const old = cursors.seal(scope, { page: 7 });
    expect(isRefused(() => cursors.open(scope, old, Position))).toBe(true);
  });
});
