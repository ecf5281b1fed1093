import { QueueServiceClient } from '@azure/storage-queue';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRangeMessage } from '../../../functions/queues/parse-message.ts';
import { type Azurite, startAzurite } from '../../../local/azurite.ts';
import { makeWorkQueue } from '../../../shared/azure/work-queue.ts';
import { parseKekId } from '../../../shared/domain/key-id.ts';
import type { RangeMessage } from '../../../shared/domain/message.ts';
import type { Tracer } from '../../../shared/ports/telemetry.ts';

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());

const kek = parseKekId('contoso.vault.azure.net', 'orders');
const range = (from: string): RangeMessage => ({
  kek,
  epoch: 1,
  from,
  to: from,
  attempt: null,
  cause: { kind: 'sweep' },
});

async function receive(queue: string): Promise<unknown[]> {
  const client = QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient(queue);
  const { receivedMessageItems } = await client.receiveMessages({ numberOfMessages: 32 });
  return receivedMessageItems.map(({ messageText }) =>
    JSON.parse(Buffer.from(messageText, 'base64').toString()),
  );
}

const untraced = { current: () => null };
const open = (tracer: Pick<Tracer, 'current'> = untraced) =>
  makeWorkQueue({ kind: 'connectionString', value: azurite.connectionString }, tracer);

test('creates its queues and their poison queues, again and again', async () => {
  await open().ensureQueues();
  await open().ensureQueues();
  const names: string[] = [];
  const service = QueueServiceClient.fromConnectionString(azurite.connectionString);
  for await (const { name } of service.listQueues()) names.push(name);
  const queues = ['probe-keks', 'reconcile-keks', 'rewrap-deks', 'server-access'];
  expect(names.sort()).toEqual(queues.flatMap((name) => [name, `${name}-poison`]).sort());
});

test('sends each message to its queue, as JSON in base64', async () => {
  const queue = open();
  await queue.ensureQueues();
  const ranges = Array.from({ length: 20 }, (_, index) => range(`server-${index + 10}`));
  await queue.enqueueReconcile({ kek, cause: { kind: 'probe' } });
  await queue.enqueueRewrap(ranges);
  await queue.enqueueAccess([range('a')]);
  await queue.enqueueProbe({ keks: [kek] });
  expect(await receive('reconcile-keks')).toEqual([{ kek, cause: { kind: 'probe' } }]);
  const rewraps = await receive('rewrap-deks');
  expect(rewraps).toHaveLength(20);
  expect(rewraps).toEqual(expect.arrayContaining(ranges));
  expect(await receive('server-access')).toEqual([range('a')]);
  expect(await receive('probe-keks')).toEqual([{ keks: [kek] }]);
});

test('a message carries the trace that it belongs to, and parses as ever', async () => {
  const led = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=1' };
  const queue = open({ current: () => led });
  await queue.ensureQueues();
  await queue.enqueueAccess([range('traced')]);
  const [message] = await receive('server-access');
  expect(message).toEqual({ ...range('traced'), ...led });
  expect(parseRangeMessage(message)).toEqual(range('traced'));
});

test('says how full each queue is, with what is out of sight', async () => {
  const queue = open();
  await queue.ensureQueues();
  const before = new Map((await queue.depths()).map(({ queue, messages }) => [queue, messages]));
  expect([...before.keys()]).toHaveLength(8);
  await queue.enqueueProbe({ keks: [kek] });
  await queue.enqueueReconcile({ kek, cause: { kind: 'probe' } }, 60);
  const after = new Map((await queue.depths()).map(({ queue, messages }) => [queue, messages]));
  for (const name of ['probe-keks', 'reconcile-keks'])
    expect((after.get(name) ?? 0) - (before.get(name) ?? 0)).toBe(1);
});

test('a delayed message is there, and not yet visible', async () => {
  const queue = open();
  await queue.ensureQueues();
  await queue.enqueueAccess([range('later')], 60);
  expect(await receive('server-access')).toEqual([]);
  const client = QueueServiceClient.fromConnectionString(azurite.connectionString);
  const { approximateMessagesCount } = await client.getQueueClient('server-access').getProperties();
  expect(approximateMessagesCount).toBeGreaterThan(0);
});

test('fails retryably where nothing listens', async () => {
  const value =
    'DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;QueueEndpoint=http://127.0.0.1:1/a;';
  const dead = makeWorkQueue({ kind: 'connectionString', value }, untraced);
  const failure = { code: 'StoreUnavailable', retryable: true };
  await expect(dead.enqueueRewrap([range('a'), range('b')])).rejects.toMatchObject(failure);
  await expect(dead.ensureQueues()).rejects.toMatchObject(failure);
});
