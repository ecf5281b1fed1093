import { describe, expect, test } from 'vitest';
import {
  decideAccess,
  decideAccessWork,
  decideRewrap,
  isOff,
  placeInRotation,
  withDecision,
  withHold,
} from '../../../shared/domain/decide-server.ts';
import { DEFAULT_POLICY } from '../../../shared/domain/kek.ts';
import { makeVersionState } from '../../../shared/domain/key-status.ts';
import { deriveServerState, type ServerRow } from '../../../shared/domain/server.ts';
import {
  at,
  attributesOf,
  HOLD,
  KEK,
  revoked,
  serverOf,
  serving,
  snapshotOf,
  T0,
  V1,
  V2,
  V3,
  wrappedUnder,
} from './states.ts';

const unproven = (version: string) => makeVersionState(version, T0);
const expired = (version = V1) => revoked(version, { reason: 'KeyExpired', verdictReason: 'KeyExpired' });
const doubtful = (version: string) => serving(version, { status: 'unusable', reason: 'AccessDenied' });
const failing = (attempt: number, nextAttemptAt: Date) =>
  ({ reason: 'ServerUnreachable', message: 'refused', since: T0, attempt, nextAttemptAt }) as const;

describe('decideAccess', () => {
  const onV1 = snapshotOf([serving(V1)]);
  const lost = snapshotOf([revoked(V1)]);
  const lostOld = snapshotOf([revoked(V1), serving(V2)], { target: V2 });
  const expiredOld = snapshotOf([expired(), serving(V2)], { target: V2 });

  test.each([
    ['its version serves', {}, onV1, 'granted', null],
    [
      'its version serves, though the last answer was suspect',
      {},
      snapshotOf([doubtful(V1)]),
      'granted',
      null,
    ],
    [
      'its version serves again, and it was revoked',
      { desired: 'revoked', desiredReason: 'KeyDisabled' },
      onV1,
      'granted',
      null,
    ],
    ['its version is lost', {}, lost, 'revoked', 'KeyDisabled'],
    ['its version is lost, others serve', {}, lostOld, 'revoked', 'KeyDisabled'],
    ['it was rewrapped away from the lost version', { wrapped: wrappedUnder(V2) }, lostOld, 'granted', null],
    [
      'its version is lost and the policy only reports',
      { keyLossPolicy: 'alertOnly' },
      lost,
      'granted',
      'KeyDisabled',
    ],
    [
      'its version is lost and the policy is drain',
      { keyLossPolicy: 'drain' },
      lost,
      'revoked',
      'KeyDisabled',
    ],
    [
      'its version is lost and the policy is denyNew',
      { keyLossPolicy: 'denyNew' },
      lost,
      'revoked',
      'KeyDisabled',
    ],
    ['its version is unknown', {}, snapshotOf([serving(V2)]), 'granted', 'KeyNotProven'],
    ['its version was never proven', {}, snapshotOf([unproven(V1)]), 'granted', 'KeyNotProven'],
    [
      'the same, and it is revoked: it stays so',
      { desired: 'revoked', desiredReason: 'KeyDisabled' },
      snapshotOf([unproven(V1)]),
      'revoked',
      'KeyNotProven',
    ],
    ['its version has expired and a newer one is proven', {}, expiredOld, 'granted', 'KeyExpired'],
    ['expired, and there is no newer one', {}, snapshotOf([expired()]), 'revoked', 'KeyExpired'],
    [
      'expired, and there is no target',
      {},
      snapshotOf([expired()], { target: null }),
      'revoked',
      'KeyExpired',
    ],
    [
      'expired, and the newer one was never proven',
      {},
      snapshotOf([expired(), unproven(V2)], { target: V2 }),
      'revoked',
      'KeyExpired',
    ],
    [
      'expired, and the newer one is lost',
      {},
      snapshotOf([expired(), revoked(V2)], { target: V2 }),
      'revoked',
      'KeyExpired',
    ],
    [
      'expired, and it was revoked before there was a newer one',
      { desired: 'revoked', desiredReason: 'KeyExpired' },
      expiredOld,
      'revoked',
      'KeyExpired',
    ],
    ['expired, and it is pinned', { pinned: true }, expiredOld, 'revoked', 'KeyExpired'],
    [
      'expired, and the newer one was retired',
      {},
      snapshotOf([expired(), serving(V2, { retiredAt: T0 })], { target: V2 }),
      'revoked',
      'KeyExpired',
    ],
    ['expired, and it is being moved in', { incoming: true }, expiredOld, 'revoked', 'KeyExpired'],
    [
      'expired, pinned, and the policy only reports',
      { pinned: true, keyLossPolicy: 'alertOnly' },
      expiredOld,
      'granted',
      'KeyExpired',
    ],
    [
      'not yet valid, and a newer one is proven',
      {},
      snapshotOf([revoked(V1, { verdictReason: 'KeyNotYetValid' }), serving(V2)], { target: V2 }),
      'revoked',
      'KeyNotYetValid',
    ],
    ['an operator holds it', { hold: HOLD }, onV1, 'revoked', 'OperatorHold'],
    ['an operator holds its KEK', {}, snapshotOf([serving(V1)], { hold: HOLD }), 'revoked', 'OperatorHold'],
    [
      'an operator holds it, whatever the key and the policy',
      { hold: HOLD, keyLossPolicy: 'alertOnly' },
      lost,
      'revoked',
      'OperatorHold',
    ],
    ['an operator holds it, never proven', { hold: HOLD }, snapshotOf([]), 'revoked', 'OperatorHold'],
  ] as const)('%s', (_, over, snapshot, desired, reason) => {
    expect(decideAccess(serverOf(over), snapshot, T0)).toEqual({ desired, reason });
  });

  test.each([
    ['could not be asked', serving(V2, { status: 'unknown', reason: 'Throttled' })],
    ['was suspect once', doubtful(V2)],
    ['came back wrong', serving(V2, { status: 'unknown', reason: 'CanaryMismatch' })],
  ])('I-02: a server of an expired version keeps its access while the target %s', (_, target) => {
    const decision = decideAccess(serverOf(), snapshotOf([expired(), target], { target: V2 }), T0);
    expect(decision).toEqual({ desired: 'granted', reason: 'KeyExpired' });
  });

  test('an older target is no way out for a server of an expired version', () => {
    const row = serverOf({ wrapped: wrappedUnder(V2) });
    expect(decideAccess(row, snapshotOf([serving(V1), expired(V2)], { target: V1 }), T0).desired).toBe(
      'revoked',
    );
  });
});

