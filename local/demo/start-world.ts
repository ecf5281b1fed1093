// The stack with a fleet in it: two KEKs in two vaults, two real PostgreSQL servers and a streaming replica among the
// servers of the first, and clients that keep sessions open on them.
import { randomBytes } from 'node:crypto';
import { type KekId, keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import type { PostgresAccess } from '../../shared/domain/server-spec.ts';
import { mapBounded } from '../../shared/operations/bounded.ts';
import { startPostgres, startReplica } from '../postgres.ts';
import {
  OPEN_DATABASES,
  prepareServer,
  readOpenDatabases,
  type SuperuserAccess,
  toAccess,
} from '../stack/fleet-server.ts';
import { startLiveClient } from '../stack/live-client.ts';
import { type StackOptions, startStack } from '../stack/start-stack.ts';
import { KEY_NAME, type RealServer, type World } from './world.ts';

export interface WorldOptions extends Omit<StackOptions, 'vaults' | 'settings'> {
  /** Servers under each KEK, the real ones among those of the first; at least 3. */
  readonly servers: number;
  readonly onProgress?: (what: string) => void;
}

export interface StartedWorld extends World {
  stop(): Promise<void>;
}

const PASSWORD_SETTING = 'PGCMK_SECRET_FLEET';
const REGISTRATIONS_AT_A_TIME = 8;

export async function startWorld(options: WorldOptions): Promise<StartedWorld> {
  const say = options.onProgress ?? (() => undefined);
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end().catch(() => undefined);
  };
  try {
    const appPassword = randomBytes(18).toString('base64url');
    say('starting Azurite, two vaults, Event Grid, an identity and the host');
    const stack = await startStack({
      ...options,
      vaults: ['payments', 'ledger'],
      settings: { [PASSWORD_SETTING]: appPassword },
    });
    stops.push(stack.stop);
    const keks = ['payments', 'ledger'].map((name) => {
      const vault = stack.vaultEmulator.vault(name);
      return { vault, kek: parseKekId(vault.host, KEY_NAME) };
    });
    const [payments, ledger] = keks;
    if (payments === undefined || ledger === undefined) throw new RangeError('two vaults are needed');
    for (const { vault } of keks) await vault.createKey(KEY_NAME);

    say('starting two PostgreSQL servers and a streaming replica');
    const ssl = stack.certificates;
    const primaries = await Promise.all(['pg-1', 'pg-2'].map((name) => startPostgres({ name, ssl })));
    stops.push(...primaries.map((server) => server.stop));
    for (const server of primaries) await prepareServer(server, appPassword);
    const [first] = primaries;
    if (first === undefined) throw new RangeError('no server was started');
    const replica = await startReplica(first, { name: 'pg-1-replica' });
    stops.push(replica.stop);

    const real: { serverId: string; server: SuperuserAccess; role: RealServer['role'] }[] = [
      ...primaries.map((server) => ({ serverId: server.name, server, role: 'primary' as const })),
      { serverId: replica.name, server: replica, role: 'replica' },
    ];
    say(`opening sessions on ${real.length} servers`);
    const realServers = await Promise.all(
      real.map(async (one): Promise<RealServer> => {
        const clients = await Promise.all(
          OPEN_DATABASES.map((database) => startLiveClient(one.server, database)),
        );
        stops.push(() => Promise.all(clients.map((client) => client.stop())));
        return { ...one, clients, openBefore: await readOpenDatabases(one.server) };
      }),
    );
    const world = { stack, payments, ledger, servers: options.servers, realServers };
    say(`registering ${options.servers} servers under each of two keys`);
    await registerFleet(world);
    return { ...world, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Over the API, as an operator would. */
async function registerFleet({ stack, payments, ledger, realServers, servers }: World): Promise<void> {
  const headers = {
    authorization: `Bearer ${await stack.token(['Fleet.Operate'])}`,
    'content-type': 'application/json',
  };
  const register = async ({ serverId, ...body }: Registration): Promise<void> => {
    const url = `${stack.apiUrl}/servers/${serverId}`;
    const answer = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${serverId}: ${answer.status} ${await answer.text()}`);
  };
  const number = (index: number) => String(index + 1).padStart(5, '0');
  const withoutAccess = (name: string, kek: KekId, count: number) =>
    Array.from(
      { length: count },
      (_, index): Registration => ({ serverId: `${name}-${number(index)}`, keyId: keyUrl(kek) }),
    );
  const real = realServers.map(
    ({ serverId, server }): Registration => ({
      serverId,
      keyId: keyUrl(payments.kek),
      access: toAccess(server, PASSWORD_SETTING),
    }),
  );
  const others = withoutAccess('payments', payments.kek, servers - real.length);
  const beside = withoutAccess('ledger', ledger.kek, servers);
  await mapBounded([...real, ...others, ...beside], REGISTRATIONS_AT_A_TIME, register);
}

interface Registration {
  readonly serverId: string;
  readonly keyId: string;
  readonly access?: PostgresAccess;
}
