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
const COUNTS_EVERY_MS = 60_000;

/** Lines below `least` are left out. Counts are summed up and written once a minute while something is counted. */
export function makeConsoleLog(least: LogLevel): Log {
  const counts = new Map<string, number>();
  let countsSince = Date.now();
  const write: Log['write'] = (level, message, fields) => {
    if (LEVELS.indexOf(level) >= LEVELS.indexOf(least))
      console[level](JSON.stringify({ level, message, ...fields }));
  };
  return {
    write,
    count: (name, fields) => {
      const key = [name, ...Object.entries(fields).map(([field, value]) => `${field}=${value}`)].join(' ');
      counts.set(key, (counts.get(key) ?? 0) + 1);
      if (Date.now() - countsSince < COUNTS_EVERY_MS) return;
      write('info', 'counts', {
        counts: Object.fromEntries(counts),
        seconds: (Date.now() - countsSince) / 1000,
      });
      counts.clear();
      countsSince = Date.now();
    },
  };
}
