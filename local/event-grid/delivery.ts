// Delivery of one event to one subscription: at least once, retried with growing waits, dead-lettered at the end
// (Event Grid delivery and retry, learn.microsoft.com/azure/event-grid/delivery-and-retry).
import { setTimeout as sleep } from 'node:timers/promises';

/** An event in the Event Grid schema; both schemas on the wire are made from it. */
export interface GridEvent {
  readonly id: string;
  readonly topic: string;
  readonly subject: string;
  readonly eventType: string;
  readonly eventTime: string;
  readonly data: unknown;
  readonly dataVersion: string;
  readonly metadataVersion: string;
}

export interface Subscription {
  readonly name: string;
  /** A webhook, such as the host's `/runtime/webhooks/EventGrid?functionName=…`. */
  readonly endpointUrl: string;
  readonly schema: 'EventGridSchema' | 'CloudEventSchemaV1_0';
  /** Empty: all. */
  readonly includedEventTypes: readonly string[];
  readonly maxDeliveryAttempts?: number;
  readonly ttlMinutes?: number;
}

/** What the documentation says a dead-lettered event carries besides itself. */
export interface DeadLetter {
  readonly event: GridEvent;
  readonly subscription: string;
  readonly deadLetterReason: 'MaxDeliveryAttemptsExceeded' | 'TimeToLiveExceeded' | 'BadRequest';
  readonly deliveryAttempts: number;
  readonly lastDeliveryOutcome: string;
  readonly publishTime: string;
  readonly lastDeliveryAttemptTime: string;
}

const WAITS_SECONDS = [10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600] as const;
const LONGEST_WAIT_SECONDS = 43_200;
const RESPONSE_TIMEOUT_MS = 30_000;
/** Some answers put the next attempt off for longer. */
const LEAST_WAIT_SECONDS: Readonly<Record<string, number>> = { 404: 300, 408: 120, 503: 30 };
/** Never tried again, from a webhook. */
const FINAL_STATUS: readonly number[] = [400, 401, 403, 413];

const toCloudEvent = (event: GridEvent) => ({
  id: event.id,
  source: event.topic,
  subject: event.subject,
  type: event.eventType,
  time: event.eventTime,
  data: event.data,
  specversion: '1.0',
});

async function post(
  subscription: Subscription,
  event: GridEvent,
  earlierAttempts: number,
): Promise<number | string> {
  const cloud = subscription.schema === 'CloudEventSchemaV1_0';
  try {
    const response = await fetch(subscription.endpointUrl, {
      method: 'POST',
      headers: {
        'content-type': cloud
          ? 'application/cloudevents+json; charset=utf-8'
          : 'application/json; charset=utf-8',
        'aeg-event-type': 'Notification',
        'aeg-subscription-name': subscription.name.toUpperCase(),
        'aeg-delivery-count': String(earlierAttempts),
      },
      body: JSON.stringify(cloud ? toCloudEvent(event) : [event]),
      signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS),
    });
    await response.arrayBuffer();
    return response.status;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * Delivers until it is taken, or returns why it never will be. `timeScale` shrinks the waits: 0.01 makes 10 s 100 ms.
 * @param stopped whether to give up quietly, because the emulator is stopping
 */
export async function deliver(
  subscription: Subscription,
  event: GridEvent,
  timeScale: number,
  stopped: () => boolean,
): Promise<DeadLetter | null> {
  const published = Date.now();
  const attempts = subscription.maxDeliveryAttempts ?? 30;
  const ttlMs = (subscription.ttlMinutes ?? 1440) * 60_000 * timeScale;
  for (let attempt = 1; !stopped(); attempt += 1) {
    const outcome = await post(subscription, event, attempt - 1);
    if (typeof outcome === 'number' && outcome >= 200 && outcome <= 204) return null;
    const final = typeof outcome === 'number' && FINAL_STATUS.includes(outcome);
    const scheduled = WAITS_SECONDS[attempt - 1] ?? LONGEST_WAIT_SECONDS;
    const waitMs = Math.max(scheduled, LEAST_WAIT_SECONDS[outcome] ?? 0) * 1000 * timeScale;
    const expired = Date.now() + waitMs - published > ttlMs;
    if (final || expired || attempt >= attempts) {
      return {
        event,
        subscription: subscription.name,
        deadLetterReason: final
          ? 'BadRequest'
          : expired
            ? 'TimeToLiveExceeded'
            : 'MaxDeliveryAttemptsExceeded',
        deliveryAttempts: attempt,
        lastDeliveryOutcome: String(outcome),
        publishTime: new Date(published).toISOString(),
        lastDeliveryAttemptTime: new Date().toISOString(),
      };
    }
    await sleep(waitMs, undefined, { ref: false });
  }
  return null;
}
