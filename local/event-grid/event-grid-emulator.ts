// Event Grid on this machine: what the vaults raise goes to subscriptions, and a custom topic takes the app's own
// events. It can be told to lose, repeat, delay and reorder, as the real one may.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DeadLetter, deliver, type GridEvent, type Subscription } from './delivery.ts';
import { startTopic, type TopicOptions, type TopicOutage } from './topic.ts';

interface Faults {
  /** Chance that an event is lost, 0 to 1. */
  readonly lose: number;
  /** Chance that it comes twice. */
  readonly duplicate: number;
  /** The longest time it is held back, at random: this reorders too. */
  readonly delayMs: number;
}

export interface EventGridEmulator {
  /** Where own events are published: `https://127.0.0.1:PORT/api/events`. */
  readonly topicEndpoint: string;
  /** @throws Error where the endpoint doesn't answer the handshake of its schema */
  subscribe(subscription: Subscription): Promise<void>;
  /** Ends a subscription, as soft-deleting its vault does. What is under way still arrives. */
  unsubscribe(name: string): void;
  /** Takes one event of a system topic; delivery goes on by itself. */
  publish(event: GridEvent): void;
  setFaults(faults: Partial<Faults>): void;
  /** `true` means `error`. */
  setTopicOutage(outage: TopicOutage | boolean): void;
  /** What the custom topic has taken, oldest first. */
  received(): readonly GridEvent[];
  deadLetters(): readonly DeadLetter[];
  stop(): Promise<void>;
}

export interface EventGridOptions extends Pick<TopicOptions, 'tls' | 'authenticate'> {
  /** Shrinks the waits between attempts. */
  readonly timeScale?: number;
}

const KEPT_EVENTS = 100_000;

export async function startEventGridEmulator(options: EventGridOptions): Promise<EventGridEmulator> {
  let subscriptions: readonly Subscription[] = [];
  const deadLetters: DeadLetter[] = [];
  const received: GridEvent[] = [];
  let faults: Faults = { lose: 0, duplicate: 0, delayMs: 0 };
  let stopped = false;

  const send = async (subscription: Subscription, event: GridEvent) => {
    if (faults.delayMs > 0) await sleep(Math.random() * faults.delayMs, undefined, { ref: false });
    const dead = await deliver(subscription, event, options.timeScale ?? 1, () => stopped);
    if (dead !== null) deadLetters.push(dead);
  };
  const publish = (event: GridEvent) => {
    for (const subscription of subscriptions) {
      const wanted = subscription.includedEventTypes;
      if (wanted.length > 0 && !wanted.includes(event.eventType)) continue;
      if (Math.random() < faults.lose) continue;
      void send(subscription, event);
      if (Math.random() < faults.duplicate) void send(subscription, event);
    }
  };
  const topic = await startTopic({
    tls: options.tls,
    authenticate: options.authenticate,
    take: (event) => {
      if (received.push(event) > KEPT_EVENTS) received.shift();
      publish(event);
    },
    list: () => received,
  });

  return {
    topicEndpoint: topic.endpoint,
    subscribe: async (subscription) => {
      await shakeHands(subscription);
      subscriptions = [...subscriptions.filter(({ name }) => name !== subscription.name), subscription];
    },
    unsubscribe: (name) => {
      subscriptions = subscriptions.filter((subscription) => subscription.name !== name);
    },
    publish,
    setFaults: (change) => {
      faults = { ...faults, ...change };
    },
    setTopicOutage: topic.setOutage,
    received: () => [...received],
    deadLetters: () => [...deadLetters],
    stop: async () => {
      stopped = true;
      await topic.stop();
    },
  };
}

/** The validation of a webhook, as Event Grid does it once, before the first event. */
async function shakeHands({ name, endpointUrl, schema }: Subscription): Promise<void> {
  if (schema === 'CloudEventSchemaV1_0') {
    const response = await fetch(endpointUrl, {
      method: 'OPTIONS',
      headers: { 'WebHook-Request-Origin': 'eventgrid.azure.net' },
    });
    await response.arrayBuffer();
    if (response.ok && response.headers.get('webhook-allowed-origin') !== null) return;
    throw new Error(
      `subscription ${name}: the endpoint answered OPTIONS with ${response.status} and no allowed origin`,
    );
  }
  const validationCode = randomUUID();
  const response = await fetch(endpointUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'aeg-event-type': 'SubscriptionValidation' },
    body: JSON.stringify([
      {
        id: randomUUID(),
        topic: '',
        subject: '',
        eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent',
        eventTime: new Date().toISOString(),
        data: { validationCode, validationUrl: '' },
        dataVersion: '2',
        metadataVersion: '1',
      },
    ]),
  });
  const text = await response.text();
  if (response.status === 200 && validationResponseIn(text) === validationCode) return;
  throw new Error(
    `subscription ${name}: the endpoint answered the validation with ${response.status} ${text.slice(0, 200)}`,
  );
}

function validationResponseIn(text: string): unknown {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === 'object' && answer !== null && 'validationResponse' in answer
      ? answer.validationResponse
      : undefined;
  } catch {
    return undefined;
  }
}
