// A key may have been disabled, enabled, deleted or recovered. Key Vault emits no such event, so this is an event of
// ours on the custom topic, published by whoever knows: a SIEM rule, a runbook, the customer.
import { type EventPorts, makeEventHandler } from './take-events.ts';

export const makeKeyDisabledHandler = (ports: EventPorts) =>
  makeEventHandler('keyDisabled', 'PgCmk.KeyStatusHint', ports);
