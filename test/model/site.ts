// What a worker of the machine works with: the site that all share, and what its own process remembers.
import type { KekId } from '../../shared/domain/key-id.ts';
import type { RangeMessage, ReconcileMessage } from '../../shared/domain/message.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { VaultFault } from '../../shared/domain/vault-answer.ts';
import type { Postgres } from './postgres.ts';
import type { Storage } from './storage.ts';
import type { Vault } from './vault.ts';

export type Payload =
  | { readonly queue: 'reconcile'; readonly message: ReconcileMessage }
  | { readonly queue: 'rewrap' | 'access'; readonly message: RangeMessage }
  | { readonly queue: 'timer'; readonly message: 'probe' | 'sweep' };
export type Queue = Payload['queue'];

export interface Site {
  readonly storage: Storage;
  readonly vault: Vault;
  readonly postgres: ReadonlyMap<string, Postgres>;
  readonly now: () => Date;
  readonly enqueue: (payload: Payload, delaySeconds?: number) => void;
}

/** One worker's process. It ends with a crash, and with it what it remembers. */
export interface Process extends Site {
  /** When each version last proved good here. */
  readonly goodAt: Map<string, number>;
}

export const RULES = {
  confirmSuspectSeconds: 60,
  restoreGapSeconds: 3,
  transientBufferHours: 24,
  breakerHoldMinutes: 60,
  inspection: { grantedSeconds: 3600, revokedSeconds: 60 },
  proveAfterSeconds: 600,
  unsettledSeconds: 60,
};

export const KEKS: readonly KekId[] = [
  { vault: 'alpha.vault.azure.net', name: 'fleet' },
  { vault: 'beta.vault.azure.net', name: 'fleet' },
];
/** A key that only a forged event speaks of. */
export const STRANGER: KekId = { vault: 'gamma.vault.azure.net', name: 'fleet' };

export const SERVERS = [
  { serverId: 's1', key: 0, keyLossPolicy: 'terminate' },
  { serverId: 's2', key: 0, keyLossPolicy: 'denyNew' },
  { serverId: 's3', key: 0, keyLossPolicy: 'alertOnly' },
  { serverId: 's4', key: 1, keyLossPolicy: 'terminate' },
] as const satisfies readonly (Pick<ServerRow, 'serverId' | 'keyLossPolicy'> & { readonly key: number })[];

export const EVENT = { kind: 'event', id: 'e', type: 'Microsoft.KeyVault.KeyNewVersionCreated' } as const;

/** What stands in for the bytes of a server's DEK, and for a canary. */
export const dekOf = (serverId: string): string => `the DEK of ${serverId}`;
export const CANARY = 'canary';

export const timedOut: VaultFault = { kind: 'network', cause: 'timeout' };
