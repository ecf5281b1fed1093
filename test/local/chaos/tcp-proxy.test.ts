import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTcpProxy, type TcpProxy } from '../../../local/chaos/tcp-proxy.ts';

// Sends back what it gets.
const echo = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.pipe(socket);
});
let proxy: TcpProxy;
const clients: Socket[] = [];

beforeEach(async () => {
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  const address = echo.address();
  proxy = await startTcpProxy(typeof address === 'object' && address !== null ? address.port : 0);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.stop();
  await new Promise((resolve) => echo.close(resolve));
});

async function open(): Promise<Socket> {
  const client = connect(proxy.port, '127.0.0.1');
  clients.push(client);
  client.on('error', () => undefined);
  await once(client, 'connect');
  return client;
}

async function ask(client: Socket, text: string): Promise<string> {
  client.write(text);
  const [data]: Buffer[] = await once(client, 'data');
  return String(data);
}

const isClosed = (client: Socket): Promise<void> =>
  new Promise((resolve) => {
    client.once('close', () => resolve());
    if (client.destroyed) resolve();
  });

test('open: everything passes, both ways', async () => {
  const client = await open();
  expect(await ask(client, 'one')).toBe('one');
  expect(await ask(client, 'two')).toBe('two');
});

test('refused: a new connection ends at once, the ones there go on', async () => {
  const before = await open();
  expect(await ask(before, 'one')).toBe('one');
  proxy.set('refused');
  const after = connect(proxy.port, '127.0.0.1');
  after.on('error', () => undefined);
  await isClosed(after);
  expect(await ask(before, 'two')).toBe('two');
  proxy.set('open');
  expect(await ask(await open(), 'three')).toBe('three');
});

test('silent: nothing comes back, and what was silent is cut at the end of it', async () => {
  const client = await open();
  expect(await ask(client, 'one')).toBe('one');
  proxy.set('silent');
  const heard: string[] = [];
  client.on('data', (data) => heard.push(String(data)));
  client.write('two');
  const other = await open();
  other.on('data', (data) => heard.push(String(data)));
  other.write('three');
  await sleep(200);
  expect(heard).toEqual([]);
  proxy.set('open');
  await Promise.all([isClosed(client), isClosed(other)]);
  expect(await ask(await open(), 'four')).toBe('four');
});

test('cut: every connection ends, and new ones are taken', async () => {
  const client = await open();
  expect(await ask(client, 'one')).toBe('one');
  proxy.cut();
  await isClosed(client);
  expect(await ask(await open(), 'two')).toBe('two');
});
