import { describe, expect, test } from 'vitest';
import { makeKekState } from '../../../shared/domain/kek.ts';
import { makeVersionState, type VersionState } from '../../../shared/domain/key-status.ts';
import { detectionLatencyMs, revocationLatencyMs } from '../../../shared/domain/latency.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import { plainServer, versionOf } from '../../fixtures/rows.ts';

const kek = { vault: 'alpha.vault.azure.net', name: 'fleet' };
const at = (second: number) => new Date(Date.UTC(2030, 0, 1) + second * 1000);
const V1 = versionOf(1);
const version = (change: Partial<VersionState> = {}): VersionState => ({
  ...makeVersionState(V1, at(0)),
  status: 'usable',
  reason: null,
  verdict: 'serve',
  ...change,
});
const snapshotOf = (...versions: readonly VersionState[]) => ({ kek: makeKekState(kek), versions });

describe('detectionLatencyMs', () => {
  const good = snapshotOf(version());
  const disabled = snapshotOf(version({ status: 'unusable', reason: 'KeyDisabled' }));
  const times = { from: at(100), now: at(110), hintedAt: null };
  const updated = (second: number) => ({ updatedOn: new Map([[V1, at(second)]]) });

  test('is told by the vault, which says when a version was changed', () => {
    expect(detectionLatencyMs(good, disabled, updated(103), times)).toBe(7_000);
    expect(detectionLatencyMs(disabled, good, updated(103), times)).toBe(7_000);
  });

  test('counts from the latest of several changes, also of a version that was not known', () => {
    const V2 = versionOf(2);
    const after = snapshotOf(...disabled.versions, version({ version: V2 }));
    const updatedOn = new Map([
      [V1, at(103)],
      [V2, at(108)],
    ]);
    expect(detectionLatencyMs(good, after, { updatedOn }, times)).toBe(2_000);
  });

  test('allows for whole seconds and for clocks that differ', () => {
    expect(detectionLatencyMs(good, disabled, updated(98), times)).toBe(12_000);
    expect(detectionLatencyMs(good, disabled, updated(111), times)).toBe(0);
  });

  test('a change from before the last look is not what is seen now', () => {
    expect(detectionLatencyMs(good, disabled, updated(97), times)).toBeNull();
  });

  test('else a hint tells: a role that was removed leaves no mark on the key', () => {
    const denied = snapshotOf(version({ status: 'unusable', reason: 'AccessDenied' }));
    expect(detectionLatencyMs(good, denied, {}, { ...times, hintedAt: at(105) })).toBe(5_000);
    expect(detectionLatencyMs(good, denied, updated(3), { ...times, hintedAt: at(105) })).toBe(5_000);
    const ofNone = { updatedOn: new Map() };
    expect(detectionLatencyMs(good, denied, ofNone, { ...times, hintedAt: at(105) })).toBe(5_000);
    expect(detectionLatencyMs(good, denied, {}, times)).toBeNull();
  });

  test.each([
    ['of this very moment', at(110), 0],
    ['of a whole day ago', at(110 - 86_400), 86_400_000],
  ])('a hint %s tells', (_, hintedAt, ms) => {
    const denied = snapshotOf(version({ status: 'unusable', reason: 'AccessDenied' }));
    expect(detectionLatencyMs(good, denied, {}, { ...times, hintedAt })).toBe(ms);
  });

  test('another reason is a change', () => {
    const denied = snapshotOf(version({ status: 'unusable', reason: 'AccessDenied' }));
    expect(detectionLatencyMs(denied, disabled, updated(104), times)).toBe(6_000);
  });

  test.each([
    ['from the future', at(111)],
    ['of the day before yesterday', at(110 - 86_401)],
  ])('a hint %s is none', (_, hintedAt) => {
    const denied = snapshotOf(version({ status: 'unusable', reason: 'AccessDenied' }));
    expect(detectionLatencyMs(good, denied, {}, { ...times, hintedAt })).toBeNull();
  });

  test.each(['KeyExpired', 'KeyNotYetValid'] as const)(
    'that a date has passed is no change: %s',
    (reason) => {
      const after = snapshotOf(version({ status: 'unusable', reason }));
      expect(detectionLatencyMs(good, after, {}, { ...times, hintedAt: at(105) })).toBeNull();
      // Somebody has set it just now.
      expect(detectionLatencyMs(good, after, updated(104), times)).toBe(6_000);
    },
  );

  test('nothing is seen where nothing changed, nobody could ask, or nobody had looked before', () => {
    const hinted = { ...times, hintedAt: at(105) };
    expect(detectionLatencyMs(good, good, updated(104), hinted)).toBeNull();
    const unknown = snapshotOf(version({ status: 'unknown', reason: 'Throttled' }));
    expect(detectionLatencyMs(good, unknown, updated(104), hinted)).toBeNull();
    expect(detectionLatencyMs(good, disabled, updated(104), { ...hinted, from: null })).toBeNull();
  });
});

describe('revocationLatencyMs', () => {
  const lost = snapshotOf(version({ verdict: 'revoke', verdictReason: 'KeyDisabled', verdictSince: at(10) }));
  const before = plainServer(kek, 's1', { applied: 'granted', desiredReason: 'KeyDisabled' });
  const after: ServerRow = { ...before, desired: 'revoked', applied: 'revoked', appliedAt: at(14) };
  const hold = { by: 'anna', reason: 'test', since: at(12), until: null };

  test('is from the verdict on its own version', () => {
    expect(revocationLatencyMs(before, after, lost)).toBe(4_000);
  });

  test('or from the hold, on the server or on the key', () => {
    const held: ServerRow = { ...after, desiredReason: 'OperatorHold' };
    expect(revocationLatencyMs(before, { ...held, hold }, lost)).toBe(2_000);
    const onKey = { ...lost, kek: { ...lost.kek, hold } };
    expect(revocationLatencyMs(before, held, onKey)).toBe(2_000);
    expect(revocationLatencyMs(before, held, lost)).toBeNull();
  });

  test('is never below zero, whatever the clocks of two instances say', () => {
    expect(revocationLatencyMs(before, { ...after, appliedAt: at(9) }, lost)).toBe(0);
  });

  test.each<[string, Partial<ServerRow>, Partial<ServerRow>]>([
    ['it had no access', { applied: 'none' }, {}],
    ['it was revoked before', { applied: 'revoked' }, {}],
    ['it has access', {}, { applied: 'granted' }],
    ['nobody says when', {}, { appliedAt: null }],
    ['its sessions were left to drain', {}, { keyLossPolicy: 'drain' }],
    ['its sessions are left', {}, { keyLossPolicy: 'denyNew' }],
  ])('is nothing where %s', (_, was, is) => {
    expect(revocationLatencyMs({ ...before, ...was }, { ...after, ...is }, lost)).toBeNull();
  });

  test('is nothing where the verdict has changed again, or the version is not known', () => {
    expect(revocationLatencyMs(before, after, snapshotOf(version()))).toBeNull();
    expect(revocationLatencyMs(before, after, snapshotOf())).toBeNull();
  });
});
