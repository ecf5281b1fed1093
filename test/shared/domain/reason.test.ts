import { expect, test } from 'vitest';
import { REMEDIES } from '../../../shared/domain/reason.ts';

test.each(Object.entries(REMEDIES))('%s has a remedy: a sentence or two', (_, remedy) => {
  expect(remedy).toMatch(/^[A-Z].{20,140}\.$/);
});

test('no two reasons share one', () => {
  expect(Object.keys(REMEDIES)).toContain('KeyDisabled');
  expect(new Set(Object.values(REMEDIES)).size).toBe(Object.keys(REMEDIES).length);
});
