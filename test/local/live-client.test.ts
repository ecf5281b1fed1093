// The client that keeps a session open: it must come to its end whenever it is told to.
import { connect, createServer, type Socket } from 'node:net';
import { onTestFinished, test } from 'vitest';
import { makeLocalCertificates } from '../../local/certificates.ts';
import { startPostgres } from '../../local/postgres.ts';
import { CLIENT_USER, prepareServer, runAsSuperuser } from '../../local/stack/fleet-server.ts';
import { startLiveClient } from '../../local/stack/live-client.ts';

test('ends while it is connecting again', async () => {
  const postgres = await startPostgres({ name: 'live', ssl: await makeLocalCertificates() });
  onTestFinished(postgres.stop);
  await prepareServer(postgres, 'password-of-the-app');

  const reconnecting = Promise.withResolvers<void>();
  let letThrough: ((socket: Socket) => void) | null = null;
  const waiting: Socket[] = [];
  const forward = (socket: Socket) => {
    const server = connect(postgres.port, postgres.host);
    for (const [from, to] of [
      [socket, server],
      [server, socket],
    ] as const) {
      from.on('error', () => undefined);
      from.pipe(to);
    }
  };
  const proxy = createServer((socket) => {
    if (letThrough !== null) return letThrough(socket);
    forward(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void proxy.close());
  const address = proxy.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  const client = await startLiveClient({ ...postgres, port }, 'orders');
  letThrough = (socket) => {
    waiting.push(socket);
    reconnecting.resolve();
  };
  await runAsSuperuser(postgres, 'cmk_admin', [
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${CLIENT_USER}'`,
  ]);
  await reconnecting.promise;
  const stopped = client.stop();
  for (const socket of waiting) forward(socket);
  await stopped;
});
