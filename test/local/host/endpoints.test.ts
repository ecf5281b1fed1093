import { QueueServiceClient } from '@azure/storage-queue';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { callsOf, recorder, resetRecorder } from '../../fixtures/host-apps/recorder.ts';
import { type HostUnderTest, startHostUnderTest } from './host-under-test.ts';

let azurite: Azurite;
let host: HostUnderTest;

beforeAll(async () => {
  azurite = await startAzurite();
  host = await startHostUnderTest('all-triggers.ts', {
    STATE: azurite.connectionString,
    AzureWebJobsStorage: azurite.connectionString,
    'AzureWebJobs.off.Disabled': 'true',
  });
});
afterAll(async () => {
  await host?.stop();
  await azurite?.stop();
});
beforeEach(resetRecorder);

async function drain(queueName: string): Promise<unknown[]> {
  const queue = QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient(queueName);
  const { receivedMessageItems } = await queue.receiveMessages({ numberOfMessages: 32 });
  const texts = receivedMessageItems.map((item) => Buffer.from(item.messageText, 'base64').toString());
  for (const { messageId, popReceipt } of receivedMessageItems)
    await queue.deleteMessage(messageId, popReceipt);
  return texts.sort();
}

const event = {
  id: '1',
  topic: '/subscriptions/s/vaults/v1',
  subject: 'k1',
  eventType: 'Microsoft.KeyVault.KeyNewVersionCreated',
  eventTime: '2026-07-25T01:08:33.1036736Z',
  data: { Id: 'https://v1.vault.azure.net/keys/k1/1', NBF: null, EXP: 1785400000 },
  dataVersion: '1',
  metadataVersion: '1',
};

