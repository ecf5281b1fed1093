// Answers of the API, whole, to be changed by a test where it matters.
import type { KeyDetail, Progress, RewrapPlan } from '../../shared/api/keys.ts';
import type { RegisteredServer, Server } from '../../shared/api/servers.ts';

export const VAULT = 'contoso.vault.azure.net';
export const KEY = `https://${VAULT}/keys/orders`;
export const KEY_PATH = `/api/keys/${VAULT}/orders`;
export const V1 = '1'.repeat(32);
export const V2 = '2'.repeat(32);
const AT = '2026-11-24T11:00:00.000Z';

export const aServer = (changes: Partial<Server> = {}): Server => ({
  serverId: 'orders-1',
  keyId: `${KEY}/${V1}`,
  pinned: false,
  state: 'Ready',
  reason: null,
  remedy: null,
  desired: 'granted',
  applied: 'granted',
  appliedAt: AT,
  accessEpoch: 1,
  keyLossPolicy: 'terminate',
  drainSeconds: 900,
  drainUntil: null,
  sessionsOpen: 3,
  access: {
    kind: 'postgres',
    host: 'orders-1.db.contoso.com',
    port: 5432,
    maintenanceDatabase: 'cmk_admin',
    excludeDatabases: [],
    user: 'cmk_app',
    tls: 'verify-full',
    auth: { kind: 'setting', name: 'PGCMK_SECRET_ORDERS' },
  },
  principalId: null,
  labels: { team: 'orders' },
  hold: null,
  dekId: 'd'.repeat(32),
  wrappedAt: AT,
  provenAt: AT,
  leaseExpiresOn: null,
  failure: null,
  rewrapFailure: null,
  copyOf: null,
  movingTo: null,
  tombstone: false,
  createdAt: AT,
  ...changes,
});

export const aRegistered = (changes: Partial<Server> = {}): RegisteredServer => ({
  ...aServer(changes),
  wrappedDek: {
    kekVersion: V1,
    algorithm: 'RSA-OAEP-256',
    format: 'bound-1',
    dekId: 'd'.repeat(32),
    ciphertext: 'A'.repeat(342),
  },
});

export const aVersion = (
  changes: Partial<KeyDetail['versions'][number]> = {},
): KeyDetail['versions'][number] => ({
  version: V1,
  keyId: `${KEY}/${changes.version ?? V1}`,
  status: 'usable',
  reason: null,
  remedy: null,
  since: AT,
  verdict: 'serve',
  verdictReason: null,
  verdictSince: AT,
  enabled: true,
  createdOn: '2026-01-01T00:00:00.000Z',
  notBefore: null,
  expiresOn: null,
  inUse: true,
  provenAt: AT,
  retiredAt: null,
  count: { servers: 2, tombstones: 0, copies: 0, unproven: 0, unprovenSuccessors: 0 },
  ...changes,
});

export const aKey = (changes: Partial<KeyDetail> = {}): KeyDetail => ({
  keyId: KEY,
  vault: VAULT,
  name: 'orders',
  target: V1,
  epoch: 3,
  settled: true,
  policy: {
    expiredKeyPolicy: 'revoke',
    transientBuffer: 'alert',
    rewrapVerification: 'sample',
    rewrapPaused: false,
    canaryServers: [],
    waveServers: null,
    waveSoakSeconds: 0,
    haltAfterFailures: null,
  },
  hold: null,
  rotation: { state: 'idle' },
  versions: [aVersion()],
  countedAt: '2026-11-24T11:59:00.000Z',
  servers: 2,
  notSettled: 0,
  lastEventAt: AT,
  newestExport: null,
  progress: null,
  ...changes,
});

export const aProgress = (changes: Partial<Progress> = {}): Progress => ({
  countedAt: AT,
  servers: 2,
  onTarget: 2,
  behind: 0,
  states: { Ready: 2 },
  held: 0,
  serversPerSecond: 1.5,
  expectedEnd: null,
  failures: [],
  failureCount: 0,
  ...changes,
});

export const aPlan = (changes: Partial<RewrapPlan> = {}): RewrapPlan => ({
  dryRun: true,
  keyId: KEY,
  target: V1,
  newest: V2,
  blocked: null,
  toRewrap: 2,
  upToDate: 0,
  cannotMove: [],
  waves: 1,
  vaultOperations: 3,
  expectedSeconds: 2,
  rotation: { state: 'idle' },
  ...changes,
});
