// One thing that pg-cmk doctor looked at.

/** `unseen`: it can't be looked at from here; the remedy says how. */
export type Severity = 'ok' | 'info' | 'unseen' | 'warning' | 'error';

export interface Finding {
  readonly check: string;
  readonly severity: Severity;
  readonly found: string;
  readonly remedy: string | null;
}

export const finding = (
  check: string,
  severity: Severity,
  found: string,
  remedy: string | null = null,
): Finding => ({ check, severity, found, remedy });

/** `a, b, c and 4 more`. */
export const some = (names: readonly string[], most = 5): string =>
  names.length <= most
    ? names.join(', ')
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
