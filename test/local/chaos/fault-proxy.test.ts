// Each fault does what it says: seen from both sides of the proxy.
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LocalCertificates, makeLocalCertificates } from '../../../local/certificates.ts';
import { type Fault, type FaultProxy, startFaultProxy } from '../../../local/chaos/fault-proxy.ts';
import { until } from '../../../local/demo/world.ts';

const MESSAGES = [
  '<List>',
  ...['a', 'b', 'c'].map((one) => `<QueueMessage>${one}</QueueMessage>`),
  '</List>',
];

/** What the service was asked, in the order in which it was. */
const asked: string[] = [];
const heard: string[] = [];
const faults: (Fault | undefined)[] = [];
let proxy: FaultProxy;
let url: string;
let target: string | undefined;

const service = createServer((request, response) => {
  void text(request).then((body) => {
    asked.push(`${request.method} ${request.url} ${body}`);
    response
      .writeHead(201, { 'x-answered': 'yes' })
      .end(request.url === '/messages' ? MESSAGES.join('') : 'done');
  });
});

async function listen(server: typeof service): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

beforeAll(async () => {
  target = `http://127.0.0.1:${await listen(service)}`;
  proxy = await startFaultProxy({
    target: () => target,
    choose: () => faults.shift(),
    onAnswer: ({ method, path }, status) => heard.push(`${method} ${path} ${status}`),
  });
  url = `http://127.0.0.1:${proxy.port}`;
});
beforeEach(() => {
  for (const list of [asked, heard, faults]) list.length = 0;
});
afterAll(async () => {
  await proxy.stop();
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
});

const post = (body: string, path = '/a?b=c') => fetch(`${url}${path}`, { method: 'POST', body });

describe('startFaultProxy', () => {
  test('without a fault passes the request and the answer as they are', async () => {
    const answer = await post('hello');
    expect([answer.status, answer.headers.get('x-answered'), await answer.text()]).toEqual([
      201,
      'yes',
      'done',
    ]);
    expect(asked).toEqual(['POST /a?b=c hello']);
    expect(heard).toEqual(['POST /a 201']);
  });

  test('status: answered without the service', async () => {
    faults.push({ kind: 'status', status: 429, body: 'slow down', headers: { 'retry-after': '1' } });
    const answer = await post('hello');
    expect([answer.status, answer.headers.get('retry-after'), await answer.text()]).toEqual([
      429,
      '1',
      'slow down',
    ]);
    expect(asked).toEqual([]);
  });

  test('resetBefore: no answer, and no effect', async () => {
    faults.push({ kind: 'resetBefore' });
    await expect(post('hello')).rejects.toThrow('fetch failed');
    expect(asked).toEqual([]);
  });

  test('resetAfter: no answer, but the effect', async () => {
    faults.push({ kind: 'resetAfter' });
    await expect(post('hello')).rejects.toThrow('fetch failed');
    expect(asked).toEqual(['POST /a?b=c hello']);
  });

  test('statusAfter: another answer, and the effect', async () => {
    faults.push({ kind: 'statusAfter', status: 500 });
    expect((await post('hello')).status).toBe(500);
    expect(asked).toEqual(['POST /a?b=c hello']);
  });

  test('hang: no answer until the faults end, and no effect', async () => {
    faults.push({ kind: 'hang' });
    let settled = false;
    const hanging = post('hello').finally(() => {
      settled = true;
    });
    const outcome = expect(hanging).rejects.toThrow('fetch failed');
    await sleep(200);
    expect(settled).toBe(false);
    proxy.calm();
    await outcome;
    expect(asked).toEqual([]);
  });

  test('stall: the effect, and an answer that begins and ends only with the faults', async () => {
    faults.push({ kind: 'stall' });
    const answer = await post('hello');
    expect([answer.status, asked]).toEqual([201, ['POST /a?b=c hello']]);
    let settled = false;
    const reading = answer.text().finally(() => {
      settled = true;
    });
    const outcome = expect(reading).rejects.toThrow('terminated');
    await sleep(200);
    expect(settled).toBe(false);
    proxy.calm();
    await outcome;
  });

  test('delay: what was sent after it comes first', async () => {
    faults.push({ kind: 'delay', ms: 300 });
    const slow = post('first');
    await until(() => faults.length === 0, 5);
    await Promise.all([post('second'), slow]);
    expect(asked.map((one) => one.split(' ').at(-1))).toEqual(['second', 'first']);
  });

  test('repeat: the service gets it twice', async () => {
    faults.push({ kind: 'repeat' });
    expect((await post('hello')).status).toBe(201);
    expect(asked).toEqual(['POST /a?b=c hello', 'POST /a?b=c hello']);
  });

  test('reverse: queue messages come in the opposite order, and nothing else changes', async () => {
    faults.push({ kind: 'reverse' }, { kind: 'reverse' });
    const [head, a, b, c, tail] = MESSAGES;
    expect(await (await fetch(`${url}/messages`)).text()).toBe([head, c, b, a, tail].join(''));
    expect(await (await fetch(`${url}/other`)).text()).toBe('done');
  });

  test('without a service resets', async () => {
    const before = target;
    target = undefined;
    await expect(post('hello')).rejects.toThrow('fetch failed');
    target = before;
  });
});

test('an HTTPS service is reached through an HTTPS proxy', async () => {
  const certificates: LocalCertificates = await makeLocalCertificates();
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificates.caPem]);
  const secure = createTlsServer({ cert: certificates.certPem, key: certificates.keyPem }, (_, response) => {
    response.end('secure');
  });
  const port = await listen(secure);
  const inFront = await startFaultProxy({
    target: () => `https://127.0.0.1:${port}`,
    choose: () => undefined,
    tls: certificates,
  });
  expect(await (await fetch(`https://127.0.0.1:${inFront.port}/`)).text()).toBe('secure');
  await inFront.stop();
  secure.closeAllConnections();
  await new Promise((resolve) => secure.close(resolve));
});
