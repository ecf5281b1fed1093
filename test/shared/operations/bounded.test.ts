import { describe, expect, test } from 'vitest';
import { mapBounded } from '../../../shared/operations/bounded.ts';

describe('mapBounded', () => {
  test('keeps the order of the items and never runs more than the limit at a time', async () => {
    let running = 0;
    let most = 0;
    const results = await mapBounded([5, 1, 4, 2, 3], 2, async (item, index) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < item; turn += 1) await Promise.resolve();
      running -= 1;
      return `${index}:${item}`;
    });
    expect(results).toEqual(['0:5', '1:1', '2:4', '3:2', '4:3']);
    expect(most).toBe(2);
  });

  test('rejects with the first throw', async () => {
    const work = mapBounded([1, 2], 2, async (item) => {
      if (item === 2) throw new Error('two');
    });
    await expect(work).rejects.toThrow('two');
  });
});
