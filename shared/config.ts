// The environment, read once at the start. A fault in any setting stops the start: an app that is half configured
// must not run. docs/settings.md explains each setting.
import type * as z from 'zod';
import { type ConfigFault, findClashes, findStorageFaults, type Given } from './config-faults.ts';
import { CmkError } from './domain/errors.ts';
import type { LogLevel } from './ports/runtime.ts';
import { type CREDENTIALS, settingsSchema, settingsTable, splitSuffixes } from './settings.ts';

export type StorageConfig =
  | { readonly kind: 'connectionString'; readonly connectionString: string }
  | {
      readonly kind: 'identity';
      readonly tableServiceUri: string;
      readonly queueServiceUri: string;
      readonly blobServiceUri: string;
    };

export interface ApiConfig {
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** null: the issuer's discovery document says. */
  readonly jwksUri: string | null;
  readonly rolesClaim: string;
  readonly principalClaim: string;
  /** An Ed25519 private key, for {@link parseSigningKey}. */
  readonly signingKey: string;
}

/** The whole configuration; seconds, minutes and hours as the names say. */
export interface Config {
  readonly storage: StorageConfig;
  readonly credential: { readonly kind: (typeof CREDENTIALS)[number]; readonly clientId: string | null };
  readonly vault: {
    /** In lower case; short names of vaults belong to the first. */
    readonly dnsSuffixes: readonly string[];
    readonly challengeVerification: boolean;
    /** More than 0, at most 1. */
    readonly share: number;
    readonly limitPer10s: number | null;
    readonly maxInstances: number;
  };
  readonly keyRules: {
    readonly confirmSuspectSeconds: number;
    readonly restoreGapSeconds: number;
    readonly transientBufferHours: number;
    readonly breakerHoldMinutes: number;
  };
  readonly schedules: {
    readonly probe: string;
    readonly sweep: string;
    readonly outbox: string;
    readonly export: string;
  };
  readonly sweep: {
    readonly sweepSeconds: number;
    readonly inspectGrantedSeconds: number;
    readonly inspectRevokedSeconds: number;
    readonly proveAfterSeconds: number;
  };
  readonly drainSeconds: number;
  /** null: own events are audited and go nowhere. */
  readonly eventTopic: { readonly endpoint: string; readonly key: string | null } | null;
  /** null: the audit log isn't read. `connection` is the prefix of its connection settings. */
  readonly auditEventHub: { readonly name: string; readonly connection: 'AuditEventHub' } | null;
  readonly postgresCaFile: string | null;
  /** In lower case: servers that the app's Entra token may go to are under these. */
  readonly postgresTokenSuffixes: readonly string[];
  /** null: the HTTP API answers 503. */
  readonly api: ApiConfig | null;
  readonly dek: { readonly leaseSeconds: number; readonly releasesPerMinute: number };
  readonly retireSoakHours: number;
  /** null: metrics and traces go nowhere. `byIdentity`: they are sent with the app's identity. */
  readonly telemetry: { readonly connectionString: string; readonly byIdentity: boolean } | null;
  readonly logLevel: LogLevel;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const OWN = 'PGCMK_';
/** Passwords of servers, and the settings of the local host: theirs to name. */
const FOREIGN = ['PGCMK_SECRET_', 'PGCMK_HOST_'];

/**
 * A setting that is blank counts as not given.
 * @throws CmkError InvalidConfig; its `detail.faults` are all the faults there are, as ConfigFault
 */
export function readConfig(environment: Environment): Config {
  const given = readGiven(environment);
  const parsed = settingsSchema.safeParse(given);
  const faults = [
    ...(parsed.error?.issues ?? []).map((issue) => toFault(issue.path.join('.'), issue.message)),
    ...findUnknown(environment),
    ...findStorageFaults(given),
    ...findClashes(given),
  ];
  if (parsed.success && faults.length === 0) return toConfig(parsed.data);
  throw new CmkError(
    'InvalidConfig',
    faults.map((one) => `${one.name} ${one.problem}. ${one.remedy}`).join('\n'),
    {
      remedy: 'Correct these settings, and start the app again. docs/settings.md explains each.',
      detail: { faults },
    },
  );
}

const readGiven = (environment: Environment): Given =>
  Object.fromEntries(
    settingsTable.flatMap(({ name }) => {
      const text = environment[name]?.trim() ?? '';
      return text === '' ? [] : [[name, text]];
    }),
  );

function toFault(name: string, problem: string): ConfigFault {
  const row = settingsTable.find((one) => one.name === name);
  const remedy = `Give ${row?.limits} (${row?.unit})${row?.default ? `, or leave it out for ${row.default}` : ''}.`;
  return { name, problem, remedy };
}

/** A name that nobody reads is a slip of the pen, and what was meant would silently not hold. */
const findUnknown = (environment: Environment): readonly ConfigFault[] =>
  Object.keys(environment)
    .filter((name) => name.toUpperCase().startsWith(OWN))
    .filter((name) => !FOREIGN.some((prefix) => name.startsWith(prefix)))
    .filter((name) => !settingsTable.some((row) => row.name === name))
    .map((name) => ({
      name,
      problem: 'is no setting of this app',
      remedy: 'Correct the name, or remove it; docs/settings.md lists all names.',
    }));

type Values = z.infer<typeof settingsSchema>;

function toStorage(values: Values): StorageConfig {
  if (values.AzureWebJobsStorage !== null)
    return { kind: 'connectionString', connectionString: values.AzureWebJobsStorage };
  const ofAccount = (service: string) =>
    `https://${values.AzureWebJobsStorage__accountName}.${service}.core.windows.net`;
  return {
    kind: 'identity',
    tableServiceUri: values.AzureWebJobsStorage__tableServiceUri ?? ofAccount('table'),
    queueServiceUri: values.AzureWebJobsStorage__queueServiceUri ?? ofAccount('queue'),
    blobServiceUri: values.AzureWebJobsStorage__blobServiceUri ?? ofAccount('blob'),
  };
}

function toApiConfig(values: Values): ApiConfig | null {
  const { PGCMK_AUTH_ISSUER: issuer, PGCMK_AUTH_AUDIENCE: audience, PGCMK_SIGNING_KEY: signingKey } = values;
  // That all three are given, or no issuer, was checked among the clashes.
  if (issuer === null || audience === null || signingKey === null) return null;
  return {
    issuer,
    audiences: audience.split(',').map((one) => one.trim()),
    jwksUri: values.PGCMK_AUTH_JWKS_URI,
    rolesClaim: values.PGCMK_AUTH_ROLES_CLAIM,
    principalClaim: values.PGCMK_AUTH_PRINCIPAL_CLAIM,
    signingKey,
  };
}

function toTelemetry(values: Values): Config['telemetry'] {
  const connectionString = values.APPLICATIONINSIGHTS_CONNECTION_STRING;
  // That it is given for `azureMonitor` was checked among the clashes.
  if (values.PGCMK_TELEMETRY === 'off' || connectionString === null) return null;
  return { connectionString, byIdentity: values.APPLICATIONINSIGHTS_AUTHENTICATION_STRING !== null };
}

const toConfig = (values: Values): Config => ({
  storage: toStorage(values),
  credential: { kind: values.PGCMK_CREDENTIAL, clientId: values.AZURE_CLIENT_ID },
  vault: {
    dnsSuffixes: splitSuffixes(values.PGCMK_KEY_VAULT_DNS_SUFFIXES),
    challengeVerification: values.PGCMK_VAULT_CHALLENGE_VERIFICATION === 'on',
    share: values.PGCMK_VAULT_SHARE,
    limitPer10s: values.PGCMK_VAULT_LIMIT_PER_10S,
    maxInstances: values.PGCMK_MAX_INSTANCES,
  },
  keyRules: {
    confirmSuspectSeconds: values.PGCMK_CONFIRM_SUSPECT_SECONDS,
    restoreGapSeconds: values.PGCMK_RESTORE_GAP_SECONDS,
    transientBufferHours: values.PGCMK_TRANSIENT_BUFFER_HOURS,
    breakerHoldMinutes: values.PGCMK_BREAKER_HOLD_MINUTES,
  },
  schedules: {
    probe: values.PGCMK_PROBE_SCHEDULE,
    sweep: values.PGCMK_SWEEP_SCHEDULE,
    outbox: values.PGCMK_OUTBOX_SCHEDULE,
    export: values.PGCMK_EXPORT_SCHEDULE,
  },
  sweep: {
    sweepSeconds: values.PGCMK_SWEEP_SECONDS,
    inspectGrantedSeconds: values.PGCMK_INSPECT_GRANTED_SECONDS,
    inspectRevokedSeconds: values.PGCMK_INSPECT_REVOKED_SECONDS,
    proveAfterSeconds: values.PGCMK_PROVE_AFTER_SECONDS,
  },
  drainSeconds: values.PGCMK_DRAIN_SECONDS,
  eventTopic:
    values.PGCMK_EVENT_TOPIC_ENDPOINT === null
      ? null
      : { endpoint: values.PGCMK_EVENT_TOPIC_ENDPOINT, key: values.PGCMK_EVENT_TOPIC_KEY },
  auditEventHub:
    values.PGCMK_AUDIT_EVENT_HUB === null
      ? null
      : { name: values.PGCMK_AUDIT_EVENT_HUB, connection: 'AuditEventHub' },
  postgresCaFile: values.PGCMK_POSTGRES_CA_FILE,
  postgresTokenSuffixes: splitSuffixes(values.PGCMK_POSTGRES_TOKEN_SUFFIXES),
  api: toApiConfig(values),
  dek: {
    leaseSeconds: values.PGCMK_DEK_LEASE_SECONDS,
    releasesPerMinute: values.PGCMK_DEK_RELEASES_PER_MINUTE,
  },
  retireSoakHours: values.PGCMK_RETIRE_SOAK_HOURS,
  telemetry: toTelemetry(values),
  logLevel: values.PGCMK_LOG_LEVEL,
});
