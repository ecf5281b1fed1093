// The network in front of a PostgreSQL server: open, refusing, silent, or cut in the middle of whatever goes on.
import { createServer, connect as openSocket, type Socket } from 'node:net';

/** `silent`: connections are taken and nothing goes through them, as when packets are dropped. */
export type Passage = 'open' | 'refused' | 'silent';

export interface TcpProxy {
  readonly port: number;
  set(passage: Passage): void;
  /** Ends every connection there is. */
  cut(): void;
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';

export async function startTcpProxy(serverPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let passage: Passage = 'open';
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  };
  const proxy = createServer((client) => {
    if (passage === 'refused') return void client.resetAndDestroy();
    keep(client);
    if (passage === 'silent') return void client.resume();
    const server = openSocket(serverPort, HOST);
    keep(server);
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
    const pass = (to: Socket) => (data: Buffer) => {
      if (passage !== 'silent') to.write(data);
    };
    client.on('data', pass(server));
    server.on('data', pass(client));
  });
  await new Promise<void>((resolve) => proxy.listen(0, HOST, resolve));
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    set: (change) => {
      // What was silent has lost bytes: its connections are of no use any more.
      if (passage === 'silent' && change !== 'silent') cut();
      passage = change;
    },
    cut,
    stop: () => {
      cut();
      return new Promise((resolve) => proxy.close(() => resolve()));
    },
  };
}
