// Servers: registering, reading, holding, copying, moving, drilling (design 9).
import * as z from 'zod';
import { Cursor, Hold, Instant, KeyUrl, KeyVersion, LimitQuery, plainText, ServerId } from './common.ts';

export const Access = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('none') }),
    z.strictObject({
      kind: z.literal('postgres'),
      host: z
        .string()
        .trim()
        .max(253)
        .regex(/^[\w:][\w.:-]*$/, 'a host name or an address'),
      port: z.int().min(1).max(65_535).default(5432),
      maintenanceDatabase: plainText(63).min(1).default('cmk_admin'),
      excludeDatabases: z.array(plainText(63).min(1)).max(100).default([]),
      user: plainText(63).min(1),
      tls: z.enum(['verify-full', 'verify-ca', 'require', 'disable']).default('verify-full'),
      auth: z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('entra') }),
        z.strictObject({
          kind: z.literal('setting'),
          name: z.string().regex(/^PGCMK_SECRET_\w{1,100}$/, 'the name of a setting PGCMK_SECRET_…'),
        }),
      ]),
    }),
  ])
  .meta({ id: 'Access', description: 'How the app reaches the server; `none`: it only cares for the DEK.' });

const PrincipalId = plainText(200).trim().min(1).nullable();

const Labels = z
  .record(plainText(63).min(1), plainText(255))
  .refine((labels) => Object.keys(labels).length <= 20, 'at most 20 labels')
  .default({});

const WrappedDek = z
  .strictObject({
    kekVersion: KeyVersion,
    algorithm: z.literal('RSA-OAEP-256'),
    format: z.enum(['bound-1', 'bare-0']),
    dekId: z.string().regex(/^[0-9a-f]{32}$/, '32 hexadecimal digits'),
    ciphertext: z.string().regex(/^[\w-]{342,683}$/, 'base64url of 256 to 512 bytes'),
  })
  .meta({
    id: 'WrappedDek',
    description: 'A DEK wrapped under a key version; of use only to who may unwrap.',
  });

export const KeyLossPolicy = z.enum(['terminate', 'drain', 'denyNew', 'alertOnly']);

export const RegisterBody = z
  .strictObject({
    keyId: KeyUrl.meta({ description: 'With a version the server is pinned to it.' }),
    access: Access.default({ kind: 'none' }),
    keyLossPolicy: KeyLossPolicy.default('terminate'),
    drainSeconds: z.int().min(0).max(604_800).nullable().default(null),
    /** Left out: null for a new server, and as it is for one that is there. */
    principalId: PrincipalId.optional(),
    labels: Labels,
    wrappedDek: WrappedDek.optional().meta({
      description: 'An existing DEK to take over, in place of a new one. Needs the role Dek.Assign.',
    }),
  })
  .meta({ id: 'RegisterBody' });
export type RegisterBody = z.infer<typeof RegisterBody>;

export const ServerState = z.enum([
  'PendingKey',
  'Ready',
  'Suspect',
  'Revoking',
  'Inaccessible',
  'Restoring',
]);

const Failure = z.object({
  reason: z.string(),
  message: z.string(),
  since: Instant,
  attempt: z.int(),
  nextAttemptAt: Instant,
});

export const Server = z
  .object({
    serverId: ServerId,
    keyId: KeyUrl.meta({ description: 'The key version that its DEK is wrapped under.' }),
    pinned: z.boolean(),
    state: ServerState,
    reason: z.string().nullable(),
    remedy: z.string().nullable(),
    desired: z.enum(['granted', 'revoked']),
    applied: z.enum(['none', 'granted', 'revoked']),
    appliedAt: Instant.nullable(),
    accessEpoch: z.int(),
    keyLossPolicy: KeyLossPolicy,
    drainSeconds: z.int(),
    drainUntil: Instant.nullable(),
    sessionsOpen: z.int().nullable(),
    access: Access,
    principalId: PrincipalId,
    labels: z.record(z.string(), z.string()),
    hold: Hold.nullable(),
    dekId: z.string(),
    wrappedAt: Instant,
    provenAt: Instant.nullable().meta({ description: 'When the vault unwrapped this very wrapping.' }),
    leaseExpiresOn: Instant.nullable(),
    failure: Failure.nullable(),
    rewrapFailure: Failure.omit({ reason: true }).extend({ code: z.string() }).nullable(),
    copyOf: z.object({ serverId: ServerId, kind: z.enum(['replica', 'restore']) }).nullable(),
    movingTo: KeyUrl.nullable(),
    tombstone: z.boolean(),
    createdAt: Instant,
  })
  .meta({ id: 'Server' });
