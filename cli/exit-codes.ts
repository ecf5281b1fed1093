// What the exit code of pg-cmk says; docs/cli.md lists them for people.

export const EXIT = {
  ok: 0,
  /** Something that should not happen: a fault of this program, or an answer that it does not understand. */
  unexpected: 1,
  /** The command line, the configuration or a file can't be used; or what needed a confirmation got none. */
  usage: 2,
  /** The API refused: no right, not found, not now. */
  refused: 3,
  /** The app can't be reached, or can't answer now: the same command may work later. */
  unavailable: 4,
  /** The command did its work, and what it looked at is not as it should be. */
  checkFailed: 5,
  /** `pg-cmk dek --watch`: the lease was lost. */
  leaseLost: 6,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
