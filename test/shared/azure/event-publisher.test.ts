import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeLocalCertificates } from '../../../local/certificates.ts';
import { type EventPublisherOptions, makeEventPublisher } from '../../../shared/azure/event-publisher.ts';
import type { OwnEvent } from '../../../shared/domain/own-event.ts';

interface Posted {
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly events: readonly unknown[];
}

let server: Server;
let options: EventPublisherOptions;
let posted: Posted[] = [];
let status = 200;

beforeAll(async () => {
  const { caPem, certPem, keyPem } = await makeLocalCertificates();
  server = createServer({ cert: certPem, key: keyPem }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    posted.push({ headers: request.headers, events: JSON.parse(Buffer.concat(chunks).toString()) });
    if (status > 0) response.writeHead(status).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  options = {
    endpoint: `https://127.0.0.1:${port}/api/events`,
    auth: {
      kind: 'identity',
      credential: {
        getToken: async () => ({ token: 'token', expiresOnTimestamp: Date.now() + 3_600_000 }),
      },
    },
    source: '/apps/pg-cmk',
    caPem,
  };
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  posted = [];
  status = 200;
});

const event = (id: string): OwnEvent => ({
  id,
  type: 'PgCmk.KeyUnusable',
  subject: 'https://contoso.vault.azure.net/keys/orders',
  time: new Date('2026-11-24T10:00:00Z'),
  data: { reason: 'KeyDisabled' },
});

test('publishes CloudEvents, as the app’s identity', async () => {
  await makeEventPublisher(options).publish([event('a'), event('b')]);
  expect(posted).toHaveLength(1);
  expect(posted[0]?.headers['authorization']).toBe('Bearer token');
  expect(posted[0]?.headers['content-type']).toContain('application/cloudevents-batch+json');
  expect(posted[0]?.events).toMatchObject([
    {
      specversion: '1.0',
      id: 'a',
      type: 'PgCmk.KeyUnusable',
      source: '/apps/pg-cmk',
      subject: 'https://contoso.vault.azure.net/keys/orders',
      time: '2026-11-24T10:00:00.000Z',
      data: { reason: 'KeyDisabled' },
    },
    { id: 'b' },
  ]);
});

test('or with a key', async () => {
  await makeEventPublisher({ ...options, auth: { kind: 'key', key: 'topic-key' } }).publish([event('a')]);
  expect(posted[0]?.headers['aeg-sas-key']).toBe('topic-key');
});

test('sends at most a hundred at a time, and nothing for nothing', async () => {
  const publisher = makeEventPublisher(options);
  await publisher.publish([]);
  expect(posted).toHaveLength(0);
  await publisher.publish(Array.from({ length: 250 }, (_, index) => event(`e${index}`)));
  expect(posted.map(({ events }) => events.length)).toEqual([100, 100, 50]);
});

test.each([400, 401, 403, 413])('a %i is PublishFailed, and may be tried again', async (refusal) => {
  status = refusal;
  const publishing = makeEventPublisher(options).publish([event('a')]);
  await expect(publishing).rejects.toMatchObject({ code: 'PublishFailed', retryable: true });
});

test('so is no token, and a topic that does not answer', async () => {
  const failure = { code: 'PublishFailed', retryable: true };
  const noToken = {
    kind: 'identity',
    credential: { getToken: () => Promise.reject(new Error('no identity')) },
  } as const;
  await expect(makeEventPublisher({ ...options, auth: noToken }).publish([event('a')])).rejects.toMatchObject(
    failure,
  );
  status = 0;
  const silent = makeEventPublisher({ ...options, timeoutMs: 200 });
  await expect(silent.publish([event('a')])).rejects.toMatchObject(failure);
});
