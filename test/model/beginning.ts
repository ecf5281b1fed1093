// How every run begins: each key has one proven version, each server is open and its DEK wrapped under it.
import { type KekState, makeKekState } from '../../shared/domain/kek.ts';
import type { KekId } from '../../shared/domain/key-id.ts';
import {
  makeVersionState,
  type VersionAttributes,
  type VersionState,
} from '../../shared/domain/key-status.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { KeyLossPolicy } from '../../shared/domain/server-spec.ts';
import type { WrappedDek } from '../../shared/domain/wrapped-dek.ts';
import { CANARY, dekOf, SERVERS } from './site.ts';
import type { Storage } from './storage.ts';
import { toCiphertext, type Vault } from './vault.ts';

export const firstKek = (kek: KekId, target: string): KekState => ({
  ...makeKekState(kek),
  epoch: 1,
  fannedOutEpoch: 1,
  target,
});

export const firstVersion = (
  version: string,
  canary: string,
  attributes: VersionAttributes,
  now: Date,
): VersionState => ({
  ...makeVersionState(version, now),
  status: 'usable',
  reason: null,
  verdict: 'serve',
  attributes,
  canary,
  inUse: true,
  provenAt: now,
});

export const firstRow = (
  serverId: string,
  kek: KekId,
  keyLossPolicy: KeyLossPolicy,
  wrapped: Pick<WrappedDek, 'kekVersion' | 'ciphertext' | 'dekId'>,
  now: Date,
): ServerRow => ({
  serverId,
  kek,
  wrapped: { algorithm: 'RSA-OAEP-256', format: 'bound-1', ...wrapped },
  wrappedAt: now,
  provenAt: now,
  sequence: 0,
  replacedVersion: null,
  pinned: false,
  access: {
    kind: 'postgres',
    host: `${serverId}.test`,
    port: 5432,
    maintenanceDatabase: 'cmk_admin',
    excludeDatabases: [],
    user: 'cmk',
    tls: 'verify-full',
    auth: { kind: 'entra' },
  },
  keyLossPolicy,
  drainSeconds: 300,
  principalId: null,
  labels: {},
  hold: null,
  desired: 'granted',
  desiredReason: null,
  accessEpoch: 1,
  drainUntil: null,
  applied: 'granted',
  appliedAt: now,
  inspectedAt: now,
  sessionsOpen: null,
  failure: null,
  rewrapFailure: null,
  incoming: false,
  moving: null,
  copyOf: null,
  leaseExpiresOn: null,
  tombstone: false,
  createdAt: now,
});

export function begin(storage: Storage, vault: Vault, now: Date): void {
  for (const [index, { kek }] of vault.keys.entries()) {
    vault.rotate(index);
    const [first] = vault.key(index).versions;
    if (first === undefined) throw new Error('no version');
    const { version, attributes } = first;
    const row = firstKek(kek, version);
    storage.addKek(row);
    const stored = storage.readKek(kek);
    if (stored === undefined) throw new Error('no KEK');
    const state = firstVersion(version, toCiphertext(version, CANARY), attributes, now);
    storage.commitKek(kek, { value: row, etag: stored.kek.etag }, [{ value: state, etag: null }]);
    const rows = SERVERS.filter(({ key }) => key === index).map(({ serverId, keyLossPolicy }) => {
      const wrapped = {
        kekVersion: version,
        ciphertext: toCiphertext(version, dekOf(serverId)),
        dekId: dekOf(serverId),
      };
      return { value: firstRow(serverId, kek, keyLossPolicy, wrapped, now), etag: null, history: null };
    });
    storage.commitServers(kek, rows);
  }
}
