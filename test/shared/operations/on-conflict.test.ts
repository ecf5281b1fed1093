import { describe, expect, test } from 'vitest';
import { onConflict } from '../../../shared/operations/on-conflict.ts';
import { storeUnavailable, writeConflict } from '../../fakes/memory-tables.ts';

const failing = (times: number, make: () => Error) => {
  const calls = { count: 0 };
  const attempt = async () => {
    calls.count += 1;
    if (calls.count <= times) throw make();
    return calls.count;
  };
  return { attempt, calls };
};

describe('onConflict', () => {
  test('I-10: reads and decides again after a conflict, up to 8 times in all', async () => {
    const seven = failing(7, () => writeConflict('row'));
    expect(await onConflict(seven.attempt)).toBe(8);
    const eight = failing(8, () => writeConflict('row'));
    await expect(onConflict(eight.attempt)).rejects.toMatchObject({ code: 'WriteConflict' });
    expect(eight.calls.count).toBe(8);
  });

  test('lets any other error through at once', async () => {
    const { attempt, calls } = failing(1, () => storeUnavailable('keks.commit'));
    await expect(onConflict(attempt)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(calls.count).toBe(1);
  });
});