export type Server = z.infer<typeof Server>;

/** The answer of a registration: the wrapped DEK too, so that it is never in one place only. */
export const RegisteredServer = Server.extend({ wrappedDek: WrappedDek }).meta({ id: 'RegisteredServer' });
export type RegisteredServer = z.infer<typeof RegisteredServer>;

const RegistrationCheck = z
  .object({
    code: z.string(),
    outcome: z.enum(['passed', 'warning', 'failed', 'skipped']),
    message: z.string(),
    remedy: z.string().nullable(),
  })
  .meta({ id: 'RegistrationCheck' });

/** The answer of `?validateOnly=true`. */
export const Validation = z
  .object({ valid: z.boolean(), checks: z.array(RegistrationCheck) })
  .meta({ id: 'Validation' });
export type Validation = z.infer<typeof Validation>;

const Flag = z.enum(['true', 'false']).default('false');
export const RegisterQuery = z.object({ validateOnly: Flag });
export const DeleteQuery = z.object({ force: Flag, purge: z.enum(['dek']).optional() });

export const ListServersQuery = z.object({
  key: KeyUrl.optional(),
  state: ServerState.optional(),
  version: KeyVersion.optional(),
  limit: LimitQuery,
  cursor: Cursor.optional(),
});

export const ServerPage = z
  .object({
    servers: z.array(Server),
    held: z
      .array(z.object({ serverId: z.string(), problem: z.string() }))
      .meta({ description: 'Rows that do not parse: held, and left alone.' }),
    cursor: Cursor.nullable().meta({ description: 'null: this was the last page.' }),
  })
  .meta({ id: 'ServerPage' });
export type ServerPage = z.infer<typeof ServerPage>;

/** The answer of a delete. */
export const DeletedServer = z
  .object({
    serverId: ServerId,
    outcome: z.enum(['tombstone', 'purged']),
    keyId: KeyUrl,
    staysClosed: z.array(z.string()).nullable().meta({
      description:
        'Databases that pg-cmk had closed and that stay closed; null: the server could not be asked.',
    }),
  })
  .meta({ id: 'DeletedServer' });
export type DeletedServer = z.infer<typeof DeletedServer>;

export const MoveBody = z.strictObject({ keyId: KeyUrl }).meta({ id: 'MoveBody' });

export const CopyBody = z
  .strictObject({
    serverId: ServerId,
    kind: z.enum(['replica', 'restore']),
    access: Access.default({ kind: 'none' }),
    principalId: PrincipalId.default(null),
    keyId: KeyUrl.optional().meta({
      description: "For a restore: another key than its source's. A replica takes none.",
    }),
    keyLossPolicy: KeyLossPolicy.optional(),
    labels: Labels,
  })
  .meta({ id: 'CopyBody' });
export type CopyBody = z.infer<typeof CopyBody>;

export const Drill = z
  .object({
    serverId: ServerId,
    startedAt: Instant,
    revokedAfterMilliseconds: z.int(),
    restoredAfterMilliseconds: z.int(),
    closed: z.array(z.string()),
    reopened: z.array(z.string()),
    sessionsEnded: z.int(),
  })
  .meta({ id: 'Drill' });
export type Drill = z.infer<typeof Drill>;
