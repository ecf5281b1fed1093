// Every handler of the HTTP API; a route without one doesn't compile.
import { type AppStatePorts, makeAppStateHandlers } from './app-state.ts';
import { type AuditPorts, makeAuditHandlers } from './audit.ts';
import { type BreakerPorts, makeBreakerHandlers } from './breaker.ts';
import { type DekPorts, makeDekHandlers } from './dek.ts';
import { type KeyOrderPorts, makeKeyOrderHandlers } from './key-orders.ts';
import { type KeyPorts, makeKeyHandlers } from './keys.ts';
import type { Handlers } from './route.ts';
import { makeServerOrderHandlers, type ServerOrderPorts } from './server-orders.ts';
import { makeServerHandlers, type ServerPorts } from './servers.ts';
import { makeSigningKeyHandlers, type SigningKeyPorts } from './signing-keys.ts';

export type HandlerPorts = ServerPorts &
  ServerOrderPorts &
  DekPorts &
  KeyPorts &
  KeyOrderPorts &
  AuditPorts &
  SigningKeyPorts &
  BreakerPorts &
  AppStatePorts;

export const makeHandlers = (ports: HandlerPorts): Handlers => ({
  ...makeServerHandlers(ports),
  ...makeServerOrderHandlers(ports),
  ...makeDekHandlers(ports),
  ...makeKeyHandlers(ports),
  ...makeKeyOrderHandlers(ports),
  ...makeAuditHandlers(ports),
  ...makeSigningKeyHandlers(ports),
  ...makeBreakerHandlers(ports),
  ...makeAppStateHandlers(ports),
});
