// What the adapter is built with, and the defaults of its times.

/** Where the app's password for a server comes from, and whom the app trusts. */
export interface Credentials {
  /** The value of an app setting; undefined where there is none. Called for `auth: setting` only. */
  readonly readSecretSetting: (name: string) => string | undefined;
  /** The hosts that this setting's password may go to, separated by commas; undefined: any, and only by SCRAM. */
  readonly readSecretHosts: (name: string) => string | undefined;
  /** The domains of servers that a token may go to. */
  readonly tokenSuffixes: readonly string[];
  /** A token of the app's identity for Azure Database for PostgreSQL. Called for `auth: entra` only. */
  readonly getEntraToken: () => Promise<string>;
  /** The certificates that servers may chain to, in place of Node's own list. */
  readonly caPem?: string | undefined;
}

export interface Timings {
  readonly connectTimeoutMs: number;
  /** How long the server may work at one statement. */
  readonly statementTimeoutMs: number;
  /** How long to wait for another worker's order. */
  readonly lockTimeoutMs: number;
  /** After how long the server drops a worker that is frozen inside its transaction; less than `lockTimeoutMs`. */
  readonly idleInTransactionTimeoutMs: number;
  /** The time between the two counts that must both find nothing. */
  readonly verifyGapMs: number;
  /** How often a revoke looks before it leaves the rest to the next try. */
  readonly maxRounds: number;
  /** How long to wait on a replica for what its primary wrote. */
  readonly replicaWaitMs: number;
}

export type PostgresSettings = Credentials & { readonly [name in keyof Timings]?: Timings[name] | undefined };

export type CompleteSettings = Credentials & Timings;

/** `settings` with every default filled in. */
export function completeSettings(settings: PostgresSettings): CompleteSettings {
  return {
    readSecretSetting: settings.readSecretSetting,
    readSecretHosts: settings.readSecretHosts,
    tokenSuffixes: settings.tokenSuffixes,
    getEntraToken: settings.getEntraToken,
    caPem: settings.caPem,
    connectTimeoutMs: settings.connectTimeoutMs ?? 5_000,
    statementTimeoutMs: settings.statementTimeoutMs ?? 15_000,
    lockTimeoutMs: settings.lockTimeoutMs ?? 10_000,
    idleInTransactionTimeoutMs: settings.idleInTransactionTimeoutMs ?? 5_000,
    verifyGapMs: settings.verifyGapMs ?? 2_000,
    maxRounds: settings.maxRounds ?? 30,
    replicaWaitMs: settings.replicaWaitMs ?? 5_000,
  };
}
