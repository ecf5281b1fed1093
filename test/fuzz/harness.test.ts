// The harness finds what it is for: parsers with a planted fault are reported, each by its kind.
import { describe, expect, test } from 'vitest';
import { CmkError } from '../../shared/domain/errors.ts';
import { findSlow } from './growth.ts';
import { runTarget } from './run-target.ts';
import { jsonTarget, type Target, textTarget, valueTarget } from './target.ts';

const OPTIONS = { runs: 300, seed: 1, mostMs: 100 };

const refuse = (message = 'no'): never => {
  throw new CmkError('InvalidMessage', message, { remedy: 'Send another.' });
};

const planted = (parse: (text: string) => unknown): Target =>
  textTarget({ name: 'planted', codes: ['InvalidMessage'], examples: ['ab'], parse });

/** Works at it for so long, by the processor's count: others may be busy too. */
const work = (ms: number): void => {
  const begin = process.threadCpuUsage();
  while (process.threadCpuUsage(begin).user < ms * 1000);
};

describe('a planted parser', () => {
  test('that is sound is reported as such, with what it did', async () => {
    const target = planted((text) => (text === 'ab' ? text : refuse()));
    const { inputs, values, refused, faults } = await runTarget(target, OPTIONS);
    expect(faults).toEqual([]);
    expect(inputs).toBe(300);
    expect(values).toBeGreaterThan(0);
    expect(refused['InvalidMessage']).toBe(inputs - values);
  });

  test.each<[string, string, (text: string) => unknown]>([
    ['throws a TypeError', 'TypeError', () => Object(undefined).name.length],
    ['throws a TypeError later', 'TypeError', async () => Object(undefined).name.length],
    ['throws no error at all', 'gone', () => Promise.reject('gone')],
    [
      'never comes to its end',
      'RangeError',
      function again(text): unknown {
        return again(text) ?? again(text);
      },
    ],
    [
      'refuses by a code that is not its own',
      'CmkError',
      () => {
        throw new CmkError('InvalidRow', 'no', { remedy: 'Repair it.' });
      },
    ],
    [
      'refuses without a remedy',
      'CmkError',
      () => {
        throw new CmkError('InvalidMessage', 'no', { remedy: '' });
      },
    ],
  ])('that %s is reported', async (_, words, parse) => {
    const { faults } = await runTarget(planted(parse), OPTIONS);
    expect(faults).toMatchObject([{ kind: 'untyped', message: expect.stringContaining(words) }]);
  });

  test('that throws for a few inputs only is reported with a small one of them', async () => {
    const target = jsonTarget({
      name: 'planted',
      codes: [],
      examples: ['{"status":200,"name":"a"}'],
      parse: (text) => {
        try {
          return Number(JSON.parse(text).status);
        } catch (error) {
          if (error instanceof SyntaxError) return null;
          throw error;
        }
      },
    });
    const { faults } = await runTarget(target, { ...OPTIONS, runs: 3000 });
    expect(faults).toMatchObject([{ kind: 'untyped', message: expect.stringContaining('TypeError') }]);
    expect(faults[0]?.example.length).toBeLessThan(1000);
  });

  test('that takes 200 ms is reported', async () => {
    const { faults } = await runTarget(
      planted(() => work(200)),
      { ...OPTIONS, runs: 3 },
    );
    expect(faults).toMatchObject([{ kind: 'slow' }]);
  });

  test('that was only kept waiting is not', async () => {
    let calls = 0;
    const target = planted(() => {
      calls += 1;
      if (calls === 1) work(150);
    });
    expect((await runTarget(target, { ...OPTIONS, runs: 3 })).faults).toEqual([]);
  });

  test('that puts all it was given into its error is reported', async () => {
    const target = planted((text) => refuse(text.repeat(200_000)));
    expect((await runTarget(target, OPTIONS)).faults).toMatchObject([{ kind: 'large' }]);
  });

  test('that makes much out of little is reported', async () => {
    const target = valueTarget({
      name: 'planted',
      codes: [],
      examples: [{ a: 1 }],
      parse: () => new Array(300_000).fill(0),
    });
    expect((await runTarget(target, { ...OPTIONS, runs: 3 })).faults).toMatchObject([{ kind: 'large' }]);
  });

  test('that is quadratic is found by text that grows', async () => {
    const quadratic = planted((text) => /,+$/.test(text));
    expect((await findSlow(quadratic, OPTIONS.mostMs, [',']))[0]).toMatchObject({ piece: ',' });
    const linear = planted((text) => text.split(',').length);
    expect(await findSlow(linear, OPTIONS.mostMs, [','])).toEqual([]);
  });
});