describe('an order that overtakes one which was not seen through', () => {
  const postgres = serverOf({ inspectedAt: at(0) });
  const periods = { grantedSeconds: 300, revokedSeconds: 60 };
  const flip = (row: typeof postgres, desired: 'granted' | 'revoked') =>
    withDecision(row, { desired, reason: desired === 'revoked' ? 'KeyDisabled' : null }, at(10));

  test('I-04: a restore is applied at once, since databases may have been closed already', () => {
    const row = flip(flip({ ...postgres, applied: 'granted' }, 'revoked'), 'granted');
    expect(row.applied).toBe('granted');
    expect(decideAccessWork(row, at(11), periods, null)).toBe('restore');
    expect(deriveServerState(row, serving(V1)).state).toBe('Restoring');
  });

  test('I-05: a revoke is applied at once, since databases may have been reopened already', () => {
    const closed = { ...flip({ ...postgres, applied: 'revoked' }, 'revoked'), inspectedAt: at(5) };
    const row = flip(flip(closed, 'granted'), 'revoked');
    expect(row.applied).toBe('revoked');
    expect(decideAccessWork(row, at(11), periods, null)).toBe('revoke');
    expect(deriveServerState(row, serving(V1)).state).toBe('Revoking');
  });
});

describe('withDecision', () => {
  const row = serverOf({ failure: failing(2, at(5)), drainUntil: at(99) });

  test('a decision that changes nothing leaves the very row', () => {
    expect(withDecision(row, { desired: 'granted', reason: null }, at(9))).toBe(row);
  });

  test('another reason alone is no new epoch, and keeps the failure and the drain', () => {
    expect(withDecision(row, { desired: 'granted', reason: 'KeyExpired' }, at(9))).toEqual({
      ...row,
      desiredReason: 'KeyExpired',
    });
  });

  test('another access is a new epoch, without the failures of the old one', () => {
    expect(withDecision(row, { desired: 'revoked', reason: 'KeyDisabled' }, at(9))).toEqual({
      ...row,
      desired: 'revoked',
      desiredReason: 'KeyDisabled',
      accessEpoch: 5,
      drainUntil: null,
      inspectedAt: null,
      failure: null,
    });
  });

  test('another access for the same reason is one too', () => {
    const kept = serverOf({ desiredReason: 'KeyDisabled' });
    expect(withDecision(kept, { desired: 'revoked', reason: 'KeyDisabled' }, at(9)).accessEpoch).toBe(5);
  });

  test('drain sets when the rest is ended; a restore clears it', () => {
    const draining = withDecision(
      serverOf({ keyLossPolicy: 'drain' }),
      { desired: 'revoked', reason: 'KeyDisabled' },
      at(9),
    );
    expect(draining.drainUntil).toEqual(at(609));
    expect(withDecision(draining, { desired: 'granted', reason: null }, at(20))).toMatchObject({
      drainUntil: null,
      accessEpoch: 6,
    });
  });
});

