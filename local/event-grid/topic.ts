// The custom topic: an HTTPS endpoint that the real EventGridPublisherClient publishes to.
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { z } from 'zod';
import type { GridEvent } from './delivery.ts';

export interface TopicOptions {
  readonly tls: { readonly certPem: string; readonly keyPem: string };
  /** Decides on a bearer token, or on an `aeg-sas-key`. Default: any. */
  readonly authenticate?: ((credential: string) => Promise<boolean> | boolean) | undefined;
  readonly take: (event: GridEvent) => void;
  readonly list: () => readonly GridEvent[];
}

/** How publishing fails: with 503, by no answer at all, or by closed connections. */
export type TopicOutage = 'error' | 'timeout' | 'refuse';

export interface Topic {
  readonly endpoint: string;
  setOutage(outage: TopicOutage | boolean): void;
  stop(): Promise<void>;
}

const cloudEvent = z.object({
  id: z.string(),
  source: z.string(),
  type: z.string(),
  subject: z.string().default(''),
  time: z.string().default(() => new Date().toISOString()),
  data: z.unknown(),
  specversion: z.literal('1.0'),
});
const gridEvent = z.object({
  id: z.string(),
  topic: z.string().default(''),
  subject: z.string(),
  eventType: z.string(),
  eventTime: z.string(),
  data: z.unknown(),
  dataVersion: z.string(),
  metadataVersion: z.string().default('1'),
});
const body = z.array(z.union([cloudEvent, gridEvent]));

const toGridEvent = (event: z.infer<typeof body>[number]): GridEvent =>
  'specversion' in event
    ? {
        id: event.id,
        topic: event.source,
        subject: event.subject,
        eventType: event.type,
        eventTime: event.time,
        data: event.data,
        dataVersion: '1',
        metadataVersion: '1',
      }
    : { ...event, data: event.data };

export async function startTopic(options: TopicOptions): Promise<Topic> {
  let outage: TopicOutage | undefined;
  const answer = async (request: IncomingMessage): Promise<{ status: number; body: unknown }> => {
    if (outage === 'error') return { status: 503, body: { error: { code: 'ServiceUnavailable' } } };
    const { pathname } = new URL(request.url ?? '/', 'https://topic');
    if (request.method === 'GET' && pathname === '/events') return { status: 200, body: options.list() };
    if (request.method !== 'POST' || pathname !== '/api/events')
      return { status: 404, body: { error: { code: 'NotFound' } } };
    const credential =
      request.headers.authorization?.replace(/^Bearer /i, '') ?? request.headers['aeg-sas-key'];
    const allowed = typeof credential === 'string' && ((await options.authenticate?.(credential)) ?? true);
    if (!allowed) return { status: 401, body: { error: { code: 'Unauthorized' } } };
    const text = Buffer.concat(await request.toArray()).toString();
    const parsed = body.safeParse(JSON.parse(text === '' ? 'null' : text));
    if (!parsed.success)
      return { status: 400, body: { error: { code: 'BadRequest', message: z.prettifyError(parsed.error) } } };
    for (const event of parsed.data) options.take(toGridEvent(event));
    return { status: 200, body: '' };
  };
  const server = createServer({ cert: options.tls.certPem, key: options.tls.keyPem }, (request, response) => {
    if (outage === 'timeout') return;
    if (outage === 'refuse') return void request.socket.destroy();
    answer(request)
      .catch(() => ({
        status: 400,
        body: { error: { code: 'BadRequest', message: 'the body is not JSON' } },
      }))
      .then(({ status, body: text }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(text));
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    endpoint: `https://127.0.0.1:${port}/api/events`,
    setOutage: (change) => {
      // What hangs in a timeout is cut off at its end, so that its publisher tries again.
      if (outage === 'timeout') server.closeAllConnections();
      outage = change === true ? 'error' : change || undefined;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
