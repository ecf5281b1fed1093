import { expect, test } from 'vitest';
import { DEFAULT_POLICY, findVersion, makeKekState } from '../../../shared/domain/kek.ts';
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
