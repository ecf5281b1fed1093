// A drill: one server is revoked and restored for real, and both are measured. Its key isn't touched.

export interface DrillCommand {
  readonly serverId: string;
  readonly by: string;
}

export interface DrillResult {
  readonly startedAt: Date;
  /** From the order to the last session ended and every database closed. */
  readonly revokedAfterMilliseconds: number;
  /** From the lift of the hold to every database open again. */
  readonly restoredAfterMilliseconds: number;
  readonly closed: readonly string[];
  readonly reopened: readonly string[];
  readonly sessionsEnded: number;
}

/** @throws CmkError ServerNotFound, DrillRefused, StoreUnavailable */
export type DrillServer = (command: DrillCommand) => Promise<DrillResult>;
