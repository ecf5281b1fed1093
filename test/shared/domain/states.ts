// What the tests of the domain start from: one KEK, three of its versions, and observations of them.
import type { KekContext, KekObservation } from '../../../shared/domain/decide-kek.ts';
import { type KekSnapshot, type KekState, makeKekState } from '../../../shared/domain/kek.ts';
import {
  makeVersionState,
  type StatusRules,
  type VersionAttributes,
  type VersionObservation,
  type VersionState,
} from '../../../shared/domain/key-status.ts';
import type { ServerRow } from '../../../shared/domain/server.ts';
import type { DeletedAnswer, VaultFault } from '../../../shared/domain/vault-answer.ts';

export const KEK = { vault: 'contoso.vault.azure.net', name: 'kek' } as const;
export const V1 = '1'.repeat(32);
export const V2 = '2'.repeat(32);
export const V3 = '3'.repeat(32);
export const T0 = new Date('2026-03-01T00:00:00.000Z');
export const DAY = 86_400;
export const HOUR = 3600;

/** `seconds` after T0. */
export const at = (seconds: number): Date => new Date(T0.getTime() + seconds * 1000);

export const RULES: StatusRules = {
  confirmSuspectSeconds: 60,
  restoreGapSeconds: 3,
  transientBufferHours: 24,
  transientBuffer: 'alert',
  expiredKeyPolicy: 'revoke',
};

/** V1 is the oldest version and V3 the newest. */
export const createdOn = (version: string): Date => at((Number(version[0]) - 10) * DAY);

export const attributesOf = (version: string, over: Partial<VersionAttributes> = {}): VersionAttributes => ({
  enabled: true,
  notBefore: null,
  expiresOn: null,
  createdOn: createdOn(version),
  ...over,
});

export const good = (version = V1, over: Partial<VersionAttributes> | null = {}): VersionObservation => ({
  version,
  attributes: over === null ? null : attributesOf(version, over),
  probe: { kind: 'unwrapped', matches: true },
  deleted: 'unsaid',
  newCanary: null,
});

export const mismatch = (version = V1): VersionObservation => ({
  ...good(version),
  probe: { kind: 'unwrapped', matches: false },
});

export const noCanary = (version = V1): VersionObservation => ({ ...good(version), probe: { kind: 'none' } });

export const http = (status: number, innerCode: string | null = null): VaultFault => ({
  kind: 'http',
  status,
  code: status === 403 ? 'Forbidden' : null,
  innerCode,
  retryAfterSeconds: null,
});

export const faulty = (
  fault: VaultFault,
  version = V1,
  deleted: DeletedAnswer = 'unsaid',
): VersionObservation => ({
  version,
  attributes: null,
  probe: { kind: 'fault', fault },
  deleted,
  newCanary: null,
});

export const disabled = (version = V1): VersionObservation => good(version, { enabled: false });
export const denied = (version = V1): VersionObservation => faulty(http(403, 'ForbiddenByRbac'), version);
export const throttled = (version = V1): VersionObservation => faulty(http(429), version);
export const noVault = (version = V1): VersionObservation =>
  faulty({ kind: 'network', cause: 'vault-name' }, version);

/** A version that was proven at T0. */
export const serving = (version = V1, over: Partial<VersionState> = {}): VersionState => ({
  ...makeVersionState(version, T0),
  status: 'usable',
  reason: null,
  verdict: 'serve',
  attributes: attributesOf(version),
  canary: 'Y2FuYXJ5',
  inUse: true,
  provenAt: T0,
  ...over,
});

export const revoked = (version = V1, over: Partial<VersionState> = {}): VersionState =>
  serving(version, {
    status: 'unusable',
    reason: 'KeyDisabled',
    verdict: 'revoke',
    verdictReason: 'KeyDisabled',
    ...over,
  });

export const snapshotOf = (versions: readonly VersionState[], over: Partial<KekState> = {}): KekSnapshot => ({
  kek: { ...makeKekState(KEK), epoch: 7, target: versions[0]?.version ?? null, ...over },
  versions,
});

export const observe = (
  newest: string | null,
  ...versions: readonly VersionObservation[]
): KekObservation => ({ vaultNow: T0, newest, versions });

export const contextAt = (seconds: number, over: Partial<KekContext> = {}): KekContext => ({
  now: at(seconds),
  rules: RULES,
  held: false,
  ...over,
});

export const HOLD = { by: 'ops@contoso.com', reason: 'incident 12', since: T0, until: null } as const;

/** A server that is served under V1. */
export const serverOf = (over: Partial<ServerRow> = {}): ServerRow => ({
  serverId: 'pg-1',
  kek: KEK,
  wrapped: wrappedUnder(V1),
  wrappedAt: T0,
  provenAt: T0,
  sequence: 0,
  replacedVersion: null,
  pinned: false,
  access: {
    kind: 'postgres',
    host: 'pg-1.contoso.com',
    port: 5432,
    maintenanceDatabase: 'cmk_admin',
    excludeDatabases: [],
    user: 'pgcmk',
    tls: 'verify-full',
    auth: { kind: 'entra' },
  },
  keyLossPolicy: 'terminate',
  drainSeconds: 600,
  principalId: null,
  labels: {},
  hold: null,
  desired: 'granted',
  desiredReason: null,
  accessEpoch: 4,
  drainUntil: null,
  applied: 'granted',
  appliedAt: T0,
  inspectedAt: T0,
  sessionsOpen: 0,
  failure: null,
  rewrapFailure: null,
  incoming: false,
  moving: null,
  copyOf: null,
  leaseExpiresOn: null,
  tombstone: false,
  createdAt: T0,
  ...over,
});

export const wrappedUnder = (kekVersion: string): ServerRow['wrapped'] => ({
  kekVersion,
  algorithm: 'RSA-OAEP-256',
  format: 'bound-1',
  dekId: 'd'.repeat(32),
  ciphertext: 'AAAA',
});
