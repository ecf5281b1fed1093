// List prices in US dollars, each with where it was read and for when. Second hand: nobody of this project could ask
// Azure's price list. Look yours up before you decide, and put it here.

export interface Price {
  readonly what: string;
  readonly usd: number;
  readonly per: number;
  readonly unit: string;
  /** So many a month cost nothing. */
  readonly free?: number;
  readonly source: string;
}

const FLEX = 'Azure Retail Prices, East US 2, as quoted on 2026-09-26';
const EAST_US = 'Azure Retail Prices, East US, as quoted on 2026-10-03';
const INFRACOST = "infracost's test data (da0a586, 3a74ef4, e9ce629), made from Azure's price list";

export const PRICES = {
  rsa2048Operations: {
    what: 'vault, operations on RSA 2048',
    usd: 0.03,
    per: 10_000,
    unit: 'operations',
    source: EAST_US,
  },
  largerKeyOperations: {
    what: 'vault, operations on RSA 3072 and 4096',
    usd: 0.15,
    per: 10_000,
    unit: 'operations',
    source: 'Azure Retail Prices, West Europe, as quoted on 2026-09-24',
  },
  readyMemory: {
    what: 'functions, memory that is always ready',
    usd: 0.000_004,
    per: 1,
    unit: 'GB-s',
    source: FLEX,
  },
  readyExecution: {
    what: 'functions, execution on instances that are always ready',
    usd: 0.000_016,
    per: 1,
    unit: 'GB-s',
    source: FLEX,
  },
  demandExecution: {
    what: 'functions, execution on demand',
    usd: 0.000_026,
    per: 1,
    unit: 'GB-s',
    free: 100_000,
    source: `${FLEX}; the free part: West US 2, 2026-08-20`,
  },
  executions: {
    what: 'functions, executions',
    usd: 0.4,
    per: 1_000_000,
    unit: 'executions',
    source: FLEX,
  },
  tableRequests: {
    what: 'storage, requests to tables',
    usd: 0.000_36,
    per: 10_000,
    unit: 'requests',
    source: 'Azure Retail Prices, Southeast Asia, LRS, as quoted in 2026',
  },
  queueRequests: {
    what: 'storage, requests to queues',
    usd: 0.004,
    per: 10_000,
    unit: 'requests',
    source: INFRACOST,
  },
  eventHubUnit: {
    what: 'event hub, throughput unit of the standard tier',
    usd: 0.03,
    per: 1,
    unit: 'hours',
    source: INFRACOST,
  },
  eventHubEvents: {
    what: 'event hub, incoming events',
    usd: 0.028,
    per: 1_000_000,
    unit: 'events',
    source: INFRACOST,
  },
  logData: {
    what: 'Log Analytics, data taken in',
    usd: 2.3,
    per: 1,
    unit: 'GB',
    free: 5,
    source: EAST_US,
  },
  alertsEvery1Minute: {
    what: 'log alerts, every minute',
    usd: 3,
    per: 1,
    unit: 'rules',
    source: INFRACOST,
  },
  alertsEvery5Minutes: {
    what: 'log alerts, every 5 minutes',
    usd: 1.5,
    per: 1,
    unit: 'rules',
    source: EAST_US,
  },
  alertsEvery15Minutes: {
    what: 'log alerts, every 15 minutes or more',
    usd: 0.5,
    per: 1,
    unit: 'rules',
    source: INFRACOST,
  },
} as const satisfies Readonly<Record<string, Price>>;

export type PriceName = keyof typeof PRICES;
