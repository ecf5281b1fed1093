// Keys: status, census, policy, rotation, impact, retirement (design 9).
import * as z from 'zod';
import { Cursor, Hold, Instant, KeyUrl, KeyVersion, LimitQuery, ServerId } from './common.ts';

export const Policy = z
  .object({
    expiredKeyPolicy: z.enum(['revoke', 'warn']),
    transientBuffer: z.enum(['alert', 'revoke']),
    rewrapVerification: z.enum(['sample', 'every']),
    rewrapPaused: z.boolean(),
    canaryServers: z.array(ServerId).max(98).meta({ description: 'Rewrapped first.' }),
    waveServers: z
      .int()
      .min(1)
      .max(1_000_000)
      .nullable()
      .meta({ description: 'null: all that are left at once.' }),
    waveSoakSeconds: z.int().min(0).max(604_800),
    haltAfterFailures: z.int().min(0).max(1_000_000).nullable().meta({ description: 'null: never.' }),
  })
  .meta({ id: 'Policy' });

export const PolicyBody = z
  .strictObject(Policy.shape)
  .partial()
  .refine((body) => Object.keys(body).length > 0, 'names nothing to change')
  .meta({ id: 'PolicyBody' });
export type PolicyBody = z.infer<typeof PolicyBody>;

export const VersionCount = z
  .object({
    servers: z.int(),
    tombstones: z.int(),
    copies: z.int(),
    unproven: z.int(),
    unprovenSuccessors: z.int(),
  })
  .meta({ id: 'VersionCount', description: 'What depends on a key version.' });

const Wave = z.object({ number: z.int(), upTo: z.string(), openedAt: Instant });

export const Rotation = z
  .discriminatedUnion('state', [
    z.object({ state: z.literal('idle') }),
    z.object({
      state: z.literal('running'),
      startedAt: Instant,
      resumedAt: Instant.nullable(),
      wave: Wave.nullable(),
    }),
    z.object({
      state: z.literal('halted'),
      startedAt: Instant,
      since: Instant,
      failures: z.int(),
      wave: Wave.nullable(),
    }),
    z.object({ state: z.literal('completed'), startedAt: Instant, completedAt: Instant }),
    z.object({ state: z.literal('blocked'), newest: KeyVersion, reason: z.string(), since: Instant }),
  ])
  .meta({ id: 'Rotation' });

export const KeyVersionView = z
  .object({
    version: KeyVersion,
    keyId: KeyUrl,
    status: z.enum(['usable', 'unusable', 'unknown']),
    reason: z.string().nullable(),
    remedy: z.string().nullable(),
    since: Instant,
    verdict: z.enum(['unproven', 'serve', 'revoke']),
    verdictReason: z.string().nullable(),
    verdictSince: Instant,
    enabled: z.boolean().nullable(),
    createdOn: Instant.nullable(),
    notBefore: Instant.nullable(),
    expiresOn: Instant.nullable(),
    inUse: z.boolean(),
    provenAt: Instant.nullable(),
    retiredAt: Instant.nullable(),
    count: VersionCount.nullable(),
  })
  .meta({ id: 'KeyVersionView' });

export const Progress = z
  .object({
    countedAt: Instant,
    servers: z.int(),
    onTarget: z.int().meta({ description: 'Of those that follow the rotation.' }),
    behind: z.int(),
    states: z.record(z.string(), z.int()),
    held: z.int(),
    /** Servers a second since the rotation began; null: nothing to tell it from. */
    serversPerSecond: z.number().nullable(),
    expectedEnd: Instant.nullable(),
    failures: z.array(
      z.object({ serverId: ServerId, code: z.string(), message: z.string(), since: Instant }),
    ),
    failureCount: z.int(),
  })
  .meta({ id: 'Progress' });
export type Progress = z.infer<typeof Progress>;

