import { describe, expect, test } from 'vitest';
import { makeVersionState } from '../../../shared/domain/key-status.ts';
import { REMEDIES } from '../../../shared/domain/reason.ts';
import { deriveServerState, parseServerId } from '../../../shared/domain/server.ts';
import { at, revoked, serverOf, serving, T0, V1 } from './states.ts';

describe('parseServerId', () => {
  test.each(['a', '0', 'pg-1', 'a-', 'a'.repeat(63)])('takes %s', (id) => expect(parseServerId(id)).toBe(id));

  test.each(['', '-a', 'A', 'a_b', 'a b', 'a.b', 'a/b', 'ä', 'a\n', ' a', 'a'.repeat(64)])(
    'refuses %j',
    (id) => {
      expect(() => parseServerId(id)).toThrow(
        expect.objectContaining({ code: 'InvalidServer', remedy: expect.stringMatching(/./) }),
      );
    },
  );

  test('says what it was given, and not all of it', () => {
    expect(() => parseServerId('A'.repeat(900))).toThrow(`"${'A'.repeat(100)}"`);
  });
});

describe('deriveServerState', () => {
  const failure = {
    reason: 'ServerUnreachable',
    message: 'refused',
    since: T0,
    attempt: 1,
    nextAttemptAt: at(5),
  } as const;
  const lost = { desired: 'revoked', desiredReason: 'KeyDisabled' } as const;
  const suspect = serving(V1, { status: 'unusable', reason: 'AccessDenied' });

  test.each([
    ['granted and applied under a proven version', {}, serving(), 'Ready', null],
    ['the same with the last answer suspect', {}, suspect, 'Suspect', 'AccessDenied'],
    [
      'the same with the last answer transient',
      {},
      serving(V1, { status: 'unknown', reason: 'Throttled' }),
      'Suspect',
      'Throttled',
    ],
    [
      'the same under an expired version that only warns',
      {},
      serving(V1, { reason: 'KeyExpired' }),
      'Suspect',
      'KeyExpired',
    ],
    ['the same under a version nobody knows', {}, undefined, 'Suspect', 'KeyNotProven'],
    ['the same under a version never observed', {}, makeVersionState(V1, T0), 'Suspect', 'CanaryUnavailable'],
    [
      'the same while the verdict has no reason',
      {},
      serving(V1, { verdict: 'unproven' }),
      'Suspect',
      'KeyNotProven',
    ],
    ['alertOnly with the key lost', { desiredReason: 'KeyDisabled' }, revoked(), 'Suspect', 'KeyDisabled'],
    [
      'a reason to doubt beats a proven version',
      { desiredReason: 'KeyNotProven' },
      serving(),
      'Suspect',
      'KeyNotProven',
    ],
    ['nothing applied yet', { applied: 'none' }, serving(), 'PendingKey', 'AccessNotApplied'],
    [
      'nothing applied yet, key not proven',
      { applied: 'none', desiredReason: 'KeyNotProven' },
      undefined,
      'PendingKey',
      'KeyNotProven',
    ],
    [
      'nothing applied yet, server not reachable',
      { applied: 'none', desiredReason: 'KeyNotProven', failure },
      undefined,
      'PendingKey',
      'ServerUnreachable',
    ],
    ['the key is back, access not', { applied: 'revoked' }, serving(), 'Restoring', 'AccessNotApplied'],
    [
      'that, by a reason',
      { applied: 'revoked', desiredReason: 'KeyExpired' },
      revoked(),
      'Restoring',
      'KeyExpired',
    ],
    [
      'that, and the server can’t be reached',
      { applied: 'revoked', failure },
      serving(),
      'Restoring',
      'ServerUnreachable',
    ],
    ['to be revoked, still granted', lost, revoked(), 'Revoking', 'KeyDisabled'],
    [
      'to be revoked, nothing applied yet',
      { ...lost, applied: 'none' },
      revoked(),
      'Revoking',
      'KeyDisabled',
    ],
    ['to be revoked, not reachable', { ...lost, failure }, revoked(), 'Revoking', 'ServerUnreachable'],
    ['revoked', { ...lost, applied: 'revoked' }, revoked(), 'Inaccessible', 'KeyDisabled'],
    [
      'revoked, an inspection failed',
      { ...lost, applied: 'revoked', failure },
      revoked(),
      'Inaccessible',
      'KeyDisabled',
    ],
    [
      'revoked by an operator under a good key',
      { ...lost, desiredReason: 'OperatorHold', applied: 'revoked' },
      serving(),
      'Inaccessible',
      'OperatorHold',
    ],
  ] as const)('%s', (_, over, version, state, reason) => {
    expect(deriveServerState(serverOf(over), version)).toEqual({
      state,
      reason,
      remedy: reason === null ? null : REMEDIES[reason],
    });
  });
});
