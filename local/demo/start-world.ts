// The stack with a fleet in it: two KEKs in two vaults, two real PostgreSQL servers and a streaming replica among the
// servers of the first, and clients that keep sessions open on them.
import { randomBytes } from 'node:crypto';
import { keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import type { PostgresAccess } from '../../shared/domain/server-spec.ts';
import { mapBounded } from '../../shared/operations/bounded.ts';
import type { RegisterCommand } from '../../shared/operations/register-server.ts';
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

async function registerFleet(world: World): Promise<void> {
  const command = (
    serverId: string,
    keyId: string,
    access: PostgresAccess | { readonly kind: 'none' },
  ): RegisterCommand => ({
    serverId,
    keyId,
    access,
    keyLossPolicy: 'terminate',
    drainSeconds: null,
    principalId: null,
    labels: {},
    wrappedDek: null,
    by: 'demo',
    mayAssign: true,
    ifMatch: null,
  });
  const keyId = keyUrl(world.payments.kek);
  const real = world.realServers.map(({ serverId, server }) =>
    command(serverId, keyId, toAccess(server, PASSWORD_SETTING)),
  );
  const number = (index: number) => String(index + 1).padStart(5, '0');
  const others = Array.from({ length: world.servers - real.length }, (_, index) =>
    command(`payments-${number(index)}`, keyId, { kind: 'none' }),
  );
  const beside = Array.from({ length: world.servers }, (_, index) =>
    command(`ledger-${number(index)}`, keyUrl(world.ledger.kek), { kind: 'none' }),
  );
  await mapBounded([...real, ...others, ...beside], REGISTRATIONS_AT_A_TIME, (one) =>
    world.stack.operations.registerServer(one),
  );
}
