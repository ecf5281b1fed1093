// An HTTP or HTTPS service with faults in front of it: a proxy to the real one that answers some requests itself, or
// lets them take effect and loses the answer.
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { createServer as createTlsServer, request as sendTls } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export type Fault =
  /** Answered by the proxy; the service never hears of it. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'resetBefore' }
  /** The request takes effect, and then the connection is reset, or a status is answered instead. */
  | { readonly kind: 'resetAfter' }
  | { readonly kind: 'statusAfter'; readonly status: number }
  /** No answer at all; the service never hears of it. `calm` ends it. */
  | { readonly kind: 'hang' }
  /** The request takes effect; the answer begins, and never ends. `calm` ends it. */
  | { readonly kind: 'stall' }
  /** It goes through late; what was sent after it may come first. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The service gets it twice; the second answer is the one that counts. */
  | { readonly kind: 'repeat' }
  /** The messages in the answer of a storage queue come in the opposite order. */
  | { readonly kind: 'reverse' };

export interface ProxiedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
}

export interface FaultProxyOptions {
  /** The origin of the real service at this moment; undefined: there is none. */
  readonly target: () => string | undefined;
  /** What becomes of a request; undefined: it goes through. */
  readonly choose: (request: ProxiedRequest) => Fault | undefined;
  /** Hears of every answer of the real service. */
  readonly onAnswer?: (request: ProxiedRequest, status: number) => void;
  /** Makes it an HTTPS proxy. */
  readonly tls?: { readonly certPem: string; readonly keyPem: string };
}

export interface FaultProxy {
  readonly port: number;
  /** Resets the requests that hang, so that their senders need not wait for their own time limits. */
  calm(): void;
  stop(): Promise<void>;
}

export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const { target, choose, tls } = options;
  const hanging = new Set<IncomingMessage>();

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = 'GET', url = '/' } = request;
    const asked = { method, path: url.split('?', 1)[0] ?? '' };
    const fault = choose(asked);
    const body = await buffer(request);
    if (fault?.kind === 'resetBefore') return void request.socket.destroy();
    if (fault?.kind === 'status')
      return void response.writeHead(fault.status, { ...fault.headers }).end(fault.body);
    const keepHanging = () => {
      hanging.add(request);
      request.socket.once('close', () => hanging.delete(request));
    };
    if (fault?.kind === 'hang') return keepHanging();
    if (fault?.kind === 'delay') await sleep(fault.ms);
    const origin = target();
    if (origin === undefined) return void request.socket.destroy();
    const ask = async () => {
      const answer = await forward(`${origin}${url}`, request, body);
      options.onAnswer?.(asked, answer.status);
      return answer;
    };
    if (fault?.kind === 'repeat') await ask();
    const answer = await ask();
    if (fault?.kind === 'resetAfter') return void request.socket.destroy();
    if (fault?.kind === 'statusAfter') return void response.writeHead(fault.status).end();
    if (fault?.kind === 'stall') {
      const { 'transfer-encoding': _, ...headers } = answer.headers;
      response.writeHead(answer.status, { ...headers, 'content-length': answer.body.length + 2 });
      response.write(Buffer.concat([answer.body, Buffer.from(' ')]));
      return keepHanging();
    }
    const told = fault?.kind === 'reverse' ? reverseMessages(answer.body) : answer.body;
    response.writeHead(answer.status, answer.headers).end(told);
  };
  const take = (request: IncomingMessage, response: ServerResponse) => {
    serve(request, response).catch(() => request.socket.destroy());
  };
  const server =
    tls === undefined ? createServer(take) : createTlsServer({ cert: tls.certPem, key: tls.keyPem }, take);
  // Idle connections are the callers' to close: a reset in the middle of the next request would be one more fault.
  server.keepAliveTimeout = 300_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    calm: () => {
      for (const request of hanging) request.socket.destroy();
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

const MESSAGE = /<QueueMessage>.*?<\/QueueMessage>/gs;

function reverseMessages(body: Buffer): Buffer {
  const text = body.toString('utf8');
  const messages = text.match(MESSAGE) ?? [];
  return Buffer.from(text.replace(MESSAGE, () => messages.pop() ?? ''));
}

function forward(url: string, { method, headers }: IncomingMessage, body: Buffer) {
  return new Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }>(
    (resolve, reject) => {
      const sender = url.startsWith('https:') ? sendTls : send;
      const outgoing = sender(url, { method, headers }, (answer) => {
        buffer(answer).then(
          (all) => resolve({ status: answer.statusCode ?? 500, headers: answer.headers, body: all }),
          reject,
        );
      });
      outgoing.on('error', reject).end(body);
    },
  );
}
