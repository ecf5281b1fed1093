// Reading the properties of events as they really come: with other casing, and with spaces around names and values.
import { CmkError } from '../../shared/domain/errors.ts';

const EXCERPT_LENGTH = 200;

/** @param path where in the event, such as `data.Id` */
export const invalidEvent = (path: string, problem: string, remedy: string, cause?: unknown): CmkError =>
  new CmkError('InvalidEvent', `event not understood: ${path} ${problem}`, {
    remedy,
    cause,
    detail: { path },
  });

/** The start of an id, quoted, for a message. */
export const excerpt = (text: string): string => JSON.stringify(text.slice(0, EXCERPT_LENGTH));

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What `value` is, for a message; never what it holds. */
export function describeType(value: unknown): string {
  if (value === undefined) return 'is missing';
  if (value === null) return 'is null';
  return `is ${Array.isArray(value) ? 'an array' : `of type ${typeof value}`}`;
}

export interface Fields {
  /** The trimmed text of a property; null where it is absent, null or blank. @throws CmkError InvalidEvent */
  text(name: string): string | null;
}

/**
 * Reads `record` without regard to the case of names and to spaces around names and values.
 * @param path what the record is called in messages
 */
export function readFields(record: Readonly<Record<string, unknown>>, path: string): Fields {
  const entries = Object.entries(record).map(([name, value]) => [name.trim().toLowerCase(), value] as const);
  return {
    text(name) {
      const values = entries.flatMap(([key, value]) => {
        if (key !== name.toLowerCase() || value === null || value === undefined) return [];
        if (typeof value === 'string') return value.trim() === '' ? [] : [value.trim()];
        throw invalidEvent(`${path}.${name}`, `${describeType(value)}, not text`, `Send ${name} as text.`);
      });
      const [first = null, ...others] = values;
      if (others.every((other) => other.toLowerCase() === first?.toLowerCase())) return first;
      throw invalidEvent(`${path}.${name}`, 'is there twice, with different values', `Send ${name} once.`);
    },
  };
}

/** The instant that a property of `record` names; undefined where it names none: nothing is decided by it. */
export function readInstant(record: unknown, name: string): Date | undefined {
  const text = isRecord(record) ? record[name] : undefined;
  if (typeof text !== 'string') return undefined;
  const at = new Date(text.trim());
  return Number.isNaN(at.getTime()) ? undefined : at;
}
