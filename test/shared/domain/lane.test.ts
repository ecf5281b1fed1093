import { describe, expect, test } from 'vitest';
import { makeLane } from '../../../shared/domain/lane.ts';

describe('makeLane', () => {
  const start = (width: number, count: number) => {
    const lane = makeLane(width);
    const works = Array.from({ length: count }, () => Promise.withResolvers<number>());
    const started: number[] = [];
    const results = works.map((work, index) =>
      lane.run(() => {
        started.push(index);
        return work.promise;
      }),
    );
    return { works, started, results };
  };

  test('runs so many at a time, the others in the order they came', async () => {
    const { works, started, results } = start(2, 4);
    await Promise.resolve();
    expect(started).toEqual([0, 1]);
    works[1]?.resolve(10);
    expect(await results[1]).toBe(10);
    expect(started).toEqual([0, 1, 2]);
    works[0]?.resolve(20);
    expect(await results[0]).toBe(20);
    expect(started).toEqual([0, 1, 2, 3]);
  });

  test('gives up its place where the work fails', async () => {
    const { works, started, results } = start(1, 2);
    works[0]?.reject(new Error('no'));
    await expect(results[0]).rejects.toThrow('no');
    works[1]?.resolve(1);
    expect(await results[1]).toBe(1);
    expect(started).toEqual([0, 1]);
  });

  test('has all its places again when everything is done', async () => {
    const lane = makeLane(2);
    await Promise.all([1, 2, 3].map((value) => lane.run(async () => value)));
    let running = 0;
    let most = 0;
    await Promise.all(
      [1, 2, 3].map(() =>
        lane.run(async () => {
          running += 1;
          most = Math.max(most, running);
          await Promise.resolve();
          running -= 1;
        }),
      ),
    );
    expect(most).toBe(2);
  });
});
