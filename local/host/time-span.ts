// .NET's TimeSpan as it stands in host.json and in timer schedules: [d.]hh:mm:ss[.fffffff].

const pattern = /^(?:(\d+)\.)?(\d{1,2}):([0-5]?\d):([0-5]?\d)(?:\.(\d{1,7}))?$/;

/** Milliseconds, or undefined when the text is no TimeSpan. */
export function parseTimeSpan(text: string): number | undefined {
  const match = pattern.exec(text.trim());
  if (match === null) return undefined;
  const [days, hours, minutes, seconds] = match.slice(1, 5).map((part) => Number(part ?? 0));
  const fraction = Number(`0.${match[5] ?? 0}`);
  if (hours === undefined || hours > 23) return undefined;
  return Math.round(
    ((((days ?? 0) * 24 + hours) * 60 + (minutes ?? 0)) * 60 + (seconds ?? 0) + fraction) * 1000,
  );
}
