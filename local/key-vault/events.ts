// Events as Key Vault raises them on Event Grid, in EventGridSchema (azure-facts 1.3).
import { randomUUID } from 'node:crypto';
import type { KeyVersion } from './key-record.ts';

export type VaultEventType =
  | 'Microsoft.KeyVault.KeyNewVersionCreated'
  | 'Microsoft.KeyVault.KeyNearExpiry'
  | 'Microsoft.KeyVault.KeyExpired'
  | 'Microsoft.KeyVault.VaultAccessPolicyChanged';

export interface VaultEvent {
  readonly id: string;
  readonly topic: string;
  readonly subject: string;
  readonly eventType: VaultEventType;
  readonly eventTime: string;
  readonly data: {
    readonly Id: string;
    readonly VaultName: string;
    readonly ObjectType: 'Key' | 'Vault';
    readonly ObjectName: string;
    readonly Version: string;
    readonly NBF: number | null;
    readonly EXP: number | null;
  };
  readonly dataVersion: '1';
  readonly metadataVersion: '1';
}

export interface VaultIdentity {
  readonly name: string;
  readonly url: string;
  /** The ARM id of the vault: the topic. */
  readonly resourceId: string;
}

export function makeKeyEvent(
  vault: VaultIdentity,
  eventType: VaultEventType,
  key: KeyVersion,
  now: Date,
): VaultEvent {
  return {
    ...envelope(vault, now),
    subject: key.name,
    eventType,
    data: {
      Id: `${vault.url}/keys/${key.name}/${key.version}`,
      VaultName: vault.name,
      ObjectType: 'Key',
      ObjectName: key.name,
      Version: key.version,
      NBF: key.nbf,
      EXP: key.exp,
    },
  };
}

export function makeAccessPolicyEvent(vault: VaultIdentity, now: Date): VaultEvent {
  return {
    ...envelope(vault, now),
    subject: vault.name,
    eventType: 'Microsoft.KeyVault.VaultAccessPolicyChanged',
    data: {
      Id: vault.resourceId,
      VaultName: vault.name,
      ObjectType: 'Vault',
      ObjectName: '',
      Version: '',
      NBF: null,
      EXP: null,
    },
  };
}

function envelope(vault: VaultIdentity, now: Date) {
  return {
    id: randomUUID(),
    topic: vault.resourceId,
    eventTime: now.toISOString(),
    dataVersion: '1',
    metadataVersion: '1',
  } as const;
}
