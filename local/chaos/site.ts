// Where the rounds take place: a stack with two hosts behind faulty wires, two vaults with a KEK each, and a fleet with
// real PostgreSQL servers in it. What was true before the first fault is written down here.
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type KekId, keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import type { AccessSpec } from '../../shared/domain/server-spec.ts';
import { mapBounded } from '../../shared/operations/bounded.ts';
import type { EmulatedVault } from '../key-vault/emulated-vault.ts';
import { type Postgres, startPostgres, startReplica } from '../postgres.ts';
import { OPEN_DATABASES, prepareServer, readOpenDatabases, toAccess } from '../stack/fleet-server.ts';
import { type LiveClient, startLiveClient } from '../stack/live-client.ts';
import { type Stack, startStack } from '../stack/start-stack.ts';
import { type ChaosNetwork, makeChaosNetwork } from './network.ts';
import { HOSTS, KEKS, type KekName, POSTGRES, type PostgresName } from './plan.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';
import { readWrapping, unwrapInside } from './vault-truth.ts';

export const KEY_NAME = 'fleet-kek';

export interface HeldKek {
  readonly kek: KekId;
  readonly vault: EmulatedVault;
}

export interface RealServer {
  readonly serverId: PostgresName;
  readonly kek: KekName;
  /** Past the proxy. */
  readonly server: Postgres;
  readonly proxy: TcpProxy;
  readonly client: LiveClient;
  /** The databases that took connections before the first round. */
  readonly openBefore: readonly string[];
}

export interface Site {
  readonly stack: Stack;
  readonly network: ChaosNetwork;
  readonly keks: Readonly<Record<KekName, HeldKek>>;
  readonly realServers: readonly RealServer[];
  /** The fingerprint of each server's DEK, as it was when the server was registered. */
  readonly deks: Map<string, string>;
  stop(): Promise<void>;
}

export interface SiteOptions {
  /** Servers without access, under each KEK. */
  readonly servers: number;
  readonly onProgress: (what: string) => void;
  readonly onHostLog: (line: string) => void;
}

const PASSWORD_SETTING = 'PGCMK_SECRET_FLEET';
const REGISTRATIONS_AT_A_TIME = 8;
const MOST_TRIES = 30;
const ANSWER_MS = 15_000;
const RECONNECT_MS = 1000;
/** The app's own periods, short enough that a round ends in seconds. Each is an ordinary setting. */
const TIMES = { probeSeconds: 1, sweepSeconds: 2, confirmSuspectSeconds: 2 };
const SETTINGS = {
  PGCMK_SWEEP_SECONDS: '10',
  PGCMK_INSPECT_GRANTED_SECONDS: '10',
  PGCMK_INSPECT_REVOKED_SECONDS: '10',
  PGCMK_RESTORE_GAP_SECONDS: '1',
  PGCMK_PROVE_AFTER_SECONDS: '0',
  PGCMK_MAX_INSTANCES: String(HOSTS),
};
const QUEUE_LEASE_SECONDS = 5;
const RETRY_AFTER = '00:00:03';

const compiled = !import.meta.url.endsWith('.ts');
const appHostJson = fileURLToPath(
  new URL(compiled ? '../../../host.json' : '../../host.json', import.meta.url),
);

/** The app's host.json, but that a message that failed is tried again sooner. */
async function writeHostJson(directory: string): Promise<string> {
  const text = await readFile(appHostJson, 'utf8');
  const path = join(directory, 'host.json');
  await writeFile(path, text.replace(/("visibilityTimeout": )"[\d:]+"/, `$1"${RETRY_AFTER}"`));
  return path;
}

