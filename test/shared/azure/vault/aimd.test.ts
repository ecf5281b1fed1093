import { describe, expect, test } from 'vitest';
import {
  type AimdState,
  BACKOFF_SECONDS,
  noteSuccess,
  noteThrottled,
  startAimd,
  takeTokens,
} from '../../../../shared/azure/vault/aimd.ts';

/** Takes until a wait is due; the number taken, and the wait. */
function drain(state: AimdState, cost: number, now: number) {
  let current = state;
  for (let taken = 0; ; taken += 1) {
    const step = takeTokens(current, cost, now);
    current = step.state;
    if (step.waitMs > 0) return { state: current, taken, waitMs: step.waitMs };
  }
}

describe('takeTokens', () => {
  test('spends what a quarter of a second gathers, then asks to wait for one', () => {
    const { taken, waitMs } = drain(startAimd(100, 0), 1, 0);
    expect(taken).toBe(25);
    expect(waitMs).toBe(10);
  });

  test('grants after the wait that it asked for', () => {
    const { state, waitMs } = drain(startAimd(3, 0), 1, 0);
    expect(takeTokens(state, 1, waitMs).waitMs).toBe(0);
  });

  test('one call may cost more than a quarter of a second gathers', () => {
    const { state, waitMs } = drain(startAimd(0.1, 0), 1, 0);
    expect(waitMs).toBe(9_750);
    expect(takeTokens(state, 1, waitMs).waitMs).toBe(0);
  });

  test('gathers no more than a quarter of a second, however long nobody took', () => {
    expect(drain(startAimd(100, 0), 1, 3_600_000).taken).toBe(25);
  });

  test('grants nothing during a pause, and nothing gathers in it', () => {
    const paused = noteThrottled(startAimd(100, 0), 0, 5, 0);
    expect(takeTokens(paused, 1, 1_000).waitMs).toBe(4_000);
    expect(drain(paused, 1, 5_000)).toMatchObject({ taken: 0, waitMs: 13 });
  });
});

describe('noteThrottled', () => {
  test('without Retry-After pauses 1, 2, 4, 8, 16 s, and 16 s from then on', () => {
    let state = startAimd(100, 0);
    const pauses: number[] = [];
    for (let now = 0; pauses.length < 7; now = state.pausedUntil + 1) {
      state = noteThrottled(state, now, null, now);
      pauses.push((state.pausedUntil - now) / 1000);
    }
    expect(pauses).toEqual([...BACKOFF_SECONDS, 16, 16]);
  });

  test('with it pauses so long, a minute at most', () => {
    expect(noteThrottled(startAimd(100, 0), 0, 3, 0).pausedUntil).toBe(3_000);
    expect(noteThrottled(startAimd(100, 0), 0, 3_600, 0).pausedUntil).toBe(60_000);
  });

  test('the 429s of one burst cut the rate once; the longest Retry-After counts', () => {
    const first = noteThrottled(startAimd(100, 0), 10, 1, 20);
    const second = noteThrottled(first, 15, 4, 30);
    expect(first.rate).toBeCloseTo(80);
    expect(second.rate).toBe(first.rate);
    expect(second.pausedUntil).toBe(4_030);
    expect(noteThrottled(second, 15, null, 40)).toEqual(second);
  });

  test('never cuts below a fiftieth of the ceiling', () => {
    let state = startAimd(100, 0);
    for (let now = 0; now < 50; now += 1) state = noteThrottled(state, now, 0, now);
    expect(state.rate).toBe(2);
  });
});

describe('noteSuccess', () => {
  const cut = noteThrottled(startAimd(100, 0), 0, 1, 0);

  test('raises by a fiftieth of the ceiling a second, whatever the number of calls', () => {
    let state = cut;
    for (let now = 1; now <= 1_000; now += 1) state = noteSuccess(state, now, now);
    expect(state.rate).toBeCloseTo(82);
  });

  test('never above the ceiling, and not for time in which nothing was asked', () => {
    expect(noteSuccess(cut, 1, 3_600_000).rate).toBeCloseTo(82);
    let state = cut;
    for (let now = 1_000; now <= 60_000; now += 1_000) state = noteSuccess(state, now, now);
    expect(state.rate).toBe(100);
  });

  test('a call from before the cut raises nothing and ends no backing off', () => {
    expect(noteSuccess(cut, 0, 500)).toEqual(cut);
    expect(noteSuccess(cut, 1, 500).burst).toBe(0);
  });
});
