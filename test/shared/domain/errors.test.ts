import { describe, expect, test } from 'vitest';
import { CmkError, describeError, isCmkError } from '../../../shared/domain/errors.ts';

describe('CmkError', () => {
  test('isn’t retryable and has no cause or detail unless they are given', () => {
    const error = new CmkError('InvalidRow', 'no row', { remedy: 'look' });
    expect(error).toMatchObject({
      name: 'CmkError',
      code: 'InvalidRow',
      message: 'no row',
      retryable: false,
      remedy: 'look',
      detail: {},
    });
    expect('cause' in error).toBe(false);
    expect(error).toBeInstanceOf(Error);
  });

  test('keeps what it is given', () => {
    const cause = new Error('reset');
    const detail = { server: 'pg-1' };
    const error = new CmkError('StoreUnavailable', 'down', {
      remedy: 'wait',
      retryable: true,
      cause,
      detail,
    });
    expect(error).toMatchObject({ retryable: true, detail });
    expect(error.cause).toBe(cause);
  });
});

describe('isCmkError', () => {
  const error = new CmkError('InvalidRow', 'no row', { remedy: 'look' });
  test.each([
    ['one, of any code', error, undefined, true],
    ['one, of the code', error, 'InvalidRow', true],
    ['one, of another code', error, 'InvalidKeyId', false],
    ['another error', new Error('no row'), undefined, false],
    ['a look-alike', { code: 'InvalidRow' }, 'InvalidRow', false],
    ['nothing', undefined, undefined, false],
  ] as const)('%s', (_, thrown, code, result) => expect(isCmkError(thrown, code)).toBe(result));
});

describe('describeError', () => {
  test.each([
    ['an error', new TypeError('no'), 'TypeError: no'],
    ['an error of several lines', new Error('a\n\tb   c'), 'Error: a b c'],
    ['a text', 'no', 'no'],
    ['nothing', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 7, '7'],
    ['an object', { message: 'no' }, '[object Object]'],
    ['an object of which no text can be made', { toString: null, valueOf: null }, '[object Object]'],
  ])('%s', (_, thrown, text) => expect(describeError(thrown)).toBe(text));

  test('says at most 500 characters', () => {
    expect(describeError('x'.repeat(501))).toBe('x'.repeat(500));
  });
});
