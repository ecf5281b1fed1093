import { describe, expect, test } from 'vitest';
import { DEFAULT_POLICY, findVersion, kekTag, makeKekState } from '../../../shared/domain/kek.ts';
import { KEK, serving, snapshotOf, V1, V2 } from './states.ts';

test('a KEK that was never reconciled has no target and the default policy', () => {
  expect(makeKekState(KEK)).toEqual({
    kek: KEK,
    epoch: 0,
    fannedOutEpoch: 0,
    target: null,
    rotation: { state: 'idle' },
    policy: {
      expiredKeyPolicy: 'revoke',
      transientBuffer: 'alert',
      rewrapVerification: 'sample',
      rewrapPaused: false,
      canaryServers: [],
      waveServers: null,
      waveSoakSeconds: 0,
      haltAfterFailures: 10,
    },
    hold: null,
    census: null,
    observedFrom: null,
    lastHintAt: null,
  });
  expect(makeKekState(KEK).policy).toBe(DEFAULT_POLICY);
});

test('a version is found by its name', () => {
  const snapshot = snapshotOf([serving(V1), serving(V2)]);
  expect(findVersion(snapshot, V2)?.version).toBe(V2);
  expect(findVersion(snapshot, '3')).toBeUndefined();
  expect(findVersion(snapshot, null)).toBeUndefined();
});

describe('the tag of a KEK', () => {
  const kek = makeKekState({ vault: 'contoso.vault.azure.net', name: 'kek' });
  const hold = { by: 'anna', reason: 'x', since: new Date(0), until: null };

  test('stays as it is whatever the app looks at and counts', () => {
    const looked = { ...kek, epoch: 9, fannedOutEpoch: 9, observedFrom: new Date(), lastHintAt: new Date() };
    expect(kekTag(looked)).toBe(kekTag(kek));
    const { expiredKeyPolicy, waveServers, ...rest } = kek.policy;
    const reordered = { waveServers, ...rest, expiredKeyPolicy };
    expect(Object.keys(reordered)).not.toEqual(Object.keys(kek.policy));
    expect(kekTag({ ...kek, policy: reordered })).toBe(kekTag(kek));
  });

  test('changes with the policy and with the hold', () => {
    const tags = [
      kek,
      { ...kek, policy: { ...kek.policy, rewrapPaused: true } },
      { ...kek, policy: { ...kek.policy, canaryServers: ['a'] } },
      { ...kek, hold },
      { ...kek, hold: { ...hold, reason: 'y' } },
    ].map(kekTag);
    expect(new Set(tags).size).toBe(tags.length);
  });
});
