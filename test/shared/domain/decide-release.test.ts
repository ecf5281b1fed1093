import { describe, expect, test } from 'vitest';
import { decideRelease } from '../../../shared/domain/decide-release.ts';
import { makeVersionState } from '../../../shared/domain/key-status.ts';
import { REMEDIES } from '../../../shared/domain/reason.ts';
import { at, HOLD, revoked, serverOf, serving, snapshotOf, T0, V1, V2, wrappedUnder } from './states.ts';

const onV1 = snapshotOf([serving(V1)]);
const lost = snapshotOf([revoked(V1)]);
const unproven = snapshotOf([makeVersionState(V1, T0)]);
const expired = revoked(V1, { reason: 'KeyExpired', verdictReason: 'KeyExpired' });
const granted = { desired: 'granted', applied: 'granted', inspectedAt: T0 } as const;
const fresh = { desired: 'granted', applied: 'none', inspectedAt: null } as const;
const closed = {
  desired: 'revoked',
  desiredReason: 'KeyDisabled',
  applied: 'revoked',
  inspectedAt: T0,
} as const;
const later = at(30);

describe('decideRelease', () => {
  test.each([
    ['Ready', granted, onV1, 'Ready', null],
    [
      'Suspect: the last answers were not good',
      granted,
      snapshotOf([serving(V1, { status: 'unusable', reason: 'AccessDenied' })]),
      'Suspect',
      null,
    ],
    ['PendingKey under a proven version', fresh, onV1, 'PendingKey', null],
    [
      'PendingKey under a version that serves and can just now not be asked',
      fresh,
      snapshotOf([serving(V1, { status: 'unknown', reason: 'Throttled' })]),
      'PendingKey',
      null,
    ],
    ['its key is back, and nothing is reopened yet', closed, onV1, 'Restoring', null],
    [
      'Restoring',
      { desired: 'granted', desiredReason: null, applied: 'revoked', inspectedAt: null },
      onV1,
      'Restoring',
      null,
    ],
    ['served, and its version is not known any more', granted, snapshotOf([]), 'Suspect', 'KeyNotProven'],
    [
      'lost, and the policy only reports',
      { ...granted, keyLossPolicy: 'alertOnly' },
      lost,
      'Suspect',
      'KeyDisabled',
    ],
    [
      'expired, while it can be moved to a newer version',
      granted,
      snapshotOf([expired, serving(V2)], { target: V2 }),
      'Suspect',
      'KeyExpired',
    ],
    [
      'rewrapped away from the lost version',
      { ...granted, wrapped: wrappedUnder(V2) },
      snapshotOf([revoked(V1), serving(V2)], { target: V2 }),
      'Ready',
      null,
    ],
    ['a hold that has ended', { ...granted, hold: { ...HOLD, until: at(29) } }, onV1, 'Ready', null],
  ] as const)('gives it: %s', (_, row, snapshot, state, reason) => {
    expect(decideRelease(serverOf(row), snapshot, later)).toEqual({
      release: true,
      state,
      reason,
      remedy: null,
    });
  });

  test.each([
    ['lost, and no worker has acted on it', granted, lost, 'Revoking', 'KeyDisabled'],
    ['lost and closed', closed, lost, 'Inaccessible', 'KeyDisabled'],
    [
      'lost, and its server can not be reached',
      {
        ...closed,
        applied: 'granted',
        failure: { reason: 'ServerUnreachable', message: 'no', since: T0, attempt: 2, nextAttemptAt: T0 },
      },
      lost,
      'Revoking',
      'KeyDisabled',
    ],
    [
      'draining: it goes on with the DEK it has, and gets it no more',
      { ...granted, keyLossPolicy: 'drain' },
      lost,
      'Revoking',
      'KeyDisabled',
    ],
    ['expired, with nothing to move to', granted, snapshotOf([expired]), 'Revoking', 'KeyExpired'],
    ['held, and no worker has acted on it', { ...granted, hold: HOLD }, onV1, 'Revoking', 'OperatorHold'],
    ['its key is held', granted, snapshotOf([serving(V1)], { hold: HOLD }), 'Revoking', 'OperatorHold'],
    ['held until later', { ...granted, hold: { ...HOLD, until: at(31) } }, onV1, 'Revoking', 'OperatorHold'],
    ['new, and its version was never proven', fresh, unproven, 'PendingKey', 'KeyNotProven'],
    ['new, and nothing is known of its key', fresh, snapshotOf([]), 'PendingKey', 'KeyNotProven'],
    [
      'revoked, and its version is not known any more',
      closed,
      snapshotOf([]),
      'Inaccessible',
      'KeyNotProven',
    ],
  ] as const)('refuses it: %s', (_, row, snapshot, state, reason) => {
    expect(decideRelease(serverOf(row), snapshot, later)).toEqual({
      release: false,
      state,
      reason,
      remedy: REMEDIES[reason],
    });
  });

  test('a refusal without a reason has a remedy too', () => {
    const decision = decideRelease(
      serverOf(closed),
      snapshotOf([revoked(V1, { verdictReason: null })]),
      later,
    );
    expect(decision).toMatchObject({ release: false, state: 'Inaccessible', reason: null });
    expect(decision.remedy).toMatch(/verdict/);
  });
});
