// What the app depends on, and whether it is there.

export interface HealthCheck {
  readonly name: string;
  readonly status: 'ok' | 'degraded' | 'failing';
  readonly detail: string;
  readonly remedy: string | null;
}

/** Never throws: what can't be asked is a check that fails. */
export type CheckHealth = () => Promise<readonly HealthCheck[]>;
