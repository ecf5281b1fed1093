import { describe, expect, test } from 'vitest';
import {
  countServer,
  decideWave,
  firstWave,
  isAdmitted,
  NO_SERVERS,
  type Place,
  type RotationCount,
  withPolicy,
  withResumed,
  withWave,
} from '../../../shared/domain/decide-wave.ts';
import {
  DEFAULT_POLICY,
  type KekPolicy,
  type KekState,
  type Rotation,
  type Wave,
} from '../../../shared/domain/kek.ts';
import type { RewrapFailure, ServerRow } from '../../../shared/domain/server.ts';
import { at, serverOf, serving, snapshotOf, T0, V1, V2 } from './states.ts';

const waveOf = (number: number, upTo = '', openedAt = T0): Wave => ({ number, upTo, openedAt });
const running = (wave: Wave | null, resumedAt: Date | null = null): Rotation => ({
  state: 'running',
  startedAt: T0,
  resumedAt,
  wave,
});
const halted = (wave: Wave | null): Rotation => ({
  state: 'halted',
  startedAt: T0,
  since: at(50),
  failures: 3,
  wave,
});
const completed: Rotation = { state: 'completed', startedAt: T0, completedAt: at(9) };
const blocked: Rotation = { state: 'blocked', newest: V2, reason: 'KeyDisabled', since: T0 };

const kekOf = (rotation: Rotation, policy: Partial<KekPolicy> = {}): KekState =>
  snapshotOf([serving(V1), serving(V2)], {
    target: V2,
    rotation,
    policy: { ...DEFAULT_POLICY, ...policy },
  }).kek;
const failed = (since: Date): RewrapFailure => ({
  code: 'WrappedDekMalformed',
  message: 'x',
  since,
  attempt: 1,
  nextAttemptAt: at(99),
});

describe('isAdmitted', () => {
  const canaries = { canaryServers: ['m', 'z'] };
  test.each([
    ['no rotation is under way', { state: 'idle' }, ['a', 'm', 'y', 'z']],
    ['it is completed', completed, ['a', 'm', 'y', 'z']],
    ['a newer version is blocked', blocked, ['a', 'm', 'y', 'z']],
    ['there are no waves, or no more of them', running(null), ['a', 'm', 'y', 'z']],
    ['it is at the canaries', running(waveOf(0)), ['m', 'z']],
    ['it is at a later wave', running(waveOf(1, 'a')), ['a', 'm', 'z']],
    ['it is later still', running(waveOf(2, 'y')), ['a', 'm', 'y', 'z']],
    ['it has halted', halted(null), []],
    ['it has halted in a wave', halted(waveOf(1, 'y')), []],
  ] as const)('where %s', (_, rotation, admitted) => {
    const kek = kekOf(rotation, canaries);
    expect(['a', 'm', 'y', 'z'].filter((id) => isAdmitted(id, kek))).toEqual(admitted);
  });
});

describe('firstWave', () => {
  test.each([
    [{}, null],
    [{ waveSoakSeconds: 60 }, null],
    [{ canaryServers: ['a'] }, waveOf(0, '', at(5))],
    [{ waveServers: 10 }, waveOf(0, '', at(5))],
  ] as const)('under the policy %o', (policy, wave) => {
    expect(firstWave({ ...DEFAULT_POLICY, ...policy }, at(5))).toEqual(wave);
  });
});

describe('withPolicy', () => {
  const waves = { canaryServers: ['a'] };
  const after = (rotation: Rotation, before: Partial<KekPolicy>, next: Partial<KekPolicy>) =>
    withPolicy(kekOf(rotation, before), { ...DEFAULT_POLICY, ...next }, at(70)).rotation;

  test('is the new policy, and nothing else where no rotation is under way', () => {
    const kek = kekOf(completed);
    const policy = { ...DEFAULT_POLICY, ...waves };
    expect(withPolicy(kek, policy, at(70))).toEqual({ ...kek, policy });
  });

  test.each([
    ['without waves admits everybody', running(waveOf(1, 'm')), waves, {}, running(null)],
    ['the same while halted', halted(waveOf(1, 'm')), waves, {}, halted(null)],
    ['with waves begins at the canaries', running(null), {}, waves, running(waveOf(0, '', at(70)))],
    [
      'with other waves goes on where it is',
      running(waveOf(1, 'm')),
      waves,
      { waveServers: 5 },
      running(waveOf(1, 'm')),
    ],
    [
      'with other waves brings none back when the last was opened',
      running(null),
      waves,
      { waveServers: 5 },
      running(null),
    ],
    [
      'that has nothing to do with waves leaves them',
      running(null),
      {},
      { rewrapPaused: true },
      running(null),
    ],
  ] as const)('%s', (_, rotation, before, next, result) => {
    expect(after(rotation, before, next)).toEqual(result);
  });
});

