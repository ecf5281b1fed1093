import { expect, test } from 'vitest';
import {
  makeStateCounts,
  makeVersionCounts,
  NOBODY,
  sumStates,
} from '../../../shared/domain/count-versions.ts';
import { serverOf, serving, snapshotOf, T0, V1, V2, wrappedUnder } from './states.ts';

test('counts what depends on each version: wrappings, and those that took its place and aren’t proven', () => {
  const counts = makeVersionCounts();
  expect(counts.versions()).toEqual({});
  counts.add(serverOf());
  counts.add(serverOf({ tombstone: true, provenAt: null }));
  counts.add(serverOf({ copyOf: { serverId: 'pg-1', kind: 'restore' } }));
  counts.add(serverOf({ wrapped: wrappedUnder(V2), replacedVersion: V1, provenAt: null }));
  counts.add(serverOf({ wrapped: wrappedUnder(V2), replacedVersion: V1, provenAt: T0 }));
  expect(counts.versions()).toEqual({
    [V1]: { servers: 3, tombstones: 1, copies: 1, unproven: 1, unprovenSuccessors: 1 },
    [V2]: { servers: 2, tombstones: 0, copies: 0, unproven: 1, unprovenSuccessors: 0 },
  });
});

test('counts servers by version and state, as if each version were proven; none that is deleted or arriving', () => {
  const counts = makeStateCounts();
  expect(counts.states()).toEqual({});
  const ready = { applied: 'granted', inspectedAt: T0 } as const;
  counts.add(serverOf(ready));
  counts.add(serverOf(ready));
  counts.add(serverOf({ ...ready, desiredReason: 'AccessDenied' }));
  counts.add(serverOf({ ...ready, wrapped: wrappedUnder(V2), desired: 'revoked' }));
  counts.add(serverOf({ ...ready, tombstone: true }));
  counts.add(serverOf({ ...ready, incoming: true }));
  expect(counts.states()).toEqual({ [V1]: { Ready: 2, Suspect: 1 }, [V2]: { Revoking: 1 } });
});

test('sums them as they were counted and as the versions are now: where one isn’t proven, Ready is Suspect', () => {
  const none = { PendingKey: 0, Ready: 0, Suspect: 0, Revoking: 0, Inaccessible: 0, Restoring: 0 };
  expect(NOBODY).toEqual(none);
  const states = { [V1]: { Ready: 2, Revoking: 1 }, [V2]: { Ready: 3, Suspect: 1, Inaccessible: 4 } };
  const census = { countedAt: T0, versions: {}, states, notSettled: 0, behind: 0, lastBehind: null };
  const counted = { ...none, Ready: 2, Suspect: 4, Revoking: 1, Inaccessible: 4 };
  expect(sumStates(snapshotOf([serving(V1)], { census }))).toEqual(counted);
  expect(sumStates(snapshotOf([serving(V1)], { census: null }))).toEqual(none);
  expect(NOBODY).toEqual(none);
});