describe('decideAccessWork', () => {
  const periods = { grantedSeconds: 300, revokedSeconds: 60 };
  const work = (over: Partial<ServerRow>, seconds = 0, attempt: number | null = null) =>
    decideAccessWork(serverOf(over), at(seconds), periods, attempt);
  const toRevoke = { desired: 'revoked', applied: 'granted' } as const;
  const isRevoked = { desired: 'revoked', applied: 'revoked' } as const;

  test.each([
    ['I-08: desired revoked, applied granted', toRevoke, 'revoke'],
    ['I-08: desired revoked, nothing applied yet', { ...toRevoke, applied: 'none' }, 'revoke'],
    ['I-08: desired granted, applied revoked', { applied: 'revoked' }, 'restore'],
    ['I-08: desired granted, nothing applied yet', { applied: 'none' }, 'restore'],
    ['a release-only server too', { ...toRevoke, access: { kind: 'none' } }, 'revoke'],
    ['the key was never proven: it isn’t opened', { applied: 'none', desiredReason: 'KeyNotProven' }, 'none'],
    ['nor reopened', { applied: 'revoked', desiredReason: 'KeyNotProven' }, 'none'],
    ['but it is closed', { ...toRevoke, desiredReason: 'KeyNotProven' }, 'revoke'],
    ['another reason doesn’t keep it closed', { applied: 'revoked', desiredReason: 'KeyExpired' }, 'restore'],
    ['it is being moved in', { ...toRevoke, incoming: true }, 'none'],
    ['its owner deleted it', { ...toRevoke, tombstone: true }, 'none'],
    ['all is as it should be', {}, 'none'],
    ['all is as it should be, revoked', isRevoked, 'none'],
  ] as const)('%s', (_, over, result) => expect(work(over)).toBe(result));

  test.each([
    ['granted, not due', {}, 299.999, 'none'],
    ['granted, due', {}, 300, 'restore'],
    ['revoked, not due', isRevoked, 59.999, 'none'],
    ['revoked, due', isRevoked, 60, 'revoke'],
    ['never inspected', { inspectedAt: null }, 0, 'restore'],
    ['revoked, never inspected', { ...isRevoked, inspectedAt: null }, 0, 'revoke'],
    ['release only: nothing to inspect', { access: { kind: 'none' }, inspectedAt: null }, 9999, 'none'],
    [
      'granted while the key isn’t proven: inspected all the same',
      { desiredReason: 'KeyNotProven' },
      300,
      'restore',
    ],
  ] as const)('inspection: %s', (_, over, seconds, result) => expect(work(over, seconds)).toBe(result));

  test.each([
    ['the retry it waits for', { ...toRevoke, failure: failing(2, at(10)) }, 0, 2, 'revoke'],
    ['a duplicate retry', { ...toRevoke, failure: failing(2, at(10)) }, 0, 1, 'none'],
    ['a retry of a chain that has ended', toRevoke, 0, 1, 'none'],
    ['a range while the chain goes on', { ...toRevoke, failure: failing(2, at(10)) }, 70, null, 'none'],
    ['a range when it is lost', { ...toRevoke, failure: failing(2, at(10)) }, 71, null, 'revoke'],
    ['a failed inspection is repeated though it isn’t due', { failure: failing(1, at(10)) }, 0, 1, 'restore'],
    ['a failed inspection of a revoked one', { ...isRevoked, failure: failing(1, at(10)) }, 0, 1, 'revoke'],
    [
      'a failed one that waits for its key',
      { applied: 'none', desiredReason: 'KeyNotProven', failure: failing(1, at(10)) },
      0,
      1,
      'none',
    ],
  ] as const)('retries: %s', (_, over, seconds, attempt, result) => {
    expect(work(over, seconds, attempt)).toBe(result);
  });
});