describe('countServer', () => {
  type Counted = readonly [id: string, place: Place, over?: Partial<ServerRow>];
  const count = (kek: KekState, ...servers: readonly Counted[]): RotationCount =>
    servers.reduce<RotationCount>(
      (sum, [serverId, place, over]) => countServer(sum, serverOf({ serverId, ...over }), place, kek),
      NO_SERVERS,
    );
  const rewrappedAt = (seconds: number) => ({ wrappedAt: at(seconds), replacedVersion: V1 });

  test('counts nothing where no rotation runs', () => {
    const bad = ['a', 'behind', { rewrapFailure: failed(at(9)) }] as const;
    for (const rotation of [{ state: 'idle' } as const, completed, blocked, halted(waveOf(0))])
      expect(count(kekOf(rotation), bad)).toEqual(NO_SERVERS);
  });

  test('counts failures since the rotation began, wherever the server is', () => {
    const servers: Counted[] = [
      ['a', 'behind', { rewrapFailure: failed(at(1)) }],
      ['b', 'stays', { rewrapFailure: failed(at(1)) }],
      ['c', 'done', { rewrapFailure: failed(at(1)) }],
      ['d', 'behind', { rewrapFailure: failed(T0) }],
      ['e', 'behind', { rewrapFailure: failed(at(-1)) }],
      ['f', 'behind'],
    ];
    expect(count(kekOf(running(null)), ...servers)).toEqual({ ...NO_SERVERS, failures: 4 });
    expect(count(kekOf(running(waveOf(0)), { canaryServers: ['a'] }), ...servers).failures).toBe(4);
  });

  test('failures from before it was resumed are forgiven', () => {
    const kek = kekOf(running(null, at(5)));
    const servers: Counted[] = [
      ['a', 'behind', { rewrapFailure: failed(at(5)) }],
      ['b', 'behind', { rewrapFailure: failed(at(6)) }],
      ['c', 'behind', { rewrapFailure: failed(at(7)) }],
      ['d', 'behind', { rewrapFailure: failed(at(4)) }],
      ['e', 'behind', { rewrapFailure: failed(at(8)) }],
    ];
    expect(count(kek, ...servers).failures).toBe(3);
  });

  test('a canary holds the rest until it was rewrapped, whatever the reason, unless it doesn’t follow', () => {
    const kek = kekOf(running(waveOf(0)), { canaryServers: ['a', 'b', 'c', 'd', 'e'] });
    const canaries: Counted[] = [
      ['a', 'behind'],
      ['b', 'behind', { rewrapFailure: failed(at(1)) }],
      ['c', 'stuck'],
      ['d', 'stays'],
      ['e', 'done', rewrappedAt(7)],
    ];
    const counted = count(kek, ...canaries, ['f', 'behind'], ['g', 'stuck']);
    expect(counted).toMatchObject({ holding: 3, later: 1, rewrappedAt: at(7) });
  });

  test('of later waves those that failed, or can’t be moved, hold nobody', () => {
    const kek = kekOf(running(waveOf(1, 'd')));
    const servers: Counted[] = [
      ['a', 'behind'],
      ['b', 'behind', { rewrapFailure: failed(at(1)) }],
      ['bb', 'behind'],
      ['c', 'stuck'],
      ['cc', 'stuck'],
      ['d', 'done'],
      ['e', 'behind'],
    ];
    expect(count(kek, ...servers)).toMatchObject({ holding: 2, later: 1 });
  });

  test('finds the last server of the next wave among those that are left to be moved', () => {
    const kek = kekOf(running(waveOf(0)), { waveServers: 2 });
    const servers: Counted[] = [
      ['a', 'behind'],
      ['b', 'done'],
      ['c', 'stays'],
      ['d', 'stuck'],
      ['e', 'behind'],
      ['f', 'done'],
      ['g', 'behind'],
    ];
    expect(count(kek, ...servers)).toMatchObject({ later: 3, upTo: 'e' });
    expect(count(kek, servers[0] ?? ['x', 'stays'])).toMatchObject({ later: 1, upTo: null });
  });

  test('knows when the last server of the waves so far was rewrapped; not when one was registered', () => {
    const kek = kekOf(running(waveOf(1, 'd')));
    const servers: Counted[] = [
      ['a', 'done', rewrappedAt(8)],
      ['b', 'done', rewrappedAt(9)],
      ['c', 'done', rewrappedAt(7)],
      ['d', 'done', { wrappedAt: at(20) }],
      ['e', 'done', rewrappedAt(30)],
    ];
    expect(count(kek, ...servers).rewrappedAt).toEqual(at(9));
  });
});