export async function startSite(options: SiteOptions): Promise<Site> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end().catch(() => undefined);
  };
  try {
    return { ...(await start(options, stops)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(options: SiteOptions, stops: (() => Promise<unknown>)[]): Promise<Omit<Site, 'stop'>> {
  const say = options.onProgress;
  const directory = await mkdtemp(join(tmpdir(), 'pg-cmk-chaos-'));
  stops.push(() => rm(directory, { recursive: true, force: true }));
  const network = makeChaosNetwork();
  stops.push(network.stop);
  const appPassword = randomBytes(18).toString('base64url');
  say(`starting Azurite, two vaults, Event Grid, an identity and ${HOSTS} hosts`);
  const stack = await startStack({
    times: TIMES,
    vaults: KEKS,
    settings: { ...SETTINGS, [PASSWORD_SETTING]: appPassword },
    queueLeaseSeconds: QUEUE_LEASE_SECONDS,
    hostJson: await writeHostJson(directory),
    hosts: HOSTS,
    network,
    onHostLog: options.onHostLog,
  });
  stops.push(stack.stop);
  const held = async (name: KekName): Promise<HeldKek> => {
    const vault = stack.vaultEmulator.vault(name);
    await vault.createKey(KEY_NAME);
    return { vault, kek: parseKekId(vault.host, KEY_NAME) };
  };
  const keks = { payments: await held('payments'), ledger: await held('ledger') };

  say('starting two PostgreSQL servers and a streaming replica');
  const ssl = stack.certificates;
  const [first, second] = await Promise.all([
    startPostgres({ name: 'pg-1', ssl }),
    startPostgres({ name: 'pg-2', ssl }),
  ]);
  stops.push(first.stop, second.stop);
  for (const server of [first, second]) await prepareServer(server, appPassword);
  const replica = await startReplica(first, { name: 'pg-1-replica' });
  stops.push(replica.stop);
  const places: Readonly<Record<PostgresName, { readonly server: Postgres; readonly kek: KekName }>> = {
    'pg-1': { server: first, kek: 'payments' },
    'pg-1-replica': { server: replica, kek: 'payments' },
    'pg-2': { server: second, kek: 'ledger' },
  };
  const realServers: RealServer[] = [];
  for (const serverId of POSTGRES) {
    const { server, kek } = places[serverId];
    const proxy = await startTcpProxy(server.port);
    const client = await startLiveClient(server, OPEN_DATABASES[0], RECONNECT_MS);
    stops.push(proxy.stop, client.stop);
    realServers.push({ serverId, kek, server, proxy, client, openBefore: await readOpenDatabases(server) });
  }

  say(`registering ${options.servers} servers without access and the real ones`);
  const site = { stack, network, keks, realServers, deks: new Map<string, string>() };
  const registrations = [
    ...realServers.map(({ serverId, kek, server, proxy }) => ({
      serverId,
      kek,
      access: toAccess({ ...server, port: proxy.port }, PASSWORD_SETTING),
    })),
    ...KEKS.flatMap((kek) =>
      Array.from({ length: options.servers }, (_, index) => ({
        serverId: `${kek}-${String(index + 1).padStart(3, '0')}`,
        kek,
      })),
    ),
  ];
  await mapBounded(registrations, REGISTRATIONS_AT_A_TIME, async (one) => {
    for (let tries = 0; !(await registerServer(site, { ...one, host: tries % HOSTS })); tries += 1) {
      if (tries === MOST_TRIES) throw new Error(`${one.serverId} was not registered`);
      await sleep(1000);
    }
  });
  return site;
}

export interface Registration {
  readonly serverId: string;
  readonly kek: KekName;
  readonly access?: AccessSpec;
  /** Which host is asked. */
  readonly host: number;
}

/** Over the API, as an operator would. False where it was not acknowledged; the first DEK acknowledged is the server's. */
export async function registerServer(
  { stack, keks, deks }: Pick<Site, 'stack' | 'keks' | 'deks'>,
  { serverId, kek, access, host }: Registration,
): Promise<boolean> {
  const { kek: id, vault } = keks[kek];
  const token = await stack.token(['Fleet.Operate']);
  try {
    const answer = await fetch(`${stack.hosts.at(host).url}/api/servers/${serverId}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ keyId: keyUrl(id), ...(access && { access }) }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (!answer.ok) return false;
    const print = await unwrapInside(vault, KEY_NAME, readWrapping(await answer.json()));
    if (!deks.has(serverId)) deks.set(serverId, print ?? 'not to be unwrapped');
    return true;
  } catch {
    return false;
  }
}
