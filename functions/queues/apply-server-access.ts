// Queue `server-access`, of its own so that a revocation never waits behind a rotation: revoke or restore one range of
// servers, or one server, as their rows say.
import type { RangeMessage } from '../../shared/domain/message.ts';
import { parseRangeMessage } from './parse-message.ts';
import { makeMessageHandler, type RejectPort } from './take-message.ts';

export interface ApplyServerAccessPorts extends RejectPort {
  readonly applyServerAccess: (message: RangeMessage) => Promise<void>;
}

export const makeApplyServerAccessHandler = (ports: ApplyServerAccessPorts) =>
  makeMessageHandler(
    'applyServerAccess',
    parseRangeMessage,
    (message) => ports.applyServerAccess(message),
    ports,
  );
