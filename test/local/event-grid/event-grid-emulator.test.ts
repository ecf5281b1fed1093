import { request } from 'node:https';
import { AzureKeyCredential, EventGridPublisherClient } from '@azure/eventgrid';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeLocalCertificates } from '../../../local/certificates.ts';
import type { GridEvent, Subscription } from '../../../local/event-grid/delivery.ts';
import {
  type EventGridEmulator,
  type EventGridOptions,
  startEventGridEmulator,
} from '../../../local/event-grid/event-grid-emulator.ts';
import { until } from '../host/host-under-test.ts';
import { startWebhookStub, type WebhookStub } from './webhook-stub.ts';

const tls = await makeLocalCertificates();
let grid: EventGridEmulator;
let hook: WebhookStub;

beforeEach(async () => {
  hook = await startWebhookStub();
  grid = await start();
});
afterEach(async () => {
  await grid.stop();
  await hook.stop();
});

/** Waits shrink ten-thousandfold: 10 s become 1 ms. */
function start(options: Partial<EventGridOptions> = {}): Promise<EventGridEmulator> {
  return startEventGridEmulator({ tls, timeScale: 0.0001, ...options });
}

function keyEvent(id: string, eventType = 'Microsoft.KeyVault.KeyNewVersionCreated'): GridEvent {
  return {
    id,
    topic: '/subscriptions/s/resourceGroups/r/providers/Microsoft.KeyVault/vaults/v1',
    subject: 'k1',
    eventType,
    eventTime: '2026-07-25T01:08:33.1036736Z',
    data: { Id: 'https://v1.vault.azure.net/keys/k1/1', NBF: null, EXP: 1785400000 },
    dataVersion: '1',
    metadataVersion: '1',
  };
}

function subscription(change: Partial<Subscription> = {}): Subscription {
  return { name: 'sub', endpointUrl: hook.url, schema: 'EventGridSchema', includedEventTypes: [], ...change };
}

const ids = (): unknown[] =>
  hook.deliveries.map(({ body }) => (Array.isArray(body) ? body[0]?.id : undefined));

