// ISO 8601 durations as rotation policies write them: `P90D`, `P2Y`, `P1Y3M`.

const PATTERN = /^P(?=\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?$/;

/** Seconds, counting a month as 30 days and a year as 365; null where it isn't a duration in days or more. */
export function parseDurationSeconds(text: string): number | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  const [years = 0, months = 0, weeks = 0, days = 0] = match.slice(1).map((part) => Number(part ?? 0));
  return (years * 365 + months * 30 + weeks * 7 + days) * 86_400;
}
