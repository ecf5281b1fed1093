// What the host and the app have to say, and where it goes by default.
import type { LogCategory, LogLevel } from './core-types.ts';

export interface HostLogEntry {
  readonly level: LogLevel;
  /** `user` is what the app logged through its context, `system` what the host or the library says. */
  readonly category: LogCategory;
  readonly message: string;
  readonly functionName?: string;
  readonly invocationId?: string;
}

export type HostLog = (entry: HostLogEntry) => void;

const levels: readonly LogLevel[] = ['trace', 'debug', 'information', 'warning', 'error', 'critical', 'none'];

/** A log that writes lines of at least `minimum` to stderr. An unknown level counts as `information`. */
export function makeStderrLog(minimum: string): HostLog {
  const known = levels.find((level) => level === minimum.toLowerCase());
  const threshold = levels.indexOf(known ?? 'information');
  return (entry) => {
    if (levels.indexOf(entry.level) < threshold) return;
    const origin = entry.functionName === undefined ? 'host' : entry.functionName;
    const id = entry.invocationId === undefined ? '' : ` ${entry.invocationId.slice(0, 8)}`;
    process.stderr.write(`${new Date().toISOString()} ${entry.level} ${origin}${id}: ${entry.message}\n`);
  };
}
