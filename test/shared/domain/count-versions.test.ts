import { expect, test } from 'vitest';
import { makeStateCounts, makeVersionCounts } from '../../../shared/domain/count-versions.ts';
import { serverOf, T0, V1, V2, wrappedUnder } from './states.ts';

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