describe('decideWave', () => {
  const counted = (over: Partial<RotationCount> = {}): RotationCount => ({ ...NO_SERVERS, ...over });
  const NONE = { kind: 'none' } as const;
  const soaking = { canaryServers: ['a'], waveServers: 10, waveSoakSeconds: 60 };

  test.each([
    ['0 failures, none borne', 0, 0, NONE],
    ['1 failure, none borne', 1, 0, { kind: 'halt', failures: 1 }],
    ['as many as are borne', 10, 10, NONE],
    ['one more', 11, 10, { kind: 'halt', failures: 11 }],
    ['any number, and all are borne', 5000, null, NONE],
  ] as const)('%s', (_, failures, haltAfterFailures, result) => {
    const kek = kekOf(running(null), { haltAfterFailures });
    expect(decideWave(kek, counted({ failures }), at(9))).toEqual(result);
  });

  test('only a running rotation halts or goes on', () => {
    for (const rotation of [{ state: 'idle' } as const, completed, blocked, halted(waveOf(0))])
      expect(decideWave(kekOf(rotation), counted({ failures: 99, later: 5 }), at(9))).toEqual(NONE);
  });

  test('too many failures halt before a wave opens', () => {
    const kek = kekOf(running(waveOf(1, 'm')), { waveServers: 5, haltAfterFailures: 1 });
    expect(decideWave(kek, counted({ failures: 2, later: 9, upTo: 'x' }), at(9))).toMatchObject({
      kind: 'halt',
    });
  });

  test.each([
    ['everybody is admitted', null, {}, { later: 0 }],
    ['the rotation is paused', waveOf(0), { waveServers: 5, rewrapPaused: true }, { later: 9, upTo: 'e' }],
    ['a server holds it', waveOf(0), { canaryServers: ['a'] }, { holding: 1, later: 9 }],
    ['nobody is left', waveOf(1, 'm'), { waveServers: 5 }, { later: 0 }],
  ] as const)('no wave opens while %s', (_, wave, policy, count) => {
    expect(decideWave(kekOf(running(wave), policy), counted(count), at(9000))).toEqual(NONE);
  });

  test.each([
    [
      'the first without canaries',
      waveOf(0),
      { waveServers: 2 },
      { later: 3, upTo: 'b' },
      waveOf(1, 'b', at(9)),
    ],
    [
      'the next',
      waveOf(4, 'm'),
      { waveServers: 2 },
      { later: 3, upTo: 'o', rewrappedAt: at(8) },
      waveOf(5, 'o', at(9)),
    ],
    ['the last: as many as are left', waveOf(4, 'm'), { waveServers: 2 }, { later: 2, upTo: 'o' }, null],
    ['the last: fewer than it could have', waveOf(4, 'm'), { waveServers: 2 }, { later: 1 }, null],
    ['all that are left after the canaries', waveOf(0), { canaryServers: ['a'] }, { later: 7 }, null],
  ] as const)('opens %s', (_, wave, policy, count, next) => {
    expect(decideWave(kekOf(running(wave), policy), counted(count), at(9))).toEqual({
      kind: 'open',
      wave: next,
    });
  });

  test('a wave soaks from its opening or its last rewrap, whichever is later', () => {
    const kek = kekOf(running(waveOf(1, 'm', at(100))), soaking);
    const left = { later: 30, upTo: 'x' };
    const kinds = (seconds: number, rewrappedAt: Date | null) =>
      decideWave(kek, counted({ ...left, rewrappedAt }), at(seconds)).kind;
    expect([kinds(159, null), kinds(160, null)]).toEqual(['none', 'open']);
    expect([kinds(159, at(20)), kinds(160, at(20))]).toEqual(['none', 'open']);
    expect([kinds(189, at(130)), kinds(190, at(130))]).toEqual(['none', 'open']);
  });

  test('canaries soak, and an empty wave in their place does not', () => {
    const left = counted({ later: 30, upTo: 'x' });
    const opened = waveOf(0, '', at(100));
    expect(decideWave(kekOf(running(opened), soaking), left, at(101))).toEqual(NONE);
    const without = kekOf(running(opened), { ...soaking, canaryServers: [] });
    expect(decideWave(without, left, at(101))).toMatchObject({ kind: 'open' });
  });
});

describe('the KEK after a decision', () => {
  test('an open wave adds one to the epoch, so that it is fanned out', () => {
    const kek = kekOf(running(waveOf(0), at(3)));
    const wave = waveOf(1, 'b', at(9));
    expect(withWave(kek, { kind: 'open', wave }, at(9))).toEqual({
      ...kek,
      epoch: kek.epoch + 1,
      rotation: running(wave, at(3)),
    });
  });

  test('a halt keeps the wave, and says since when and how many', () => {
    const kek = kekOf(running(waveOf(1, 'm'), at(3)));
    expect(withWave(kek, { kind: 'halt', failures: 3 }, at(50))).toEqual({
      ...kek,
      rotation: halted(waveOf(1, 'm')),
    });
  });

  test('nothing decided, or no rotation running: as before', () => {
    const kek = kekOf(running(null));
    expect(withWave(kek, { kind: 'none' }, at(9))).toBe(kek);
    const other = kekOf(completed);
    expect(withWave(other, { kind: 'halt', failures: 3 }, at(9))).toBe(other);
  });

  test('a halted rotation is resumed where it was; another isn’t', () => {
    const kek = kekOf(halted(waveOf(1, 'm')));
    expect(withResumed(kek, at(70))).toEqual({
      ...kek,
      epoch: kek.epoch + 1,
      rotation: running(waveOf(1, 'm'), at(70)),
    });
    const other = kekOf(running(null));
    expect(withResumed(other, at(70))).toBe(other);
  });
});
