import { describe, expect, test } from 'vitest';
import { decideImpact, type Loss } from '../../../shared/domain/decide-impact.ts';
import { DEFAULT_POLICY, type KekSnapshot, type KekState } from '../../../shared/domain/kek.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import {
  at,
  attributesOf,
  DAY,
  HOLD,
  revoked,
  serverOf,
  serving,
  snapshotOf,
  V1,
  V2,
  V3,
  wrappedUnder,
} from './states.ts';

const NOW = at(0);
const GRACE = 300;
const expiring = (version: string, days: number) =>
  serving(version, { attributes: attributesOf(version, { expiresOn: at(days * DAY) }) });
const under = (version: string, over: Partial<ServerRow> = {}): ServerRow =>
  serverOf({ wrapped: wrappedUnder(version), ...over });
/** V1 is left, V2 is the target. */
const rotating = (over: Partial<KekState> = {}): KekSnapshot =>
  snapshotOf([serving(V1), serving(V2)], { target: V2, ...over });
const decide = (row: ServerRow, snapshot: KekSnapshot, loss: Partial<Loss>) =>
  decideImpact(row, snapshot, { of: 'disable', version: null, ...loss }, { now: NOW, detectionSeconds: 10 });

const keeps = (why: string) => ({
  outcome: 'keeps',
  deniedAt: null,
  endsAt: null,
  why: expect.stringContaining(why),
});

describe('disabling', () => {
  test('a version takes access from servers under it, as soon as it is seen', () => {
    expect(decide(under(V1), rotating(), { version: V1 })).toEqual({
      outcome: 'loses',
      deniedAt: null,
      endsAt: null,
      why: 'its key version would be disabled',
    });
    expect(decide(under(V2), rotating(), { version: V2 }).outcome).toBe('loses');
  });

  test('a version leaves servers alone that are under another one', () => {
    expect(decide(under(V2), rotating(), { version: V1 })).toEqual(keeps('under another version'));
    expect(decide(under(V1), rotating(), { version: V2 })).toEqual(keeps('under another version'));
  });

  test('a whole key takes access from all', () => {
    for (const version of [V1, V2]) expect(decide(under(version), rotating(), {}).outcome).toBe('loses');
  });

  test('is not an expiry: neither its date nor its policy has a say', () => {
    const policy = { ...DEFAULT_POLICY, expiredKeyPolicy: 'warn' } as const;
    const snapshot = snapshotOf([expiring(V1, 5)], { target: V1, policy });
    expect(decide(under(V1), snapshot, {})).toMatchObject({ outcome: 'loses', deniedAt: null, endsAt: null });
  });

  test('ends the sessions of a drained server later', () => {
    const row = under(V1, { keyLossPolicy: 'drain', drainSeconds: 600 });
    expect(decide(row, rotating(), {})).toMatchObject({ outcome: 'loses', deniedAt: null, endsAt: at(610) });
  });

  test('closes nothing under alertOnly', () => {
    expect(decide(under(V1, { keyLossPolicy: 'alertOnly' }), rotating(), {})).toEqual(keeps('alertOnly'));
  });

  test('takes nothing from who has no access', () => {
    const none = { outcome: 'none', deniedAt: null, endsAt: null };
    expect(decide(under(V1, { hold: HOLD }), rotating(), {})).toEqual({
      ...none,
      why: 'has no access now: OperatorHold',
    });
    const lost = snapshotOf([revoked(V1), serving(V2)], { target: V2 });
    expect(decide(under(V1, { desired: 'revoked' }), lost, {})).toMatchObject({
      ...none,
      why: 'has no access now: KeyDisabled',
    });
  });

  test('counts a server that waits for its access as one that has it', () => {
    const waiting = under(V1, { desired: 'revoked', desiredReason: 'KeyDisabled', applied: 'revoked' });
    expect(decide(waiting, rotating(), {}).outcome).toBe('loses');
  });

  test('decides nothing about a version that is not known', () => {
    expect(decide(under(V3), rotating(), {})).toEqual(keeps('KeyNotProven'));
    expect(decide(under(V3), rotating({ target: null }), {})).toEqual(keeps('KeyNotProven'));
  });
});

