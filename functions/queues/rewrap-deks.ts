// Queue `rewrap-deks`: bring the DEKs of one range of servers under the key version that is wanted now.
import type { RangeMessage } from '../../shared/domain/message.ts';
import { parseRangeMessage } from './parse-message.ts';
import { makeMessageHandler, type RejectPort } from './take-message.ts';

export interface RewrapDeksPorts extends RejectPort {
  readonly rewrapDeks: (message: RangeMessage) => Promise<void>;
}

export const makeRewrapDeksHandler = (ports: RewrapDeksPorts) =>
  makeMessageHandler('rewrapDeks', parseRangeMessage, (message) => ports.rewrapDeks(message), ports);
