// Clients of the storage queues that bindings name, and the text encoding they agree on.
import type { QueueClient } from '@azure/storage-queue';
import { QueueServiceClient } from '@azure/storage-queue';
import type { HostFunction, NamedBinding, Settings } from './host-function.ts';
import { connectionString, stringOption } from './host-function.ts';
import type { QueueSettings } from './host-json.ts';

export interface QueueClients {
  /** The queue of a trigger or output binding, and its poison queue. */
  forBinding(
    fn: HostFunction,
    binding: NamedBinding,
  ): { readonly queue: QueueClient; readonly poison?: QueueClient };
  encode(text: string): string;
  /** Undefined when a message isn't in the encoding the host expects. */
  decode(messageText: string): string | undefined;
}

/** Of one request with its tries. The real host's clients wait for 100 s; this one has its messages leased for less. */
const ANSWER_MS = 10_000;

/** For every call of a queue: by themselves the clients wait for an answer for ever. */
export const limited = (): { readonly abortSignal: AbortSignal } => ({
  abortSignal: AbortSignal.timeout(ANSWER_MS),
});

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function makeQueueClients(settings: Settings, { messageEncoding }: QueueSettings): QueueClients {
  const services = new Map<string, QueueServiceClient>();
  const service = (connection: string): QueueServiceClient => {
    const known = services.get(connection) ?? QueueServiceClient.fromConnectionString(connection);
    services.set(connection, known);
    return known;
  };
  return {
    forBinding(fn, binding) {
      const name = stringOption(fn, binding, 'queueName').toLowerCase();
      const of = service(connectionString(fn, binding, settings));
      // A poison queue has no poison queue of its own, nor has one whose name would be too long.
      const hasPoison = !name.endsWith('-poison') && name.length + '-poison'.length <= 63;
      const queue = of.getQueueClient(name);
      return hasPoison ? { queue, poison: of.getQueueClient(`${name}-poison`) } : { queue };
    },
    encode: (text) => (messageEncoding === 'base64' ? Buffer.from(text, 'utf8').toString('base64') : text),
    decode(messageText) {
      if (messageEncoding === 'none') return messageText;
      return base64.test(messageText) ? Buffer.from(messageText, 'base64').toString('utf8') : undefined;
    },
  };
}
