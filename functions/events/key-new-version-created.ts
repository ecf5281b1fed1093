// Key Vault made a version of a key, also the first: the reconcile sees whether that is a rotation.
import { type EventPorts, makeEventHandler } from './take-events.ts';

export const makeKeyNewVersionCreatedHandler = (ports: EventPorts) =>
  makeEventHandler('keyNewVersionCreated', 'Microsoft.KeyVault.KeyNewVersionCreated', ports);
