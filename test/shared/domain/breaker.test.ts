import { describe, expect, test } from 'vitest';
import {
  type BreakerState,
  CLOSED_BREAKER,
  isHolding,
  noteSuspectVault,
} from '../../../shared/domain/breaker.ts';
import { at, T0 } from './states.ts';

const note = (state: BreakerState, vault: string, seconds: number, vaultsInUse: number) =>
  noteSuspectVault(state, { vault, now: at(seconds), vaultsInUse, holdMinutes: 60 });

const noteAll = (vaultsInUse: number, notes: readonly (readonly [string, number])[]) =>
  notes.reduce((state, [vault, seconds]) => note(state, vault, seconds, vaultsInUse), CLOSED_BREAKER);

describe('noteSuspectVault', () => {
  test.each([
    ['1 of 1: too few vaults in use', 1, [['a', 0]], false],
    [
      '2 of 2: too few vaults in use',
      2,
      [
        ['a', 0],
        ['b', 0],
      ],
      false,
    ],
    ['1 of 3', 3, [['a', 0]], false],
    [
      '2 of 3',
      3,
      [
        ['a', 0],
        ['b', 0],
      ],
      true,
    ],
    [
      '2 of 4: half is not more than half',
      4,
      [
        ['a', 0],
        ['b', 0],
      ],
      false,
    ],
    [
      '3 of 4',
      4,
      [
        ['a', 0],
        ['b', 0],
        ['c', 0],
      ],
      true,
    ],
    [
      'the same vault twice is one vault',
      3,
      [
        ['a', 0],
        ['a', 5],
      ],
      false,
    ],
    [
      '2 of 3 within 2 minutes',
      3,
      [
        ['a', 0],
        ['b', 120],
      ],
      true,
    ],
    [
      '2 of 3 further apart',
      3,
      [
        ['a', 0],
        ['b', 120.001],
      ],
      false,
    ],
    [
      'a vault that turns suspect again counts from then',
      3,
      [
        ['a', 0],
        ['a', 100],
        ['b', 200],
      ],
      true,
    ],
  ] as const)('%s', (_, vaultsInUse, notes, trips) => {
    const state = noteAll(vaultsInUse, notes);
    expect(state.trippedAt).toEqual(trips ? at(notes.at(-1)?.[1] ?? 0) : null);
  });

  test('keeps the vaults of the last two minutes only', () => {
    const state = noteAll(9, [
      ['a', 0],
      ['b', 100],
      ['c', 200],
    ]);
    expect(state.suspects).toEqual({ b: at(100), c: at(200) });
  });

  test('while it holds, more suspects are noted and don’t prolong the hold', () => {
    const tripped = noteAll(3, [
      ['a', 0],
      ['b', 0],
    ]);
    expect(note(tripped, 'c', 30, 3)).toEqual({ suspects: { a: T0, b: T0, c: at(30) }, trippedAt: T0 });
    expect(note(tripped, 'c', 600, 3)).toEqual({ suspects: { c: at(600) }, trippedAt: T0 });
  });

  test('after the hold one suspect vault closes it, and most of them trip it again', () => {
    const tripped = noteAll(3, [
      ['a', 0],
      ['b', 0],
    ]);
    const closed = note(tripped, 'c', 3600, 3);
    expect(closed).toEqual({ suspects: { c: at(3600) }, trippedAt: null });
    expect(note(closed, 'a', 3610, 3).trippedAt).toEqual(at(3610));
  });
});

describe('isHolding', () => {
  const tripped: BreakerState = { suspects: {}, trippedAt: T0 };
  test.each([
    ['never tripped', CLOSED_BREAKER, 0, false],
    ['just tripped', tripped, 0, true],
    ['a moment before the end', tripped, 3599.999, true],
    ['at the end', tripped, 3600, false],
  ])('%s', (_, state, seconds, result) => expect(isHolding(state, at(seconds), 60)).toBe(result));
});
