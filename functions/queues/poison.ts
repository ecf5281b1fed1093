// The poison queues: what failed as often as the queue allows is recorded where it is seen. It is never the end of a
// revocation: the sweep enqueues again while desired and applied access differ.
import type { QueueName } from '../../shared/domain/message.ts';
import type { PoisonedMessage } from '../../shared/operations/hint.ts';
import { parseProbeMessage, parseRangeMessage, parseReconcileMessage } from './parse-message.ts';
import { makeMessageHandler, type RejectPort, readMessageId } from './take-message.ts';

export interface PoisonPorts extends RejectPort {
  readonly recordPoisoned: (poisoned: PoisonedMessage) => Promise<void>;
}

/** @param source the name of the function; it takes the messages of `{queue}-poison` */
export const makePoisonHandler = (source: string, queue: QueueName, ports: PoisonPorts) =>
  makeMessageHandler(
    source,
    (input) => parseFor(queue, input),
    (parsed, context) => ports.recordPoisoned({ ...parsed, id: readMessageId(context) }),
    ports,
  );

function parseFor(queue: QueueName, input: unknown) {
  switch (queue) {
    case 'reconcile-keks':
      return { queue, message: parseReconcileMessage(input) };
    case 'rewrap-deks':
    case 'server-access':
      return { queue, message: parseRangeMessage(input) };
    case 'probe-keks':
      return { queue, message: parseProbeMessage(input) };
  }
}
