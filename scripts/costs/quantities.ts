// How much of each thing a fleet uses in a month while nothing happens: no rotation, no loss. Every number of times is
// the code's own, and test/scripts/costs.test.ts counts the calls of a fleet on fakes against it. How long a thing takes
// nobody has measured in Azure: those are the assumptions.
import type { LimitClass } from '../../shared/azure/vault/vault-limits.ts';
import { RANGE_SERVERS } from '../../shared/domain/message.ts';
import { SERVER_STATES } from '../../shared/domain/server.ts';
import type { PriceName } from './prices.ts';

export interface Fleet {
  /** With PostgreSQL access. */
  readonly servers: number;
  readonly keys: number;
  /** Key versions in use, for each key. */
  readonly versions: number;
  readonly keyClass: LimitClass;
}

/** The defaults of the settings, of host.json and of main.bicep; the test compares. */
export const DEFAULTS = {
  probeSeconds: 10,
  sweepTickSeconds: 60,
  outboxSeconds: 5,
  sweepSeconds: 300,
  inspectSeconds: 300,
  pollSeconds: 0.5,
  memoryGb: 2,
  /** probeKeks, reconcileKek, applyServerAccess. */
  readyInstances: 3,
  /** Of them, those that look into a queue. */
  readyQueues: 2,
  alerts: { every1Minute: 1, every5Minutes: 6, every15Minutes: 4 },
} as const;

/** Not measured. */
export const ASSUMED = {
  /** Flex Consumption bills at least so much of each execution; whether ours take longer nobody knows yet. */
  executionSeconds: 1,
  /** Of one record in Log Analytics. */
  bytesPerRecord: 1_000,
} as const;

const MONTH_HOURS = 730;
const MONTH_SECONDS = MONTH_HOURS * 3600;
const ROWS_A_PAGE = 1000;
/** A pass over the servers of a key reads ten ranges at a time. */
const PASS_ROWS = RANGE_SERVERS * 10;
/** Put, get, delete. */
const REQUESTS_A_MESSAGE = 3;
/** Two tables; a chain at rest is asked no more. */
const OUTBOX_REQUESTS = 2;
/** Of a sweep's look at one key: read and written once when it is observed and once when its servers are counted, the breaker, and whether a rotation has ended. */
const RECONCILE_REQUESTS = 8;
/** The versions of the key, in one call. */
const DESCRIBE_CALLS = 1;
/** Of a range: its rows, and the key after them (I-11). */
const RANGE_REQUESTS = 2;
/** Of a server that is inspected: read before, read after, written. */
const INSPECT_REQUESTS = 3;

/** The host's request and the app's span; log lines of a quiet fleet are few. */
const RECORDS_AN_EXECUTION = 2;
/** Of each key version in use: whether it is good, and when it expires. */
const GAUGES_A_VERSION = 2;
/** Probes, and what a sweep reads and unwraps. */
const CALL_COUNTERS = 3;
const METRICS_EVERY_SECONDS = 60;

export interface Quiet {
  readonly vaultOperations: number;
  readonly tableRequests: number;
  readonly reconciles: number;
  readonly accessMessages: number;
}

type Periods = Pick<
  typeof DEFAULTS,
  'probeSeconds' | 'sweepTickSeconds' | 'outboxSeconds' | 'sweepSeconds' | 'inspectSeconds'
>;
type Widened<T> = { readonly [K in keyof T]: number };

/** What is asked in `seconds`, with every period as short as it may be. */
export function quietFor(seconds: number, fleet: Fleet, periods: Widened<Periods> = DEFAULTS): Quiet {
  const { servers, keys, versions } = fleet;
  const lists = Math.ceil((keys * (1 + versions)) / ROWS_A_PAGE);
  const perKey = servers / keys;
  const reconciles = (keys * seconds) / periods.sweepSeconds;
  // Each sweep finds those due whose period is over: every one once in a period.
  const inspections = (servers * seconds) / periods.inspectSeconds;
  const accessMessages = (keys * Math.ceil(perKey / RANGE_SERVERS) * seconds) / periods.inspectSeconds;
  return {
    vaultOperations:
      (keys * versions * seconds) / periods.probeSeconds + reconciles * (DESCRIBE_CALLS + versions),
    tableRequests:
      (lists * seconds) / periods.probeSeconds +
      (lists * seconds) / periods.sweepTickSeconds +
      ((lists + OUTBOX_REQUESTS * (keys + 1)) * seconds) / periods.outboxSeconds +
      reconciles * (RECONCILE_REQUESTS + Math.ceil(perKey / PASS_ROWS)) +
      accessMessages * RANGE_REQUESTS +
      inspections * INSPECT_REQUESTS,
    reconciles,
    accessMessages,
  };
}

/** What a month is billed by. */
export function monthly(fleet: Fleet): Readonly<Partial<Record<PriceName, number>>> {
  const quiet = quietFor(MONTH_SECONDS, fleet);
  const ticks = (period: number) => MONTH_SECONDS / period;
  const onReady = ticks(DEFAULTS.probeSeconds) + quiet.reconciles + quiet.accessMessages;
  const onDemand = ticks(DEFAULTS.sweepTickSeconds) + ticks(DEFAULTS.outboxSeconds);
  const gigabyteSeconds = (executions: number) => executions * ASSUMED.executionSeconds * DEFAULTS.memoryGb;
  const { alerts } = DEFAULTS;
  const gauges = SERVER_STATES.length + fleet.keys * fleet.versions * GAUGES_A_VERSION;
  const records =
    RECORDS_AN_EXECUTION * (onReady + onDemand) + (gauges + CALL_COUNTERS) * ticks(METRICS_EVERY_SECONDS);
  return {
    [fleet.keyClass.endsWith('2048') ? 'rsa2048Operations' : 'largerKeyOperations']: quiet.vaultOperations,
    readyMemory: DEFAULTS.readyInstances * DEFAULTS.memoryGb * MONTH_SECONDS,
    readyExecution: gigabyteSeconds(onReady),
    demandExecution: gigabyteSeconds(onDemand),
    executions: onReady + onDemand,
    tableRequests: quiet.tableRequests,
    queueRequests:
      REQUESTS_A_MESSAGE * (quiet.reconciles + quiet.accessMessages) +
      DEFAULTS.readyQueues * ticks(DEFAULTS.pollSeconds),
    eventHubUnit: MONTH_HOURS,
    // The vault's audit log has a record for each operation.
    eventHubEvents: quiet.vaultOperations,
    logData: (records * ASSUMED.bytesPerRecord) / 1e9,
    alertsEvery1Minute: alerts.every1Minute,
    alertsEvery5Minutes: alerts.every5Minutes,
    alertsEvery15Minutes: alerts.every15Minutes,
  };
}
