// Time that only a test moves, chance from a seed, and a log that remembers.
import type { Clock, Log, LogLevel, Random } from '../../shared/ports/runtime.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Stands still until it is moved; a sleep ends when the time has been moved past its end. */
export class FakeClock implements Clock {
  #now: number;
  #sleepers: Sleeper[] = [];

  constructor(start: Date = new Date('2030-01-01T00:00:00Z')) {
    this.#now = start.getTime();
  }

  now(): Date {
    return new Date(this.#now);
  }

  sleep(milliseconds: number): Promise<void> {
    if (milliseconds <= 0) return Promise.resolve();
    return new Promise((wake) => {
      this.#sleepers.push({ until: this.#now + milliseconds, wake });
    });
  }

  advance(seconds: number): void {
    this.#now += Math.round(seconds * 1000);
    const due = this.#sleepers.filter((sleeper) => sleeper.until <= this.#now);
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.until > this.#now);
    for (const { wake } of due.sort((a, b) => a.until - b.until)) wake();
  }

  /** Moves to `time`, never back. */
  advanceTo(time: Date): void {
    this.advance(Math.max(0, (time.getTime() - this.#now) / 1000));
  }
}

/** The same seed, the same chances (mulberry32). No secrets come from here. */
export function makeSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return {
    bytes: (length) => Uint8Array.from({ length }, () => next() & 0xff),
    integer: (limit) => next() % limit,
  };
}

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export class CollectingLog implements Log {
  readonly lines: LogLine[] = [];

  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level, message, fields });
  }

  /** How often a line said so. */
  said(message: string): number {
    return this.lines.filter((line) => line.message === message).length;
  }

  errors(): readonly string[] {
    return this.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  }
}