describe('decideRewrap', () => {
  const decide = (
    over: Partial<ServerRow>,
    snapshot = rotating,
    seconds = 0,
    attempt: number | null = null,
  ) => decideRewrap(serverOf(over), snapshot, at(seconds), 600, attempt);
  const rotating = snapshotOf([serving(V1), serving(V2)], { target: V2 });
  const toV2 = (old: ReturnType<typeof serving>, target = serving(V2)) =>
    snapshotOf([old, target], { target: V2 });
  const rewrap = { kind: 'rewrap', target: V2 };
  const prove = { kind: 'prove' };
  const none = { kind: 'none' };

  test.each([
    ['it is on an older version than the target', {}, rotating, rewrap],
    ['it is on the target', { wrapped: wrappedUnder(V2) }, rotating, none],
    ['it is pinned', { pinned: true }, rotating, none],
    ['it is being moved in', { incoming: true }, rotating, none],
    ['its owner deleted it: still rewrapped', { tombstone: true }, rotating, rewrap],
    ['there is no target', {}, snapshotOf([serving(V1)], { target: null }), none],
    ['the target is unknown', {}, snapshotOf([serving(V1)], { target: V3 }), none],
    ['the target was never proven', {}, toV2(serving(V1), unproven(V2)), none],
    [
      'the target is past its date and serves',
      {},
      toV2(serving(V1), serving(V2, { reason: 'KeyExpired' })),
      none,
    ],
    [
      'the target is in doubt, and was retired',
      {},
      toV2(serving(V1), serving(V2, { status: 'unknown', reason: 'Throttled', retiredAt: T0 })),
      none,
    ],
    ['the target is lost', {}, toV2(serving(V1), revoked(V2)), none],
    [
      'the rotation is paused',
      {},
      snapshotOf([serving(V1), serving(V2)], {
        target: V2,
        policy: { ...DEFAULT_POLICY, rewrapPaused: true },
      }),
      none,
    ],
    ['its version has expired: the vault still unwraps', {}, toV2(expired()), rewrap],
    ['its version isn’t valid yet', {}, toV2(revoked(V1, { verdictReason: 'KeyNotYetValid' })), rewrap],
    ['its version is disabled: nothing can be unwrapped', {}, toV2(revoked(V1)), none],
    ['its version is suspect but serves', {}, toV2(doubtful(V1)), rewrap],
    ['its version was never proven', {}, toV2(unproven(V1)), rewrap],
    ['its version is unknown', { wrapped: wrappedUnder(V3) }, rotating, none],
    ['the target was retired', {}, toV2(serving(V1), serving(V2, { retiredAt: T0 })), none],
  ] as const)('%s', (_, over, snapshot, result) => expect(decide(over, snapshot)).toEqual(result));

  test.each([
    [0, 10],
    [10, 10],
    [11, 11],
    [299, 299],
    [301, 300],
  ])('a target that has been in doubt for %i s is waited for for %i', (since, seconds) => {
    for (const over of [
      { status: 'unusable', reason: 'AccessDenied' },
      { status: 'unknown', reason: 'Throttled' },
    ] as const)
      expect(decide({}, toV2(serving(V1), serving(V2, { ...over, since: T0 })), since)).toEqual({
        kind: 'wait',
        seconds,
      });
  });

  describe('held back by', () => {
    const waves = { ...DEFAULT_POLICY, canaryServers: ['pg-9'] };
    const at0 = { number: 0, upTo: '', openedAt: T0 };
    const running = { state: 'running', startedAt: T0, resumedAt: null } as const;
    const halted = { state: 'halted', startedAt: T0, since: T0, failures: 11, wave: null } as const;
    const cases = [
      ['a pause', { policy: { ...DEFAULT_POLICY, rewrapPaused: true } }],
      ['a halt', { rotation: halted }],
      ['a wave that it isn’t in', { policy: waves, rotation: { ...running, wave: at0 } }],
    ] as const;

    test.each(cases)('%s, it stays', (_, over) => {
      expect(decide({}, snapshotOf([serving(V1), serving(V2)], { target: V2, ...over }))).toEqual(none);
    });

    test.each(cases)('%s, it moves all the same when its version is out of date', (_, over) => {
      for (const verdictReason of ['KeyExpired', 'KeyNotYetValid'] as const) {
        const old = revoked(V1, { reason: verdictReason, verdictReason });
        expect(decide({}, snapshotOf([old, serving(V2)], { target: V2, ...over }))).toEqual(rewrap);
      }
    });

    test.each(cases)('%s, it stays where its version is past its date and serves', (_, over) => {
      const warned = serving(V1, { reason: 'KeyExpired' });
      expect(decide({}, snapshotOf([warned, serving(V2)], { target: V2, ...over }))).toEqual(none);
    });

    test('nothing, where it is one of the canaries or the wave has come to it', () => {
      const kek = (wave: typeof at0) =>
        snapshotOf([serving(V1), serving(V2)], { target: V2, policy: waves, rotation: { ...running, wave } });
      expect(decide({ serverId: 'pg-9' }, kek(at0))).toEqual(rewrap);
      expect(decide({}, kek({ ...at0, number: 1, upTo: 'pg-1' }))).toEqual(rewrap);
      expect(decide({}, kek({ ...at0, number: 1, upTo: 'pg-0' }))).toEqual(none);
    });
  });

  const unprovenRow = { wrapped: wrappedUnder(V2), provenAt: null } as const;
  test.each([
    ['an old unproven wrapping is proven', unprovenRow, rotating, 600, prove],
    ['a young one isn’t yet', unprovenRow, rotating, 599.999, none],
    ['a proven one needn’t be', { wrapped: wrappedUnder(V2) }, rotating, 600, none],
    ['not while its version is in doubt', unprovenRow, toV2(serving(V1), doubtful(V2)), 600, none],
    ['not while its version is lost', unprovenRow, toV2(serving(V1), revoked(V2)), 600, none],
    ['an old one of an old version is rewrapped instead', { provenAt: null }, rotating, 600, rewrap],
    ['a pinned one is proven where it is', { provenAt: null, pinned: true }, rotating, 600, prove],
    ['not one that is being moved in', { ...unprovenRow, incoming: true }, rotating, 600, none],
    [
      'a paused one is proven where it is',
      { provenAt: null },
      snapshotOf([serving(V1), serving(V2)], {
        target: V2,
        policy: { ...DEFAULT_POLICY, rewrapPaused: true },
      }),
      600,
      prove,
    ],
  ] as const)('proof: %s', (_, over, snapshot, seconds, result) => {
    expect(decide(over, snapshot, seconds)).toEqual(result);
  });

  test.each([
    ['the retry it waits for', { attempt: 2, nextAttemptAt: at(10) }, 0, 2, rewrap],
    ['a duplicate', { attempt: 2, nextAttemptAt: at(10) }, 0, 1, none],
    ['a range while the chain goes on', { attempt: 2, nextAttemptAt: at(10) }, 70, null, none],
    ['a range when it is lost', { attempt: 2, nextAttemptAt: at(10) }, 71, null, rewrap],
  ])('retries: %s', (_, retry, seconds, attempt, result) => {
    const rewrapFailure = { code: 'VaultUnavailable', message: '', since: T0, ...retry } as const;
    expect(decide({ rewrapFailure }, rotating, seconds, attempt)).toEqual(result);
  });

  test('a target of the same second as its version is no older one', () => {
    const { createdOn } = attributesOf(V1);
    const same = serving(V2, { attributes: attributesOf(V2, { createdOn }) });
    expect(decide({}, toV2(serving(V1), same))).toEqual(rewrap);
  });

  test('I-05: what is wrong with the access doesn’t matter to it', () => {
    const over = { hold: HOLD, desired: 'revoked', applied: 'none', failure: failing(1, at(9)) } as const;
    expect(decide(over)).toEqual(rewrap);
    expect(decide(over, snapshotOf([serving(V1), serving(V2)], { target: V2, hold: HOLD }))).toEqual(rewrap);
  });

  test('a wrapping under a newer version than the target doesn’t go back', () => {
    const row = { wrapped: wrappedUnder(V2) };
    expect(decide(row, snapshotOf([serving(V1), serving(V2)], { target: V1 }))).toEqual(none);
  });
});

