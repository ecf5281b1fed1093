// The rows of the table `keks`, but for its outbox.
import * as z from 'zod';
import type { BreakerState } from '../../domain/breaker.ts';
import type { KekState } from '../../domain/kek.ts';
import { parseKekKey, parseVersion } from '../../domain/key-id.ts';
import type { VersionState } from '../../domain/key-status.ts';
import { base64Url, count, instant, json, kept, keyVersion, orNone } from './columns.ts';
import { makeRowFormat, schemaColumn } from './row-format.ts';

export const KEK_ROW = 'kek';
export const VERSION_PREFIX = 'v:';
export const BREAKER_KEYS = { partitionKey: 'breaker', rowKey: 'state' } as const;

const keyReason = z.enum([
  'KeyDisabled',
  'KeyExpired',
  'KeyNotYetValid',
  'KeyOperationForbidden',
  'KeySoftDeleted',
  'KeyPurged',
  'KeyNotFound',
  'AccessDenied',
  'FirewallDenied',
  'VaultNotFound',
  'IdentityUnavailable',
  'Throttled',
  'VaultUnreachable',
  'UnexpectedAnswer',
  'CanaryMismatch',
  'CanaryUnavailable',
]);

export const hold = kept({
  by: z.string(),
  reason: z.string(),
  since: instant,
  until: instant.nullable(),
});

const wave = kept({ number: count, upTo: z.string(), openedAt: instant }).nullable();

const kekColumns = z.object({
  schema: schemaColumn,
  epoch: count,
  fannedOutEpoch: count,
  target: orNone(keyVersion),
  rotation: json(
    z.discriminatedUnion('state', [
      kept({ state: z.literal('idle') }),
      kept({
        state: z.literal('running'),
        startedAt: instant,
        resumedAt: instant.nullable(),
        wave,
      }),
      kept({
        state: z.literal('halted'),
        startedAt: instant,
        since: instant,
        failures: count,
        wave,
      }),
      kept({ state: z.literal('completed'), startedAt: instant, completedAt: instant }),
      kept({ state: z.literal('blocked'), newest: keyVersion, reason: keyReason, since: instant }),
    ]),
  ),
  policy: json(
    kept({
      expiredKeyPolicy: z.enum(['revoke', 'warn']),
      transientBuffer: z.enum(['alert', 'revoke']),
      rewrapVerification: z.enum(['sample', 'every']),
      rewrapPaused: z.boolean(),
      canaryServers: z.array(z.string()).readonly(),
      waveServers: count.nullable(),
      waveSoakSeconds: count,
      haltAfterFailures: count.nullable(),
    }),
  ),
  hold: json(hold.nullable()),
  census: json(
    kept({
      countedAt: instant,
      versions: z.record(
        keyVersion,
        kept({
          servers: count,
          tombstones: count,
          copies: count,
          unproven: count,
          unprovenSuccessors: count,
        }),
      ),
      // Rows of 0.1.0 say nothing of it until the next sweep.
      states: z.record(keyVersion, z.record(z.string(), count)).default({}),
      notSettled: count,
      // Nor of these.
      behind: count.default(0),
      lastBehind: z.string().nullable().default(null),
    }).nullable(),
  ),
  observedFrom: orNone(instant),
  lastHintAt: orNone(instant),
});

export const kekFormat = makeRowFormat({
  table: 'keks',
  columns: kekColumns,
  fromColumns: ({ schema: _, ...columns }, { partitionKey }): KekState => ({
    kek: parseKekKey(partitionKey),
    ...columns,
  }),
  toColumns: ({ kek: _, ...state }: KekState) => ({ schema: 1 as const, ...state }),
});

const versionColumns = z.object({
  schema: schemaColumn,
  status: z.enum(['usable', 'unusable', 'unknown']),
  reason: orNone(keyReason),
  since: instant,
  verdict: z.enum(['unproven', 'serve', 'revoke']),
  verdictReason: orNone(keyReason),
  verdictSince: instant,
  run: json(
    kept({
      class: z.enum(['good', 'suspect', 'missing']),
      since: instant,
      answers: count,
      others: kept({ since: instant, answers: count }).optional(),
    }).nullable(),
  ),
  transientSince: orNone(instant),
  seenDeleted: z.boolean(),
  attributes: json(
    kept({
      enabled: z.boolean(),
      notBefore: instant.nullable(),
      expiresOn: instant.nullable(),
      createdOn: instant,
    }).nullable(),
  ),
  canary: orNone(base64Url),
  inUse: z.boolean(),
  warnedDays: json(count.nullable()),
  provenAt: orNone(instant),
  degraded: z.boolean(),
  retiredAt: orNone(instant),
  lastDependedOn: orNone(instant),
});

export const versionFormat = makeRowFormat({
  table: 'keks',
  columns: versionColumns,
  fromColumns: ({ schema: _, ...columns }, { rowKey }): VersionState => ({
    version: parseVersion(rowKey.slice(VERSION_PREFIX.length)),
    ...columns,
  }),
  toColumns: ({ version: _, ...state }: VersionState) => ({ schema: 1 as const, ...state }),
});

const breakerColumns = z.object({
  schema: schemaColumn,
  suspects: json(z.record(z.string(), instant)),
  trippedAt: orNone(instant),
});

export const breakerFormat = makeRowFormat({
  table: 'keks',
  columns: breakerColumns,
  fromColumns: ({ schema: _, ...state }): BreakerState => state,
  toColumns: (state: BreakerState) => ({ schema: 1 as const, ...state }),
});