describe('handshake', () => {
  test('validates by code for EventGridSchema and by OPTIONS for CloudEvents', async () => {
    await grid.subscribe(subscription());
    await grid.subscribe(subscription({ name: 'cloud', schema: 'CloudEventSchemaV1_0' }));
    expect(hook.handshakes.map(({ method }) => method)).toEqual(['POST', 'OPTIONS']);
    expect(hook.handshakes[1]?.headers['webhook-request-origin']).toBe('eventgrid.azure.net');
  });

  test.each(['EventGridSchema', 'CloudEventSchemaV1_0'] as const)('fails clearly for %s', async (schema) => {
    hook.validate(false);
    await expect(grid.subscribe(subscription({ schema }))).rejects.toThrow('subscription sub');
    grid.publish(keyEvent('1'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(hook.deliveries).toEqual([]);
  });
});

describe('delivery', () => {
  test('sends one event in an array in EventGridSchema', async () => {
    await grid.subscribe(subscription());
    grid.publish(keyEvent('1'));
    await until(() => hook.deliveries.length === 1);
    expect(hook.deliveries[0]).toMatchObject({
      method: 'POST',
      headers: { 'aeg-event-type': 'Notification', 'aeg-delivery-count': '0' },
      body: [keyEvent('1')],
    });
  });

  test('sends a single CloudEvent, also as a Notification', async () => {
    await grid.subscribe(subscription({ schema: 'CloudEventSchemaV1_0' }));
    const { id, topic, subject, eventType, eventTime, data } = keyEvent('1');
    grid.publish(keyEvent('1'));
    await until(() => hook.deliveries.length === 1);
    expect(hook.deliveries[0]?.headers).toMatchObject({
      'aeg-event-type': 'Notification',
      'content-type': 'application/cloudevents+json; charset=utf-8',
    });
    expect(hook.deliveries[0]?.body).toEqual({
      ...{ id, subject, data, source: topic, type: eventType, time: eventTime, specversion: '1.0' },
    });
  });

  test('sends a subscription its event types only, and nothing once it ended', async () => {
    await grid.subscribe(subscription({ includedEventTypes: ['Microsoft.KeyVault.KeyExpired'] }));
    grid.publish(keyEvent('1'));
    grid.publish(keyEvent('2', 'Microsoft.KeyVault.KeyExpired'));
    await until(() => hook.deliveries.length === 1);
    grid.unsubscribe('sub');
    grid.publish(keyEvent('3', 'Microsoft.KeyVault.KeyExpired'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ids()).toEqual(['2']);
  });

  test('tries again until the endpoint takes it, counting the attempts', async () => {
    hook.answer(500, 'hang', 205, 404);
    await grid.subscribe(subscription());
    grid.publish(keyEvent('1'));
    await until(() => hook.deliveries.length === 5);
    expect(hook.deliveries.map(({ headers }) => headers['aeg-delivery-count'])).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
    ]);
    expect(grid.deadLetters()).toEqual([]);
  });

  test.each([400, 401, 403, 413])('never tries again after %i', async (status) => {
    hook.answer(status);
    await grid.subscribe(subscription());
    grid.publish(keyEvent('1'));
    await until(() => grid.deadLetters().length === 1);
    expect(hook.deliveries).toHaveLength(1);
    expect(grid.deadLetters()[0]).toEqual({
      event: keyEvent('1'),
      subscription: 'sub',
      deadLetterReason: expect.any(String),
      deliveryAttempts: 1,
      lastDeliveryOutcome: String(status),
      publishTime: expect.stringMatching(/^20/),
      lastDeliveryAttemptTime: expect.stringMatching(/^20/),
    });
  });

  test('gives up after the attempts or the time the subscription allows', async () => {
    hook.answer(500, 500, 500, 500, 500, 500);
    await grid.subscribe(subscription({ maxDeliveryAttempts: 2 }));
    grid.publish(keyEvent('1'));
    await until(() => grid.deadLetters().length === 1);
    expect(grid.deadLetters()[0]).toMatchObject({
      deadLetterReason: 'MaxDeliveryAttemptsExceeded',
      deliveryAttempts: 2,
    });
    grid.unsubscribe('sub');
    await grid.subscribe(subscription({ name: 'short', ttlMinutes: 1 }));
    grid.publish(keyEvent('2'));
    await until(() => grid.deadLetters().length === 2);
    expect(grid.deadLetters()[1]?.deadLetterReason).toBe('TimeToLiveExceeded');
  });
});

describe('faults', () => {
  const events = Array.from({ length: 30 }, (_, at) => String(at));

  test('lose', async () => {
    await grid.subscribe(subscription());
    grid.setFaults({ lose: 1 });
    for (const id of events) grid.publish(keyEvent(id));
    grid.setFaults({ lose: 0 });
    grid.publish(keyEvent('kept'));
    await until(() => hook.deliveries.length === 1);
    expect(ids()).toEqual(['kept']);
  });

  test('duplicate', async () => {
    await grid.subscribe(subscription());
    grid.setFaults({ duplicate: 1 });
    for (const id of events) grid.publish(keyEvent(id));
    await until(() => hook.deliveries.length === 60);
    for (const id of events) expect(ids().filter((one) => one === id)).toHaveLength(2);
  });

  test('delay and reorder, losing none', async () => {
    await grid.subscribe(subscription());
    grid.setFaults({ delayMs: 200 });
    for (const id of events) grid.publish(keyEvent(id));
    await until(() => hook.deliveries.length === events.length);
    expect(ids()).not.toEqual(events);
    expect(new Set(ids())).toEqual(new Set(events));
  });
});

describe('custom topic', () => {
  const client = (schema: 'CloudEvent' | 'EventGrid', key = 'k', retries = 0) =>
    new EventGridPublisherClient(grid.topicEndpoint, schema, new AzureKeyCredential(key), {
      tlsOptions: { ca: tls.caPem },
      retryOptions: { maxRetries: retries, retryDelayInMs: 10, maxRetryDelayInMs: 20 },
    });
  const cloud = {
    type: 'PgCmk.KeyUnusable',
    source: '/pg-cmk',
    id: 'v1:7',
    subject: 'k1',
    data: { epoch: 7 },
  };

  test('takes CloudEvents of the real client, keeps them and routes them', async () => {
    await grid.subscribe(subscription({ schema: 'CloudEventSchemaV1_0', includedEventTypes: [cloud.type] }));
    await client('CloudEvent').send([cloud, { ...cloud, id: 'v1:8', type: 'PgCmk.KeyUsable' }]);
    expect(grid.received().map(({ id, eventType }) => [id, eventType])).toEqual([
      ['v1:7', 'PgCmk.KeyUnusable'],
      ['v1:8', 'PgCmk.KeyUsable'],
    ]);
    await until(() => hook.deliveries.length === 1);
    expect(hook.deliveries[0]?.body).toMatchObject({ ...cloud, specversion: '1.0' });
  });

  test('takes EventGridSchema of the real client', async () => {
    const event = { eventType: 'PgCmk.KeyStatusHint', subject: 'k1', dataVersion: '1', data: { keyId: 'x' } };
    await client('EventGrid').send([event]);
    expect(grid.received()).toMatchObject([event]);
  });

  test('asks its check about bearer tokens and keys', async () => {
    await grid.stop();
    grid = await start({ authenticate: (credential) => credential === 'good' });
    const token = (text: string) => ({
      getToken: async () => ({ token: text, expiresOnTimestamp: Date.now() + 3_600_000 }),
    });
    const by = (credential: AzureKeyCredential | ReturnType<typeof token>) =>
      new EventGridPublisherClient(grid.topicEndpoint, 'CloudEvent', credential, {
        tlsOptions: { ca: tls.caPem },
        retryOptions: { maxRetries: 0 },
      }).send([cloud]);
    await by(token('good'));
    await by(new AzureKeyCredential('good'));
    await expect(by(token('bad'))).rejects.toMatchObject({ statusCode: 401 });
    await expect(by(new AzureKeyCredential('bad'))).rejects.toMatchObject({ statusCode: 401 });
    expect(grid.received()).toHaveLength(2);
  });

  test('refuses what is no event, and serves what it took', async () => {
    const topic = (path: string, body?: string) =>
      new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
        const headers = { 'aeg-sas-key': 'k', 'content-type': 'application/json' };
        const method = body === undefined ? 'GET' : 'POST';
        const url = new URL(path, grid.topicEndpoint);
        request(url, { method, headers, ca: tls.caPem }, async (response) => {
          const text = Buffer.concat(await response.toArray()).toString();
          resolve({ status: response.statusCode, text });
        })
          .on('error', reject)
          .end(body);
      });
    for (const body of ['[{"type":"t","source":5}]', '{}', 'no json']) {
      expect((await topic('/api/events', body)).status).toBe(400);
    }
    await client('CloudEvent').send([cloud]);
    expect(JSON.parse((await topic('/events')).text)).toEqual([expect.objectContaining({ id: 'v1:7' })]);
    expect((await topic('/elsewhere')).status).toBe(404);
  });

  test('fails in the way of the outage, and a retrying publisher gets through after it', async () => {
    grid.setTopicOutage('error');
    await expect(client('CloudEvent').send([cloud])).rejects.toMatchObject({ statusCode: 503 });
    grid.setTopicOutage('refuse');
    await expect(client('CloudEvent').send([cloud])).rejects.toMatchObject({ code: expect.any(String) });
    grid.setTopicOutage('timeout');
    const aborted = client('CloudEvent').send([cloud], { abortSignal: AbortSignal.timeout(200) });
    await expect(aborted).rejects.toThrow();
    const patient = client('CloudEvent', 'k', 3).send([cloud]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    grid.setTopicOutage(false);
    await patient;
    expect(grid.received()).toHaveLength(1);
  });
});
