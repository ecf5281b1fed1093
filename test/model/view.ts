// What is seen of a server in the end, in the machine and in the real operations alike.
import { findVersion } from '../../shared/domain/kek.ts';
import { deriveServerState } from '../../shared/domain/server.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import type { Machine } from './machine.ts';
import { dekOf, SERVERS } from './site.ts';
import { toCiphertext } from './vault.ts';

export interface View {
  readonly serverId: string;
  readonly hasDek: boolean;
  /** The place of its version among the versions of its key. */
  readonly version: number;
  readonly state: string;
  readonly desired: string;
  readonly applied: string;
  readonly reason: string | null;
  readonly failure: string | null;
  readonly open: readonly string[];
  readonly rewraps: number;
  readonly history: number;
  readonly accessEpoch: number;
  readonly kekEpoch: number;
}

export function viewOf(machine: Machine): readonly View[] {
  return machine.rows().map((row): View => {
    const { serverId, kek, wrapped } = row;
    const stored = machine.storage.readKek(kek);
    if (stored === undefined) throw new Error(`no KEK of ${serverId}`);
    const key = SERVERS.find((one) => one.serverId === serverId)?.key ?? -1;
    const server = machine.postgres.get(serverId);
    const { versions } = machine.vault.key(key);
    return {
      serverId,
      hasDek: wrapped.ciphertext === toCiphertext(wrapped.kekVersion, dekOf(serverId)),
      version: versions.findIndex(({ version }) => version === wrapped.kekVersion),
      state: deriveServerState(row, findVersion(toSnapshot(stored), wrapped.kekVersion)).state,
      desired: row.desired,
      applied: row.applied,
      reason: row.desiredReason,
      failure: row.failure?.reason ?? null,
      open: server?.up === true ? [...server.open].toSorted() : [],
      rewraps: row.sequence,
      history: machine.storage.historyOf(serverId).length,
      accessEpoch: row.accessEpoch,
      kekEpoch: stored.kek.value.epoch,
    };
  });
}
