// The listener of one queue-triggered function: polls, runs messages side by side, deletes, retries, poisons.
// Follows the storage extension's QueueListener and QueueProcessor (azure-facts.md 4.3).
import { setTimeout as sleep } from 'node:timers/promises';
import type { DequeuedMessageItem, QueueClient } from '@azure/storage-queue';
import type { TypedData } from './core-types.ts';
import { toError } from './errors.ts';
import type { HostFunction } from './host-function.ts';
import type { QueueSettings } from './host-json.ts';
import type { Invoke } from './invoke.ts';
import type { HostLog } from './log.ts';
import { limited, type QueueClients } from './queue-clients.ts';
import { backOffMs } from './retry.ts';

export interface QueueTriggerOptions {
  readonly fn: HostFunction;
  readonly clients: QueueClients;
  readonly settings: QueueSettings;
  /** How long a message being processed stays invisible before it must be renewed. The real host's is 600. */
  readonly leaseSeconds: number;
  readonly invoke: Invoke;
  readonly log: HostLog;
  readonly signal: AbortSignal;
}

const minimumPollingIntervalMs = 100;

/** Resolves once `signal` fired and the last poll ended; messages in work are the invoker's to wait for. */
export async function runQueueTrigger(options: QueueTriggerOptions): Promise<void> {
  const { fn, settings, signal, log } = options;
  const { queue, poison } = options.clients.forBinding(fn, fn.trigger);
  let inWork = 0;
  let wake = (): void => undefined;
  signal.addEventListener('abort', () => wake(), { once: true });
  let idlePolls = 0;
  while (!signal.aborted) {
    const messages = await receive(queue, options);
    if (messages.length === 0) {
      idlePolls += 1;
      const delay = minimumPollingIntervalMs + backOffMs(idlePolls, minimumPollingIntervalMs);
      await sleep(Math.min(delay, settings.maxPollingIntervalMs), undefined, { signal }).catch(
        () => undefined,
      );
      continue;
    }
    idlePolls = 0;
    for (const message of messages) {
      inWork += 1;
      void process(message, queue, poison, options)
        .catch((thrown: unknown) => {
          const text = `message ${message.messageId} of ${queue.name}: ${toError(thrown).message}`;
          log({ level: 'warning', category: 'system', message: text, functionName: fn.name });
        })
        .then(() => {
          inWork -= 1;
          wake();
        });
    }
    while (inWork > settings.newBatchThreshold && !signal.aborted) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}

async function receive(
  queue: QueueClient,
  options: QueueTriggerOptions,
): Promise<readonly DequeuedMessageItem[]> {
  const { settings, leaseSeconds, signal, fn, log } = options;
  try {
    const numberOfMessages = settings.batchSize;
    const answer = await queue.receiveMessages({
      numberOfMessages,
      visibilityTimeout: leaseSeconds,
      ...limited(),
    });
    const messages = answer.receivedMessageItems;
    if (!signal.aborted) return messages;
    // Stopped while the poll was under way: hand back what it brought.
    for (const { messageId, popReceipt } of messages)
      await queue.updateMessage(messageId, popReceipt, undefined, 0, limited());
  } catch (thrown) {
    const message = `polling ${queue.name}: ${toError(thrown).message}`;
    if (!signal.aborted) log({ level: 'warning', category: 'system', message, functionName: fn.name });
  }
  return [];
}

async function process(
  message: DequeuedMessageItem,
  queue: QueueClient,
  poison: QueueClient | undefined,
  { fn, clients, settings, leaseSeconds, invoke, log }: QueueTriggerOptions,
): Promise<void> {
  const { messageId } = message;
  let { popReceipt } = message;
  const toPoison = async (reason: string): Promise<void> => {
    if (poison === undefined) return;
    const text = `message ${messageId} ${reason}: moved to ${poison.name}`;
    log({ level: 'warning', category: 'system', message: text, functionName: fn.name });
    await poison.createIfNotExists(limited());
    await poison.sendMessage(message.messageText, limited());
    await queue.deleteMessage(messageId, popReceipt, limited());
  };

  const text = clients.decode(message.messageText);
  if (text === undefined) return toPoison('could not be decoded');
  if (message.dequeueCount > settings.maxDequeueCount) return toPoison('was dequeued too often');

  const renewal = setInterval(() => {
    queue.updateMessage(messageId, popReceipt, undefined, leaseSeconds, limited()).then(
      (answer) => {
        popReceipt = answer.popReceipt ?? popReceipt;
      },
      (thrown: unknown) => {
        const failure = `renewing message ${messageId}: ${toError(thrown).message}`;
        log({ level: 'warning', category: 'system', message: failure, functionName: fn.name });
      },
    );
  }, leaseSeconds * 500);
  const outcome = await invoke(fn, {
    data: { string: text },
    metadata: toTriggerMetadata(message, text),
  });
  clearInterval(renewal);

  if (outcome.ok) {
    await queue.deleteMessage(messageId, popReceipt, limited());
  } else if (poison === undefined) {
    // As in the real host: without a poison queue a failed message stays invisible until its lease runs out.
  } else if (message.dequeueCount >= settings.maxDequeueCount) {
    await toPoison(`failed ${message.dequeueCount} times`);
  } else {
    const seconds = Math.floor(settings.visibilityTimeoutMs / 1000);
    await queue.updateMessage(messageId, popReceipt, undefined, seconds, limited());
  }
}

function toTriggerMetadata(message: DequeuedMessageItem, text: string): Record<string, TypedData> {
  const json = (value: unknown): TypedData => ({ json: JSON.stringify(value) });
  return {
    QueueTrigger: { string: text },
    DequeueCount: json(message.dequeueCount),
    Id: json(message.messageId),
    PopReceipt: json(message.popReceipt),
    InsertionTime: json(message.insertedOn),
    ExpirationTime: json(message.expiresOn),
    NextVisibleTime: json(message.nextVisibleOn),
  };
}
