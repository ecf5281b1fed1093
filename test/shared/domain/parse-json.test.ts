import { describe, expect, test } from 'vitest';
import { parseJson } from '../../../shared/domain/parse-json.ts';

const nested = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);

describe('parseJson', () => {
  test.each(['null', '7', '"a"', '{"a":[1,{"b":"c"}]}', '[]'])(
    '%s is what JSON.parse makes of it',
    (text) => {
      expect(parseJson(text)).toEqual(JSON.parse(text));
    },
  );

  test.each(['', 'no', '{', '{"a":1}}', '"', '\\'])('%j is none', (text) => {
    expect(parseJson(text)).toBeUndefined();
  });

  test('takes what is nested 100 deep, and no deeper', () => {
    expect(parseJson(nested('[', ']', 100))).toBeInstanceOf(Array);
    expect(parseJson(nested('[', ']', 101))).toBeUndefined();
    expect(parseJson(`${'{"a":'.repeat(100)}1${'}'.repeat(100)}`)).toBeInstanceOf(Object);
    expect(parseJson(`${'{"a":'.repeat(101)}1${'}'.repeat(101)}`)).toBeUndefined();
  });

  test('takes as many one after another as there are', () => {
    expect(parseJson(`[${'[],{},'.repeat(200)}1]`)).toHaveLength(401);
  });

  test('counts no brackets inside of texts', () => {
    const text = `${'['.repeat(200)}"\\${'{'.repeat(200)}`;
    expect(parseJson(JSON.stringify([text, text]))).toEqual([text, text]);
    // A text that ends with a backslash ends there.
    expect(parseJson(`["\\\\",${nested('[', ']', 100)}]`)).toBeUndefined();
  });

  test('looks at a megabyte of brackets no longer than it must', () => {
    const begin = process.threadCpuUsage();
    expect(parseJson('['.repeat(2 ** 20))).toBeUndefined();
    expect(process.threadCpuUsage(begin).user / 1000).toBeLessThan(20);
  });
});
