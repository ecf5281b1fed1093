// A webhook that does what a test tells it, and remembers what it was sent.
import { createServer } from 'node:http';

interface Received {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: unknown;
}

export interface WebhookStub {
  readonly url: string;
  /** Deliveries, without handshakes. */
  readonly deliveries: readonly Received[];
  readonly handshakes: readonly Received[];
  /** The status of the next deliveries, in order; after them 200. `hang` closes the connection. */
  answer(...statuses: readonly (number | 'hang')[]): void;
  /** Whether handshakes are answered properly. */
  validate(on: boolean): void;
  stop(): Promise<void>;
}

export async function startWebhookStub(): Promise<WebhookStub> {
  const deliveries: Received[] = [];
  const handshakes: Received[] = [];
  const next: (number | 'hang')[] = [];
  let validating = true;
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString();
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const received: Received = { method: request.method ?? '', headers: request.headers, body };
    if (request.method === 'OPTIONS') {
      handshakes.push(received);
      if (validating) response.setHeader('WebHook-Allowed-Origin', '*');
      response.end();
    } else if (request.headers['aeg-event-type'] === 'SubscriptionValidation') {
      handshakes.push(received);
      const code = /"validationCode":"([^"]+)"/.exec(text)?.[1];
      response.end(JSON.stringify(validating ? { validationResponse: code } : { echo: body }));
    } else {
      deliveries.push(received);
      const status = next.shift() ?? 200;
      if (status === 'hang') request.socket.destroy();
      else response.writeHead(status).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/hook`,
    deliveries,
    handshakes,
    answer: (...statuses) => void next.splice(0, next.length, ...statuses),
    validate: (on) => {
      validating = on;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
