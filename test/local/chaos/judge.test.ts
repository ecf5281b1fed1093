import { describe, expect, test } from 'vitest';
import {
  judgeEpochs,
  judgeOrder,
  judgeRecords,
  judgeServers,
  type SeenKek,
  type SeenRecords,
  type SeenServer,
} from '../../../local/chaos/judge.ts';
import { CLOSED_BY_DBA } from '../../../local/stack/fleet-server.ts';

const OPEN = ['billing', 'orders'];
const ready: SeenServer = {
  serverId: 'pg-1',
  state: 'Ready',
  reason: null,
  failure: null,
  kekVersion: 'v2',
  isBehind: false,
  accessEpoch: 3,
  sequence: 1,
  usable: true,
  real: { open: OPEN, openBefore: OPEN, hasSession: true },
};
const revoked: SeenServer = {
  ...ready,
  state: 'Inaccessible',
  reason: 'KeyDisabled',
  usable: false,
  real: { open: [], openBefore: OPEN, hasSession: false },
};
const kekOf = (...servers: readonly SeenServer[]): SeenKek => ({
  kek: 'payments',
  epoch: 4,
  rotation: 'idle',
  servers,
});
const names = (violations: readonly { readonly invariant: string }[]) =>
  violations.map(({ invariant }) => invariant);

describe('judgeServers', () => {
  test.each<[string, SeenServer]>([
    ['a server that is open under a usable key', ready],
    ['one that is closed under an unusable key', revoked],
    ['one without access', { ...ready, real: null }],
  ])('finds nothing wrong with %s', (_, server) => {
    expect(judgeServers(kekOf(server))).toEqual([]);
  });

  const closed = 'no server is closed under a usable key';
  const open = 'no server is open under an unusable key';
  test.each<[string, SeenServer, string]>([
    ['a state that is not Ready', { ...ready, state: 'Suspect' }, closed],
    [
      'a database that is closed',
      { ...ready, real: { open: ['orders'], openBefore: OPEN, hasSession: true } },
      closed,
    ],
    [
      'a client that gets no session',
      { ...ready, real: { open: OPEN, openBefore: OPEN, hasSession: false } },
      closed,
    ],
    ['a state that is not Inaccessible', { ...revoked, state: 'Revoking' }, open],
    [
      'a database that is open',
      { ...revoked, real: { open: ['orders'], openBefore: OPEN, hasSession: false } },
      open,
    ],
    ['a session that is open', { ...revoked, real: { open: [], openBefore: OPEN, hasSession: true } }, open],
    ['an older version', { ...ready, isBehind: true }, 'all servers come to the newest usable version'],
  ])('finds %s', (_, server, invariant) => {
    expect(names(judgeServers(kekOf(ready, server)))).toEqual([invariant]);
  });

  test('finds what the DBA had closed and is open', () => {
    const real = { open: [...OPEN, CLOSED_BY_DBA], openBefore: [...OPEN, CLOSED_BY_DBA], hasSession: true };
    expect(names(judgeServers(kekOf({ ...ready, real })))).toEqual(['what the DBA closed is still closed']);
  });

  test('tells what the app itself says about it', () => {
    const stuck: SeenServer = {
      ...ready,
      state: 'Restoring',
      reason: 'ServerUnreachable',
      failure: 'refused',
    };
    expect(judgeServers(kekOf(stuck))[0]?.detail).toBe(
      'pg-1 is Restoring (ServerUnreachable; refused): its key is usable',
    );
  });
});

test('judgeEpochs finds every server whose access was decided anew, or that is gone', () => {
  const invariant = 'no server loses access while its key is usable';
  expect(judgeEpochs(kekOf(ready), kekOf(ready))).toEqual([]);
  expect(names(judgeEpochs(kekOf(ready), kekOf({ ...ready, accessEpoch: 5 })))).toEqual([invariant]);
  expect(names(judgeEpochs(kekOf(ready), kekOf()))).toEqual([invariant]);
  expect(judgeEpochs(kekOf(), kekOf(ready))).toEqual([]);
});

test('judgeOrder finds rows that went back', () => {
  const invariant = 'no row goes back to an earlier state';
  expect(judgeOrder(kekOf(ready), kekOf({ ...ready, accessEpoch: 4, sequence: 2 }))).toEqual([]);
  expect(judgeOrder(kekOf(), kekOf(ready))).toEqual([]);
  expect(names(judgeOrder(kekOf(ready), kekOf({ ...ready, accessEpoch: 2 })))).toEqual([invariant]);
  expect(names(judgeOrder(kekOf(ready), kekOf({ ...ready, sequence: 0 })))).toEqual([invariant]);
  expect(names(judgeOrder(kekOf(ready), { ...kekOf(ready), epoch: 3 }))).toEqual([invariant]);
  expect(judgeOrder(kekOf(ready), { ...kekOf(ready), epoch: 5 })).toEqual([]);
});

describe('judgeRecords', () => {
  const good: SeenRecords = {
    deks: new Map([['pg-1', 'print']]),
    wrappings: [
      { serverId: 'pg-1', kekVersion: 'v1', print: 'print' },
      { serverId: 'pg-1', kekVersion: 'v2', print: 'print' },
    ],
    histories: [{ serverId: 'pg-1', sequence: 2, numbers: [1, 0] }],
    versions: [{ of: 'pg-1', version: 'v2', exists: true }],
    chains: [{ chain: 'app', records: 3, broken: null }],
    poisoned: 1,
    poisonRecords: 1,
  };

  test('finds nothing wrong with good records', () => {
    expect(judgeRecords(good)).toEqual([]);
  });

  test.each<[string, Partial<SeenRecords>, string]>([
    [
      'a DEK of other bytes',
      { wrappings: [{ serverId: 'pg-1', kekVersion: 'v2', print: 'other' }] },
      'every DEK unwraps to its original bytes',
    ],
    [
      'a wrapping that does not unwrap',
      { wrappings: [{ serverId: 'new', kekVersion: 'v2', print: null }] },
      'every DEK unwraps to its original bytes',
    ],
    ['a server that is gone', { histories: [] }, 'every acknowledged server is there'],
    [
      'a history with a gap',
      { histories: [{ serverId: 'pg-1', sequence: 2, numbers: [0, 2] }] },
      'the history of every server is whole',
    ],
    [
      'a history that is too short',
      { histories: [{ serverId: 'pg-1', sequence: 2, numbers: [0] }] },
      'the history of every server is whole',
    ],
    [
      'a version that does not exist',
      { versions: [{ of: 'pg-1', version: 'latest', exists: false }] },
      'no row names a version that does not exist',
    ],
    ['a broken chain', { chains: [{ chain: 'app', records: 3, broken: 2 }] }, 'the audit chain verifies'],
    ['a poisoned message without a record', { poisoned: 2 }, 'a poison queue explains itself'],
  ])('finds %s', (_, change, invariant) => {
    expect(names(judgeRecords({ ...good, ...change }))).toEqual([invariant]);
  });
});
