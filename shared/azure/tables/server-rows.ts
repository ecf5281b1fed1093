// The rows of the tables `servers` and `serverindex`, but for the outbox. What is filtered by or looked at by people
// has a column of its own; the rest is JSON.
import * as z from 'zod';
import { type ErrorCode, isCmkError } from '../../domain/errors.ts';
import { type KekId, kekKey, parseKekKey, parseVersion } from '../../domain/key-id.ts';
import { REMEDIES, type Reason } from '../../domain/reason.ts';
import { parseServerId, type ServerRow } from '../../domain/server.ts';
import { WRAP_ALGORITHM } from '../../domain/wrapped-dek.ts';
import type { HistoryRow } from '../../ports/server-store.ts';
import { base64Url, count, instant, json, kept, keyVersion, orNone } from './columns.ts';
import { hold } from './kek-rows.ts';
import { makeRowFormat, parseSequence, schemaColumn } from './row-format.ts';

export const SERVER_PREFIX = 's:';
export const HISTORY_PREFIX = 'h:';

const SEQUENCE_DIGITS = 10;

export const serverRowKey = (serverId: string): string => `${SERVER_PREFIX}${serverId}`;

export const historyRowKey = ({ serverId, wrapped, sequence }: HistoryRow): string =>
  `${HISTORY_PREFIX}${serverId}:${wrapped.kekVersion}:${String(sequence).padStart(SEQUENCE_DIGITS, '0')}`;

const isReason = (value: unknown): boolean => typeof value === 'string' && Object.hasOwn(REMEDIES, value);
const reason = z.custom<Reason>(isReason, 'not a reason');
const serverReason = z.enum([
  'OperatorHold',
  'KeyNotProven',
  'AccessNotApplied',
  'SessionNotEndable',
  'ReplicaLagging',
  'ServerUnreachable',
  'ServerTlsFailed',
  'ServerAuthFailed',
  'ServerRightsMissing',
]);
/** Only shown, so one that this version of the app doesn't know is no fault. */
const errorCode = z.custom<ErrorCode>((value) => typeof value === 'string' && /^[A-Z]\w+$/.test(value));

/** A KEK as its partition is named. */
const kekName = z.codec(z.string(), z.custom<KekId>(), {
  decode: (text, context) => {
    try {
      return parseKekKey(text);
    } catch (error) {
      if (!isCmkError(error)) throw error;
      context.issues.push({ code: 'custom', input: null, message: 'not the name of a KEK' });
      return z.NEVER;
    }
  },
  encode: kekKey,
});

const retry = { message: z.string(), since: instant, attempt: count, nextAttemptAt: instant };

const access = z.discriminatedUnion('kind', [
  kept({ kind: z.literal('none') }),
  kept({
    kind: z.literal('postgres'),
    host: z.string().min(1),
    port: z.int().min(1).max(65_535),
    maintenanceDatabase: z.string().min(1),
    excludeDatabases: z.array(z.string()).readonly(),
    user: z.string().min(1),
    tls: z.enum(['verify-full', 'verify-ca', 'require', 'disable']),
    auth: z.discriminatedUnion('kind', [
      kept({ kind: z.literal('entra') }),
      kept({ kind: z.literal('setting'), name: z.string().min(1) }),
    ]),
  }),
]);

const wrapping = {
  algorithm: z.literal(WRAP_ALGORITHM),
  format: z.enum(['bound-1', 'bare-0']),
  dekId: z.string().regex(/^[0-9a-f]{32}$/, 'not the id of a DEK'),
  ciphertext: base64Url,
};

const serverColumns = z.object({
  schema: schemaColumn,
  kekVersion: keyVersion,
  ...wrapping,
  wrappedAt: instant,
  provenAt: orNone(instant),
  sequence: count,
  replacedVersion: orNone(keyVersion),
  pinned: z.boolean(),
  access: json(access),
  keyLossPolicy: z.enum(['terminate', 'drain', 'denyNew', 'alertOnly']),
  drainSeconds: count,
  principalId: orNone(z.string().min(1)),
  labels: json(z.record(z.string(), z.string())),
  hold: json(hold.nullable()),
  desired: z.enum(['granted', 'revoked']),
  desiredReason: orNone<Reason>(z.string().pipe(reason)),
  accessEpoch: count,
  drainUntil: orNone(instant),
  applied: z.enum(['none', 'granted', 'revoked']),
  appliedAt: orNone(instant),
  inspectedAt: orNone(instant),
  sessionsOpen: json(count.nullable()),
  failure: json(kept({ ...retry, reason: serverReason }).nullable()),
  rewrapFailure: json(kept({ ...retry, code: errorCode }).nullable()),
  incoming: z.boolean(),
  moving: json(kept({ from: kekName, to: kekName, since: instant, by: z.string() }).nullable()),
  copyOf: json(kept({ serverId: z.string(), kind: z.enum(['replica', 'restore']) }).nullable()),
  leaseExpiresOn: orNone(instant),
  tombstone: z.boolean(),
  createdAt: instant,
});

export const serverFormat = makeRowFormat({
  table: 'servers',
  columns: serverColumns,
  fromColumns: (columns, { partitionKey, rowKey }): ServerRow => {
    const { schema: _, kekVersion, algorithm, format, dekId, ciphertext, ...rest } = columns;
    return {
      serverId: parseServerId(rowKey.slice(SERVER_PREFIX.length)),
      kek: parseKekKey(partitionKey),
      wrapped: { kekVersion, algorithm, format, dekId, ciphertext },
      ...rest,
    };
  },
  toColumns: ({ serverId: _, kek: __, wrapped, ...rest }: ServerRow) => ({
    schema: 1 as const,
    ...wrapped,
    ...rest,
  }),
});

const historyColumns = z.object({
  schema: schemaColumn,
  ...wrapping,
  replacedAt: instant,
  replacedBy: z.string(),
});

export const historyFormat = makeRowFormat({
  table: 'servers',
  columns: historyColumns,
  fromColumns: ({ replacedAt, replacedBy, algorithm, format, dekId, ciphertext }, { rowKey }): HistoryRow => {
    // What is left over makes no number.
    const [serverId = '', version = '', ...rest] = rowKey.slice(HISTORY_PREFIX.length).split(':');
    return {
      serverId: parseServerId(serverId),
      sequence: parseSequence(rest.join(':'), SEQUENCE_DIGITS),
      wrapped: { kekVersion: parseVersion(version), algorithm, format, dekId, ciphertext },
      replacedAt,
      replacedBy,
    };
  },
  toColumns: ({ wrapped: { kekVersion: _, ...wrapped }, replacedAt, replacedBy }: HistoryRow) => ({
    schema: 1 as const,
    ...wrapped,
    replacedAt,
    replacedBy,
  }),
});

const indexColumns = z.object({ schema: schemaColumn, kek: z.string() });

export const indexFormat = makeRowFormat({
  table: 'serverindex',
  columns: indexColumns,
  fromColumns: ({ kek }): KekId => parseKekKey(kek),
  toColumns: (kek: KekId) => ({ schema: 1 as const, kek: kekKey(kek) }),
});
