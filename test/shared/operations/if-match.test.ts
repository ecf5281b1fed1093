import { describe, expect, test } from 'vitest';
import { assertMatches } from '../../../shared/operations/if-match.ts';

describe('assertMatches', () => {
  test('lets through what is as the caller saw it, and a caller who names nothing', () => {
    expect(() => assertMatches('"7"', '"7"')).not.toThrow();
    expect(() => assertMatches('"7"', null)).not.toThrow();
  });

  test.each(['"6"', '', '*', 'W/"7"'])('refuses another ETag: %j', (ifMatch) => {
    expect(() => assertMatches('"7"', ifMatch)).toThrow(
      expect.objectContaining({ code: 'PreconditionFailed' }),
    );
  });
});
