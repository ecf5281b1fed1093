// The WorkQueue port on Storage Queues. Messages are JSON in base64, as the Functions host reads them by default.
import { QueueServiceClient } from '@azure/storage-queue';
import { makeLane } from '../domain/lane.ts';
import type { QueueName } from '../domain/message.ts';
import type { QueueGauge } from '../ports/queue-gauge.ts';
import type { Tracer } from '../ports/telemetry.ts';
import type { WorkQueue } from '../ports/work-queue.ts';
import { PIPELINE, storageUnavailable, withinLimit } from './storage-client.ts';
import type { StorageConnection } from './tables/storage-connection.ts';

export interface StorageWorkQueue extends WorkQueue, QueueGauge {
  /** Creates what is missing, the poison queues too. @throws CmkError StoreUnavailable (retryable) */
  ensureQueues(): Promise<void>;
}

const QUEUES: readonly QueueName[] = ['reconcile-keks', 'rewrap-deks', 'server-access', 'probe-keks'];
const NAMES = QUEUES.flatMap((name) => [name, `${name}-poison`]);
const SENDS_AT_ONCE = 8;

export function makeWorkQueue(
  connection: StorageConnection,
  { current }: Pick<Tracer, 'current'>,
): StorageWorkQueue {
  const service = makeService(connection);
  const clients = new Map(QUEUES.map((name) => [name, service.getQueueClient(name)]));
  const lane = makeLane(SENDS_AT_ONCE);

  const send = async (name: QueueName, messages: readonly object[], delaySeconds = 0): Promise<void> => {
    const client = clients.get(name) ?? service.getQueueClient(name);
    // Beside what the message says, and read by no parser of ours: a release that knows nothing of it passes it by.
    const led = current();
    const texts = messages.map((message) =>
      Buffer.from(JSON.stringify({ ...message, ...led })).toString('base64'),
    );
    const visibilityTimeout = Math.max(0, Math.round(delaySeconds));
    const sent = await Promise.allSettled(
      texts.map((text) =>
        lane.run(() =>
          withinLimit((abortSignal) => client.sendMessage(text, { visibilityTimeout, abortSignal })),
        ),
      ),
    );
    // All were tried: the caller sends them again, and a message that comes twice is harmless.
    const failed = sent.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw storageUnavailable(`the queue ${name} took no message`, failed.reason);
  };

  return {
    enqueueReconcile: (message, delaySeconds) => send('reconcile-keks', [message], delaySeconds),
    enqueueRewrap: (messages, delaySeconds) => send('rewrap-deks', messages, delaySeconds),
    enqueueAccess: (messages, delaySeconds) => send('server-access', messages, delaySeconds),
    enqueueProbe: (message) => send('probe-keks', [message]),
    async depths() {
      try {
        return await Promise.all(
          NAMES.map(async (queue) => {
            const { approximateMessagesCount = 0 } = await withinLimit((abortSignal) =>
              service.getQueueClient(queue).getProperties({ abortSignal }),
            );
            return { queue, messages: approximateMessagesCount };
          }),
        );
      } catch (error) {
        throw storageUnavailable('the queues could not be looked at', error);
      }
    },
    async ensureQueues() {
      try {
        await Promise.all(
          NAMES.map((name) =>
            withinLimit((abortSignal) => service.getQueueClient(name).createIfNotExists({ abortSignal })),
          ),
        );
      } catch (error) {
        throw storageUnavailable('the queues could not be created', error);
      }
    },
  };
}

function makeService(connection: StorageConnection): QueueServiceClient {
  return connection.kind === 'connectionString'
    ? QueueServiceClient.fromConnectionString(connection.value, PIPELINE)
    : new QueueServiceClient(connection.queueServiceUri, connection.credential, PIPELINE);
}
