// A real PostgreSQL server with sessions on it: it sees when the last of them ended, when a new one was first refused,
// and when one was let in again.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Postgres } from '../local/postgres.ts';
import { CLIENT_USER, OPEN_DATABASES } from '../local/stack/fleet-server.ts';

export interface Revocation {
  /** Milliseconds since the epoch. */
  readonly lastSessionEndedAt: number;
  readonly refusedAt: number;
}

export interface WatchedServer {
  readonly name: string;
  readonly server: Postgres;
  /** Settles when every session has ended and a new one was refused. */
  seeRevoked(): Promise<Revocation>;
  /** Settles when one session is open again; the others follow. */
  seeRestored(): Promise<number>;
  /** Opens what sessions are missing. */
  fill(): Promise<void>;
  stop(): Promise<void>;
}

const RETRY_MS = 50;
/** How often a closed server is asked whether it is open: a flag is read, which costs it next to nothing. */
const LOOK_MS = 100;
const CONNECTS_AT_A_TIME = 4;

export async function watchServer(server: Postgres, sessions: number): Promise<WatchedServer> {
  const open = new Set<pg.Client>();
  let lastEndedAt = 0;
  let emptied = Promise.withResolvers<void>();

  const connect = async (database: string): Promise<pg.Client> => {
    const client = new pg.Client({
      host: server.host,
      port: server.port,
      user: CLIENT_USER,
      password: server.password,
      database,
      ssl: { rejectUnauthorized: false },
      connectionTimeoutMillis: 10_000,
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const hold = async (index: number): Promise<void> => {
    const client = await connect(OPEN_DATABASES[index % OPEN_DATABASES.length] ?? OPEN_DATABASES[0]);
    open.add(client);
    client.once('end', () => {
      open.delete(client);
      lastEndedAt = Date.now();
      if (open.size === 0) emptied.resolve();
    });
  };
  const fill = async (): Promise<void> => {
    const missing = Array.from({ length: sessions - open.size }, (_, index) => index);
    for (let start = 0; start < missing.length; start += CONNECTS_AT_A_TIME) {
      await Promise.all(missing.slice(start, start + CONNECTS_AT_A_TIME).map(hold));
    }
  };

  const watcher = new pg.Client({
    host: server.host,
    port: server.port,
    user: server.superuser,
    password: server.password,
    database: 'cmk_admin',
    ssl: { rejectUnauthorized: false },
  });
  watcher.on('error', () => undefined);
  await watcher.connect();
  const isOpen = async (): Promise<boolean> => {
    const { rows } = await watcher.query('SELECT 1 FROM pg_database WHERE datname = $1 AND datallowconn', [
      OPEN_DATABASES[0],
    ]);
    return rows.length === 1;
  };
  await fill();

  return {
    name: server.name,
    server,
    async seeRevoked() {
      if (open.size > 0) await emptied.promise;
      for (;;) {
        try {
          const client = await connect(OPEN_DATABASES[0]);
          await client.end();
        } catch {
          return { lastSessionEndedAt: lastEndedAt, refusedAt: Date.now() };
        }
        await sleep(RETRY_MS);
      }
    },
    async seeRestored() {
      for (;;) {
        if (await isOpen()) {
          emptied = Promise.withResolvers<void>();
          await hold(0);
          return Date.now();
        }
        await sleep(LOOK_MS);
      }
    },
    fill,
    async stop() {
      await watcher.end().catch(() => undefined);
      await Promise.all([...open].map((client) => client.end().catch(() => undefined)));
      await server.stop();
    },
  };
}
