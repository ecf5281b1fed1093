// When a timer fires: NCRONTAB with five or six fields, or a TimeSpan as a constant interval.
import { Cron } from 'croner';
import { parseTimeSpan } from './time-span.ts';

export interface Schedule {
  /** The first occurrence strictly after `after`. */
  next(after: Date): Date;
}

const numeric = /^[\d*,/-]+$/;
const named = /^(?:[\d*,/-]|[A-Za-z]{3,9})+$/;

/** @throws Error naming what is wrong with the schedule */
export function parseSchedule(text: string, timezone: string): Schedule {
  const intervalMs = parseTimeSpan(text);
  if (intervalMs !== undefined) {
    if (intervalMs <= 0) throw new Error(`schedule '${text}' must be longer than nothing`);
    return { next: (after) => new Date(after.getTime() + intervalMs) };
  }
  const fields = text.trim().split(/\s+/);
  const sixFields = fields.length === 5 ? ['0', ...fields] : fields;
  if (sixFields.length !== 6 || !sixFields.every((field, at) => (at < 4 ? numeric : named).test(field))) {
    throw new Error(`schedule '${text}' is neither NCRONTAB nor hh:mm:ss`);
  }
  // croner knows names of three letters; NCRONTAB takes longer ones too.
  const pattern = sixFields
    .map((field) => field.replace(/[A-Za-z]{3,}/g, (name) => name.slice(0, 3)))
    .join(' ');
  const cron = new Cron(pattern, { mode: '6-part', domAndDow: true, timezone, paused: true });
  return {
    next(after) {
      const next = cron.nextRun(after);
      if (next === null) throw new Error(`schedule '${text}' never occurs`);
      return next;
    },
  };
}
