// The real clock, real chance, and a log of JSON lines on the console, where the Functions host takes them up.
import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, Log, LogLevel, Random } from '../ports/runtime.ts';

export const systemClock: Clock = { now: () => new Date(), sleep: (milliseconds) => sleep(milliseconds) };

export const systemRandom: Random = {
  bytes: (length) => randomBytes(length),
  integer: (limit) => randomInt(limit),
};

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Lines below `least` are left out. */
export const makeConsoleLog = (least: LogLevel): Log => ({
  write: (level, message, fields) => {
    if (LEVELS.indexOf(level) >= LEVELS.indexOf(least))
      console[level](JSON.stringify({ level, message, ...fields }));
  },
});
