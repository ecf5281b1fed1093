// The HTTPS side of one vault: its origin, its outages, its latency and its `Date`.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Switches } from './switches.ts';
import type { VaultResponse, VaultService } from './vault-service.ts';

export interface AnsweredRequest {
  readonly method: string;
  readonly path: string;
  /** 0 where nothing was sent back. */
  readonly status: number;
  readonly operation: string | null;
  readonly innerCode: string | null;
  readonly durationMs: number;
  /** The counter that it added to. */
  readonly count: string;
}

export interface VaultServerOptions {
  readonly certPem: string;
  readonly keyPem: string;
  readonly port: number;
  switches(): Switches;
  now(): Date;
  onAnswered(request: AnsweredRequest): void;
}

export interface VaultServer {
  readonly port: number;
  /** Requests wait for it: the origin is known before the vault. */
  serve(service: VaultService): void;
  /** Listens, or doesn't, as the outage `refuse` says. */
  applyOutage(): Promise<void>;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1 << 20;
const HOST = '127.0.0.1';
const NO_BODY = Promise.resolve(Buffer.alloc(0));

export async function startVaultServer(options: VaultServerOptions): Promise<VaultServer> {
  const { promise: service, resolve: serve } = Promise.withResolvers<VaultService>();
  const server = createServer({ cert: options.certPem, key: options.keyPem }, (request, response) => {
    void answer(options, service, request, response);
  });
  server.keepAliveTimeout = 300_000;
  server.requestTimeout = 0;
  const listen = async (port: number) => {
    server.listen({ port, host: HOST, backlog: 1024 });
    await once(server, 'listening');
  };
  // Of its own, since closeAllConnections() knows nothing of those still in their handshake.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const stop = async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  // One change at a time; each caller hears of its own failure.
  let last: Promise<void> = Promise.resolve();
  const inTurn = (change: () => Promise<void>): Promise<void> => {
    last = last.catch(() => {}).then(change);
    return last;
  };

  await listen(options.port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the vault has no port');
  const { port } = address;
  return {
    port,
    serve,
    applyOutage: () =>
      inTurn(async () => {
        const shouldListen = options.switches().outage !== 'refuse';
        if (shouldListen && !server.listening) await listen(port);
        if (!shouldListen && server.listening) await stop();
      }),
    close: () => inTurn(async () => (server.listening ? stop() : undefined)),
  };
}

async function answer(
  options: VaultServerOptions,
  service: Promise<VaultService>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const started = performance.now();
  const { method = 'GET', url: target = '/' } = request;
  const { latencyMs, latencyJitterMs } = options.switches();
  const note = (result: Pick<VaultResponse, 'status' | 'operation' | 'innerCode' | 'count'>) =>
    options.onAnswered({
      method,
      path: target.split('?', 1)[0] ?? '',
      status: result.status,
      operation: result.operation,
      innerCode: result.innerCode,
      durationMs: performance.now() - started,
      count: result.count,
    });
  try {
    const body = await readBody(request);
    if (latencyMs + latencyJitterMs > 0) await sleep(latencyMs + Math.random() * latencyJitterMs);
    const broken = breakDown(options.switches().outage, request);
    if (broken !== null) {
      note({ status: broken?.status ?? 0, operation: null, innerCode: null, count: 'outage' });
      if (broken !== undefined) send(response, options.now(), broken);
      return;
    }
    const { authorization } = request.headers;
    const result = await (await service)({ method, target, authorization, body });
    note(result);
    send(response, options.now(), result);
  } catch {
    request.socket.destroy(); // the caller went away, or sent more than a vault takes
  }
}

type Sent = Pick<VaultResponse, 'status' | 'body'> & { readonly headers?: VaultResponse['headers'] };

/** null: no outage; undefined: nothing is to be sent. */
function breakDown(outage: Switches['outage'], request: IncomingMessage): Sent | null | undefined {
  switch (outage) {
    case 'error500':
      return {
        status: 500,
        body: '{"error":{"code":"InternalServerError","message":"Internal server error."}}',
      };
    case 'error503':
      return {
        status: 503,
        body: '{"error":{"code":"ServiceUnavailable","message":"The service is unavailable."}}',
      };
    case 'garbage':
      return {
        status: 200,
        body: '<html><body>It works!</body></html>',
        headers: { 'Content-Type': 'text/html' },
      };
    case 'reset':
    case 'refuse':
      request.socket.destroy();
      return undefined;
    case 'timeout':
      return undefined;
    case 'none':
    case 'wrongKey':
      return null;
  }
}

function send(response: ServerResponse, now: Date, { status, body, headers }: Sent): void {
  response.sendDate = false;
  response.writeHead(status, {
    'Cache-Control': 'no-cache',
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Date: now.toUTCString(),
    'x-ms-keyvault-region': 'local',
    'x-ms-request-id': randomUUID(),
    ...headers,
  });
  response.end(body);
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
  if (length === '0' && encoding === undefined) return NO_BODY;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let left = MAX_BODY_BYTES;
    request.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      left -= chunk.length;
      if (left < 0) reject(new RangeError('body too large'));
    });
    request.on('end', () =>
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)),
    );
    request.on('error', reject);
    request.on('close', () => reject(new Error('the caller went away')));
  });
}
