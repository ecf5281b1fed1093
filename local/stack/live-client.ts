// A client that behaves as applications do: it keeps a session open, and connects again as soon as that ends.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { CLIENT_USER, type SuperuserAccess } from './fleet-server.ts';

export interface LiveClient {
  readonly database: string;
  /** Whether it has a session now. */
  isConnected(): boolean;
  /** Milliseconds since the epoch; null: not since `forget`. */
  sessionEndedAt(): number | null;
  refusedAt(): number | null;
  connectedAt(): number | null;
  /** The SQLSTATE of the last refusal. */
  refusal(): string | null;
  /** Forgets all times, so that what comes next is told apart from what was. */
  forget(): void;
  stop(): Promise<void>;
}

const RETRY_MS = 100;

/** Returns once the first session is open. @param retryMs how long it waits before it connects again */
export async function startLiveClient(
  server: SuperuserAccess,
  database: string,
  retryMs = RETRY_MS,
): Promise<LiveClient> {
  let stopped = false;
  let current: pg.Client | null = null;
  let connected = false;
  let times: { ended: number | null; refused: number | null; connected: number | null; code: string | null };
  const forget = () => {
    times = { ended: null, refused: null, connected: null, code: null };
  };
  forget();
  const first = Promise.withResolvers<void>();

  const hold = async (): Promise<void> => {
    const client = new pg.Client({
      host: server.host,
      port: server.port,
      user: CLIENT_USER,
      password: server.password,
      database,
      ssl: { rejectUnauthorized: false },
      connectionTimeoutMillis: 3000,
      application_name: 'live-client',
    });
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      times.refused ??= Date.now();
      times.code = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
      await client.end().catch(() => undefined);
      return;
    }
    // Stopped while it was connecting: nobody else would end this session.
    if (stopped) {
      await client.end().catch(() => undefined);
      return;
    }
    current = client;
    connected = true;
    times.connected ??= Date.now();
    first.resolve();
    await ended;
    connected = false;
    times.ended ??= Date.now();
  };
  const loop = async () => {
    while (!stopped) {
      await hold();
      await sleep(retryMs);
    }
  };
  const running = loop();
  await first.promise;

  return {
    database,
    isConnected: () => connected,
    sessionEndedAt: () => times.ended,
    refusedAt: () => times.refused,
    connectedAt: () => times.connected,
    refusal: () => times.code,
    forget,
    stop: async () => {
      stopped = true;
      await current?.end().catch(() => undefined);
      await running;
    },
  };
}
