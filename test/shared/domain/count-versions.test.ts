import { expect, test } from 'vitest';
import { makeVersionCounts } from '../../../shared/domain/count-versions.ts';
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