export const Key = z
  .object({
    keyId: KeyUrl,
    vault: z.string(),
    name: z.string(),
    target: KeyVersion.nullable(),
    epoch: z.int(),
    settled: z.boolean().meta({ description: 'Whether every change was handed on to the servers.' }),
    policy: Policy,
    hold: Hold.nullable(),
    rotation: Rotation,
    versions: z.array(KeyVersionView),
    countedAt: Instant.nullable(),
    servers: z.int().nullable(),
    notSettled: z.int().nullable(),
    lastEventAt: Instant.nullable(),
    newestExport: z
      .object({ exportedAt: Instant, versions: z.array(KeyVersion) })
      .nullable()
      .meta({ description: 'The newest verified export of the tables, and what it depends on of this key.' }),
  })
  .meta({ id: 'Key' });
export type Key = z.infer<typeof Key>;

export const KeyDetail = Key.extend({
  progress: Progress.nullable().meta({ description: 'Counted for this answer, with `?count=now`.' }),
}).meta({ id: 'KeyDetail' });
export type KeyDetail = z.infer<typeof KeyDetail>;

export const KeyQuery = z.object({ count: z.enum(['now']).optional() });
export const ListKeysQuery = z.object({
  vault: z
    .string()
    .max(260)
    .regex(/^[\w.:-]+$/, "a vault's host")
    .optional(),
  limit: LimitQuery,
  cursor: Cursor.optional(),
});
export const KeyPage = z.object({ keys: z.array(Key), cursor: Cursor.nullable() }).meta({ id: 'KeyPage' });
export type KeyPage = z.infer<typeof KeyPage>;

export const ImpactQuery = z.object({
  of: z.enum(['disable', 'delete', 'expire']).default('disable'),
  version: KeyVersion.optional(),
  limit: LimitQuery.pipe(z.number().max(100)),
  cursor: Cursor.optional(),
});

export const Impact = z
  .object({
    keyId: KeyUrl,
    of: z.enum(['disable', 'delete', 'expire']),
    countedAt: Instant,
    servers: z.int().meta({ description: 'Servers under the key, tombstones left out.' }),
    wouldLoseAccess: z.int(),
    wouldKeepAccess: z.int(),
    firstLossAt: Instant.nullable().meta({
      description: 'For `expire`; for the others within the probe period.',
    }),
    detectionSeconds: z.int(),
    sessionsOpen: z.int().meta({ description: 'On the servers of this page, asked now.' }),
    page: z.array(
      z.object({
        serverId: ServerId,
        state: z.string(),
        version: KeyVersion,
        keyLossPolicy: z.string(),
        losesAccess: z.boolean(),
        at: Instant.nullable(),
        why: z.string(),
        sessionsOpen: z
          .int()
          .nullable()
          .meta({ description: 'null: it could not be asked, or has no sessions to ask for.' }),
      }),
    ),
    cursor: Cursor.nullable(),
  })
  .meta({ id: 'Impact' });
export type Impact = z.infer<typeof Impact>;

export const RewrapBody = z.strictObject({ dryRun: z.boolean().default(false) }).meta({ id: 'RewrapBody' });

export const RewrapPlan = z
  .object({
    dryRun: z.boolean(),
    keyId: KeyUrl,
    target: KeyVersion.nullable(),
    newest: KeyVersion.nullable(),
    blocked: z.string().nullable().meta({
      description:
        'Why nothing moves yet: what is against the newest version, or `RewrapPaused`, when the plan is for after the pause.',
    }),
    toRewrap: z.int(),
    upToDate: z.int(),
    cannotMove: z.array(z.object({ reason: z.string(), servers: z.int(), examples: z.array(ServerId) })),
    waves: z.int(),
    vaultOperations: z.int(),
    expectedSeconds: z.number(),
    rotation: Rotation,
  })
  .meta({ id: 'RewrapPlan' });
export type RewrapPlan = z.infer<typeof RewrapPlan>;

export const Retirement = z
  .object({
    keyId: KeyUrl,
    retiredAt: Instant,
    prunedHistory: z.int(),
    statement: z.string().meta({ description: 'A compact JWS that `pg-cmk verify` checks offline.' }),
    next: z
      .string()
      .meta({ description: 'The command that disables the version in the vault. pg-cmk never does.' }),
  })
  .meta({ id: 'Retirement' });
export type Retirement = z.infer<typeof Retirement>;

export const SigningKeys = z
  .object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string() })) })
  .meta({ id: 'SigningKeys', description: 'A JWK set (RFC 7517): what statements are checked with.' });
