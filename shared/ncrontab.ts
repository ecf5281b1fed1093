// Schedules of timers: NCRONTAB with six fields, {second} {minute} {hour} {day} {month} {day of week}.

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const DAYS = 'sun mon tue wed thu fri sat'.split(' ');

const FIELDS: readonly Field[] = [
  { name: 'second', min: 0, max: 59, names: [] },
  { name: 'minute', min: 0, max: 59, names: [] },
  { name: 'hour', min: 0, max: 23, names: [] },
  { name: 'day', min: 1, max: 31, names: [] },
  { name: 'month', min: 1, max: 12, names: MONTHS },
  { name: 'day of week', min: 0, max: 6, names: DAYS },
];

/** Enough for every minute by itself. */
const LONGEST = 500;

const PART = /^(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:\/(\d{1,2}))?$/i;

/** What is wrong with a schedule, in words that go on from "it is …"; null when nothing is. */
export function findScheduleFault(schedule: string): string | null {
  if (schedule.length > LONGEST) return `longer than ${LONGEST} characters`;
  const texts = schedule.split(/\s+/);
  if (texts.length !== FIELDS.length) return `not six fields but ${texts.length}`;
  for (const [index, field] of FIELDS.entries()) {
    const text = texts[index] ?? '';
    if (!text.split(',').every((part) => isPart(part, field)))
      return `wrong in its field ${index + 1} (${field.name}: ${field.min} to ${field.max})`;
  }
  return null;
}

function isPart(part: string, field: Field): boolean {
  const match = PART.exec(part);
  if (match === null) return false;
  const [, from, to, step] = match;
  if (step !== undefined && (Number(step) < 1 || Number(step) > field.max)) return false;
  if (from === undefined) return true;
  const first = toNumber(from, field);
  if (first === null) return false;
  // A step needs a range to go over.
  if (to === undefined) return step === undefined;
  const last = toNumber(to, field);
  return last !== null && first <= last;
}

function toNumber(text: string, { min, max, names }: Field): number | null {
  const named = names.indexOf(text.toLowerCase());
  const value = named >= 0 ? named + min : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : null;
}

const DAY_SECONDS = 86_400;

/**
 * The longest time between two runs of a sound schedule, in seconds, on a day on which it runs: what its last three
 * fields say is left aside.
 */
export function longestGapSeconds(schedule: string): number {
  const [seconds = [], minutes = [], hours = []] = schedule
    .split(/\s+/)
    .map((text, index) => text.split(',').flatMap((part) => toValues(part, FIELDS[index])))
    .map((values) => [...new Set(values)].sort((a, b) => a - b));
  const runs = hours.flatMap((hour) =>
    minutes.flatMap((minute) => seconds.map((second) => hour * 3600 + minute * 60 + second)),
  );
  const [first = 0] = runs;
  return runs.reduce(
    (longest, run, index) => Math.max(longest, (runs[index + 1] ?? first + DAY_SECONDS) - run),
    0,
  );
}

function toValues(part: string, field: Field | undefined): readonly number[] {
  const match = PART.exec(part);
  if (match === null || field === undefined) return [];
  const [, from, to, step = '1'] = match;
  const first = from === undefined ? field.min : toNumber(from, field);
  const last = from === undefined ? field.max : to === undefined ? first : toNumber(to, field);
  if (first === null || last === null) return [];
  return Array.from(
    { length: Math.floor((last - first) / Number(step)) + 1 },
    (_, n) => first + n * Number(step),
  );
}