describe('deleting', () => {
  test('takes all versions, whichever is named', () => {
    for (const version of [null, V1, V2]) {
      expect(decide(under(V1), rotating(), { of: 'delete', version })).toEqual({
        outcome: 'loses',
        deniedAt: null,
        endsAt: null,
        why: 'its key would be deleted',
      });
    }
  });
});

describe('expiring', () => {
  const expire = (row: ServerRow, snapshot: KekSnapshot, version: string | null = null) =>
    decide(row, snapshot, { of: 'expire', version });

  test('takes access when the version expires and the grace is over', () => {
    const snapshot = snapshotOf([expiring(V1, 3)]);
    const deniedAt = at(3 * DAY + GRACE);
    const lost = { outcome: 'loses', deniedAt, endsAt: deniedAt, why: 'its key version expires' };
    expect(expire(under(V1), snapshot)).toEqual(lost);
    expect(expire(under(V1), snapshot, V1)).toEqual(lost);
    const drained = under(V1, { keyLossPolicy: 'drain', drainSeconds: 600 });
    expect(expire(drained, snapshot)).toEqual({ ...lost, endsAt: at(3 * DAY + GRACE + 600) });
  });

  test('is nothing where there is no date', () => {
    expect(expire(under(V1), rotating())).toEqual(keeps('no expiry'));
    expect(expire(under(V3), rotating())).toEqual(keeps('no expiry'));
    const unread = snapshotOf([serving(V1, { attributes: null })]);
    expect(expire(under(V1), unread)).toEqual(keeps('no expiry'));
  });

  test('is only warned of where the policy says so', () => {
    const policy = { ...DEFAULT_POLICY, expiredKeyPolicy: 'warn' as const };
    expect(expire(under(V1), snapshotOf([expiring(V1, 3)], { policy }))).toEqual(keeps('only warns'));
  });

  test('leaves a server that moves to a proven newer version before', () => {
    const snapshot = snapshotOf([expiring(V1, 3), serving(V2)], { target: V2 });
    expect(expire(under(V1), snapshot)).toEqual(keeps(`rewrapped under ${V2}`));
    expect(expire(under(V1), snapshot, V1)).toEqual(keeps(`rewrapped under ${V2}`));
    const lost = { outcome: 'loses', deniedAt: at(3 * DAY + GRACE) };
    expect(expire(under(V1, { pinned: true }), snapshot)).toMatchObject(lost);
    const unusable = snapshotOf([expiring(V1, 3), revoked(V2)], { target: V2 });
    expect(expire(under(V1), unusable)).toMatchObject(lost);
  });

  test('takes a moved server when the version that it moves to expires', () => {
    const snapshot = snapshotOf([expiring(V1, 3), expiring(V2, 5)], { target: V2 });
    const later = at(5 * DAY + GRACE);
    expect(expire(under(V1), snapshot)).toMatchObject({ outcome: 'loses', deniedAt: later, endsAt: later });
    expect(expire(under(V1), snapshot, V1)).toEqual(keeps(`rewrapped under ${V2}`));
    expect(expire(under(V2), snapshot)).toMatchObject({ outcome: 'loses', deniedAt: later });
  });

  test('moves nobody to a version that will have expired itself', () => {
    const sooner = snapshotOf([expiring(V1, 3), expiring(V2, 2)], { target: V2 });
    const lost = { outcome: 'loses', deniedAt: at(3 * DAY + GRACE) };
    expect(expire(under(V1), sooner)).toMatchObject(lost);
    expect(expire(under(V1), sooner, V1)).toMatchObject(lost);
    const together = snapshotOf([expiring(V1, 3), expiring(V2, 3)], { target: V2 });
    expect(expire(under(V1), together)).toMatchObject(lost);
  });

  test('closes nothing under alertOnly', () => {
    const row = under(V1, { keyLossPolicy: 'alertOnly' });
    expect(expire(row, snapshotOf([expiring(V1, 3)]))).toEqual(keeps('alertOnly'));
  });
});