describe('Event Grid webhook', () => {
  const post = (
    fn: string,
    body: unknown,
    headers: Record<string, string>,
    path = 'EventGrid',
  ): Promise<Response> =>
    fetch(`${host.url}/runtime/webhooks/${path}?functionName=${fn}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const notification = { 'aeg-event-type': 'Notification' };

  test('answers 404 for an unknown function, whatever the request', async () => {
    const answer = await post('nobody', [event], notification);
    expect(answer.status).toBe(404);
    expect(await answer.text()).toBe("cannot find function: 'nobody'");
    expect((await post('work', [event], notification)).status).toBe(404);
    expect((await post('', [event], {})).status).toBe(404);
  });

  test('answers the CloudEvents handshake', async () => {
    const answer = await fetch(`${host.url}/runtime/webhooks/eventgrid?functionName=onEvent`, {
      method: 'OPTIONS',
      headers: { 'WebHook-Request-Origin': 'eventgrid.azure.net' },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('webhook-allowed-origin')).toBe('eventgrid.azure.net');
  });

  test('answers the Event Grid handshake without running the function', async () => {
    const body = [{ ...event, data: { validationCode: 'abc', validationUrl: 'https://x' } }];
    const answer = await post('onEvent', body, { 'aeg-event-type': 'SubscriptionValidation' });
    expect(answer.status).toBe(200);
    expect(JSON.parse(await answer.text())).toEqual({ validationResponse: 'abc' });
    expect(recorder.calls).toEqual([]);
  });

  test('runs one invocation an event, whole array or single object', async () => {
    const second = { ...event, id: '2' };
    expect((await post('ONEVENT', [event, second], notification, 'eventgrid')).status).toBe(202);
    expect((await post('onEvent', { ...event, id: '3' }, notification)).status).toBe(202);
    expect(recorder.calls.map(({ input }) => input)).toEqual([event, second, { ...event, id: '3' }]);
    // The library lower-cases first letters in the metadata: a trap worth keeping.
    expect(recorder.calls[0]?.context.triggerMetadata).toEqual({
      data: { id: event.data.Id, nBF: null, eXP: event.data.EXP },
    });
  });

  test('takes CloudEvents, batched and single', async () => {
    const cloud = { specversion: '1.0', id: 'c1', source: '/v', type: 't', data: { a: 1 } };
    const batch = { ...notification, 'content-type': 'application/cloudevents-batch+json; charset=utf-8' };
    expect((await post('onEvent', [cloud], batch)).status).toBe(202);
    const single = { ...notification, 'content-type': 'application/cloudevents+json; charset=utf-8' };
    expect((await post('onEvent', cloud, single)).status).toBe(202);
    expect(callsOf('onEvent').map(({ input }) => input)).toEqual([cloud, cloud]);
  });

  test('fails the whole delivery when one event fails, after all have run', async () => {
    recorder.handlers['onEvent'] = (input) => {
      if (JSON.stringify(input).includes('"id":"bad"')) throw new Error('cannot enqueue');
    };
    const answer = await post('onEvent', [{ ...event, id: 'bad' }, event], notification);
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain('cannot enqueue');
    expect(callsOf('onEvent')).toHaveLength(2);
    expect(host.log.at(-1)).toMatchObject({ level: 'error', category: 'system', functionName: 'onEvent' });
  });

  test('runs the events of a delivery side by side', async () => {
    const both = Promise.withResolvers<void>();
    recorder.handlers['onEvent'] = () => {
      if (callsOf('onEvent').length === 2) both.resolve();
      return both.promise;
    };
    expect((await post('onEvent', [event, event], notification)).status).toBe(202);
  });

  test.each([
    ['Unsubscribe', { 'aeg-event-type': 'Unsubscribe' }, 202],
    ['an unknown event type', { 'aeg-event-type': 'Whatever' }, 400],
    ['no event type', {}, 400],
  ])('answers %s with its status', async (_, headers: Record<string, string>, status) => {
    expect((await post('onEvent', [event], headers)).status).toBe(status);
    expect(recorder.calls).toEqual([]);
  });

  test('answers 500 for a body that is no JSON, and 404 for another extension', async () => {
    expect((await post('onEvent', 'not json', notification)).status).toBe(500);
    expect((await post('onEvent', [event], notification, 'blobs')).status).toBe(404);
  });

  test('writes extra outputs to their queue, and only on success', async () => {
    recorder.handlers['onEventToQueue'] = () => ({ kek: 'k1' });
    expect((await post('onEventToQueue', [event], notification)).status).toBe(202);
    expect(await drain('results')).toEqual(['{"kek":"k1"}']);
    recorder.handlers['onEventToQueue'] = () => {
      throw new Error('no');
    };
    expect((await post('onEventToQueue', [event], notification)).status).toBe(500);
    expect(await drain('results')).toEqual([]);
  });

  test('hooks wrap the handler, share data, forgive an error and rewrite logs', async () => {
    recorder.handlers['onEvent'] = () => {
      throw new Error('forgiven');
    };
    expect((await post('onEvent', [event], notification)).status).toBe(202);
    expect(host.log.at(-1)).toMatchObject({
      category: 'user',
      level: 'information',
      functionName: 'onEvent',
      message: 'wrapped by onEvent',
    });
  });
});

describe('HTTP functions', () => {
  test('pass method, parameters, query, headers and body, and answer what the handler returned', async () => {
    recorder.handlers['servers'] = () => ({ status: 418, headers: { etag: '"1"' }, jsonBody: { ok: true } });
    const answer = await fetch(`${host.url}/API/servers/s%20one?a=1&b=x%2Fy`, {
      method: 'PUT',
      headers: { 'x-test': 'yes' },
      body: '{"keyId":"k"}',
    });
    expect(answer.status).toBe(418);
    expect(answer.headers.get('etag')).toBe('"1"');
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(await answer.json()).toEqual({ ok: true });
    expect(recorder.calls[0]?.input).toEqual({
      method: 'PUT',
      url: `${host.url}/API/servers/s%20one?a=1&b=x%2Fy`,
      params: { serverId: 's one' },
      query: { a: '1', b: 'x/y' },
      header: 'yes',
      body: '{"keyId":"k"}',
    });
  });

  test('prefer literal routes and know the rest of a path', async () => {
    expect(await (await fetch(`${host.url}/api/servers/me`)).json()).toEqual({ literal: true });
    const rest = await fetch(`${host.url}/api/keys/v1.vault.azure.net/k1/impact`);
    expect(await rest.json()).toEqual({ vault: 'v1.vault.azure.net', rest: 'k1/impact' });
  });

  test('answer 404 for another method, path or a disabled function', async () => {
    expect((await fetch(`${host.url}/api/servers/s1`, { method: 'DELETE' })).status).toBe(404);
    expect((await fetch(`${host.url}/api/nothing`)).status).toBe(404);
    expect((await fetch(`${host.url}/servers/s1`)).status).toBe(404);
    expect((await fetch(`${host.url}/api/off`)).status).toBe(404);
  });

  test('answer 500 without a body when the handler throws', async () => {
    recorder.handlers['plain'] = () => Promise.reject(new Error('secret'));
    const answer = await fetch(`${host.url}/api/plain`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).toBe('');
  });

  test('send each element of an array output as a message of its own', async () => {
    const answer = await fetch(`${host.url}/api/toQueue`, { method: 'POST' });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('set-cookie')).toBe('c=v; HttpOnly');
    expect(await answer.text()).toBe('queued');
    expect(await drain('results')).toEqual(['one', '{"two":2}']);
  });
});

describe('admin endpoint', () => {
  const run = (name: string, body: string, query = '?wait=true'): Promise<Response> =>
    fetch(`${host.url}/admin/functions/${name}${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });

  test('lists functions and tells the state', async () => {
    const list: unknown = await (await fetch(`${host.url}/admin/functions`)).json();
    expect(list).toContainEqual(
      expect.objectContaining({ name: 'keys', invoke_url_template: `${host.url}/api/keys/{vault}/{*rest}` }),
    );
    expect(list).toContainEqual(expect.objectContaining({ name: 'off', isDisabled: true }));
    expect(await (await fetch(`${host.url}/admin/functions/work`)).json()).toMatchObject({ name: 'work' });
    expect(await (await fetch(`${host.url}/admin/host/status`)).json()).toMatchObject({ state: 'Running' });
  });

  test('accepts at once, and the function runs', async () => {
    const done = Promise.withResolvers<void>();
    recorder.handlers['work'] = () => done.promise;
    expect((await run('Work', JSON.stringify({ input: '{"a":1}' }), '')).status).toBe(202);
    await expect.poll(() => callsOf('work').map(({ input }) => input)).toEqual([{ a: 1 }]);
    done.resolve();
  });

  test('waits for the outcome when asked to', async () => {
    recorder.handlers['work'] = () => ({ rewrapped: 3 });
    const good = await run('work', '{"input":{"range":1}}');
    expect(good.status).toBe(200);
    expect(await good.json()).toEqual({ status: 'succeeded', returnValue: { rewrapped: 3 } });
    recorder.handlers['work'] = () => Promise.reject(new Error('vault is away'));
    const bad = await run('work', '{"input":"x"}');
    expect(bad.status).toBe(500);
    expect(await bad.json()).toEqual({ status: 'failed', error: 'vault is away' });
  });

  test('gives each trigger its own input', async () => {
    const records = [{ records: [{ operationName: 'KeyUpdate' }] }];
    await run('auditLog', JSON.stringify({ input: records }));
    await run('auditLog', JSON.stringify({ input: records[0] }));
    await run('auditLogOne', JSON.stringify({ input: JSON.stringify(records[0]) }));
    await run('onEvent', JSON.stringify({ input: JSON.stringify(event) }));
    await run('tick', '{}');
    expect(recorder.calls.map(({ input }) => input)).toEqual([
      records,
      records,
      records[0],
      event,
      expect.objectContaining({ isPastDue: false, scheduleStatus: expect.anything() }),
    ]);
  });

  test('refuses the unknown, HTTP functions and bodies that do not fit', async () => {
    expect((await run('nobody', '{}')).status).toBe(404);
    expect((await run('plain', '{"input":""}')).status).toBe(400);
    expect((await run('work', 'x')).status).toBe(400);
    expect((await run('onEvent', '{"input":"text"}')).status).toBe(400);
  });
});
