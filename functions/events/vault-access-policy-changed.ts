// Access policies of a vault, or its permission model, have changed: a hint for every KEK of that vault. Changes of
// role assignments raise no event: the probe sees those.
import { type EventPorts, makeEventHandler } from './take-events.ts';

export const makeVaultAccessPolicyChangedHandler = (ports: EventPorts) =>
  makeEventHandler('vaultAccessPolicyChanged', 'Microsoft.KeyVault.VaultAccessPolicyChanged', ports);
