// The current version of a key has expired. Of older versions Key Vault says nothing: the probe sees those.
import { type EventPorts, makeEventHandler } from './take-events.ts';

export const makeKeyExpiredHandler = (ports: EventPorts) =>
  makeEventHandler('keyExpired', 'Microsoft.KeyVault.KeyExpired', ports);
