// The current version of a key is about to expire. Key Vault says so once; the reconcile warns in tiers.
import { type EventPorts, makeEventHandler } from './take-events.ts';

export const makeKeyNearExpiryHandler = (ports: EventPorts) =>
  makeEventHandler('keyNearExpiry', 'Microsoft.KeyVault.KeyNearExpiry', ports);
