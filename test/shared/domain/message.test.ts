import { expect, test } from 'vitest';
import {
  BATCH_SERVERS,
  isOvertaken,
  isRotationCount,
  RANGE_SERVERS,
  type RangeMessage,
  ROTATION_COUNT,
  toLook,
} from '../../../shared/domain/message.ts';
import { KEK } from './states.ts';

const message = (epoch: number, attempt: number | null): RangeMessage => ({
  kek: KEK,
  epoch,
  from: 'a',
  to: 'b',
  attempt,
  cause: { kind: 'sweep' },
});

test.each([
  ['a range of an older epoch', message(3, null), true],
  ['a range of this epoch', message(4, null), false],
  ['a range of an epoch still being fanned out', message(5, null), false],
  ['a retry, however old', message(3, 1), false],
])('%s: overtaken %s', (_, one, overtaken) => expect(isOvertaken(one, 4)).toBe(overtaken));

test('a range fits two transactions: two rows a server and one for the batch make at most 100 operations', () => {
  expect(RANGE_SERVERS).toBe(2 * BATCH_SERVERS);
  expect(2 * BATCH_SERVERS + 1).toBeLessThanOrEqual(100);
});

test('a count of a rotation is known by its cause', () => {
  expect(isRotationCount(ROTATION_COUNT)).toBe(true);
  expect(isRotationCount({ kind: 'followUp', of: 'firstGoodProbe' })).toBe(false);
  expect(isRotationCount({ kind: 'sweep' })).toBe(false);
  const forged = { kind: 'operator', by: 'anna', of: 'rotation' } as const;
  expect(isRotationCount(forged)).toBe(false);
});

test('a look at one server is overtaken by nothing', () => {
  const look = toLook(KEK, 'db', { kind: 'sweep' });
  expect(look).toEqual({ kek: KEK, epoch: 0, from: 'db', to: 'db', attempt: 0, cause: { kind: 'sweep' } });
  expect(isOvertaken(look, 9)).toBe(false);
  expect(toLook(KEK, 'db', { kind: 'sweep' }, 3).attempt).toBe(3);
});