describe('placeInRotation', () => {
  const rotating = snapshotOf([serving(V1), serving(V2)], { target: V2 });
  const from = (old: ReturnType<typeof serving>) => snapshotOf([old, serving(V2)], { target: V2 });
  const moving = { from: KEK, to: { ...KEK, name: 'other' }, since: T0, by: 'anna' };
  test.each([
    ['on the target', { wrapped: wrappedUnder(V2) }, rotating, 'done'],
    ['on an older version', {}, rotating, 'behind'],
    ['on an older version that has expired', {}, from(expired()), 'behind'],
    ['on an older version that is lost', {}, from(revoked(V1)), 'stuck'],
    ['on a version that nobody knows', { wrapped: wrappedUnder(V3) }, rotating, 'stuck'],
    ['pinned, wherever it is', { pinned: true }, rotating, 'stays'],
    ['being moved in', { incoming: true, wrapped: wrappedUnder(V2) }, rotating, 'stays'],
    ['being moved out', { moving }, rotating, 'stays'],
    ['on a newer version', { wrapped: wrappedUnder(V2) }, snapshotOf([serving(V1), serving(V2)]), 'stays'],
    ['without a target', {}, snapshotOf([serving(V1)], { target: null }), 'stays'],
  ] as const)('%s', (_, over, snapshot, place) => {
    expect(placeInRotation(serverOf(over), snapshot)).toBe(place);
  });
});

