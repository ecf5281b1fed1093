// Dates of others, within what the tables and the API hold: years of four digits.

/** A day before the last of them: what is counted from a date, such as the grace after an expiry, is held too. */
export const LATEST_INSTANT = new Date('9999-12-31T00:00:00.000Z');

/** The date itself, or the nearest that can be held; one that is no date stays none. */
export const toInstantInRange = (date: Date): Date =>
  new Date(Math.min(Math.max(date.getTime(), 0), LATEST_INSTANT.getTime()));
