// Queue `probe-keks`: probe one shard of the KEKs, where there are too many for one timer.
import type { ProbeMessage } from '../../shared/domain/message.ts';
import { parseProbeMessage } from './parse-message.ts';
import { makeMessageHandler, type RejectPort } from './take-message.ts';

export interface ProbeKekShardPorts extends RejectPort {
  readonly probeKekShard: (message: ProbeMessage) => Promise<void>;
}

export const makeProbeKekShardHandler = (ports: ProbeKekShardPorts) =>
  makeMessageHandler('probeKekShard', parseProbeMessage, (message) => ports.probeKekShard(message), ports);