describe('isOff', () => {
  const moving = { from: KEK, to: { ...KEK, name: 'other' }, since: T0, by: 'anna' };
  test.each([
    ['on the target', { wrapped: wrappedUnder(V2) }, false],
    ['on another version', {}, true],
    ['deleted, on another version', { tombstone: true }, true],
    ['pinned', { pinned: true }, false],
    ['being moved in', { incoming: true }, false],
    ['being moved out', { moving }, false],
  ] as const)('%s', (_, over, off) => {
    expect(isOff(serverOf(over), V2)).toBe(off);
  });
});

describe('a hold in the row', () => {
  const drill = { ...HOLD, until: at(120) };

  test('revokes without a look at the key', () => {
    expect(withHold(serverOf(), HOLD, at(10))).toMatchObject({
      hold: HOLD,
      desired: 'revoked',
      desiredReason: 'OperatorHold',
      accessEpoch: serverOf().accessEpoch + 1,
      inspectedAt: null,
    });
  });

  test('changes the reason alone where access was revoked already', () => {
    const lost = serverOf({ desired: 'revoked', desiredReason: 'KeyDisabled' });
    expect(withHold(lost, HOLD, at(10))).toEqual({ ...lost, hold: HOLD, desiredReason: 'OperatorHold' });
  });

  test.each([
    ['granted', null],
    ['revoked', 'KeyDisabled'],
  ] as const)('one that has run out goes with the decision that it ends in: %s', (desired, reason) => {
    const held = withHold(serverOf(), drill, T0);
    expect(withDecision(held, { desired, reason }, at(119)).hold).toEqual(drill);
    expect(withDecision(held, { desired, reason }, at(120)).hold).toBeNull();
  });
});
