import { describe, expect, test } from 'vitest';
import { parseTagList, readPreconditions, toEntityTag } from '../../../functions/http/etag.ts';

const store = `W/"datetime'2030-01-01T00%3A00%3A00.0000000Z'"`;
const tag = toEntityTag(store);

describe('an ETag', () => {
  test('is opaque, and one that HTTP takes, whatever the store’s holds', () => {
    expect(tag).toMatch(/^"[\w-]+"$/);
    expect(toEntityTag('a" +')).toMatch(/^"[\w-]+"$/);
    expect(toEntityTag('a')).not.toBe(toEntityTag('b'));
  });
});

describe('parseTagList', () => {
  test.each([
    ['*', '*'],
    [' "a" ', ['"a"']],
    ['"a" ,W/"b"', ['"a"', 'W/"b"']],
    ['""', ['""']],
  ])('%j', (header, expected) => {
    expect(parseTagList('If-Match', header)).toEqual(expected);
  });

  test.each(['', 'abc', '"a', '"a" "b"', '"a",', '*, "a"', 'w/"a"'])('refuses %j', (header) => {
    expect(() => parseTagList('If-Match', header)).toThrow(
      expect.objectContaining({ code: 'InvalidRequest' }),
    );
  });
});

test('a list with more space than tags is read in no time', () => {
  const header = `"a"${' '.repeat(60_000)}"b"`;
  const began = performance.now();
  expect(() => parseTagList('If-Match', header)).toThrow(expect.objectContaining({ code: 'InvalidRequest' }));
  expect(performance.now() - began).toBeLessThan(500);
});

describe('readPreconditions', () => {
  const read = (given: { ifMatch?: string; ifNoneMatch?: string }, current: string | undefined) =>
    readPreconditions({ ifMatch: null, ifNoneMatch: null, ...given }, async () => current);

  test('without any, any state will do, and it isn’t read', async () => {
    const never = () => Promise.reject(new Error('read'));
    expect(await readPreconditions({ ifMatch: null, ifNoneMatch: null }, never)).toBeNull();
  });

  test.each([
    ['the same', { ifMatch: tag }, store],
    ['the same among others', { ifMatch: `"x", ${tag}` }, store],
    ['any', { ifMatch: '*' }, null],
    ['not another', { ifNoneMatch: '"x"' }, null],
  ])('holds: %s', async (_, given, expected) => {
    expect(await read(given, store)).toBe(expected);
  });

  test('holds: none, where there is none', async () => {
    expect(await read({ ifNoneMatch: '*' }, undefined)).toBeNull();
  });

  test.each([
    ['another', { ifMatch: '"x"' }, store],
    ['a weak one', { ifMatch: `W/${tag}` }, store],
    ['one that is gone', { ifMatch: tag }, undefined],
    ['any, where there is none', { ifMatch: '*' }, undefined],
    ['none, where there is one', { ifNoneMatch: '*' }, store],
    ['not this one', { ifNoneMatch: tag }, store],
    ['not this one, weakly', { ifNoneMatch: `"x", W/${tag}` }, store],
  ])('fails: %s', async (_, given, current) => {
    await expect(read(given, current)).rejects.toMatchObject({ code: 'PreconditionFailed' });
  });
});
