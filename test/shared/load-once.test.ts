import { expect, test } from 'vitest';
import { loadOnce } from '../../shared/load-once.ts';

test('makes it once, for all who ask', async () => {
  let made = 0;
  const load = loadOnce(async () => {
    made += 1;
    return { made };
  });
  expect(made).toBe(0);
  const [one, other] = await Promise.all([load(), load()]);
  expect(one).toBe(other);
  expect(await load()).toBe(one);
  expect(made).toBe(1);
});

test('tries again after a failure, and only then', async () => {
  let tries = 0;
  const load = loadOnce(async () => {
    tries += 1;
    if (tries === 1) throw new Error('not yet');
    return tries;
  });
  await expect(load()).rejects.toThrow('not yet');
  expect(await load()).toBe(2);
  expect(await load()).toBe(2);
});
